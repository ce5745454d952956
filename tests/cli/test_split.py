"""``apiece split`` for every format: the format that was read is kept, images go along."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from tests.cli.set_scenes import files, run, save_set

from apiece import formats
from apiece.datasets.dataset import open_data

every_format = pytest.mark.parametrize("name", [n for n in formats.names() if formats.load(n).write is not None])
NAMES = ("a.png", "b/a.png", "ü.png", "d.png")


@every_format
def test_the_format_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    holds = formats.load(name).holds
    save_set(tmp_path / "in" / "labels.json", NAMES, ("nut", "bolt") if holds.classes else ("object",))
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert run("convert", tmp_path / "in", whole, "--to", name, *(() if holds.ids else ("--drop", "ids"))) == 0
    shares = "train=0.5,val=0.25,test=0.25"
    capsys.readouterr()
    assert run("split", whole, "--out", out, "--fractions", shares, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["parts"] == {"train": 2, "val": 1, "test": 1}
    assert {one["format"] for one in shown["sets"].values()} == {name}
    data = open_data(out)
    assert {split: len(d) for split, d in data.items()} == {"train": 2, "val": 1, "test": 1}
    found = {r.name: r.path for d in data.values() for r in d.refs}
    assert set(found) == set(NAMES)
    assert all(os.path.samefile(path, tmp_path / "in" / n) for n, path in found.items())
    masks = {r.name: i.masks.area.sum() for d in data.values() for r, i in d.labels}
    assert masks == {r.name: i.masks.area.sum() for r, i in formats.read(tmp_path / "in" / "labels.json")}
    assert run("split", whole, "--out", out, "--fractions", shares) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert run("split", whole, "--out", tmp_path / "again", "--fractions", shares) == 0
    again = {s: [r.name for r in d.refs] for s, d in open_data(tmp_path / "again").items()}
    assert again == {s: [r.name for r in d.refs] for s, d in data.items()}


def test_beside_the_label_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_set(tmp_path / "labels.xml", NAMES)
    assert run("split", tmp_path / "labels.xml", "--fractions", "train=0.5,val=0.5") == 0
    assert "4 there already" in capsys.readouterr().err
    assert files(tmp_path) == sorted([*NAMES, "labels.xml", "train.xml", "val.xml"])
    assert {s: len(d) for s, d in open_data(tmp_path).items()} == {"train": 2, "val": 2}


def test_another_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "labels.json"
    save_set(path, NAMES)
    out = tmp_path / "set"
    options = ("--out", out, "--image-files", "copy")
    assert run("split", path, "--to", "yolo", *options, "--fractions", "train=0.5,val=0.5") == 0
    assert "ids, which only number the annotations, are left out: yolo has none" in capsys.readouterr().err
    assert {s: len(d) for s, d in open_data(out).items()} == {"train": 2, "val": 2}
    assert [int(np.asarray(image).max()) for image, _ in open_data(out)["train"]]
    assert not os.path.samefile(out / "images" / "a.png", tmp_path / "a.png")
    # a set that is divided already is divided anew
    shares = ("--fractions", "train=0.25,val=0.25,test=0.5")
    assert run("split", out, "--out", tmp_path / "anew", *shares) == 0
    assert {s: len(d) for s, d in open_data(tmp_path / "anew").items()} == {"train": 1, "val": 1, "test": 2}
    capsys.readouterr()
    assert run("split", path, "--to", "yolo", *options, "--overwrite", "--fractions", "train=0.5,mini=0.5") == 1
    assert "YOLO knows train, val, test" in capsys.readouterr().err
    assert {s: len(d) for s, d in open_data(out).items()} == {"train": 2, "val": 2}


def test_what_cannot_be_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_set(tmp_path / "in" / "train.json", NAMES)
    save_set(tmp_path / "in" / "val.json", NAMES)
    assert run("split", tmp_path / "in") == 1
    assert "is split already, into train, val" in capsys.readouterr().err
    assert run("convert", tmp_path / "in" / "val.json", tmp_path / "voc", "--to", "voc") == 0
    assert run("split", tmp_path / "voc") == 1
    assert "name one with --out" in capsys.readouterr().err
    assert run("split", tmp_path / "voc", "--out", tmp_path / "x", "--fractions", "train=0.5,val") == 1
    assert "cannot read --fractions" in capsys.readouterr().err


def test_broken_entries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_set(tmp_path / "in" / "labels.json", NAMES)
    assert run("convert", tmp_path / "in", tmp_path / "maps", "--to", "labelmap", "--drop", "classes") == 0
    (tmp_path / "maps" / "masks" / "d.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    arguments = ("split", tmp_path / "maps", "--out", tmp_path / "out", "--fractions", "train=0.34,val=0.66")
    capsys.readouterr()
    assert run(*arguments) == 1
    assert "d.png" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert run(*arguments, "--skip-bad", "--json") == 0
    out, err = capsys.readouterr()
    assert "1 bad entry was left out" in err
    assert "d.png" in json.loads(out)["bad"][0]["path"]
    assert sorted(r.name for d in open_data(tmp_path / "out").values() for r in d.refs) == sorted({*NAMES} - {"d.png"})
