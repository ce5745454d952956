"""Tiles of one image in two splits, known by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from apiece.check.contract import Finding, Labelled, SetFacts, Settings
from apiece.check.tiles import CHECK
from apiece.core.image import ImageRef
from apiece.core.instances import Instances

SIZE = (100, 120)


def found(names: Mapping[str, Sequence[str]], size: tuple[int, int] = SIZE) -> list[Finding]:
    refs = {split: tuple(ImageRef(Path(name), name) for name in own) for split, own in names.items()}
    labelled = (
        Labelled(split, k, ref, Instances.empty(size, ("nut",))) for split in refs for k, ref in enumerate(refs[split])
    )
    assert CHECK.remember is not None
    assert CHECK.conclude is not None
    seen = [tile for one in labelled if (tile := CHECK.remember(one, Settings())) is not None]
    return list(CHECK.conclude(seen, SetFacts(("nut",), refs, {}), Settings()))


def test_tiles_that_share_pixels_across_splits() -> None:
    train = ["a_0_0_0_120_100.png", "b_0_0_0_120_100.png"]
    (one,) = found({"train": train, "val": ["a_0_100_0_220_100.png", "a_0_50_50_170_150.png", "c_0_0_0_120_100.png"]})
    assert one.message == (
        "2 tiles of a_0 in val share pixels with tiles in train: a_0_100_0_220_100.png and a_0_0_0_120_100.png"
    )
    assert (one.place.split, one.place.index, one.others[0].image) == ("val", 0, "a_0_0_0_120_100.png")


def test_tiles_side_by_side_and_tiles_of_one_split_are_no_leak() -> None:
    assert not found({"train": ["a_0_0_120_100.png"], "val": ["a_120_0_240_100.png", "a_0_100_120_200.png"]})
    assert not found({"train": ["a_0_0_120_100.png", "a_50_50_170_150.png"], "val": ["b_0_0_120_100.png"]})


def test_numbers_that_are_no_corners_of_the_tile() -> None:
    assert not found({"train": ["scan_2024_10_11_12.png"], "val": ["scan_2024_10_12_12.png"]})
    assert not found({"train": ["a_0_0_120_100.png"], "val": ["a_0_0_120_100.png"]}, (100, 100))


def test_names_of_dota() -> None:
    (one,) = found({"train": ["x/P0003__1__0___0.png"], "val": ["P0003__1__60___0.png", "P0003__0.5__0___0.png"]})
    assert one.message.startswith("1 tile of P0003 at scale 1 in val shares pixels")
