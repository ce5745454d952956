"""Outlines beyond the border, as commands tell of them, and what ``check --fix`` does about them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.set_scenes import run

from apiece import formats
from apiece.images import write_image

Out = pytest.CaptureFixture[str]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Two outlines on 60 x 40 pixels: 1.5 pixels beyond the border, and 8."""
    write_image(tmp_path / "a.png", np.zeros((40, 60), np.uint8))
    notes = [
        {"id": i, "image_id": 1, "category_id": 1, "area": 270, "segmentation": [[30, y, x, y, x, y + 9, 30, y + 9]]}
        for i, (x, y) in enumerate([(61.5, 2), (68, 20)], 1)
    ]
    images = [{"id": 1, "file_name": "a.png", "height": 40, "width": 60}]
    document = {"images": images, "annotations": notes, "categories": [{"id": 1, "name": "nut"}]}
    (tmp_path / "a.json").write_text(json.dumps(document))
    return tmp_path / "a.json"


def shown(capsys: Out) -> tuple[Any, str]:
    out, err = capsys.readouterr()
    return json.loads(out), err


@pytest.mark.parametrize("command", ["info", "measure", "convert", "split", "check"])
def test_clip_cuts_what_is_refused_otherwise(
    labels: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(labels.parent)
    more = {
        "convert": ["out.json"],
        "split": ["--fractions", "all=1", "--out", "parts"],
        "check": ["--only", "outside,over_edge", "--fail-on", "never"],
    }.get(command, [])
    if command != "check":
        assert run(command, labels, *more, "--json") == 1
        err = capsys.readouterr().err
        assert "annotations[1].segmentation: reaches 8 pixels outside the image of 60 x 40" in err
        assert "cut the outline there with --clip-outlines" in err
    assert run(command, labels, *more, "--clip", "--json") == 0
    found, err = shown(capsys)
    assert f"{labels}: cut 2 outlines that reach beyond the border of the image; check lists them" in err
    assert found["cut_at_border"] == [{"path": str(labels), "cut": {"outlines": 2, "images": 1}}]


def test_check_lists_and_fix_cuts(labels: Path, capsys: Out) -> None:
    assert run("check", labels, "--only", "file", "--json") == 1
    found, _ = shown(capsys)
    assert found["counts"] == {"refused": 1, "over_edge": 1}
    assert any("cut the outline there with --clip-outlines" in f["message"] for f in found["findings"])
    assert (
        run("check", labels, "--only", "outside,over_edge", "--clip", "--fix", labels.parent / "fixed", "--json") == 1
    )
    found, _ = shown(capsys)
    assert found["counts"] == {"outside": 1, "over_edge": 1}
    done = [(c["instances"], c["kinds"], c["done"]) for c in found["fixed"]["changes"]]
    assert done == [([0, 1], ["over_edge", "outside"], "cut at the border")]
    copy = formats.read(labels.parent / "fixed" / "a.json")
    ((_, fixed),) = list(copy)
    assert fixed.boxes.tolist() == [[30, 2, 60, 11], [30, 20, 60, 29]]
    assert "area" not in fixed.attributes  # what was stated is the masks' now
    assert not copy.cut  # type: ignore[attr-defined]
    assert run("check", labels.parent / "fixed" / "a.json", "--images", labels.parent, "--only", "file", "--json") == 0
