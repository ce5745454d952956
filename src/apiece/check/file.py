"""Labels against their own file and their images: what is missing, refused, contradicts itself, or has two names."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from apiece._arrays import Float
from apiece.check._kit.stated_area_box import own_boxes, stated
from apiece.check.contract import Check, Finding, Kind, Labelled, Place, SetFacts, Settings
from apiece.errors import ImageError
from apiece.images import image_size
from apiece.measurements import measure

__all__ = ["CHECK"]

SLIP = 2.0
"""Pixels by which a stated box may be off at each side: tools round, and count the last pixel in or out."""
SHARE = 0.05
"""Share of the mask's area, or of the box's side, by which what is stated may be off."""
MANY = 20
"""From so many contradictions on, if most instances of a split have one, they are one finding: the tool's own rule."""


# ---------------------------------------------------------------- one image


def _look(labelled: Labelled, settings: Settings) -> Iterator[Finding]:
    instances = labelled.instances
    if labelled.problem is not None:
        kind, message = _image_problem(labelled)
        yield Finding(kind, message, 1.0, labelled.place())
    boxes = stated(instances, "bbox")
    for i in np.flatnonzero(instances.masks.area == 0).tolist():
        # a box that says where the object was is the last trace of it, and is not thrown away
        traced = boxes is not None and bool(boxes[i, 2:].min() > 0)
        where = labelled.place(i, box=_xyxy(boxes[i]) if traced and boxes is not None else None)
        message = f"{_name(labelled, i)}: the mask has no pixel" + (", though a box is stated" if traced else "")
        yield Finding("empty_mask", message, 1.0, where, repair=None if traced else "drop")
    yield from _duplicate_ids(labelled)


def _image_problem(labelled: Labelled) -> tuple[str, str]:
    """(kind, what is wrong) of an image whose pixels could not be had."""
    path, drawn, problem = labelled.ref.path, labelled.instances.size, labelled.problem
    if not path.is_file():
        return "missing_image", f"there is no image {path}"
    try:
        size = image_size(path, page=labelled.ref.page)
    except ImageError:
        return "unreadable_image", f"the image {problem}"
    if size == drawn:  # the header is right, what follows is not
        return "unreadable_image", f"the image {problem}"
    if size == drawn[::-1]:
        return "rotated_image", f"the image {problem}: the sides are exchanged"
    return "image_size", f"the image {problem}"


def _duplicate_ids(labelled: Labelled) -> Iterator[Finding]:
    ids = labelled.instances.ids
    if ids is None:
        return
    values, counts = np.unique(ids, return_counts=True)
    for value in values[counts > 1].tolist():
        members = np.flatnonzero(ids == value).tolist()
        message = f"id {value} is that of {len(members)} instances of this image"
        yield Finding("duplicate_id", message, 1.0, labelled.place(*members))


def _outside(labelled: Labelled) -> Iterator[Finding]:
    """Stated boxes that reach beyond the image."""
    said = stated(labelled.instances, "bbox")
    if said is None:
        return
    beyond = _beyond(_xyxy(said), labelled.instances.size)
    for i in np.flatnonzero(beyond > SLIP).tolist():
        message = f"{_name(labelled, i)}: the stated box {_words(said[i])} reaches {beyond[i]:,.0f} pixels outside"
        yield Finding("outside", message, 1.0, labelled.place(i))


def _beyond(boxes: Float, size: tuple[int, int]) -> Float:
    """(N,) Pixels by which boxes x0, y0, x1, y1 reach beyond the image."""
    beyond = np.concatenate([-boxes[:, :2], boxes[:, 2:] - np.array(size[::-1])], axis=1)
    return np.asarray(beyond.max(1, initial=0.0))


# ---------------------------------------------------------------- area and box against the mask


@dataclass(frozen=True)
class _Stated:
    """What is remembered of one image."""

    split: str
    instances: int
    findings: tuple[Finding, ...]


def _remember(labelled: Labelled, settings: Settings) -> _Stated:
    return _Stated(
        labelled.split,
        len(labelled.instances),
        (*_stated_areas(labelled), *_stated_boxes(labelled), *_outside(labelled)),
    )


def _stated_areas(labelled: Labelled) -> Iterator[Finding]:
    instances = labelled.instances
    said, area = stated(instances, "area"), instances.masks.area
    if said is None or not (some := np.flatnonzero((said != area) & (area > 0))).size:
        return
    # a polygon's area and the count of its pixels differ by about half of the pixels along its outline
    perimeter = measure(instances[some], properties=["perimeter"])["perimeter"]
    off = np.abs(said[some] - area[some])
    for k in np.flatnonzero(off > np.maximum(perimeter / 2 + SLIP, SHARE * area[some])).tolist():
        i = int(some[k])
        message = f"{_name(labelled, i)}: the area is stated as {said[i]:,.6g}, the mask has {area[i]:,} pixels"
        yield Finding("stated_area", message, _sure(off[k], area[i]), labelled.place(i), repair="rewrite")


def _stated_boxes(labelled: Labelled) -> Iterator[Finding]:
    instances = labelled.instances
    said = stated(instances, "bbox")
    if said is None:
        return
    height, width = instances.size
    # what lies outside the image is another finding; here it is cut off like the mask
    corners = np.clip(_xyxy(said), 0, [width, height, width, height])
    boxes = instances.masks.boxes.astype(np.float64)
    side = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    off = np.abs(corners - boxes)
    own = own_boxes(instances.masks)
    wrong = (off > np.maximum(SLIP, SHARE * side)).any(1) & (instances.masks.area > 0)
    for i in np.flatnonzero(wrong).tolist():
        message = f"{_name(labelled, i)}: the box is stated as {_words(said[i])}, that of the mask is {_words(own[i])}"
        around = np.concatenate([np.minimum(corners[i, :2], boxes[i, :2]), np.maximum(corners[i, 2:], boxes[i, 2:])])
        sure = _sure(float(off[i].max()), float(side[i].max()))
        yield Finding("stated_box", message, sure, labelled.place(i, box=around), repair="rewrite")


def _sure(off: float, whole: float) -> float:
    """Certain from half of the whole on."""
    return min(1.0, 0.5 + off / whole)


def _xyxy(box: npt.ArrayLike) -> Float:
    found = np.array(box, np.float64)
    found[..., 2:] += found[..., :2]
    return found


def _words(box: Float) -> str:
    x, y, width, height = box.tolist()
    return f"{width:.5g} x {height:.5g} at ({x:.5g}, {y:.5g})"


def _name(labelled: Labelled, i: int) -> str:
    return labelled.instances.classes[labelled.instances.labels[i]]


# ---------------------------------------------------------------- the whole set


def _conclude(seen: Sequence[_Stated], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    for split in facts.refs:
        own = [s for s in seen if s.split == split]
        for kind, what in (("stated_area", "area"), ("stated_box", "box")):
            found = [f for s in own for f in s.findings if f.kind == kind]
            total = sum(s.instances for s in own)
            if len(found) >= MANY and 2 * len(found) > total:
                message = f"{len(found):,} of {total:,} instances state another {what} than their masks have; "
                yield Finding(kind, message + f"one: {found[0].message}", 1.0, Place(split), repair="rewrite")
            else:
                yield from found
        yield from _all_outside(split, [f for s in own for f in s.findings if f.kind == "outside"], facts)
        yield from _refused(split, facts)
        yield from _twice(split, facts)
    yield from _class_names(facts)


def _all_outside(split: str, found: Sequence[Finding], facts: SetFacts) -> Iterator[Finding]:
    """Boxes, and polygons as their file has them: what is outside is cut off the masks without a trace."""
    yield from found
    told = {(f.place.index, f.place.instances[0]) for f in found}
    outside = getattr(facts.labels.get(split), "outside", None)
    if outside is None:
        return
    images, places, boxes = outside(SLIP)
    for image, place, box in zip(images.tolist(), places.tolist(), boxes, strict=True):
        ref = facts.refs[split][image]
        if (image, place) in told or ref.size is None or image in facts.unread.get(split, {}):
            continue
        message = f"a polygon reaches {float(_beyond(box[None], ref.size)[0]):,.0f} pixels outside the image"
        within = np.clip(box, 0, np.tile(ref.size[::-1], 2))
        where = Place(split, ref.name, image, (place,), tuple(within.tolist()))
        yield Finding("outside", message, 1.0, where)


def _refused(split: str, facts: SetFacts) -> Iterator[Finding]:
    for error in facts.refused.get(split, ()):
        yield Finding("refused", f"{error.path.name}: {error.reason}", 1.0, Place(split))
    for index, error in facts.unread.get(split, {}).items():
        ref = facts.refs[split][index]
        # a label file that does not say how large an image is cannot be read without it
        kind = "refused" if ref.path.is_file() else "missing_image"
        yield Finding(kind, f"{error.path.name}: {error.reason}", 1.0, Place(split, ref.name, index))


def _twice(split: str, facts: SetFacts) -> Iterator[Finding]:
    refs = facts.refs[split]
    first: dict[str, int] = {}
    for index, ref in enumerate(refs):
        if first.setdefault(ref.name, index) != index:
            earlier = Place(split, ref.name, first[ref.name])
            message = "the image is listed twice, each time with labels of its own"
            yield Finding("image_twice", message, 1.0, Place(split, ref.name, index), (earlier,))


def _class_names(facts: SetFacts) -> Iterator[Finding]:
    lists = {split: labels.classes for split, labels in facts.labels.items()} or {"": facts.classes}
    where = {name: [split for split, classes in lists.items() if name in classes] for name in facts.classes}
    spelled: dict[str, list[str]] = {}
    for name in facts.classes:
        spelled.setdefault(_spelling(name), []).append(name)
    for names in spelled.values():
        if len(names) > 1:
            said = " and ".join(f"{name!r} ({', '.join(where[name])})" for name in names)
            yield Finding("class_name", f"{said} are one name but for case or space", 1.0, Place(where[names[0]][0]))
        elif names[0] != names[0].strip():
            message = f"the class {names[0]!r} begins or ends with a space"
            yield Finding("class_name", message, 1.0, Place(where[names[0]][0]))
    for a, b in combinations(lists, 2):
        yield from _different_classes(a, b, lists[a], lists[b])


def _different_classes(a: str, b: str, ours: tuple[str, ...], theirs: tuple[str, ...]) -> Iterator[Finding]:
    if ours == theirs:
        return
    # names that differ by their spelling only have been told already
    left = [
        [n for n in one if _spelling(n) not in set(map(_spelling, other))]
        for one, other in ((ours, theirs), (theirs, ours))
    ]
    parts = [f"only in {split}: {', '.join(names)}" for split, names in ((a, left[0]), (b, left[1])) if names]
    if not parts and Counter(ours) == Counter(theirs):
        parts = [f"the same names in another order: {', '.join(ours)} and {', '.join(theirs)}"]
    if parts:
        yield Finding(
            "class_sets", f"{a} and {b} have different classes; {'; '.join(parts)}", 1.0, Place(a), (Place(b),)
        )


def _spelling(name: str) -> str:
    """A name without what people spell differently: case, spaces, underscores, hyphens, forms of one letter."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(c for c in folded if not c.isspace() and c not in "_-") or folded


CHECK = Check(
    summary="Labels against their own file and their images: missing, refused, contradicting itself, under two names.",
    kinds=(
        Kind(
            "missing_image",
            "error",
            "An image that the labels speak of is not there.",
            "Put it back, say where images are (--images), or remove its labels.",
        ),
        Kind(
            "unreadable_image",
            "error",
            "An image file is empty, damaged or of an unknown kind.",
            "Replace the file by a whole copy, or remove its labels.",
        ),
        Kind(
            "image_size",
            "error",
            "An image has another size than its labels were drawn on.",
            "Put the image back that was labelled, or scale the labels.",
        ),
        Kind(
            "rotated_image",
            "error",
            "Height and width of an image and of its labels are exchanged: labels drawn before its EXIF rotation.",
            "Rotate the labels, or remove the orientation entry from the photo.",
        ),
        Kind(
            "image_twice",
            "error",
            "One image name is listed twice in a split.",
            "Join the two entries, or remove one.",
        ),
        Kind(
            "refused",
            "error",
            "An entry that the reader refuses: of an unknown class or image, outside, without mask, with another's id.",
            "Correct the entry in the label file; it is left out of everything until then.",
        ),
        Kind(
            "class_name",
            "error",
            "Class names that differ by case, spaces, hyphens or underscores only, within a split or between splits.",
            "Give all of them one spelling.",
        ),
        Kind(
            "class_sets",
            "error",
            "Splits with different classes, or the same in another order.",
            "Write the same list of classes in every split.",
        ),
        Kind(
            "stated_area",
            "error",
            "A stated area that is off the mask's by more than its outline and a twentieth: COCO's sizes go by it.",
            "Compute it from the mask; --fix does.",
        ),
        Kind(
            "stated_box",
            "error",
            "A stated box whose side is off the mask's by more than 2 pixels and a twentieth.",
            "Compute it from the mask, unless it is the mask that is wrong; --fix does.",
        ),
        Kind(
            "outside",
            "error",
            "Coordinates more than 2 pixels outside the image.",
            "See whether these labels are another image's, or of another scale; else cut them at the border.",
        ),
        Kind(
            "empty_mask",
            "error",
            "An instance whose mask has no pixel.",
            "Draw the mask, or delete the instance; --fix deletes it where nothing tells where it was.",
        ),
        Kind(
            "duplicate_id",
            "error",
            "One id for several instances of an image.",
            "Give each its own id, or join them where they are parts of one object.",
        ),
    ),
    look=_look,
    remember=_remember,
    conclude=_conclude,
)
