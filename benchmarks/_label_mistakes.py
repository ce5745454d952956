"""Label mistakes of every kind, made at known places in labels that are thought to be right.

A sample is an image, or None, and its instances. A mistake takes one sample and a random generator and returns the new
sample with the positions of the instances concerned in its new labels, or None where it cannot be made; `spoil` makes
it in many samples. What is given stays as it is; the same seed gives the same mistakes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from apiece import Image, Instances, Masks, iou
from apiece.ops.overlap import intersections

__all__ = ["CLASS_FAULTS", "MISTAKES", "Sample", "leak", "rename", "resized", "spoil"]

Sample = tuple[Image | None, Instances]
Changed = tuple[Instances, tuple[int, ...]] | None
Mistake = Callable[[Instances, np.random.Generator], Changed]

LEAST = 60
"""Fewest pixels of an object that a mistake is made with: what is wrong with a speck cannot be seen."""


def spoil(
    samples: Sequence[Sample], mistake: Mistake, seed: int, share: float = 0.5
) -> tuple[list[Sample], list[tuple[int, tuple[int, ...]]]]:
    """Make one mistake in each of ``share`` of the samples, where it can be made.

    Returns the samples, and the places: (position of the sample, positions of instances in its new labels).
    """
    rng = np.random.default_rng(seed)
    out: list[Sample] = []
    places = []
    for k, (image, instances) in enumerate(samples):
        changed = mistake(instances, rng) if rng.random() < share else None
        if changed is not None:
            instances = changed[0]
            places.append((k, changed[1]))
        out.append((image, instances))
    return out, places


# ---------------------------------------------------------------- instances put together anew


def _plain(instances: Instances) -> Instances:
    """Without what the label file states of each: it would contradict the change."""
    return instances.replace(attributes={}, ids=None)


def _replaced(instances: Instances, i: int, mask: Masks) -> Instances:
    plain = _plain(instances)
    chosen = np.arange(len(plain))
    chosen[i] = len(plain)
    return plain.replace(masks=Masks.concatenate([plain.masks, mask])[chosen])


def _appended(instances: Instances, mask: Masks, label: int) -> Instances:
    plain = _plain(instances)
    more = Instances(mask, [label], plain.classes, None if plain.scores is None else [1.0])
    return Instances.concatenate([plain, more])


def _without(instances: Instances, i: int) -> tuple[Instances, dict[int, int]]:
    """All but one, and the new positions."""
    kept = np.delete(np.arange(len(instances)), i)
    return _plain(instances)[kept], {int(old): new for new, old in enumerate(kept)}


def _crop(mask: Masks, pad: int = 0) -> tuple[np.ndarray, tuple[int, int]]:
    x0, y0, x1, y1 = (int(v) for v in mask.boxes[0])
    return mask.crop(x0 - pad, y0 - pad, x1 + pad, y1 + pad).to_dense()[0], (x0 - pad, y0 - pad)


def _pasted(crop: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> Masks:
    return Masks.from_crops([crop], [corner], size)


def _large(instances: Instances, least: int = LEAST) -> np.ndarray:
    return np.flatnonzero((instances.masks.area >= least) & ~instances.crowd)


def _pick(rng: np.random.Generator, chosen: np.ndarray) -> int | None:
    return int(rng.choice(chosen)) if len(chosen) else None


def _disc(radius: float) -> np.ndarray:
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return (x * x + y * y <= radius * radius + 0.5).astype(np.uint8)


def _resized_outline(mask: Masks, by: float) -> Masks:
    """Dilated by so many pixels, or eroded where negative."""
    pad = int(np.ceil(abs(by))) + 1
    crop, corner = _crop(mask, pad)
    change = cv2.dilate if by > 0 else cv2.erode
    return _pasted(change(crop.astype(np.uint8), _disc(abs(by))), corner, mask.size)


# ---------------------------------------------------------------- the mistakes


def duplicate(instances: Instances, rng: np.random.Generator) -> Changed:
    """One object labelled twice: the same pixels, or an outline a little different, IoU above 0.85."""
    i = _pick(rng, _large(instances, 200))
    if i is None:
        return None
    own = instances.masks[i]
    if rng.random() < 0.5:
        own_again = own
    else:
        ways = [own.shift(1, 0), own.shift(0, -1), _resized_outline(own, 1), _resized_outline(own, -1)]
        near = [w for w in ways if w.area[0] and 0.86 < iou(own, w).toarray()[0, 0] < 1]
        own_again = near[rng.integers(len(near))] if near else own
    return _appended(instances, own_again, int(instances.labels[i])), (i, len(instances))


def contained(instances: Instances, rng: np.random.Generator) -> Changed:
    """A second mask of the class inside a mask: a part of it, a third to two thirds of its pixels."""
    i = _pick(rng, _large(instances))
    if i is None:
        return None
    crop, corner = _crop(instances.masks[i])
    turn = rng.uniform(0, 2 * np.pi)
    y, x = np.nonzero(crop)
    along = x * np.cos(turn) + y * np.sin(turn)
    part = crop.copy()
    part[y, x] = along <= np.quantile(along, rng.uniform(0.33, 0.67))
    inside = _pasted(part, corner, instances.size)
    return _appended(instances, inside, int(instances.labels[i])), (i, len(instances))


def merge_touching(instances: Instances, rng: np.random.Generator) -> Changed:
    """Two touching objects of one class under one id, the smaller one at least a quarter of the larger.

    They touch along three quarters of the smaller one's diameter at most: where more of their outlines is shared, one
    lies over the other, and nothing in the joined mask tells that it was two.
    """

    def touch(masks: Masks, a: int, b: int, diameter: float) -> bool:
        rim = Masks.concatenate([masks[a].shift(dx, dy) for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))]).union()
        contact = intersections(rim, masks[b]).toarray()[0, 0] - intersections(masks[a], masks[b]).toarray()[0, 0]
        return 2 <= contact <= 0.75 * diameter

    return _merged(instances, rng, touch)


def merge_far(instances: Instances, rng: np.random.Generator) -> Changed:
    """Two objects of one class, further apart than the smaller is wide, under one id."""
    return _merged(instances, rng, lambda masks, a, b, diameter: _gap(masks, a, b) > diameter)


def _merged(
    instances: Instances, rng: np.random.Generator, wanted: Callable[[Masks, int, int, float], bool]
) -> Changed:
    large = _large(instances)
    area, label = instances.masks.area, instances.labels
    pairs = [
        (int(a), int(b))
        for n, a in enumerate(large)
        for b in large[n + 1 :]
        if label[a] == label[b] and min(area[a], area[b]) >= 0.25 * max(area[a], area[b])
    ]
    for k in rng.permutation(len(pairs)).tolist():
        a, b = pairs[k]
        if wanted(instances.masks, a, b, float(np.sqrt(min(area[a], area[b]) * 4 / np.pi))):
            joined = instances.masks[[a, b]].union()
            left, place = _without(_replaced(instances, a, joined), b)
            return left, (place[a],)
    return None


def _gap(masks: Masks, a: int, b: int) -> float:
    """Distance of the nearest pixels of two masks; 1 where they share a side."""
    one, two = masks[a], masks[b]
    across = one.x[:, None].astype(np.int64) - two.x
    down = np.maximum(np.maximum(one.y0[:, None] - two.y1, two.y0 - one.y1[:, None]) + 1, 0)
    return float(np.sqrt((across**2 + down**2).min()))


def drop(instances: Instances, rng: np.random.Generator) -> Changed:
    """An object without a label; the place names no instance."""
    i = _pick(rng, _large(instances, 100))
    return None if i is None else (_without(instances, i)[0], ())


def swap_class(instances: Instances, rng: np.random.Generator) -> Changed:
    """An object under the name of another class."""
    i = _pick(rng, _large(instances, 100))
    if i is None or len(instances.classes) < 2:
        return None
    labels = instances.labels.copy()
    labels[i] = (labels[i] + rng.integers(1, len(instances.classes))) % len(instances.classes)
    return _plain(instances).replace(labels=labels), (i,)


def shift(instances: Instances, rng: np.random.Generator) -> Changed:
    """A mask 3 pixels beside its object."""
    i = _pick(rng, _large(instances, 100))
    if i is None:
        return None
    dx, dy = ((3, 0), (-3, 0), (0, 3), (0, -3), (2, 2), (-2, 2), (2, -2), (-2, -2))[rng.integers(8)]
    moved = instances.masks[i].shift(dx, dy)
    return (_replaced(instances, i, moved), (i,)) if moved.area[0] >= LEAST else None


def dilate(instances: Instances, rng: np.random.Generator) -> Changed:
    """A mask 3 pixels wider than its object all around."""
    i = _pick(rng, _large(instances, 100))
    return None if i is None else (_replaced(instances, i, _resized_outline(instances.masks[i], 3)), (i,))


def erode(instances: Instances, rng: np.random.Generator) -> Changed:
    """A mask 3 pixels narrower than its object all around."""
    i = _pick(rng, _large(instances, 100))
    if i is None:
        return None
    small = _resized_outline(instances.masks[i], -3)
    whole = small.area[0] >= LEAST and small.parts[0] == instances.masks[i].parts[0]
    return (_replaced(instances, i, small), (i,)) if whole else None


def coarsen(instances: Instances, rng: np.random.Generator) -> Changed:
    """An object under a polygon of five corners on its outline."""
    i = _pick(rng, _large(instances, 200))
    if i is None:
        return None
    crop, (x, y) = _crop(instances.masks[i], 1)
    outline = max(cv2.findContours(crop.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=len)[:, 0]
    corners = outline[(rng.integers(len(outline)) + np.arange(5) * len(outline) // 5) % len(outline)]
    coarse = Masks.from_polygons([[corners + np.array([x, y]) + 0.5]], instances.size)
    return (_replaced(instances, i, coarse), (i,)) if coarse.area[0] >= LEAST else None


def fragment(instances: Instances, rng: np.random.Generator) -> Changed:
    """A mask of one part: torn by a line 3 pixels wide that was erased, or with a small part left beside it."""
    large = _large(instances, 100)
    i = _pick(rng, large[instances.masks.parts[large] == 1])
    if i is None:
        return None
    ways = [_torn, _left_over] if rng.random() < 0.5 else [_left_over, _torn]
    found = next((m for way in ways if (m := way(instances.masks, i, rng)) is not None), None)
    return None if found is None else (_replaced(instances, i, found), (i,))


def _torn(masks: Masks, i: int, rng: np.random.Generator) -> Masks | None:
    crop, corner = _crop(masks[i])
    y, x = np.nonzero(crop)
    turn = rng.uniform(0, np.pi)
    along = x * np.cos(turn) + y * np.sin(turn)
    torn = crop.copy()
    torn[y, x] = np.abs(along - np.quantile(along, rng.uniform(0.2, 0.8))) > 1.5
    count, _, stats, _ = cv2.connectedComponentsWithStats(torn.astype(np.uint8), connectivity=8)
    sizes = np.sort(stats[1:, cv2.CC_STAT_AREA])[::-1]
    before = cv2.connectedComponents(crop.astype(np.uint8), connectivity=8)[0]
    return _pasted(torn, corner, masks.size) if count > before and sizes[1] >= 0.08 * sizes.sum() else None


def _left_over(masks: Masks, i: int, rng: np.random.Generator) -> Masks | None:
    """A disc of 2 to 8 % of the mask, at least 9 pixels, 3 to 6 pixels beside it on open ground."""
    radius = max(np.sqrt(masks.area[i] * rng.uniform(0.02, 0.08) / np.pi), 1.5)
    disc = _disc(radius).astype(bool)
    pad = disc.shape[0] + 8
    crop, (x0, y0) = _crop(masks[i], pad)
    others = masks.union().crop(x0, y0, x0 + crop.shape[1], y0 + crop.shape[0]).to_dense()[0]
    height, width = masks.size
    row, column = np.mgrid[y0 : y0 + crop.shape[0], x0 : x0 + crop.shape[1]]
    margin = radius + 2
    inside = (row >= margin) & (row < height - margin) & (column >= margin) & (column < width - margin)
    away = cv2.distanceTransform((~crop).astype(np.uint8), cv2.DIST_L2, 5) - radius
    free = cv2.distanceTransform((~others).astype(np.uint8), cv2.DIST_L2, 5) - radius
    y, x = np.nonzero(inside & (away >= 3) & (away <= 6) & (free >= 3))
    if not len(y):
        return None
    k = rng.integers(len(y))
    reach = disc.shape[0] // 2
    bit = _pasted(disc, (int(x[k]) + x0 - reach, int(y[k]) + y0 - reach), masks.size)
    return Masks.concatenate([masks[i], bit]).union()


def cut_off(instances: Instances, rng: np.random.Generator) -> Changed:
    """A tenth to a fifth of a mask, cut off along a straight line, as an instance of its own."""
    i = _pick(rng, _large(instances, 200))
    if i is None:
        return None
    crop, corner = _crop(instances.masks[i])
    y, x = np.nonzero(crop)
    turn = rng.uniform(0, 2 * np.pi)
    along = x * np.cos(turn) + y * np.sin(turn)
    away = along > np.quantile(along, rng.uniform(0.8, 0.9))
    piece, body = np.zeros_like(crop), crop.copy()
    piece[y[away], x[away]] = True
    body[y[away], x[away]] = False
    changed = _replaced(instances, i, _pasted(body, corner, instances.size))
    label = int(instances.labels[i])
    return _appended(changed, _pasted(piece, corner, instances.size), label), (i, len(instances))


def fill_hole(instances: Instances, rng: np.random.Generator) -> Changed:
    """A mask whose true hole, at least a twentieth of it, was filled."""
    masks = instances.masks
    for i in rng.permutation(np.flatnonzero((masks.holes > 0) & (masks.area >= LEAST))).tolist():
        outer = [[rings[0] for rings in parts] for parts in masks[i].to_polygons()]
        whole = Masks.from_polygons(outer, masks.size)
        if whole.area[0] >= 1.05 * masks.area[i]:
            return _replaced(instances, i, whole), (i,)
    return None


MISTAKES: dict[str, Mistake] = {
    f.__name__: f
    for f in (
        duplicate, contained, merge_touching, merge_far, fragment, cut_off, fill_hole,
        shift, dilate, erode, coarsen, swap_class, drop,
    )
}  # fmt: skip
"""Those made with the instances of one image, by name."""


# ---------------------------------------------------------------- of the set


def leak(sample: Sample, rng: np.random.Generator) -> Sample:
    """The image once more as it comes from another export: a little brighter or darker, with other noise."""
    image, instances = sample
    if image is None:
        raise ValueError("a leak is made of pixels: give the samples their images")
    pixels = image.pixels.astype(np.float64) * rng.uniform(0.92, 1.08) + rng.normal(0, 2.0, image.pixels.shape)
    kind = np.iinfo(image.pixels.dtype)
    return Image(np.clip(np.rint(pixels), kind.min, kind.max).astype(image.pixels.dtype)), instances


def resized(instances: Instances, rng: np.random.Generator) -> Instances:
    """Labels that were drawn on an image of another size."""
    height, width = instances.size
    size = (height + int(rng.integers(1, 40)), width + int(rng.integers(1, 40)))
    masks = instances.masks
    grown = Masks(size, masks.x, masks.y0, masks.y1, masks.offsets)
    return _plain(instances).replace(masks=grown)


CLASS_FAULTS: tuple[Callable[[str], str], ...] = (str.upper, lambda name: f"{name} ", lambda name: f" {name}")
"""Spellings of one class that a person takes for the same."""


def rename(
    instances: Sequence[Instances], label: int, other: str, rng: np.random.Generator, share: float = 0.2
) -> list[Instances]:
    """The instances with some of one class under ``other``, a further spelling of its name."""
    out = []
    for one in instances:
        moved = (one.labels == label) & (rng.random(len(one)) < share)
        labels = np.where(moved, len(one.classes), one.labels)
        out.append(_plain(one).replace(labels=labels, classes=(*one.classes, other)))
    return out
