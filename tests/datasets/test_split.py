"""Splits: exact shares, whole groups, even content, the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.datasets.data_scenes import records

from apiece import Instances, Masks, formats
from apiece.datasets import class_counts, split, write_split
from apiece.errors import ConfigError, DataError
from apiece.formats import LabelSet

THREE = {"train": 0.7, "val": 0.2, "test": 0.1}


def labelled(tmp_path: Path, names: list[str], **attributes: list) -> LabelSet:
    formats.write(records(names, **attributes), tmp_path / "all.json")
    return formats.read(tmp_path / "all.json")


@pytest.mark.parametrize(("count", "sizes"), [(10, [7, 2, 1]), (100, [70, 20, 10]), (33, [23, 7, 3]), (3, [1, 1, 1])])
def test_sizes_are_exact(tmp_path: Path, count: int, sizes: list[int]) -> None:
    labels = labelled(tmp_path, [f"{i}.png" for i in range(count)])
    parts = split(labels, THREE)
    assert [len(p) for p in parts.values()] == sizes
    together = sorted(i for p in parts.values() for i in p.indices)
    assert together == list(range(count))
    assert all(list(p.indices) == sorted(p.indices) for p in parts.values())


def test_seed(tmp_path: Path) -> None:
    labels = labelled(tmp_path, [f"{i}.png" for i in range(50)])
    first = [p.indices for p in split(labels, THREE, seed=1).values()]
    assert first == [p.indices for p in split(labels, THREE, seed=1).values()]
    assert first != [p.indices for p in split(labels, THREE, seed=2).values()]


@settings(max_examples=30)
@given(st.lists(st.integers(0, 12), min_size=20, max_size=60), st.integers(0, 5))
def test_groups_stay_together(tmp_path_factory: pytest.TempPathFactory, groups: list[int], seed: int) -> None:
    labels = labelled(tmp_path_factory.mktemp("x"), [f"{i}.png" for i in range(len(groups))], photo=groups)
    if len(set(groups)) < 3:
        with pytest.raises(DataError, match="cannot be divided into 3 parts"):
            split(labels, THREE, group="photo", seed=seed)
        return
    parts = split(labels, THREE, group="photo", seed=seed)
    sides = [{groups[i] for i in p.indices} for p in parts.values()]
    assert all(sides)
    assert sum(map(len, sides)) == len(set(groups))
    # no further from the share asked for than the largest group
    largest = max(groups.count(g) for g in groups)
    if len(set(groups)) > 6:
        for part, share in zip(parts.values(), THREE.values(), strict=True):
            assert abs(len(part) - share * len(groups)) <= largest + 1


def test_an_attribute_in_even_shares(tmp_path: Path) -> None:
    modality = ["dark"] * 60 + ["bright"] * 30 + ["colour"] * 10
    labels = labelled(tmp_path, [f"{i}.png" for i in range(100)], modality=modality)
    parts = split(labels, THREE, stratify="modality")
    for part, share in zip(parts.values(), THREE.values(), strict=True):
        found = [r.attributes["modality"] for r in part.refs]
        assert [found.count(m) for m in ("dark", "bright", "colour")] == [round(share * n) for n in (60, 30, 10)]


def test_rare_classes_in_even_shares(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(200):
        labels = [0] * int(rng.integers(1, 6)) + [1] * (i % 4 == 0) + [2] * (i % 20 == 0)
        masks = Masks.from_boxes(np.tile([0, 0, 3, 3], (len(labels), 1)), (8, 8))
        rows.append((f"{i}.png", Instances(masks, labels, ("much", "some", "rare"))))
    formats.write(rows, tmp_path / "all.json")
    parts = split(formats.read(tmp_path / "all.json"), THREE, seed=3)
    with_class = np.array([np.asarray((class_counts(p) > 0).sum(axis=0)).ravel() for p in parts.values()])
    assert with_class[:, 2].tolist() == [7, 2, 1]
    assert np.abs(with_class[:, 1] - [35, 10, 5]).max() <= 1
    counts = np.array([np.asarray(class_counts(p).sum(axis=0)).ravel()[0] for p in parts.values()])
    assert np.abs(counts / counts.sum() - list(THREE.values())).max() < 0.03


def test_written_parts_are_read_back(tmp_path: Path) -> None:
    labels = labelled(tmp_path, [f"{i}.png" for i in range(10)])
    parts = split(labels, {"train": 0.8, "val": 0.2})
    paths = {name: one.path for name, one in write_split(parts, tmp_path / "parts").items()}
    assert paths == {"train": tmp_path / "parts" / "train.json", "val": tmp_path / "parts" / "val.json"}
    for name, path in paths.items():
        assert [(r.name, i) for r, i in formats.read(path)] == [(r.name, i) for r, i in parts[name]]


@pytest.mark.parametrize("name", ["../val", "/val"])
def test_parts_do_not_leave_the_folder(tmp_path: Path, name: str) -> None:
    labels = labelled(tmp_path / "data", ["a.png"])
    with pytest.raises(ConfigError, match="does not lie within"):
        write_split({name: labels}, tmp_path / "parts")
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    "fractions",
    [{}, {"a": 0.5}, {"a": 0.5, "b": 0.6}, {"a": 1.0, "b": 0.0}, {"a": 2, "b": -1}, {"a": float("nan"), "b": 0.5}],
)
def test_fractions_must_add_up(tmp_path: Path, fractions: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="add up to 1"):
        split(labelled(tmp_path, ["a.png", "b.png"]), fractions)
    with pytest.raises(ConfigError, match="seed must be 0 or more, got -1"):
        split(labelled(tmp_path / "more", ["a.png", "b.png"]), {"a": 1.0}, seed=-1)


def test_a_missing_attribute_is_named(tmp_path: Path) -> None:
    labels = labelled(tmp_path, ["a.png", "b.png"], photo=["x", "y"])
    with pytest.raises(DataError, match=r"image 'a\.png' has no attribute 'phot'; it has: photo"):
        split(labels, {"train": 0.5, "val": 0.5}, group="phot")


def test_facades_by_photo(shared_data: Path) -> None:
    labels = formats.read(shared_data / "facades" / "train.json")
    parts = split(labels, {"train": 0.8, "val": 0.2}, group="source_photo")
    photos = [{r.attributes["source_photo"] for r in p.refs} for p in parts.values()]
    assert not photos[0] & photos[1]
    assert abs(len(parts["val"]) - 26) <= 2
    assert (class_counts(parts["val"]).sum(axis=0) > 0).all()
