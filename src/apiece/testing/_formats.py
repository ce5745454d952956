"""What every label format promises."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from apiece import formats
from apiece._arrays import Int
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import FormatError, LossyFormatError
from apiece.formats.contract import ROOM, Holds, LabelFormat
from apiece.testing._labels import hard_instances, plain_instances, ref
from apiece.testing._promises import expect, refused


def target(format: LabelFormat, folder: Path) -> Path:
    """Return a path whose ending suits a set of several images."""
    return folder / f"out{format.ending}"


def adapted(instances: Instances, holds: Holds) -> Instances:
    """Take away what a format need not hold of the hard set; masks stay as hard as it can hold."""
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


def compare(written: Instances, found: Instances) -> None:
    """Expect identity; the order may differ where ids tell it, and ids may come where there were none."""
    if written.ids is None:
        found = found.replace(ids=None)
    else:
        expect(found.ids is not None, "ids are lost")
        expect(sorted(written.ids) == sorted(_ids(found)), f"ids were {written.ids}, came back as {found.ids}")
        found = found[np.argsort(_ids(found))[np.argsort(np.argsort(written.ids))]]
    expect(found == written, f"written: {written}; read: {found}")


def _ids(instances: Instances) -> Int:
    return np.arange(len(instances)) if instances.ids is None else instances.ids


def _without_ids(instances: Instances, format: LabelFormat) -> Instances:
    return instances if format.holds.ids else instances.replace(ids=None)


def _nothing_left(folder: Path) -> None:
    expect(not list(folder.iterdir()), f"left behind: {[p.name for p in folder.iterdir()]}")


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [p for p in sorted(path.rglob("*")) if p.is_file()]


def description(format: LabelFormat, folder: Path) -> None:
    """It is described in one line, its endings are lower case and no other format's, and `holds` is declared."""
    expect(format.summary and "\n" not in format.summary, f"summary is {format.summary!r}")
    expect(all(s.startswith(".") and s == s.lower() for s in format.suffixes), f"suffixes are {format.suffixes}")
    others = {s: name for name, other in ROOM.load_all().items() if other is not format for s in other.suffixes}
    taken = {s: others[s] for s in format.suffixes if s in others}
    expect(not taken, f"endings of another format: {taken}")
    said = dataclasses.asdict(format.holds)
    wrong = [k for k, v in said.items() if k not in ("id_range", "most") and not isinstance(v, bool)]
    expect(not wrong, f"holds says neither True nor False of {wrong}")


def comes_back(format: LabelFormat, folder: Path) -> None:
    """What it says it holds comes back from its own file, which no other format takes for its own."""
    hard = adapted(hard_instances(), format.holds)
    images = [ref("a b.png"), ref("Übung/日本 1.png"), ref("c.png")]
    records = [(images[0], hard), (images[1], hard.replace(ids=None)), (images[2], hard[:0])]
    path, again = target(format, folder), target(format, folder / "again")
    expect(formats.write(records, path, format) == [], "something is said to be lost")
    expect(format.detect(path), "its own file is not detected")
    others = {name: other for name, other in ROOM.load_all().items() if other is not format and other.guessed}
    strangers = [name for name, other in others.items() if other.detect(path)]
    expect(not strangers, f"its file is also taken for {strangers}")
    labels = formats.read(path, format)
    expect(labels.classes == hard.classes, f"classes are {labels.classes}, not {hard.classes}")
    found = {r.name: instances for r, instances in labels}
    expect(len(labels) == 3 and set(found) == {r.name for r in images}, f"{len(labels)} images: {sorted(found)}")
    for image, instances in records[:2]:
        compare(instances, found[image.name])
    expect(len(found["c.png"]) == 0 and found["c.png"].size == hard.size, f"an image without objects: {found['c.png']}")
    expect([r.name for r in labels.refs] == [r.name for r, _ in labels], "refs and records differ")
    formats.write(labels, again, format)
    expect([i for _, i in formats.read(again, format)] == [i for _, i in labels], "a second writing changes something")


def pieces(format: LabelFormat, folder: Path) -> None:
    """An image in pieces is written as one record would be, if it takes pieces."""
    if not format.pieces:
        return
    one, hard = ref("a.png"), adapted(hard_instances(), format.holds)
    records = [(one, hard[:2]), (one, hard[2:]), (ref("b.png"), hard)]
    formats.write(records, target(format, folder), format)
    found = {r.name: instances for r, instances in formats.read(target(format, folder), format)}
    expect(list(found) == ["a.png", "b.png"], f"its images are {list(found)}")
    compare(hard, found["a.png"])
    compare(hard, found["b.png"])


def impossible_images(format: LabelFormat, folder: Path) -> None:
    """Images whose name leaves the folder, or whose size is not that of the masks, are refused; nothing is left."""
    box = Instances(Masks.from_boxes([[0, 0, 2, 2]], (4, 4)))
    for image, reason in (
        (ref("../a.png"), r"image name '\.\./a\.png' leaves the folder"),
        (dataclasses.replace(ref(), size=(9, 7)), r"image 'a\.png' is \(9, 7\), but its instances are on \(4, 4\)"),
    ):
        with refused(FormatError, reason, f"image {image.name} of size {image.size}"):
            formats.write([(image, box)], target(format, folder), format)
        _nothing_left(folder)


_CASES = {
    "overlap": [1, 4], "holes": [0], "parts": [2], "empty": [3, 5], "classes": [3], "ids": [3], "scores": [3],
    "crowd": [6], "attributes": [3], "full": [3],
}  # fmt: skip


def lossless_or_refused(format: LabelFormat, folder: Path) -> None:
    """What it holds comes back; what it does not is refused by name, or written and reported where that is allowed."""
    for case, chosen in _CASES.items():
        instances, place = hard_instances()[chosen], folder / case
        place.mkdir()
        path = target(format, place)
        # everything but the case in question taken away, as far as the format needs
        classed = case == "classes" or format.holds.classes
        bare = instances.replace(
            labels=instances.labels if classed else None,
            classes=instances.classes if classed else ("object",),
            ids=instances.ids if case == "ids" else None,
            scores=instances.scores if case == "scores" else None,
            crowd=instances.crowd if case == "crowd" else None,
            attributes=instances.attributes if case == "attributes" else {},
            full=Masks.from_boxes([[0, 2, 9, 8]], instances.size) if case == "full" else None,
        )
        if getattr(format.holds, case):
            formats.write([(ref(), bare)], path, format)
            compare(bare, formats.read(path, format)[0][1])
            continue
        with refused(LossyFormatError, r"image 'a\.png', (id|instance)s? \d", f"{case}, which it does not hold,"):
            formats.write([(ref(), bare)], path, format)
        _nothing_left(place)
        lost = formats.write([(ref(), bare)], path, format, allow_lossy=True)
        expect(lost and all("a.png" in line for line in lost), f"{case}: loss is reported as {lost}")
        expect(format.detect(path) and len(formats.read(path, format)) == 1, f"{case}: unreadable after a loss")


def hard_set(format: LabelFormat, folder: Path) -> None:
    """The hard set is kept whole, or refused by name; what is left after an allowed loss lies inside what was there."""
    hard, path = hard_instances(), target(format, folder)
    try:
        formats.write([(ref(), hard)], path, format)
    except LossyFormatError as error:
        expect("a.png" in error.reason, f"the refusal does not name the image: {error.reason}")
        expect(formats.write([(ref(), hard)], path, format, allow_lossy=True), "a loss is not reported")
        found, union = formats.read(path, format)[0][1], hard.masks.union()
        expect(len(found) <= len(hard), f"{len(hard)} instances became {len(found)}")
        expect(Masks.concatenate([union, found.masks]).union() == union, "pixels appeared that no mask had")
    else:
        compare(hard, formats.read(path, format)[0][1])


def single_pixels(format: LabelFormat, folder: Path) -> None:
    """Masks of one pixel, up to the border, come back."""
    a = np.zeros((5, 7), np.int64)
    a[::2, ::2] = np.arange(1, 13).reshape(3, 4)
    path = target(format, folder)
    formats.write([(ref(), _without_ids(Instances.from_label_map(a), format))], path, format)
    expect(formats.read(path, format)[0][1].masks == Masks.from_label_map(a), "they do not")


def random_masks(format: LabelFormat, folder: Path) -> None:
    """Random masks come back, with random classes, scores and ids as far as it holds them."""
    holds, rng = format.holds, np.random.default_rng(0)
    for k, (height, width) in enumerate([(1, 1), (1, 20), (20, 1), *rng.integers(1, 21, (12, 2)).tolist()]):
        stack = rng.random((4, height, width)) < rng.random((4, 1, 1))
        stack[0] = np.arange(height)[:, None] >= height // 3  # one that every format holds
        stack = stack if holds.overlap else stack & (np.cumsum(stack, 0) == 1)
        masks = Masks.from_dense(stack)
        keep = (
            (holds.empty | (masks.area > 0)) & (holds.parts | (masks.parts <= 1)) & (holds.holes | (masks.holes == 0))
        )
        instances = Instances(
            masks,
            rng.integers(0, 2, 4) if holds.classes else None,
            ("a", "b") if holds.classes else ("object",),
            rng.random(4) if holds.scores else None,
            None if not holds.ids else rng.integers(0, 9, 4) if holds.id_range is None else rng.permutation(9)[:4] + 1,
        )[keep]
        path = target(format, folder / str(k))
        formats.write([(ref("x/ä.tif"), instances)], path, format)
        compare(instances, formats.read(path, format)[0][1])


def errors_half_way(format: LabelFormat, folder: Path) -> None:
    """An error half way, of the records that are written, is passed on and leaves nothing."""
    found = _without_ids(plain_instances(), format)

    def records() -> Iterator[tuple[ImageRef, Instances]]:
        for i in range(600):
            yield ref(f"{i}.png"), found
        raise RuntimeError("the model died")

    with refused(RuntimeError, "the model died", "a writing whose records end in an error"):
        formats.write(records(), target(format, folder), format)
    _nothing_left(folder)


_RUBBISH = (b"", b"\0" * 100, b"{", b"[", b"<?xml", b"\xff\xfe\x00", b"PK\x03\x04", b"II*\0", b"\x89PNG\r\n\x1a\n")


def broken_files(format: LabelFormat, folder: Path) -> None:
    """Rubbish raises `FormatError` when it is read, and `detect` answers without an error."""
    path = target(format, folder)
    path = path if path.suffix else path.with_suffix(".png")
    for content in _RUBBISH:
        path.write_bytes(content)
        expect(isinstance(format.detect(path), bool), f"detect({content!r}) gives {format.detect(path)!r}")
        with refused(FormatError, "", f"a file of {content!r}"):
            list(formats.read(path, format))


def files_cut_short(format: LabelFormat, folder: Path) -> None:
    """Its own files, cut short anywhere, raise `FormatError`."""
    path = target(format, folder)
    formats.write([(ref(), adapted(hard_instances(), format.holds))], path, format)
    for file in _files(path):
        data = file.read_bytes()
        for length in np.linspace(0, len(data) * 0.9, 25).astype(int):
            file.write_bytes(data[:length])
            with refused(FormatError, "", f"{file.name}, cut short at {length} of {len(data)},"):
                list(formats.read(path, format))
        file.write_bytes(data)


def bad_images_left_out(format: LabelFormat, folder: Path) -> None:
    """Iterating leaves an image that cannot be read out and tells ``on_bad``; ``labels[i]`` raises for it."""
    path = target(format, folder)
    found = adapted(hard_instances(), format.holds).replace(ids=None)
    formats.write([(ref(n), found) for n in ("a.png", "b.png", "c.png")], path, format)
    for file in _files(path):
        data = file.read_bytes()
        for length in (0, len(data) // 3, len(data) * 3 // 4):
            file.write_bytes(data[:length])
            told: list[FormatError] = []
            try:
                labels = formats.read(path, format, on_bad=told.append)
            except FormatError:
                continue  # nothing of the set can be had
            iterated = [(r.name, i) for r, i in labels]
            expect(told, f"{file.name} is cut short at {length}, and nothing is told")
            taken = []
            for k in range(len(labels)):
                with contextlib.suppress(FormatError):
                    image, instances = labels[k]
                    taken.append((image.name, instances))
            expect(taken == iterated, f"{file.name} cut short at {length}: labels[i] and iterating differ")
        file.write_bytes(data)


def seventy_thousand(format: LabelFormat, folder: Path) -> None:
    """70,000 instances in one image come back, or are refused by name where its numbers do not reach so far."""
    a = np.zeros((800, 800), np.int64)
    a[::3, ::3] = np.arange(1, 267 * 267 + 1).reshape(267, 267)
    a[1::3, ::3] = a[::3, ::3]
    instances = _without_ids(Instances.from_label_map(a), format)
    for count in (1, 2):
        formats.write([(ref(), instances[:count])], target(format, folder / str(count)), format)
    if len(_files(folder / "2")) > len(_files(folder / "1")):
        instances = instances[:2000]  # a file each: more would only test the file system
    path = target(format, folder)
    try:
        formats.write([(ref(), instances)], path, format)
    except LossyFormatError as error:
        expect("a.png" in error.reason and not path.exists(), f"the refusal: {error.reason}")
    else:
        compare(instances, formats.read(path, format)[0][1])


WRITTEN = (
    description, comes_back, pieces, impossible_images, lossless_or_refused, hard_set, single_pixels, random_masks,
    errors_half_way, broken_files, files_cut_short, bad_images_left_out,
)  # fmt: skip
READ = (description, broken_files)
"""Promises of a format that is only read."""
SLOW = (seventy_thousand,)


def promises(format: LabelFormat, slow: bool) -> tuple[Callable[[LabelFormat, Path], None], ...]:
    """Return what a format promises."""
    return READ if format.write is None else WRITTEN + slow * SLOW
