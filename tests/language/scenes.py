"""Scenes with exact truth, and sentences about them with the answers, which know nothing of the parser.

A sentence is made together with a set of objects, worked out on dense pixels from the definitions on the page "Find by
words". An answer that hangs on a close call (two places nearly equal) is left to be ambiguous or found.
"""

# ruff: noqa: E501 (a case stands on one line)

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from apiece import Image, Instances, Masks

CLASSES = ("door", "window", "box", "traffic light", "berry")
PLURALS = ("doors", "windows", "boxes", "traffic lights", "berries")
COLOURS = {"red": (205, 30, 40), "green": (45, 150, 60), "blue": (40, 80, 205), "yellow": (240, 215, 40), "black": (12, 12, 12), "white": (245, 245, 245)}  # fmt: skip
SIZE = (120, 170)
SIDES = {"left": (1, 1), "right": (1, -1), "top": (0, 1), "bottom": (0, -1)}


@dataclass(frozen=True, eq=False)
class Scene:
    """Dense masks (N, H, W), labels, names of colours, and the picture."""

    dense: np.ndarray
    labels: np.ndarray
    colours: list[str]
    image: Image

    @property
    def instances(self) -> Instances:
        return Instances(Masks.from_dense(self.dense), self.labels, CLASSES)


def scene(rng: np.random.Generator) -> Scene:
    """Return three to ten rectangles, discs, rings and angles; some lie inside others, and are cut out of them."""
    ground = np.zeros(SIZE, int)
    labels, names = [], []
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    for _ in range(60):
        if len(labels) == 10 or (len(labels) > 3 and rng.random() < 0.03):
            break
        h, w = rng.integers(8, 34, 2)
        top, left = rng.integers(1, SIZE[0] - h - 1), rng.integers(1, SIZE[1] - w - 1)
        u, v = (x - left - w / 2 + 0.5) / w, (y - top - h / 2 + 0.5) / h
        box = (np.abs(u) < 0.5) & (np.abs(v) < 0.5)
        shape = rng.integers(4)
        if shape == 1:
            box = u**2 + v**2 < 0.25
        elif shape == 2:
            box = (u**2 + v**2 < 0.25) & (u**2 + v**2 > 0.06)
        elif shape == 3:
            box &= (u < -0.1) | (v > 0.1)
        below = np.unique(ground[box])
        inside = len(below) == 1 and below[0] > 0 and rng.random() < 0.9
        if box.sum() < 40 or not (inside or (below == 0).all()):
            continue
        labels.append(int(rng.integers(len(CLASSES))))
        names.append(str(rng.choice(list(COLOURS))))
        ground[box] = len(labels)
    dense = ground[None] == np.arange(1, len(labels) + 1)[:, None, None]
    pixels = np.full((*SIZE, 3), 128, np.uint8)
    for mask, name in zip(dense, names, strict=True):
        pixels[mask] = COLOURS[name]
    return Scene(dense, np.array(labels), names, Image(pixels))


# ---------------------------------------------------------------- the truth, on dense pixels


class Truth:
    """Relations of one scene's objects, by the definitions."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.count = scene, len(scene.labels)
        self.points = [np.argwhere(mask) for mask in scene.dense]
        self.centre = np.array([p.mean(0) + 0.5 for p in self.points])  # y, x
        self.low = np.array([p.min(0) for p in self.points])
        self.high = np.array([p.max(0) + 1 for p in self.points])
        self.area = np.array([len(p) for p in self.points])
        self.filled = np.array([ndimage.binary_fill_holes(mask) for mask in scene.dense])
        self.gap = np.array([[self._gap(i, j) for j in range(self.count)] for i in range(self.count)])

    def _gap(self, i: int, j: int) -> float:
        if i == j:
            return np.inf
        steps = np.abs(self.points[i][:, None] - self.points[j][None]).reshape(-1, 2)
        square = (steps**2).sum(1)
        nearest = steps[square == square.min()]
        far = np.sqrt(square.min())
        # the nearest pixels' centres, less what of the line between them lies within these pixels
        return float(np.maximum(far - nearest.max(1) / max(far, 1e-9), 0).min())

    def beyond(self, i: int, j: int, side: str) -> bool:
        axis, sign = SIDES[side]
        at = self.points[i][:, axis]
        inside = at < self.low[j, axis] if sign > 0 else at >= self.high[j, axis]
        return bool(inside.mean() > 0.5) and i != j

    def inside(self, i: int, j: int) -> bool:
        share = (self.scene.dense[i] & self.filled[j]).sum() / self.area[i]
        return i != j and share >= 0.8 and self.filled[i].sum() < self.filled[j].sum()

    def touching(self, i: int, j: int) -> bool:
        return bool(self.gap[i, j] <= 1.5)

    def on(self, i: int, j: int) -> bool:
        above = self.touching(i, j) and self.centre[i, 0] < self.centre[j, 0] and not self.inside(j, i)
        return self.inside(i, j) or above

    def order(self, index: list[int], side: str) -> tuple[list[int], list[float]]:
        """Return objects from a side on, and how far each place differs from the next, in units of what is equal."""
        axis, sign = SIDES[side]
        order = sorted(index, key=lambda k: sign * self.centre[k, axis])
        extent = self.high[:, axis] - self.low[:, axis]
        return order, [
            abs(self.centre[a, axis] - self.centre[b, axis]) / max(0.1 * (extent[a] + extent[b]) / 2, 1.0)
            for a, b in itertools.pairwise(order)
        ]

    def by_area(self, index: list[int], sign: int) -> tuple[list[int], list[float]]:
        order = sorted(index, key=lambda k: sign * self.area[k])
        return order, [
            abs(self.area[a] - self.area[b]) / (0.02 * max(self.area[a], self.area[b]))
            for a, b in itertools.pairwise(order)
        ]

    def by_gap(self, index: list[int], to: int) -> tuple[list[int], list[float]]:
        order = sorted((k for k in index if k != to), key=lambda k: self.gap[k, to])
        return order, [abs(self.gap[a, to] - self.gap[b, to]) for a, b in itertools.pairwise(order)]


@dataclass(frozen=True)
class Said:
    """A sentence and the right answer: objects; none; ambiguous; or, of a close call, the objects or ambiguous."""

    text: str
    status: str
    objects: frozenset[int]
    close: bool = False


def ranked(order: tuple[list[int], list[float]], rank: int, count: int = 1) -> tuple[str, frozenset[int], bool]:
    """Return status, objects and whether it is a close call, of ``count`` objects from ``rank`` (from 0) on."""
    objects, apart = order
    if rank + count > len(objects):
        return "none", frozenset(), False
    edges = [apart[k] for k in (rank - 1, rank + count - 1) if 0 <= k < len(apart)]
    least = min(edges, default=np.inf)
    chosen = frozenset(objects[rank : rank + count])
    return ("ambiguous" if least <= 1 else "found"), chosen, abs(least - 1) < 0.02


def one(objects: list[int]) -> tuple[str, frozenset[int], bool]:
    """Return the answer for words that mean one object."""
    return ("none", "found", "ambiguous")[min(len(objects), 2)], frozenset(objects), False


def several(objects: list[int]) -> tuple[str, frozenset[int], bool]:
    """Return the answer for words that mean any number of objects."""
    return "found" if objects else "none", frozenset(objects), False


ORDINALS = ("first", "second", "third", "fourth")
Template = Callable[[Truth, np.random.Generator], Iterator[tuple[str, tuple[str, frozenset[int], bool]]]]


def _of(truth: Truth, label: int) -> list[int]:
    return np.flatnonzero(truth.scene.labels == label).tolist()


def sentences(truth: Truth, rng: np.random.Generator) -> list[Said]:
    """Return sentences about a scene, one or more of each template that fits it."""
    found: list[Said] = []

    def say(text: str, answer: tuple[str, frozenset[int], bool]) -> None:
        found.append(Said(text, *answer))

    label = int(rng.choice(truth.scene.labels))
    name, many, own = CLASSES[label], PLURALS[label], _of(truth, label)
    everything = list(range(truth.count))
    side = str(rng.choice(list(SIDES)))
    rank = int(rng.integers(0, min(len(own) + 1, 4)))
    say(f"{ORDINALS[rank]} {name} from the {side}", ranked(truth.order(own, side), rank))
    say(f"the last {name} from the {side}", ranked(truth.order(own, side), len(own) - 1))
    count = int(rng.integers(2, 4))
    say(f"{count} {many} from the {side}", ranked(truth.order(own, side), 0, count))
    most = {"left": "leftmost", "right": "rightmost", "top": "topmost", "bottom": "lowest"}[side]
    say(f"the {most} {name}", ranked(truth.order(own, side), 0))
    say(f"Show me the two {most} objects.", ranked(truth.order(everything, side), 0, 2))
    say(f"find the biggest {name}", ranked(truth.by_area(own, -1), 0))
    say(f"second smallest {name}", ranked(truth.by_area(own, 1), 1))
    biggest = ranked(truth.by_area(own, -1), 0)
    rest = frozenset(own) - biggest[1]
    say(f"all but the largest {name}", (biggest[0] if biggest[0] != "found" or rest else "none", rest, biggest[2]))
    say(f"everything except the {many}", several([k for k in everything if k not in own]))
    say(f"all {many}", several(own))
    say(f"the {name}", one(own))
    colour = str(rng.choice(truth.scene.colours))
    tinted = [k for k in own if truth.scene.colours[k] == colour]
    say(f"{colour} {many}", several(tinted))
    say(f"the {colour} {name}", one(tinted))
    say(f"{many} that are not in a box and {colour} objects", _union(truth, own, colour))
    if len(set(truth.scene.labels.tolist())) > 1:
        _related(truth, rng, label, say)
    return found


def _union(truth: Truth, own: list[int], colour: str) -> tuple[str, frozenset[int], bool]:
    boxes = _of(truth, CLASSES.index("box"))
    free = [k for k in own if not any(truth.inside(k, j) for j in boxes)]
    tinted = [k for k in range(truth.count) if truth.scene.colours[k] == colour]
    if not boxes:
        return "none", frozenset(), False
    return ("found" if free and tinted else "none"), frozenset(free) | frozenset(tinted), False


def _related(
    truth: Truth, rng: np.random.Generator, label: int, say: Callable[[str, tuple[str, frozenset[int], bool]], None]
) -> None:
    """Say sentences about one class and another."""
    name, many, own = CLASSES[label], PLURALS[label], _of(truth, label)
    other = int(rng.choice([k for k in np.unique(truth.scene.labels) if k != label]))
    them, its = _of(truth, other), CLASSES[other]
    article = "a"
    words = {"left": "to the left of", "right": "right of", "top": "above", "bottom": "below"}
    side = str(rng.choice(list(SIDES)))
    say(
        f"{many} {words[side]} {article} {its}",
        several([k for k in own if any(truth.beyond(k, j, side) for j in them)]),
    )
    say(
        f"{many} {words[side]} all {PLURALS[other]}",
        several([k for k in own if all(truth.beyond(k, j, side) for j in them)]),
    )
    for word, relation in (("inside", truth.inside), ("touching", truth.touching), ("on", truth.on)):
        say(f"{many} {word} any {its}", several([k for k in own if any(relation(k, j) for j in them)]))
        say(f"{many} not {word} {article} {its}", several([k for k in own if not any(relation(k, j) for j in them)]))
    say(f"{PLURALS[other]} containing a {name}", several([j for j in them if any(truth.inside(k, j) for k in own)]))
    if len(them) == 1:
        to = them[0]
        say(f"the {name} nearest to the {its}", ranked(truth.by_gap(own, to), 0))
        say(f"the second closest {name} to the {its}", ranked(truth.by_gap(own, to), 1))
        say(f"{name} under the {its}", one([k for k in own if truth.beyond(k, to, "bottom")]))
        larger = [k for k in own if truth.area[k] > truth.area[to] * 1.02]
        say(f"{many} bigger than the {its}", several(larger))
        chosen = ranked(truth.order([k for k in own if truth.beyond(k, to, side)], "left"), 0)
        say(f"the first {name} {words[side]} the {its}", chosen)
    else:
        say(f"{many} above the {its}", ("ambiguous", frozenset(them), False))
        say(f"{name} nearest to the {its}", ("ambiguous", frozenset(them), False))
