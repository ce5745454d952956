"""Hide parts of objects behind others, so that labels of what is visible become labels of whole objects.

As in Zhan et al., "Self-Supervised Scene De-occlusion", CVPR 2020 (arXiv 2004.02788): nobody knows what a labelled
object hides behind its neighbours, but of an object that something is pasted over, the hidden part is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apiece._arrays import Float, Int
from apiece.core.instances import Instances
from apiece.core.masks import Masks, label_map_masks
from apiece.errors import ConfigError
from apiece.ops.overlap import intersections
from apiece.transforms._sample import Sample, check_range, check_share, in_sight
from apiece.transforms._warp import on_layers
from apiece.transforms.mix import SampleSource, check_alike

__all__ = ["PASTED", "Occlude"]

PASTED = "pasted"
"""Attribute of instances, bool: whether what it hides of others is known."""


@dataclass(frozen=True)
class Occlude:
    """Paste objects of another sample over the edges of this one's objects; full masks keep what they hide.

    Instances without full masks get their visible masks as such. The attribute ``pasted`` says which objects hide
    something known: the pasted ones, and all where the labels have full masks.

    Attributes
    ----------
    source : gives another sample; same classes, channels and dtype.
    share : how many of this sample's objects get something in front of them, as a share drawn between low and high.
    reach : how far from an object's centre the middle of what is pasted lies, in half sides of the object's box.
    keep_empty : keep instances that were hidden wholly, with empty masks.
    p : how often, 0 to 1.
    """

    source: SampleSource
    share: tuple[float, float] = (0.1, 0.5)
    reach: tuple[float, float] = (0.4, 1.4)
    keep_empty: bool = False
    p: float = 0.2

    def __post_init__(self) -> None:
        check_range("share", self.share, above=-1e-12)
        check_range("reach", self.reach, above=-1e-12)
        check_share("p", self.p)
        if self.share[1] > 1:
            raise ConfigError(f"share must be at most 1, got {self.share}")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        known = sample.instances.full is not None
        whole = sample.instances if known else sample.instances.replace(full=sample.instances.masks)
        marks = {**whole.attributes, PASTED: np.full(len(whole), known)}
        marked = Sample(sample.image, whole.replace(attributes=marks))
        targets = np.flatnonzero((whole.masks.area > 0) & ~whole.crowd)
        if rng.random() >= self.p or not len(targets):
            return marked
        other = self.source(rng)
        check_alike(sample, other)
        usable = _alone(other.instances)
        count = round(len(targets) * rng.uniform(*self.share))
        if not len(usable) or not count:
            return marked
        hidden = rng.permutation(targets)[:count]
        pasted = rng.choice(usable, count)
        return self._paste(marked, hidden, other, pasted, rng)

    def _paste(self, sample: Sample, hidden: Int, other: Sample, pasted: Int, rng: np.random.Generator) -> Sample:
        """Return the sample with the objects ``pasted`` of ``other`` before its objects ``hidden``, the last on top."""
        height, width = sample.instances.size
        box = sample.instances.masks.boxes[hidden].astype(np.float64)
        angle = rng.uniform(0, 2 * np.pi, len(hidden))
        away = np.stack([np.cos(angle), np.sin(angle)], 1) * (box[:, 2:] - box[:, :2]) / 2
        middle = (box[:, :2] + box[:, 2:]) / 2 + away * rng.uniform(*self.reach, (len(hidden), 1))
        crops, corners = other.instances.masks[pasted].to_crops()
        sides: Float = np.array([crop.shape[::-1] for crop in crops], np.float64)
        places = np.rint(middle - sides / 2).astype(np.int64)
        full = Masks.from_crops(crops, places, (height, width))
        on_top = full.to_label_map(np.arange(1, len(full) + 1), np.int32, overlap="last")
        image = sample.image.copy()
        for k, ((x, y), (u, v)) in enumerate(zip(places.tolist(), corners.tolist(), strict=True), 1):
            rows, columns = np.nonzero(on_top == k)
            image[rows, columns] = other.image[rows - y + v, columns - x + u]
        cut = on_layers(sample.instances.masks, lambda layer: np.where(on_top > 0, 0, layer), (height, width))
        below = sample.instances.replace(masks=cut)
        seen = _visible(on_top, len(full))
        front = Instances(
            seen, other.instances.labels[pasted], other.instances.classes, full=full,
            attributes={PASTED: np.ones(len(full), bool)},
        )  # fmt: skip
        shared = {PASTED: below.attributes[PASTED]}
        alike = below.replace(ids=None, scores=None, attributes=shared)
        joined = Instances.concatenate([in_sight(alike, self.keep_empty), in_sight(front, self.keep_empty)])
        return Sample(image, joined)


def _alone(instances: Instances) -> Int:
    """Return the objects whose boxes no other mask enters, so that nothing of them is hidden; all if there are none."""
    found = np.flatnonzero((instances.masks.area > 0) & ~instances.crowd)
    boxes = instances.masks.boxes[found] + np.array([-1, -1, 1, 1], np.float32)
    entered = np.diff(intersections(Masks.from_boxes(boxes, instances.size), instances.masks).indptr)
    alone = found[entered == 1]
    return alone if len(alone) else found


def _visible(on_top: Int, count: int) -> Masks:
    values, masks = label_map_masks(on_top)
    return masks.merge(values - 1, count)
