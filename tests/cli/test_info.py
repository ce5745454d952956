"""``apiece info`` for every format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.set_scenes import NAMES, instances, run, save_set

from apiece import ImageRef, formats

every_format = pytest.mark.parametrize("name", [n for n in formats.names() if formats.load(n).write is not None])


@every_format
def test_every_format(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    holds = formats.load(name).holds
    save_set(tmp_path / "in" / "labels.json", classes=("nut", "bolt") if holds.classes else ("object",))
    drop = () if holds.ids else ("--drop", "ids")
    assert run("convert", tmp_path / "in", tmp_path / "out", "--to", name, *drop) == 0
    capsys.readouterr()
    assert run("info", tmp_path / "out", "--json") == 0
    shown = json.loads(capsys.readouterr().out)["train"]
    assert shown["format"] == name
    assert (shown["images"], shown["instances"], shown["missing_images"]) == (3, 6, 0)
    assert {c["name"]: c["instances"] for c in shown["classes"]} == (
        {"nut": 4, "bolt": 2} if holds.classes else {"object": 6}
    )
    assert shown["ids"] == (6 if holds.ids else shown["ids"])
    assert shown["tracks"] == 0
    assert run("info", tmp_path / "out") == 0
    out = capsys.readouterr().out
    assert name in out
    assert out.startswith(f"{tmp_path / 'out'}{' [train]' if formats.load(name).splits else ''}\n")


def test_each_split_has_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_set(tmp_path / "in" / "labels.json")
    assert run("split", tmp_path / "in" / "labels.json", "--fractions", "train=0.7,val=0.3") == 0
    (tmp_path / "in" / "labels.json").unlink()
    capsys.readouterr()
    assert run("info", tmp_path / "in") == 0
    titles = [line for line in capsys.readouterr().out.splitlines() if line.startswith(str(tmp_path))]
    assert titles == [f"{tmp_path / 'in'} [train]", f"{tmp_path / 'in'} [val]"]


def test_tracks_and_attributes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = instances(3).replace(attributes={"angle": [0.5, 1, 2]}, scores=[0.5, 0.6, 0.7])
    refs = [ImageRef(tmp_path / n, n, attributes={"light": "dim"}) for n in ("a/0.png", "a/1.png", "b/0.png")]
    formats.write(list(zip(refs, [found, found[1:], found], strict=True)), tmp_path / "labels.json")
    assert run("info", tmp_path / "labels.json", "--json") == 0
    shown = json.loads(capsys.readouterr().out)["train"]
    assert (shown["ids"], shown["tracks"], shown["sequences"], shown["scored"]) == (8, 2, 1, True)
    assert (shown["attributes"], shown["image_attributes"]) == (["angle"], ["light"])
    assert run("info", tmp_path / "labels.json") == 0
    out = capsys.readouterr().out
    for part in ("coco", "8 instances have one", "2 are on several images of 1 folders", "angle", "light", "3 missing"):
        assert part in " ".join(out.split())


def test_broken_entries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_set(tmp_path / "labels.json", NAMES)
    document = json.loads((tmp_path / "labels.json").read_text())
    document["annotations"][1]["segmentation"] = {"size": [20, 30], "counts": [-1]}
    (tmp_path / "labels.json").write_text(json.dumps(document))
    assert run("info", tmp_path / "labels.json") == 1
    assert "annotations[1]" in capsys.readouterr().err
    assert run("info", tmp_path / "labels.json", "--skip-bad", "--json") == 0
    out, err = capsys.readouterr()
    shown = json.loads(out)
    assert shown["train"]["instances"] == 5
    assert len(shown["bad"]) == 1
    assert "annotations[1]" in err
