"""Tracks: ids that jump, vanish, change class or come twice; silence where ids are no tracks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apiece import formats
from apiece.check.contract import Finding, Labelled, SetFacts, Settings
from apiece.check.tracks import CHECK
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks

CLASSES = ("car", "pedestrian")
SIZE = (200, 400)
Frame = dict[int, tuple[float, float]]
"""Id to the middle of a square of 10 pixels."""


def instances(frame: Frame, labels: Mapping[int, int] | None = None, ids: list[int] | None = None) -> Instances:
    boxes = np.array([[x - 5, y - 5, x + 5, y + 5] for x, y in frame.values()], np.float64).reshape(-1, 4)
    chosen = [(labels or {}).get(i, 0) for i in frame]
    own = list(frame) if ids is None else ids
    return Instances(Masks.from_boxes(boxes, SIZE), np.array(chosen, np.int64), CLASSES, ids=np.array(own, np.int64))


def refs(count: int, name: Callable[[int], str]) -> list[ImageRef]:
    return [ImageRef(Path(name(i)), name(i)) for i in range(count)]


def check(images: list[ImageRef], frames: list[Instances]) -> list[Finding]:
    kept = [
        CHECK.remember(Labelled("train", i, ref, own), Settings())
        for i, (ref, own) in enumerate(zip(images, frames, strict=True))
    ]
    facts = SetFacts(CLASSES, {"train": tuple(images)}, {})
    return list(CHECK.conclude([k for k in kept if k is not None], facts, Settings()))


def walk(frames: int = 12, objects: int = 6) -> list[Frame]:
    """Objects that drift along rows of their own, two pixels a frame."""
    return [{k + 1: (40 + 2 * t + 11 * k, 20 + 30 * k) for k in range(objects)} for t in range(frames)]


NAMES: dict[str, Callable[[int], str]] = {
    "ctc": lambda i: f"01/t{i:03d}.tif",
    "kitti": lambda i: f"0002/{i:06d}.png",
    "mots20": lambda i: f"MOTS20-02/{i + 1:06d}.jpg",
    "cvat": lambda i: f"frame_{i:06d}.png",
    "cvat, every fifth": lambda i: f"frame_{5 * i:06d}.png",
}


@pytest.mark.parametrize("name", NAMES)
def test_good_tracks_have_no_finding(name: str) -> None:
    assert check(refs(12, NAMES[name]), [instances(f) for f in walk()]) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_mistake_is_found_where_it_is(name: str) -> None:
    frames, images = walk(), refs(12, NAMES[name])
    frames[5][2], frames[5][5] = frames[5][5], frames[5][2]  # exchanged in one frame
    del frames[8][3]
    labels: list[dict[int, int]] = [{} for _ in frames]
    labels[4][6] = labels[9][6] = 1
    found = check(images, [instances(f, own) for f, own in zip(frames, labels, strict=True)])
    kinds = sorted((f.kind, f.place.index) for f in found)
    # there and back
    assert kinds == [("id_class", 4), ("id_gap", 8), ("id_swap", 5), ("id_swap", 6)]
    swap = next(f for f in found if f.kind == "id_swap" and f.place.index == 5)
    assert "ids 2 and 5 swap" in swap.message or "ids 5 and 2 swap" in swap.message
    assert {place.instances for place in (swap.place, *swap.others)} == {(1,), (4,)}
    assert images[4].name in swap.message
    assert images[5].name in swap.message
    (gap,) = (f for f in found if f.kind == "id_gap")
    assert gap.message == f"id 3 is missing for 1 frame, between {images[7].name} and {images[9].name}"
    assert gap.place.instances == ()
    assert gap.place.box == (71, 75, 81, 85)  # where it was in frame 7
    assert [o.index for o in gap.others] == [7, 9]
    (change,) = (f for f in found if f.kind == "id_class")
    assert "id 6 is pedestrian in 2 of 12 frames" in change.message
    assert [o.index for o in change.others] == [9, 0]
    assert change.place.instances == (5,)


def test_an_id_that_jumps_where_no_other_was_expected() -> None:
    frames, images = walk(), refs(12, NAMES["kitti"])
    for t in range(5, 12):
        frames[t][2] = (frames[t][2][0] + 150, frames[t][2][1])
    (found,) = check(images, [instances(f) for f in frames])
    assert (found.kind, found.place.index, found.place.instances) == ("id_jump", 5, (1,))
    assert images[4].name in found.message
    assert images[5].name in found.message
    assert found.sure > 0.7


def test_a_swap_of_two_that_pass_each_other_closely() -> None:
    frames, images = walk(16), refs(16, NAMES["kitti"])
    for t in range(16):
        frames[t][1], frames[t][2] = (100 + 4 * t, 20), (164 - 4 * t, 26)
        if t >= 8:
            frames[t][1], frames[t][2] = frames[t][2], frames[t][1]
    (found,) = check(images, [instances(f) for f in frames])
    assert (found.kind, found.place.index) == ("id_swap", 8)
    right = walk(16)
    for t in range(16):
        right[t][1], right[t][2] = (100 + 4 * t, 20), (164 - 4 * t, 26)
    assert check(images, [instances(f) for f in right]) == []


def test_one_id_on_two_objects() -> None:
    frames = [instances(f) for f in walk()]
    twice = walk()[6] | {99: (300.0, 100.0)}
    frames[6] = instances(twice, ids=[1, 2, 3, 4, 5, 6, 4])
    (found,) = check(refs(12, NAMES["kitti"]), frames)
    assert (found.kind, found.place.index, found.place.instances) == ("id_twice", 6, (6,))
    assert found.others[0].instances == (3,)


def test_fast_but_even_motion_is_no_jump() -> None:
    frames = [{**f, 9: (30.0 + 30 * t, 190.0)} for t, f in enumerate(walk(frames=11))]
    assert check(refs(11, NAMES["kitti"]), [instances(f) for f in frames]) == []


def test_what_is_hidden_for_long_is_not_missing() -> None:
    frames = walk()
    for t in range(4, 9):
        del frames[t][2]
    assert check(refs(12, NAMES["kitti"]), [instances(f) for f in frames]) == []


def test_sequence_and_frame_as_attributes_and_track_ids() -> None:
    frames = walk()
    del frames[7][1]
    images = [
        ImageRef(Path("x"), f"photo {97 * i % 12}.jpg", attributes={"sequence": "a", "frame": i}) for i in range(12)
    ]
    own = [
        instances(f, ids=[100 * t + i for i in f]).replace(attributes={"track_id": np.array(list(f), np.int64)})
        for t, f in enumerate(frames)
    ]
    (found,) = check(images, own)
    assert (found.kind, found.place.index) == ("id_gap", 7)
    # without track ids, they are numbers of annotations
    assert check(images, [f.replace(attributes={}) for f in own]) == []


def scattered(rng: np.random.Generator, t: int, numbers: str) -> Instances:
    n = int(rng.integers(4, 9))
    places = rng.uniform(10, [390, 190], (n, 2))
    if numbers == "raster":
        places = places[np.argsort(places[:, 1])]
    ids = [1000 * t + i if numbers == "unique" else i + 1 for i in range(n)]
    return instances({i: (float(x), float(y)) for i, (x, y) in enumerate(places)}, ids=ids)


@pytest.mark.parametrize("numbers", ["unique", "per image", "raster"])
@pytest.mark.parametrize("name", NAMES)
def test_annotation_numbers_are_no_tracks(name: str, numbers: str) -> None:
    rng = np.random.default_rng(7)
    assert check(refs(40, NAMES[name]), [scattered(rng, t, numbers) for t in range(40)]) == []


def test_images_that_are_no_frames() -> None:
    bad = walk()
    del bad[5][2]
    own = [instances(f) for f in bad]
    for name in ("img_{:04d}.png", "photos/{:d}.jpg", "batch/{:06d}.png", "{:03d}.tif", "scan-{:d}.png"):
        assert check(refs(12, name.format), own) == []
    # two images of one frame
    assert check([*refs(12, NAMES["ctc"]), ImageRef(Path("x"), "01/t005.png")], [*own, own[0]]) == []
    assert check(refs(12, NAMES["ctc"]), [o.replace(ids=None) for o in own]) == []


def test_sequences_are_kept_apart() -> None:
    there = [f"0001/{i:06d}.png" for i in range(6)] + [f"0002/{i:06d}.png" for i in range(6)]
    far = [{k: (390 - x, 195 - y) for k, (x, y) in f.items()} for f in walk(6)]
    frames = [instances(f) for f in [*walk(6), *far]]
    assert check([ImageRef(Path(n), n) for n in there], frames) == []


@pytest.mark.parametrize("format", ["ctc", "kitti_mots"])
def test_as_the_readers_give_them(format: str, tmp_path: Path) -> None:
    classes, names = (("object",), NAMES["ctc"]) if format == "ctc" else (CLASSES, NAMES["kitti"])
    frames: list[Any] = walk()
    del frames[4][3]
    own = [instances(f) for f in frames]
    own = [o.replace(classes=classes, ids=o.ids + (1000 if format == "kitti_mots" else 0)) for o in own]  # type: ignore[operator]
    formats.write(zip(refs(12, names), own, strict=True), tmp_path / "set", format, classes=classes)
    read = list(formats.read(tmp_path / "set", format))
    (found,) = check([ref for ref, _ in read], [i for _, i in read])
    assert (found.kind, found.place.index) == ("id_gap", 4)
