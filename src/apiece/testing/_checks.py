"""What every family of label checks promises."""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np

from apiece.check.contract import LEVELS, ROOM, Check, Finding, Labelled, Place, Repair, SetFacts, Settings
from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.datasets import SceneConfig, scene
from apiece.testing._promises import expect

_SETTINGS = Settings()


def labelled(instances: Instances, image: Image | None = None, index: int = 0, split: str = "train") -> Labelled:
    """Return an image with its labels, as a family sees it."""
    name = f"{split}{index}.png"
    return Labelled(split, index, ImageRef(Path(name), name, instances.size), instances, image)


def run(family: Check, seen: Sequence[Labelled]) -> list[Finding]:
    """Return all findings, as `apiece.check.check` would have them; expects that they say what they have to."""
    found: list[Finding] = []
    remembered = []
    for one in seen:
        if family.needs != "labels" and getattr(one, family.needs) is None:
            continue
        if family.look is not None:
            found += family.look(one, _SETTINGS)
        if family.remember is not None and (what := family.remember(one, _SETTINGS)) is not None:
            remembered.append(pickle.loads(pickle.dumps(what)))
    if family.conclude is not None:
        splits = list(dict.fromkeys(one.split for one in seen))
        refs = {split: tuple(one.ref for one in seen if one.split == split) for split in splits}
        classes = seen[0].instances.classes if seen else ("object",)
        found += family.conclude(remembered, SetFacts(classes, refs, dict.fromkeys(splits, ())), _SETTINGS)
    by_place = {(one.split, one.index): one for one in seen}
    for finding in found:
        _expect_finding(finding, family)
        for place in (finding.place, *finding.others):
            _expect_place(place, by_place)
    return found


def _expect_finding(finding: Finding, family: Check) -> None:
    expect(finding.kind in {kind.name for kind in family.kinds}, f"a finding of an undeclared kind: {finding}")
    number = type(finding.sure) is float or finding.sure in (0, 1)
    expect(number and 0 <= finding.sure <= 1, f"sure is no float of 0 to 1: {finding}")
    expect(finding.message and "\n" not in finding.message, f"a message is one line: {finding}")
    expect(finding.repair in (None, *get_args(Repair)), f"no such repair: {finding}")
    expect(pickle.loads(pickle.dumps(finding)) == finding, f"changed by pickling: {finding}")
    expect(finding.place.instances or finding.repair not in ("drop", "dust"), f"repairs no instance: {finding}")


def _expect_place(place: Place, by_place: dict[tuple[str, int], Labelled]) -> None:
    if place.index is None:
        expect(not place.instances and place.image is None, f"a place without an index: {place}")
        return
    one = by_place[place.split, place.index]
    expect(place.image == one.ref.name, f"the image there is {one.ref.name}: {place}")
    inside = all(0 <= i < len(one.instances) for i in place.instances)
    expect(inside and len(set(place.instances)) == len(place.instances), f"instances that are not there: {place}")
    if place.box is not None:
        x0, y0, x1, y1 = place.box
        expect(np.isfinite(place.box).all() and x0 <= x1 and y0 <= y1, f"no box: {place}")


def _errors(family: Check, seen: Sequence[Labelled]) -> list[str]:
    levels = {kind.name: kind.level for kind in family.kinds}
    return [finding.message for finding in run(family, seen) if levels[finding.kind] == "error"]


@cache
def _scenes() -> list[Labelled]:
    """Clean labels with their images."""
    config = SceneConfig(size=(160, 160), objects=(4, 9), overlap=0.0, touching=0.2, seed=3)
    made = [scene(config, i) for i in range(8)]
    return [
        labelled(s.visible.replace(ids=np.arange(len(s.visible))), s.image, i % 6, "train" if i < 6 else "val")
        for i, s in enumerate(made)
    ]


def _hard() -> list[Labelled]:
    """Nothing, one pixel, everything, holes, many parts, an empty mask, crowd, 300 instances."""
    stack = np.zeros((6, 24, 32), bool)
    stack[0, 3, 4] = True
    stack[1] = True
    stack[2, 2:20, 2:20] = True
    stack[2, 6:9, 6:9] = False
    stack[3, ::3, ::3] = True
    stack[5, 10:, 10:] = True
    some = Instances(Masks.from_dense(stack), [0, 1, 0, 1, 0, 1], ("a", "b"), crowd=[False] * 5 + [True])
    corners = np.stack(np.meshgrid(np.arange(20) * 6, np.arange(15) * 6), -1).reshape(-1, 2).astype(float)
    masks = Masks.from_boxes(np.concatenate([corners, corners + 4], 1), (90, 120))
    many = Instances(masks, np.arange(300) % 2, ("a", "b"), ids=np.arange(300))
    none = Instances.empty((24, 32), ("a", "b"))
    return [labelled(instances, None, i) for i, instances in enumerate((none, some, many, some[:1], none))]


def description(family: Check, folder: Path) -> None:
    """It says what it finds and what to do about it, in sentences, and can find something."""
    expect(family.kinds, "it has no kinds")
    expect(family.look or (family.remember and family.conclude), "it neither looks nor concludes")
    expect((family.remember is None) == (family.conclude is None), "of remember and conclude, one is missing")
    for text in (family.summary, *(t for kind in family.kinds for t in (kind.summary, kind.fix))):
        whole = text and text == text.strip() and "\n" not in text and text[0].isupper() and text.endswith(".")
        expect(whole, f"no sentence in one line: {text!r}")
    for kind in family.kinds:
        expect(re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.name), f"the name of a kind is in lower case: {kind.name!r}")
        expect(kind.level in LEVELS, f"{kind.name}: no such level: {kind.level!r}")


def kinds_of_its_own(family: Check, folder: Path) -> None:
    """No other family has a kind of the same name, and no kind is called like another family."""
    kinds = {kind.name for kind in family.kinds}
    expect(len(kinds) == len(family.kinds), "two of its kinds have one name")
    for name, other in ROOM.load_all().items():
        taken = kinds & {name, *(kind.name for kind in other.kinds)}
        expect(other is family or not taken, f"the family {name} has these names, too: {taken}")


def clean_labels(family: Check, folder: Path) -> None:
    """Clean labels have no errors."""
    found = _errors(family, _scenes())
    expect(not found, f"found: {found}")


def hard_labels(family: Check, folder: Path) -> None:
    """Nothing, single pixels, holes, parts, empty masks and crowds raise nothing, with 16-bit images and without."""
    rng, seen = np.random.default_rng(0), _hard()
    run(family, seen)
    sizes = [one.instances.size for one in seen]
    images = [Image(rng.integers(0, 60000, (*size, 1), np.uint16)) for size in sizes]
    run(family, [replace(one, image=image) for one, image in zip(seen, images, strict=True)])


def no_labels(family: Check, folder: Path) -> None:
    """No images at all have no findings, and images without labels raise nothing."""
    expect(run(family, []) == [], "there are findings")
    run(family, [labelled(Instances.empty((16, 16)), None, i) for i in range(3)])


def predictions(family: Check, folder: Path) -> None:
    """A model that finds nothing raises nothing; a model that finds exactly the labels means no errors."""
    seen = [(one, one.instances.replace(scores=np.full(len(one.instances), 0.9))) for one in _scenes()[:3]]
    run(family, [replace(one, predicted=found[:0]) for one, found in seen])
    found = _errors(family, [replace(one, predicted=found) for one, found in seen])
    expect(not found, f"found: {found}")


def repeatable(family: Check, folder: Path) -> None:
    """It changes nothing, and says the same again."""
    expect(run(family, _scenes()) == run(family, _scenes()), "the findings differ")


def small_memory(family: Check, folder: Path) -> None:
    """What it remembers is small, at most 500 bytes of an instance: a set may have millions."""
    if family.remember is None:
        return
    rows, columns = np.mgrid[:25, :25] - 12
    corners = np.stack(np.meshgrid(np.arange(14), np.arange(14)), -1).reshape(-1, 2) * 30
    masks = Masks.from_crops([rows**2 + columns**2 <= 144] * len(corners), corners, (420, 420))
    pixels = np.random.default_rng(0).integers(0, 255, (420, 420, 3), dtype=np.uint8)
    instances = Instances(masks, scores=np.linspace(0, 1, len(masks)))
    place = ImageRef(Path("a.png"), "01/t000.tif")
    one = Labelled("train", 0, place, instances.replace(ids=np.arange(len(masks))), Image(pixels), None, instances)
    size = len(pickle.dumps(family.remember(one, _SETTINGS)))
    expect(size < 500 * len(masks), f"{size} bytes of {len(masks)} instances")


PROMISES = (
    description, kinds_of_its_own, clean_labels, hard_labels, no_labels, predictions, repeatable, small_memory,
)  # fmt: skip
