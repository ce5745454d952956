"""How far the answers of an exported model are from the original's, on real images. No torch here."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apiece._arrays import Float
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.images import read_image
from apiece.models import images_of
from apiece.ops.overlap import iou
from apiece.predict import Model
from apiece.transforms.input import prepare

__all__ = ["ImageParity", "Limits", "Parity", "compare_answers"]

_TOLD = 1e-3  # score by which an object may lie on the other side of its threshold


@dataclass(frozen=True)
class ImageParity:
    """Hold the answers to one image against each other.

    Attributes
    ----------
    name : the image.
    original, exported : objects that each found, at the model's thresholds.
    matched : objects that both found: of one class, IoU 0.5 or more, one to one.
    alone : objects that only one of them found, whose scores are not within 0.001 of their threshold.
    iou : mean mask IoU of the matched objects; 1 where there are none.
    box, score : largest difference of a box's side, in pixels, and of a score, among the matched.
    """

    name: str
    original: int
    exported: int
    matched: int
    alone: int
    iou: float
    box: float
    score: float


@dataclass(frozen=True)
class Limits:
    """Say how far an exported model may be from its original.

    Attributes
    ----------
    iou : least mean mask IoU of matched objects.
    alone : largest share of objects that only one of them finds, of all.
    drop : largest loss of mask AP, where images have labels.
    """

    iou: float
    alone: float
    drop: float = 0.005

    @classmethod
    def of(cls, precision: str, drop: float = 0.005) -> Limits:
        """Return the limits of a precision: in float32 the same objects; in others 10% may cross their threshold."""
        return cls(0.999, 0.0, drop) if precision == "float32" else cls(0.97, 0.1, drop)


@dataclass(frozen=True)
class Parity:
    """Hold an exported model's answers against the original's.

    Attributes
    ----------
    images : of each image.
    milliseconds : median time of network and decoder for one image: the original's, the exported one's.
    outputs : of each raw output, the largest difference as a share of its largest value.
    mask_ap : of the original and the exported one, where images have labels.
    mask_ap_interval : 95% interval of the difference over images of this kind; None where there is none.
    """

    images: tuple[ImageParity, ...]
    milliseconds: tuple[float, float]
    outputs: dict[str, float]
    mask_ap: tuple[float, float] | None = None
    mask_ap_interval: tuple[float, float] | None = None

    @property
    def iou(self) -> float:
        """Mean mask IoU of all matched objects; 1 where there are none."""
        matched = sum(one.matched for one in self.images)
        return sum(one.iou * one.matched for one in self.images) / matched if matched else 1.0

    @property
    def alone(self) -> float:
        """Share of objects that only one of both found, of all that either found."""
        every = sum(one.original + one.exported - one.matched for one in self.images)
        return sum(one.alone for one in self.images) / every if every else 0.0

    def excess(self, limits: Limits) -> str:
        """Return by what the answers differ more than the limits allow; empty: by nothing."""
        said = []
        if self.iou < limits.iou:
            said.append(f"mean mask IoU with the original's masks is {self.iou:.4f}, below {limits.iou}")
        if self.alone > limits.alone:
            said.append(f"{self.alone:.1%} of the objects are found by one of both only, more than {limits.alone:.0%}")
        if self.mask_ap is not None and self.mask_ap[0] - self.mask_ap[1] > limits.drop:
            said.append(
                f"mask AP falls from {self.mask_ap[0]:.4f} to {self.mask_ap[1]:.4f}, by more than {limits.drop}"
            )
        return "; ".join(said)


def compare_answers(
    original: Model, exported: Model, images: Iterable[tuple[str, Image | Path]]
) -> tuple[tuple[ImageParity, ...], tuple[float, float]]:
    """Return how the answers of two models differ on each of ``images`` (name, image), and their times in milliseconds.

    Both answer at the original's thresholds.

    Examples
    --------
    >>> images, milliseconds = compare_answers(model, exported, [("a", "a.png")])  # doctest: +SKIP
    >>> images[0].iou, images[0].alone  # doctest: +SKIP
    (1.0, 0)
    """
    options = original.options()
    found, times = [], []
    for name, image in images:
        answers, spent = [], []
        for model in (original, exported):
            begin = time.perf_counter()
            answers.append(model.predict(image))
            spent.append(1e3 * (time.perf_counter() - begin))
        lowest = [float(v) for v in np.broadcast_to(options.conf, len(original.classes))]
        found.append(_held(name, answers[0], answers[1], lowest))
        times.append(spent)
    first, second = np.median(np.array(times).reshape(-1, 2), axis=0) if times else (0.0, 0.0)
    return tuple(found), (float(first), float(second))


def outputs_apart(original: Model, exported: Model, image: Image | Path) -> dict[str, float]:
    """Return the largest difference of each raw output, as a share of its largest value; of outputs of one shape."""
    given = image if isinstance(image, Image) else read_image(image)
    array, frame = prepare(given, original.loaded.input, original.loaded.stride)
    first, second = (model.runtime.run(array[None], [frame.input_size]) for model in (original, exported))
    found = {}
    for name, values in first.items():
        a, b = (np.asarray(images_of(v)[0], np.float64) for v in (values, second[name]))
        if a.shape == b.shape and a.size:
            found[name] = float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-12))
    return found


def _held(name: str, a: Instances, b: Instances, lowest: Sequence[float]) -> ImageParity:
    """Hold two answers against each other; pairs are made best overlap first."""
    pairs = iou(a.masks, b.masks).tocoo()
    near = (pairs.data >= 0.5) & (a.labels[pairs.row] == b.labels[pairs.col])
    row, column, overlap = pairs.row[near], pairs.col[near], pairs.data[near]
    order = np.argsort(-overlap, kind="stable")
    free_a, free_b, chosen = np.ones(len(a), bool), np.ones(len(b), bool), []
    for k in order.tolist():  # few: each object overlaps one or two
        if free_a[row[k]] and free_b[column[k]]:
            free_a[row[k]] = free_b[column[k]] = False
            chosen.append(k)
    row, column, overlap = row[chosen], column[chosen], overlap[chosen]
    alone = sum(_sure(side[free], lowest) for side, free in ((a, free_a), (b, free_b)))
    boxes = np.abs(a.masks.boxes[row] - b.masks.boxes[column]).max(initial=0)
    scores = np.abs(_scores(a)[row] - _scores(b)[column]).max(initial=0)
    mean = float(overlap.mean()) if len(overlap) else 1.0
    return ImageParity(name, len(a), len(b), len(chosen), alone, mean, float(boxes), float(scores))


def _sure(found: Instances, lowest: Sequence[float]) -> int:
    """Return how many objects do not lie at their class's threshold."""
    return int((_scores(found) > np.array(lowest)[found.labels] + _TOLD).sum())


def _scores(found: Instances) -> Float:
    assert found.scores is not None
    return np.asarray(found.scores, np.float64)
