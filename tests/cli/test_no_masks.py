"""Shapes that are no masks, as commands tell of them: none vanishes without a word."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.set_scenes import run
from tests.no_masks import COUNTS, FILES, elements

from apiece import formats
from apiece.cli._output import print_json
from apiece.images import write_image

Out = pytest.CaptureFixture[str]


@pytest.fixture
def cvat(tmp_path: Path) -> Path:
    """A CVAT file beside its image."""
    write_image(tmp_path / "a.png", np.zeros((8, 10), np.uint8))
    return FILES["cvat"](tmp_path)


def shown(capsys: Out) -> Any:
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("info", ()),
        ("measure", ()),
        ("convert", ("out.xml",)),
        ("split", ("--fractions", "all=1", "--out", "parts")),
        ("check", ()),
        ("evaluate", ("--predictions", "predictions.json", "--metrics", "coco")),
        ("compare", ()),
    ],
)
def test_every_command_says_it_in_one_line(
    cvat: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch, command: str, options: tuple[str, ...]
) -> None:
    monkeypatch.chdir(cvat.parent)
    predictions = [{"image_id": 0, "category_id": 1, "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]], "score": 0.9}]
    Path("predictions.json").write_text(json.dumps(predictions))
    arguments = ["predictions.json", "predictions.json", "--data", cvat] if command == "compare" else [cvat]
    if command == "evaluate":
        arguments = ["--data", cvat]
    assert run(command, *arguments, *options, "--json") in (0, 1)
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if "passes over" in line]
    assert lines == [
        f"{cvat}: the reader passes over what is no mask: 1 cuboid, 1 points, 1 polyline, 1 skeleton, 1 tag "
        f"(on 1 of 1 images)"
    ]
    assert json.loads(out)["passed_over"] == [{"path": str(cvat), "shapes": COUNTS["cvat"]}]


@pytest.mark.parametrize("name", FILES)
def test_nothing_vanishes_unsaid_and_fix_keeps_all(name: str, tmp_path: Path, capsys: Out) -> None:
    write_image(tmp_path / "a.png", np.zeros((8, 10), np.uint8))
    path, other = FILES[name](tmp_path), "cvat" if name != "cvat" else "coco"
    assert run("info", path, "--json") == 0
    assert shown(capsys)["train"]["shapes"] == COUNTS[name]
    assert run("check", path, "--only", "no_mask", "--json") == 0
    found = [f["message"] for f in shown(capsys)["findings"]]
    assert sorted(found) == sorted(
        f"{n} {kind} on 1 of 1 images: no mask, so no instance" for kind, n in COUNTS[name].items()
    )
    assert run("convert", path, tmp_path / "other", "--to", other, "--check", "--json") == 0
    assert shown(capsys)["sets"][""]["lost"][0].endswith(": no masks, left out")
    assert run("convert", path, tmp_path / "other", "--to", other) == 1
    assert "--drop shapes goes without them" in capsys.readouterr().err
    assert run("convert", path, tmp_path / "other", "--to", other, "--drop", "shapes", "--json") == 0
    assert shown(capsys)["left_out"] == ["shapes"]
    assert run("convert", path, tmp_path / "same", "--to", name, "--json") == 0
    (one,) = shown(capsys)["sets"].values()
    assert one["shapes"] == COUNTS[name]
    assert run("check", path, "--fix", tmp_path / "fixed", "--json") in (0, 1)
    copy = Path(next(iter(shown(capsys)["fixed"]["files"].values())))
    assert list(elements(formats.read(copy, name)).values()) == list(elements(formats.read(path, name)).values())


def test_shapes_that_go_with_their_class_are_said(cvat: Path, capsys: Out) -> None:
    assert run("convert", cvat, cvat.parent / "nuts.xml", "--classes", "nut", "--json") == 0
    out, err = capsys.readouterr()
    assert "of what is no mask, left out with its class: 1 skeleton" in err
    assert json.loads(out)["shapes_left_out"] == {"skeleton": 1}
    assert json.loads(out)["sets"][""]["shapes"] == {k: n for k, n in COUNTS["cvat"].items() if k != "skeleton"}


def test_json_of_a_result_that_is_no_mapping_carries_them_too(cvat: Path, capsys: Out) -> None:
    """As the result of a training is."""

    @dataclass
    class Result:
        steps: int = 3

    assert run("info", cvat) == 0
    capsys.readouterr()
    print_json(Result())
    assert shown(capsys) == {"steps": 3, "passed_over": [{"path": str(cvat), "shapes": COUNTS["cvat"]}]}
