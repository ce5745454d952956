"""``apiece merge``: classes joined, names and ids kept apart, no photo twice by accident."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.cli.set_scenes import files, instances, run, save_set

from apiece import formats
from apiece.datasets.dataset import open_data

every_format = pytest.mark.parametrize("name", [n for n in formats.names() if formats.load(n).write is not None])


@every_format
def test_into_every_format(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Two sets whose images are called the same, one of them in another format."""
    holds = formats.load(name).holds
    classes = ("nut", "bolt") if holds.classes else ("object",)
    save_set(tmp_path / "a" / "labels.json", ("a.png", "b/c.png"), classes)
    save_set(tmp_path / "b" / "labels.json", ("a.png", "d.png"), classes[::-1], shade=100)
    assert run("convert", tmp_path / "b", tmp_path / "c", "--to", "cvat") == 0
    drop = () if holds.ids else ("--drop", "ids")
    out = tmp_path / "out"
    capsys.readouterr()
    assert run("merge", tmp_path / "a", tmp_path / "c", "--out", out, "--to", name, *drop, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert list(shown["from"]) == ["a", "c"]
    (one,) = shown["sets"].values()
    assert (one["images"], one["instances"]) == (4, 10)
    data = open_data(out)["train"]
    assert sorted(r.name for r in data.refs) == ["a.png", "b/c.png", "c/a.png", "d.png"]
    shades = {r.name: int(np.asarray(data[i][0]).max()) for i, r in enumerate(data.refs)}
    assert shades == {"a.png": 0, "b/c.png": 10, "c/a.png": 100, "d.png": 110}
    found = {r.name: i for r, i in data.labels}
    assert set(data.classes) == set(classes)
    if holds.classes:
        assert sorted(found["a.png"].names) == ["bolt", "nut", "nut"]
        assert sorted(found["c/a.png"].names) == ["bolt", "bolt", "nut"]
    if holds.ids:
        ids = np.concatenate([i.ids for i in found.values()])
        assert len(np.unique(ids)) == 10
        assert sorted(found["a.png"].ids.tolist()) == [1, 2, 3]


def test_classes_are_mapped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_set(tmp_path / "a.json", ("a.png",), ("car", "bus"))
    save_set(tmp_path / "b.json", ("b.png",), ("car", "bus"), shade=50)
    out = tmp_path / "out.json"
    both = (tmp_path / "a.json", tmp_path / "b.json", "--out", out)
    assert run("merge", *both, "--map", "b:car=vehicle") == 0
    found = {r.name: i.names for r, i in formats.read(out)}
    assert found == {"a.png": ["car", "bus", "car"], "b.png": ["vehicle", "bus", "vehicle"]}
    err = capsys.readouterr().err
    assert "classes that not all sets have: car (a), vehicle (b); --map gives them one name\n" in err
    both_mapped = ("--map", "1:car=vehicle", "--map", "2:car=vehicle", "--map", "bus=vehicle")
    assert run("merge", *both, *both_mapped, "--overwrite") == 0
    assert "not all sets" not in capsys.readouterr().err
    assert run("merge", *both, "--map", "1:car=vehicle", "--map", "bus=vehicle", "--overwrite") == 0
    found = {r.name: i.names for r, i in formats.read(out)}
    assert found == {"a.png": ["vehicle"] * 3, "b.png": ["car", "vehicle", "car"]}
    assert run("merge", *both, "--map", "b:cat=dog", "--overwrite") == 1
    assert "no class named 'cat'" in capsys.readouterr().err
    assert run("merge", tmp_path / "a.json", "--out", out) == 1
    assert "two sets or more" in capsys.readouterr().err


def test_one_photo_in_two_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_set(tmp_path / "a" / "labels.json", ("a.png", "b.png"))
    (tmp_path / "b").mkdir()
    shutil.copy(tmp_path / "a" / "a.png", tmp_path / "b" / "other name.png")
    os.link(tmp_path / "a" / "b.png", tmp_path / "b" / "b.png")
    other = instances(2, first=50)[[1, 0]]
    same = instances(2, first=80)[[1, 0]]
    out = tmp_path / "out.json"
    both = (tmp_path / "a", tmp_path / "b", "--out", out, "--json")

    def save(first: object) -> None:
        formats.write([("other name.png", first), ("b.png", same)], tmp_path / "b" / "labels.json")

    save(instances(3, first=90))  # equal to a's, but for ids
    assert run("merge", *both) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [r.name for r in formats.read(out).refs] == ["a.png", "b.png"]
    assert shown["notes"] == ["b: 2 images left out, a has them with the same labels"]
    out.unlink()
    save(other)
    assert run("merge", *both) == 1
    err = capsys.readouterr().err
    assert "'other name.png' of b and 'a.png' of a are the same file with different labels" in err
    assert "--same first" in err
    assert not out.exists()
    assert run("merge", *both, "--same", "first") == 0
    assert [len(i) for _, i in formats.read(out)] == [3, 2]
    assert run("merge", *both, "--same", "unite", "--overwrite") == 0
    assert [len(i) for _, i in formats.read(out)] == [5, 2]
    assert formats.read(out)[0][1].ids.tolist() == [1, 2, 3, 51, 50]
    capsys.readouterr()


def test_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        save_set(tmp_path / f"{name}.json", (f"{name}.png",), shade=ord(name))
    out = tmp_path / "out.json"
    assert run("merge", tmp_path / "a.json", tmp_path / "b.json", "--out", out) == 0
    assert "b: 3 added to instance ids" in capsys.readouterr().err
    assert [i.ids.tolist() for _, i in formats.read(out)] == [[1, 2, 3], [4, 5, 6]]
    both = (tmp_path / "a.json", tmp_path / "b.json", "--out", out, "--overwrite")
    assert run("merge", *both, "--ids", "keep") == 0
    assert [i.ids.tolist() for _, i in formats.read(out)] == [[1, 2, 3], [1, 2, 3]]


def test_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k, name in enumerate("ab"):
        for split in ("train", "val"):
            save_set(tmp_path / name / f"{split}.json", (f"{split}.png",), shade=100 * k + 50 * (split == "val"))
    sets = (tmp_path / "a", tmp_path / "b")
    assert run("merge", *sets, "--out", tmp_path / "out", "--to", "coco") == 0
    data = open_data(tmp_path / "out")
    assert {split: [r.name for r in d.refs] for split, d in data.items()} == {
        "train": ["train.png", "b/train.png"],
        "val": ["val.png", "b/val.png"],
    }
    assert run("merge", tmp_path / "a", tmp_path / "b" / "val.json", "--out", tmp_path / "x", "--to", "coco") == 1
    assert "a is divided into train, val, val is not" in capsys.readouterr().err


def test_broken_entries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        save_set(tmp_path / f"{name}.json", (f"{name}.png",), shade=ord(name))
    document = json.loads((tmp_path / "b.json").read_text())
    document["annotations"][0]["category_id"] = 77
    (tmp_path / "b.json").write_text(json.dumps(document))
    both = (tmp_path / "a.json", tmp_path / "b.json", "--out", tmp_path / "out.json")
    before = files(tmp_path)
    assert run("merge", *both) == 1
    assert "b.json" in capsys.readouterr().err
    assert files(tmp_path) == before
    assert run("merge", *both, "--skip-bad", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [b["path"] for b in shown["bad"]] == [str(tmp_path / "b.json")]
    assert shown["sets"][""]["instances"] == 5
