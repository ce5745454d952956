"""Measurements on images that are read in windows are those on the whole image."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.cli.set_scenes import run

from apiece import ImageRef, Instances, formats, images
from apiece.formats import contract
from apiece.formats._kit import label_bands
from apiece.images import open_pyramid, read_image
from apiece.measurements import Table, measure, measure_many
from apiece.measurements._engine import large
from apiece.measurements._engine import measure as engine

SIZE = (300, 400)


@pytest.fixture
def scene(tmp_path: Path) -> tuple[Path, Instances]:
    rng = np.random.default_rng(0)
    y, x = np.indices(SIZE)
    labels = np.zeros(SIZE, np.int64)
    for k in range(1, 40):
        cx, cy = rng.uniform(0, SIZE[1]), rng.uniform(0, SIZE[0])
        labels[(x - cx) ** 2 + (y - cy) ** 2 < rng.uniform(2, 30) ** 2] = k
    pixels = rng.integers(0, 4000, (*SIZE, 3)).astype(np.uint16)
    path = tmp_path / "images" / "a.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, pixels, tile=(64, 64), photometric="rgb", resolution=(20000, 10000), resolutionunit=3)
    return path, Instances.from_label_map(labels)


def by_id(tables: list[Table]) -> dict[str, list[object]]:
    table = Table.concatenate(tables)
    order = np.argsort(table["id"])
    return {name: table[name][order].tolist() for name in table.columns}


def test_windows_give_what_the_image_gives(scene: tuple[Path, Instances], monkeypatch: pytest.MonkeyPatch) -> None:
    path, found = scene
    monkeypatch.setattr(large, "_BLOCK", 100)
    ref = ImageRef(path, "a.tif", SIZE)
    for names in (None, ["intensity_mean", "area", "centroid"]):
        whole = by_id(list(measure_many([(ref, found)], read=lambda ref: read_image(ref.path), properties=names)))
        with open_pyramid(path) as pyramid:
            parts = list(measure_many([(ref, found)], read=lambda ref: pyramid, properties=names))
        assert parts[0].units["area"] == "cm2"
        seen = by_id(parts)
        assert seen.keys() == whole.keys()
        for name, values in whole.items():
            numbers = name not in ("image", "class")
            assert seen[name] == (pytest.approx(values, nan_ok=True) if numbers else values), name


def test_a_large_label_image_with_its_image(
    scene: tuple[Path, Instances], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, found = scene
    ref = ImageRef(path, "a.tif", SIZE)
    formats.write([(ref, found)], tmp_path / "masks" / "a.tif", "labelmap")
    assert run("measure", tmp_path / "masks", "--format", "labelmap", "--images", path.parent, "--json") == 0
    whole = json.loads(capsys.readouterr().out)
    monkeypatch.setattr(contract, "LARGE", 1000)
    monkeypatch.setattr(images, "LARGE", 1000)
    monkeypatch.setattr(label_bands, "WIDE", 150)
    assert run("measure", tmp_path / "masks", "--format", "labelmap", "--images", path.parent, "--json") == 0
    pieces = json.loads(capsys.readouterr().out)
    rows = sorted(pieces["rows"], key=lambda row: row["id"])
    assert len(rows) == len(whole["rows"])
    for row, wanted in zip(rows, whole["rows"], strict=True):
        assert row == pytest.approx(wanted)


def test_few_masks_are_measured_at_a_time(scene: tuple[Path, Instances], monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = scene
    whole = measure(found)
    monkeypatch.setattr(engine, "_RUNS", 100)
    parts = measure(found)
    assert list(parts.columns) == list(whole.columns)
    for name, values in whole.columns.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(parts[name], values, rtol=1e-7, err_msg=name)  # thickness is in float32
        else:
            np.testing.assert_array_equal(parts[name], values, err_msg=name)


def test_memory_of_outlines_does_not_grow_with_the_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    y, x = np.indices((600, 600))
    found = Instances.from_label_map(((y // 20) * 30 + x // 20 + 1) * ((y % 20 > 2) & (x % 20 > 2)))

    def peak(runs: int) -> int:
        monkeypatch.setattr(engine, "_RUNS", runs)
        tracemalloc.start()
        measure(found, properties=["convexity", "roughness"])
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1 << 40)  # what is loaded once
    assert peak(1000) < peak(1 << 40) / 4
