"""`apiece measure`: files of every kind, distributions, and two batches compared."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import pytest
from pyarrow import parquet

from apiece.cli import main
from apiece.datasets.synthetic import SceneConfig, write_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sizes")
    write_dataset(folder, train=3, val=3, config=SceneConfig(size=(96, 96), classes=("washer", "pill")))
    return folder


def run(*words: object) -> int:
    """Return the exit code of `apiece measure`."""
    with pytest.raises(SystemExit) as told:
        main(["measure", *map(str, words)])
    return int(told.value.code or 0)


def test_a_file_of_each_kind(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sizes.csv"
    kinds = ("csv", "xlsx", "parquet", "html", "png")
    assert run(data / "train.json", "--by", "image", "--save", ",".join(kinds), "--out", out) == 0
    shown = capsys.readouterr().out
    assert "D50" in shown
    assert "by volume" in shown
    rows = out.read_text().count("\n") - 1
    assert parquet.read_table(out.with_suffix(".parquet")).num_rows == rows
    assert zipfile.is_zipfile(out.with_suffix(".xlsx"))
    page = out.with_suffix(".html").read_text()
    assert all(word in page for word in ("Particle report", "Q3, by volume", "D90", "<svg"))
    assert "http" not in page.replace("http://www.w3.org", "")
    assert cv2.imread(str(out.with_suffix(".png"))).shape[2] == 3


def test_two_batches(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = data / "train.json", "--against", data / "val.json"
    assert run(*files, "--of", "area", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    (pair,) = told["comparison"]
    assert (pair["group_a"], pair["group_b"], pair["images_a"], pair["images_b"]) == ("train", "val", 3, 3)
    assert pair["low"] < pair["difference"] < pair["high"]
    assert [row["group"] for row in told["distribution"]] == ["train", "val"]
    assert run(*files, "--save", "html", "--out", tmp_path / "a.html") == 0
    assert "Difference of the mean" in (tmp_path / "a.html").read_text()


def test_the_same_data_twice_and_unknown_columns(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = data / "train.json"
    assert run(train, "--against", train) != 0
    assert "--against" in capsys.readouterr().err
    assert run(train, "--of", "aera") != 0
    assert "area" in capsys.readouterr().err
    assert run(train, "--save", "doc") != 0
    assert "parquet" in capsys.readouterr().err
