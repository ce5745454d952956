"""Labels against their own file and their images: what is missing, refused, contradicts itself, or has two names."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from apiece._arrays import Float
from apiece.check._kit.stated_area_box import own_boxes, stated
from apiece.check.contract import Check, Finding, Kind, Labelled, Place, SetFacts, Settings
from apiece.check.file import _exports
from apiece.errors import ImageError, Message
from apiece.formats.contract import Cut, shape_counts
from apiece.images import image_size
from apiece.measurements import measure

__all__ = ["CHECK"]

SLIP = 2.0  # pixels by which each side of a stated box may be off: tools round, and count the last pixel in or out
SHARE = 0.05  # share of the mask's area, or of the box's side, by which a stated value may be off
MANY = 20  # so many contradictions, if most instances of a split have one, are one finding: a habit of the tool


def _look(labelled: Labelled, settings: Settings) -> Iterator[Finding]:
    instances = labelled.instances
    if labelled.problem is not None:
        yield Finding(*_image_problem(labelled), 1.0, labelled.place())
    boxes = stated(instances, "bbox")
    for i in np.flatnonzero(instances.masks.area == 0).tolist():
        message = f"{labelled.name(i)}: the mask has no pixel"
        # a stated box is the last trace of the object: such an instance stays
        if boxes is not None and boxes[i, 2:].min() > 0:
            where = labelled.place(i, box=_xyxy(boxes[i]))
            yield Finding("empty_mask", f"{message}, though a box is stated", 1.0, where)
        else:
            yield Finding("empty_mask", message, 1.0, labelled.place(i), repair="drop")
    if instances.ids is not None:
        values, counts = np.unique(instances.ids, return_counts=True)
        for value in values[counts > 1].tolist():
            members = np.flatnonzero(instances.ids == value).tolist()
            message = f"{len(members)} instances of this image have the id {value}"
            yield Finding("duplicate_id", message, 1.0, labelled.place(*members))
    yield from _exports.grouped(labelled)


def _image_problem(labelled: Labelled) -> tuple[str, str]:
    """Return (kind, message) for an image whose pixels could not be read."""
    path, drawn, problem = labelled.ref.path, labelled.instances.size, labelled.problem
    if not path.is_file():
        return "missing_image", f"there is no image {path}"
    try:
        size = image_size(path, page=labelled.ref.page)
    except ImageError:
        size = drawn
    if size == drawn:  # the header is right, what follows it is not
        return "unreadable_image", f"the image {problem}"
    if size == drawn[::-1]:
        return "rotated_image", f"the image {problem}: the sides are exchanged"
    return "image_size", f"the image {problem}"


def _outside(labelled: Labelled) -> Iterator[Finding]:
    """Find stated boxes that reach beyond the image."""
    said = stated(labelled.instances, "bbox")
    if said is None:
        return
    beyond = _beyond(_xyxy(said), labelled.instances.size)
    for i in np.flatnonzero(beyond > SLIP).tolist():
        message = (
            f"{labelled.name(i)}: the stated box {_words(said[i])} reaches {beyond[i]:,.0f} pixels outside the image"
        )
        yield Finding("outside", message, 1.0, labelled.place(i))


def _beyond(boxes: Float, size: tuple[int, int]) -> Float:
    """Return (N,) pixels by which boxes x0, y0, x1, y1 reach beyond the image."""
    beyond = np.concatenate([-boxes[:, :2], boxes[:, 2:] - np.array(size[::-1])], axis=1)
    return np.asarray(beyond.max(1, initial=0.0))


_Stated = tuple[_exports.Habits, list[Finding]]  # of one image: counts, and what contradicts the masks


def _remember(labelled: Labelled, settings: Settings) -> _Stated:
    found = [*_stated_areas(labelled), *_stated_boxes(labelled), *_outside(labelled)]
    return _exports.habits(labelled), found


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
        message = f"{labelled.name(i)}: the stated area is {said[i]:,.6g}, the mask has {area[i]:,} pixels"
        yield Finding("stated_area", message, _sure(off[k], area[i]), labelled.place(i), repair="rewrite")


def _stated_boxes(labelled: Labelled) -> Iterator[Finding]:
    instances = labelled.instances
    said = stated(instances, "bbox")
    if said is None:
        return
    height, width = instances.size
    # the part outside the image is another finding; here the box is cut like the mask
    corners = np.clip(_xyxy(said), 0, [width, height, width, height])
    boxes = instances.masks.boxes.astype(np.float64)
    side = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    off = np.abs(corners - boxes)
    own = own_boxes(instances.masks)
    wrong = (off > np.maximum(SLIP, SHARE * side)).any(1) & (instances.masks.area > 0)
    for i in np.flatnonzero(wrong).tolist():
        message = f"{labelled.name(i)}: the stated box is {_words(said[i])}, the box of the mask is {_words(own[i])}"
        around = np.concatenate([np.minimum(corners[i, :2], boxes[i, :2]), np.maximum(corners[i, 2:], boxes[i, 2:])])
        sure = _sure(float(off[i].max()), float(side[i].max()))
        yield Finding("stated_box", message, sure, labelled.place(i, box=around), repair="rewrite")


def _sure(off: float, whole: float) -> float:
    """Return 1 from half of the whole on, and 0.5 for no difference."""
    return min(1.0, 0.5 + off / whole)


def _xyxy(box: npt.ArrayLike) -> Float:
    found = np.array(box, np.float64)
    found[..., 2:] += found[..., :2]
    return found


def _words(box: Float) -> str:
    x, y, width, height = box.tolist()
    return f"{width:.5g} x {height:.5g} at ({x:.5g}, {y:.5g})"


def _conclude(seen: Sequence[_Stated], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    habits = [own for own, _ in seen]
    for split in facts.refs:
        total = sum(own.objects for own in habits if own.split == split)
        found = [f for own, some in seen if own.split == split for f in some]
        for kind, what in (("stated_area", "area"), ("stated_box", "box")):
            some = [f for f in found if f.kind == kind]
            if len(some) >= MANY and 2 * len(some) > total:
                message = f"{len(some):,} of {total:,} instances state another {what} than that of their masks"
                yield Finding(kind, f"{message}; one of them: {some[0].message}", 1.0, Place(split), repair="rewrite")
            else:
                yield from some
        yield from _all_outside(split, [f for f in found if f.kind == "outside"], facts)
        yield from _no_masks(split, facts)
        yield from _refused(split, facts)
        if repeated := getattr(facts.labels.get(split), "repeated_ids", 0):
            message = f"{repeated:,} annotations have the id of an earlier one; the reader numbers them anew"
            yield Finding("duplicate_id", message, 1.0, Place(split))
        yield from _exports.found(habits, split, facts)
        yield from _twice(split, facts)
    yield from _class_names(facts)


def _all_outside(split: str, found: Sequence[Finding], facts: SetFacts) -> Iterator[Finding]:
    """Yield stated boxes, and outlines as their file states them: the reader cuts masks at the border."""
    cut: Mapping[int, Sequence[Cut]] = getattr(facts.labels.get(split), "cut", {})
    outlined = {(image, one.instance) for image in cut for one in cut[image]}
    boxed = {(f.place.index, f.place.instances[0]): f for f in found}
    yield from (replace(f, repair="clip") if at in outlined else f for at, f in boxed.items())
    for image in sorted(cut):
        for one in cut[image]:
            if (image, one.instance) not in boxed:
                instances = (one.instance,) if one.instance >= 0 else ()
                where = Place(split, facts.refs[split][image].name, image, instances, one.box)
                far = f"{one.beyond:,.3g}"
                message = f"an outline reaches {far} pixel{'s' * (far != '1')} outside the image"
                yield Finding("outside" if one.far else "over_edge", message, 1.0, where, repair="clip")


def _no_masks(split: str, facts: SetFacts) -> Iterator[Finding]:
    """Count each kind of shape that is no mask; the place is the first image with one."""
    refs = facts.refs[split]
    for kind, count in sorted(shape_counts(refs).items()):
        on = [i for i, ref in enumerate(refs) if any(shape.kind == kind for shape in ref.shapes)]
        message = f"{count:,} {kind} on {len(on):,} of {len(refs):,} images: no mask, so no instance"
        yield Finding("no_mask", message, 1.0, Place(split, refs[on[0]].name, on[0]))


def _refused(split: str, facts: SetFacts) -> Iterator[Finding]:
    for error in facts.refused.get(split, ()):
        yield Finding("refused", Message(f"{error.path.name}: ", error.reason), 1.0, Place(split))
    for index, error in facts.unread.get(split, {}).items():
        ref = facts.refs[split][index]
        # labels that do not state the size of their image cannot be read without the image
        kind = "refused" if ref.path.is_file() else "missing_image"
        message = Message(f"{error.path.name}: ", error.reason)
        yield Finding(kind, message, 1.0, Place(split, ref.name, index))


def _twice(split: str, facts: SetFacts) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, ref in enumerate(facts.refs[split]):
        if first.setdefault(ref.name, index) != index:
            earlier = Place(split, ref.name, first[ref.name])
            message = "the labels list this image twice, each time with labels of its own"
            yield Finding("image_twice", message, 1.0, Place(split, ref.name, index), (earlier,))


def _class_names(facts: SetFacts) -> Iterator[Finding]:
    lists = {split: labels.classes for split, labels in facts.labels.items()} or {"": facts.classes}
    where = {name: [split for split, classes in lists.items() if name in classes] for name in facts.classes}
    spelled: dict[str, list[str]] = {}
    for name in facts.classes:
        spelled.setdefault(_spelling(name), []).append(name)
    for names in spelled.values():
        message = None
        if len(names) > 1:
            found = " and ".join(f"{name!r} ({', '.join(where[name])})" for name in names)
            message = f"{found} are one name but for case or space"
        elif names[0] != names[0].strip():
            message = f"the class {names[0]!r} begins or ends with a space"
        if message is not None:
            yield Finding("class_name", message, 1.0, Place(where[names[0]][0]))
    for a, b in combinations(lists, 2):
        parts = _different_classes(a, b, lists[a], lists[b])
        if parts:
            message = f"{a} and {b} have different classes; {'; '.join(parts)}"
            yield Finding("class_sets", message, 1.0, Place(a), (Place(b),))


def _different_classes(a: str, b: str, ours: tuple[str, ...], theirs: tuple[str, ...]) -> list[str]:
    """Return in words how two lists of classes differ, apart from spelling, which is another finding."""
    parts = []
    for split, one, other in ((a, ours, theirs), (b, theirs, ours)):
        known = set(map(_spelling, other))
        if names := [name for name in one if _spelling(name) not in known]:
            parts.append(f"only in {split}: {', '.join(names)}")
    if not parts and ours != theirs and Counter(ours) == Counter(theirs):
        parts = [f"the same names in another order: {', '.join(ours)} and {', '.join(theirs)}"]
    return parts


def _spelling(name: str) -> str:
    """Return a name without what people spell differently: case, spaces, underscores, hyphens, letter forms."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(c for c in folded if not c.isspace() and c not in "_-") or folded


CHECK = Check(
    "Labels against their own file and their images: missing, refused, contradicting itself, under two names.",
    (
        Kind(
            "missing_image",
            "error",
            "An image that the labels name does not exist.",
            "Put it back, say where the images are (`--images`), or remove its labels.",
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
            "An image has another size than the one its labels were drawn on.",
            "Put back the image that was labelled, or scale the labels.",
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
            "The labels of a split list one image name twice.",
            "Join the two entries, or remove one.",
        ),
        Kind(
            "refused",
            "error",
            "An entry that the reader refuses: of an unknown class or image, far outside, without mask.",
            "Correct the entry in the label file; until then commands need `--skip-bad`, which leaves it out.",
        ),
        Kind(
            "no_mask",
            "note",
            "Points, lines, tags and other shapes without an area: no command counts them, and one format keeps them.",
            "Draw outlines where they stand for objects; `--drop shapes` writes another format without them.",
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
            "Splits with different classes, or with the same classes in another order.",
            "Write the same list of classes in every split.",
        ),
        Kind(
            "stated_area",
            "error",
            "A stated area that differs from the mask's by more than its outline and a twentieth; COCO sizes by it.",
            "Compute it from the mask; `--fix` does.",
        ),
        Kind(
            "stated_box",
            "error",
            "A stated box with a side that differs from the mask's by more than 2 pixels and a twentieth.",
            "Compute it from the mask, unless the mask is wrong; `--fix` does.",
        ),
        Kind(
            "outside",
            "error",
            "Coordinates outside the image: a box by more than 2 pixels, an outline by more than 1% of the side too.",
            "See whether these labels are of another image or scale; else cut them: `--clip-outlines`, with `--fix`.",
        ),
        Kind(
            "over_edge",
            "note",
            "An outline that reaches at most 2 pixels, or 1% of the side, outside the image; the reader cuts it.",
            "Nothing, or cut it in the file; `--fix` does.",
        ),
        Kind(
            "empty_mask",
            "error",
            "An instance whose mask has no pixel.",
            "Draw the mask, or delete the instance; `--fix` deletes it if nothing tells where it was.",
        ),
        Kind(
            "duplicate_id",
            "error",
            "Several instances of an image, or annotations of a COCO file, with one id.",
            "Give each its own id (`--fix` and `convert` do in COCO), or join them if they are parts of one object.",
        ),
        *_exports.KINDS,
    ),
    look=_look,
    remember=_remember,
    conclude=_conclude,
)
