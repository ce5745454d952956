"""What holds for every file in `apiece.formats`: a new format is tested by being there."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.label_scenes import hard_instances, plain_instances, ref

from apiece import ImageRef, Instances, Masks, formats
from apiece.errors import ApieceError, ConfigError, DataError, FormatError, LossyFormatError, UnknownNameError

NAMES = formats.names()
every_format = pytest.mark.parametrize("name", NAMES)


def target(tmp_path: Path, name: str) -> Path:
    """A path whose ending suits a set of several images."""
    return tmp_path / ("out" + formats.load(name).ending)


def adapted(instances: Instances, holds: formats.Holds) -> Instances:
    """What a format need not hold in the hard set, taken away; masks stay as hard as it can hold."""
    masks = instances.masks
    keep = np.ones(len(instances), bool)
    if not holds.empty:
        keep &= masks.area > 0
    if not holds.overlap:
        keep &= np.isin(np.arange(len(keep)), [0, 2, 3])  # one with a hole, the pixel in it, one in parts
    if not holds.parts:
        keep &= masks.parts <= 1
    if not holds.holes:
        keep &= masks.holes == 0
    if not holds.crowd:
        keep &= ~instances.crowd
    kept = instances[keep]
    ids = kept.ids if holds.ids else None
    if ids is not None and holds.id_range is not None:
        ids = np.clip(ids, *holds.id_range)
    return kept.replace(
        labels=kept.labels if holds.classes else np.zeros(len(kept), np.int64),
        classes=kept.classes if holds.classes else ("object",),
        ids=ids,
        scores=kept.scores if holds.scores else None,
        attributes=kept.attributes if holds.attributes else {},
    )


def compare(written: Instances, found: Instances, holds: formats.Holds) -> None:
    """Identity; ids may come where there were none."""
    if written.ids is None:
        found = found.replace(ids=None)
    order = np.arange(len(found)) if written.ids is None else _places(written.ids, found.ids)
    assert found[order] == written


def _places(wanted: np.ndarray, found: np.ndarray | None) -> np.ndarray:
    assert found is not None
    assert sorted(wanted.tolist()) == sorted(found.tolist())
    return np.argsort(found)[np.argsort(np.argsort(wanted))]


@every_format
def test_what_it_says_it_holds_comes_back(tmp_path: Path, name: str) -> None:
    holds = formats.load(name).holds
    hard = adapted(hard_instances(), holds)
    images = [ref("a b.png"), ref("Übung/日本 1.png"), ref("c.png")]
    records = [(images[0], hard), (images[1], hard.replace(ids=None)), (images[2], hard[:0])]
    path = target(tmp_path, name)
    assert formats.write(records, path, name) == []
    assert formats.detect(path) == name
    labels = formats.read(path)
    assert labels.classes == hard.classes
    assert len(labels) == 3
    found = {r.name: instances for r, instances in labels}
    assert set(found) == {r.name for r in images}
    for image, instances in records[:2]:
        compare(instances, found[image.name], holds)
    assert len(found["c.png"]) == 0
    assert found["c.png"].size == hard.size
    assert [r.name for r in labels.refs] == [r.name for r, _ in labels]
    # a second time, from what was read
    formats.write(labels, target(tmp_path / "again", name), name)
    again = formats.read(target(tmp_path / "again", name))
    assert [i for _, i in again] == [i for _, i in labels]


@every_format
@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (ref("../a.png"), r"image name '\.\./a\.png' leaves the folder"),
        (
            dataclasses.replace(ref("a.png"), size=(9, 7)),
            r"image 'a\.png' is \(9, 7\), but its instances are on \(4, 4\)",
        ),
    ],
)
def test_images_that_no_reader_could_take_are_refused(tmp_path: Path, name: str, image: ImageRef, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        formats.write([(image, Instances(Masks.from_boxes([[0, 0, 2, 2]], (4, 4))))], target(tmp_path, name), name)
    assert list(tmp_path.iterdir()) == []


CASES = {
    "overlap": lambda: hard_instances()[[1, 4]],
    "holes": lambda: hard_instances()[[0]],
    "parts": lambda: hard_instances()[[2]],
    "empty": lambda: hard_instances()[[3, 5]],
    "classes": lambda: hard_instances()[[3]],
    "ids": lambda: hard_instances()[[3]],
    "scores": lambda: hard_instances()[[3]],
    "crowd": lambda: hard_instances()[[6]],
    "attributes": lambda: hard_instances()[[3]],
}


@every_format
@pytest.mark.parametrize("case", CASES)
def test_what_it_cannot_hold_is_refused_or_reported(tmp_path: Path, name: str, case: str) -> None:
    chosen = formats.load(name)
    instances = CASES[case]()
    # everything but the case in question taken away, as far as the format needs
    bare = instances.replace(
        labels=instances.labels if case == "classes" or chosen.holds.classes else None,
        classes=instances.classes if case == "classes" or chosen.holds.classes else ("object",),
        ids=instances.ids if case == "ids" else None,
        scores=instances.scores if case == "scores" else None,
        crowd=instances.crowd if case == "crowd" else None,
        attributes=instances.attributes if case == "attributes" else {},
    )
    path = target(tmp_path, name)
    if getattr(chosen.holds, case):
        formats.write([(ref(), bare)], path, name)
        compare(bare, formats.read(path)[0][1], chosen.holds)
        return
    with pytest.raises(LossyFormatError, match=r"image 'a\.png', (id|instance)s? \d"):
        formats.write([(ref(), bare)], path, name)
    assert list(tmp_path.iterdir()) == []
    lost = formats.write([(ref(), bare)], path, name, allow_lossy=True)
    assert lost
    assert all("a.png" in line for line in lost)
    assert formats.detect(path) == name
    assert len(formats.read(path)) == 1


@every_format
def test_the_hard_set_is_kept_or_refused(tmp_path: Path, name: str) -> None:
    hard, path = hard_instances(), target(tmp_path, name)
    try:
        formats.write([(ref(), hard)], path, name)
    except LossyFormatError as error:
        assert "a.png" in error.reason  # noqa: PT017
        lost = formats.write([(ref(), hard)], path, name, allow_lossy=True)
        assert lost
        found = formats.read(path)[0][1]
        # what is left lies inside what was there
        assert len(found) <= len(hard)
        union = hard.masks.union()
        assert Masks.concatenate([union, found.masks]).union() == union
    else:
        compare(hard, formats.read(path)[0][1], formats.load(name).holds)


@every_format
def test_one_pixel_masks_up_to_the_border(tmp_path: Path, name: str) -> None:
    a = np.zeros((5, 7), np.int64)
    a[::2, ::2] = np.arange(1, 13).reshape(3, 4)
    instances = Instances.from_label_map(a)
    path = target(tmp_path, name)
    formats.write([(ref(), instances if formats.load(name).holds.ids else instances.replace(ids=None))], path, name)
    assert formats.read(path)[0][1].masks == Masks.from_label_map(a)


@every_format
@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 20))
def test_any_masks_come_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, seed: int, height: int, width: int
) -> None:
    holds, rng = formats.load(name).holds, np.random.default_rng(seed)
    stack = rng.random((4, height, width)) < rng.random((4, 1, 1))
    stack[0] = np.arange(height)[:, None] >= height // 3  # one that every format holds
    stack = stack if holds.overlap else stack & (np.cumsum(stack, 0) == 1)
    masks = Masks.from_dense(stack)
    keep = (holds.empty | (masks.area > 0)) & (holds.parts | (masks.parts <= 1)) & (holds.holes | (masks.holes == 0))
    instances = Instances(
        masks,
        rng.integers(0, 2, 4) if holds.classes else None,
        ("a", "b") if holds.classes else ("object",),
        rng.random(4) if holds.scores else None,
        None if not holds.ids else rng.integers(0, 9, 4) if holds.id_range is None else rng.permutation(9)[:4] + 1,
    )[keep]
    path = target(tmp_path_factory.mktemp("any"), name)
    formats.write([(ref("x/ä.tif"), instances)], path, name)
    compare(instances, formats.read(path, name)[0][1], holds)


@every_format
def test_an_error_half_way_leaves_nothing(tmp_path: Path, name: str) -> None:
    path = target(tmp_path, name)
    found = plain_instances() if formats.load(name).holds.ids else plain_instances().replace(ids=None)

    def records() -> Iterator[tuple[ImageRef, Instances]]:
        for i in range(600):
            yield ref(f"{i}.png"), found
        raise RuntimeError("the model died")

    with pytest.raises(RuntimeError, match="the model died"):
        formats.write(records(), path, name)
    assert list(tmp_path.iterdir()) == []


@every_format
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"{", b"[", b"<?xml", b"\xff\xfe\x00", b"PK\x03\x04", b"II*\0", b"\x89PNG\r\n\x1a\n"]
)
def test_broken_files(tmp_path: Path, name: str, content: bytes) -> None:
    path = target(tmp_path, name)
    path = path if path.suffix else path.with_suffix(".png")
    path.write_bytes(content)
    assert isinstance(formats.load(name).detect(path), bool)
    with pytest.raises(FormatError):
        list(formats.read(path, name))


@every_format
def test_written_files_cut_short(tmp_path: Path, name: str) -> None:
    path = target(tmp_path, name)
    formats.write([(ref(), adapted(hard_instances(), formats.load(name).holds))], path, name)
    files = [path] if path.is_file() else [p for p in sorted(path.rglob("*")) if p.is_file()]
    for file in files:
        data = file.read_bytes()
        for length in np.linspace(0, len(data) * 0.9, 25).astype(int):
            file.write_bytes(data[:length])
            with pytest.raises(FormatError):
                list(formats.read(path, name))
        file.write_bytes(data)


@every_format
def test_an_image_that_cannot_be_read_is_left_out(tmp_path: Path, name: str) -> None:
    """Iterating leaves it out and tells; ``labels[i]`` has nothing to give for it and raises."""
    path = target(tmp_path, name)
    found = adapted(hard_instances(), formats.load(name).holds)
    formats.write([(ref(n), found.replace(ids=None)) for n in ("a.png", "b.png", "c.png")], path, name)
    files = [path] if path.is_file() else [p for p in sorted(path.rglob("*")) if p.is_file()]
    for file in files:
        data = file.read_bytes()
        for length in (0, len(data) // 3, len(data) * 3 // 4):
            file.write_bytes(data[:length])
            told: list[FormatError] = []
            try:
                labels = formats.read(path, name, on_bad=told.append)
            except FormatError:
                continue  # nothing of the set can be had
            iterated = list(labels)
            assert told, f"{file} is cut short at {length}"
            taken = []
            for i in range(len(labels)):
                with contextlib.suppress(FormatError):
                    taken.append(labels[i])
            assert [(r.name, i) for r, i in taken] == [(r.name, i) for r, i in iterated]
        file.write_bytes(data)


@every_format
@pytest.mark.slow
def test_seventy_thousand_instances(tmp_path: Path, name: str) -> None:
    a = np.zeros((800, 800), np.int64)
    a[::3, ::3] = np.arange(1, 267 * 267 + 1).reshape(267, 267)
    a[1::3, ::3] = a[::3, ::3]
    instances = Instances.from_label_map(a)
    instances = instances if formats.load(name).holds.ids else instances.replace(ids=None)
    assert len(instances) > 70_000
    if name == "mask_files":
        instances = instances[:2000]  # a file each: more would only test the file system
    path = target(tmp_path, name)
    try:
        formats.write([(ref(), instances)], path, name)
    except LossyFormatError as error:  # a format may not have so many numbers
        assert "a.png" in error.reason  # noqa: PT017
        assert not path.exists()
        return
    compare(instances, formats.read(path)[0][1], formats.load(name).holds)


@every_format
def test_its_description(name: str) -> None:
    chosen = formats.load(name)
    assert chosen.summary
    assert "\n" not in chosen.summary
    assert all(s.startswith(".") and s == s.lower() for s in chosen.suffixes)
    assert all(
        isinstance(v, bool) for k, v in dataclasses.asdict(chosen.holds).items() if k not in ("id_range", "most")
    )


def test_detection_says_what_it_looked_for(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="there is no such file"):
        formats.read(tmp_path / "absent.json")
    (tmp_path / "empty.json").touch()
    with pytest.raises(FormatError, match="is empty"):
        formats.read(tmp_path / "empty.json")
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(FormatError, match=r"looked for .*coco, .*labelmap, "):
        formats.read(tmp_path / "a.txt")
    with pytest.raises(UnknownNameError, match=r"no format named 'cocoa'\. Did you mean 'coco'"):
        formats.read(tmp_path / "a.txt", "cocoa")
    with pytest.raises(FormatError, match="no such folder of images"):
        formats.read(tmp_path / "a.txt", "coco", images=tmp_path / "none")
    (tmp_path / "other.json").write_text('{"shapes": [{"images": 1}], "imagePath": "a.png"}')
    with pytest.raises(FormatError, match="no known label format"):
        formats.detect(tmp_path / "other.json")


def test_the_format_to_write_is_told_by_the_ending(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name it with format="):
        formats.write([], tmp_path / "out.xyz")
    formats.write([], tmp_path / "out.json")
    assert formats.detect(tmp_path / "out.json") == "coco"
    assert len(formats.read(tmp_path / "out.json")) == 0


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    masks = Masks.from_boxes([[0, 0, 2, 2]], (4, 4))
    records = [
        (ref("a.png"), Instances(masks, [0], ("nut", "bolt"))),
        (ref("b.png"), Instances(masks, [0], ("bolt",))),
    ]
    formats.write(records, tmp_path / "out.json", classes=("bolt", "nut"))
    labels = formats.read(tmp_path / "out.json")
    assert labels.classes == ("bolt", "nut")
    assert [i.names for _, i in labels] == [["nut"], ["bolt"]]
    with pytest.raises(DataError, match="class 'nut', which is not among"):
        formats.write(records, tmp_path / "out.json", classes=("bolt",))
    assert formats.read(tmp_path / "out.json").classes == ("bolt", "nut")


def test_images_may_be_given_by_name_or_path(tmp_path: Path) -> None:
    found = plain_instances()
    formats.write([("x/a.png", found), (tmp_path / "b.png", found)], tmp_path / "out.json")
    assert [r.name for r in formats.read(tmp_path / "out.json").refs] == ["x/a.png", "b.png"]


def test_repairs_are_what_they_say(tmp_path: Path) -> None:
    stack = np.zeros((4, 12, 12), bool)
    stack[0] = True
    stack[1, 2:6, 2:6] = True
    stack[2, 3:5, 3:5] = True
    stack[3, 3, 3] = True
    instances = Instances(Masks.from_dense(stack), ids=np.array([9, 8, 7, 7]))
    lost = formats.write([(ref(), instances)], tmp_path / "out.png", allow_lossy=True)
    assert lost == [
        "image 'a.png', ids 9, 8, 7, 7: overlap resolved, smallest on top",
        "image 'a.png', ids 7, 7: ids that do not fit, all renumbered",
    ]
    _, found = formats.read(tmp_path / "out.png")[0]
    assert found.masks.area.tolist() == [128, 12, 3, 1]
    with pytest.raises(ApieceError, match="ids 9, 8, 7, 7 overlap others, which this format cannot hold"):
        formats.write([(ref(), instances)], tmp_path / "b.png")
