"""Put several samples into one.

`CopyPaste` is that of Ghiasi et al. 2021 (arXiv 2012.07177), `Mosaic` that of YOLOv4 (arXiv 2004.10934). Both draw
their other samples from ``source``, a function of the random generator. Covered pixels are taken out of the masks
below, so masks stay what can be seen; full masks keep them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from apiece._arrays import Array, Bool, Int
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError, DataError
from apiece.transforms._sample import Sample, check_range, check_share, in_sight, moved
from apiece.transforms._warp import Fill, fill_values, on_layers
from apiece.transforms.crop import Crop

__all__ = ["CopyPaste", "Mosaic"]

SampleSource = Callable[[np.random.Generator], Sample]


@dataclass(frozen=True)
class CopyPaste:
    """Paste a random part of another sample's instances over this one.

    Attributes
    ----------
    source : gives another sample; same classes, channels and dtype.
    share : how many of its instances are pasted, as a share drawn between low and high; at least one.
    feather : sigma in pixels of the blend at the edge of pasted instances; 0 pastes hard. Masks stay exact.
    keep_empty : keep instances that were covered wholly, with empty masks.
    p : how often, 0 to 1.
    """

    source: SampleSource
    share: tuple[float, float] = (0.2, 0.6)
    feather: float = 0.0
    keep_empty: bool = False
    p: float = 0.5

    def __post_init__(self) -> None:
        check_range("share", self.share, above=-1e-12)
        check_share("p", self.p)
        if self.feather < 0:
            raise ConfigError(f"feather must be 0 or more, got {self.feather}")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        other = self.source(rng)
        check_alike(sample, other)
        size = (sample.image.shape[0], sample.image.shape[1])
        if other.instances.size != size:
            other = Crop(size, centred=1.0)(other, rng)
        # a crowd region is not one object, so it cannot be pasted as one
        usable = np.flatnonzero((np.diff(other.instances.masks.offsets) > 0) & ~other.instances.crowd)
        if not len(usable):
            return sample
        count = max(1, round(len(usable) * rng.uniform(*self.share)))
        pasted = other.instances[np.sort(rng.permutation(usable)[:count])]
        cover = pasted.masks.union().to_dense()[0]
        image = _blend(sample.image, other.image, cover, self.feather)
        masks = on_layers(sample.instances.masks, lambda layer: np.where(cover, 0, layer), size)
        below = in_sight(sample.instances.replace(masks=masks), self.keep_empty)
        return Sample(image, _joined([below, in_sight(pasted, keep_empty=False)]))


@dataclass(frozen=True)
class Mosaic:
    """Join four samples to one, meeting at a random point.

    Attributes
    ----------
    source : gives the other three samples; same classes, channels and dtype.
    size : (height, width) of the result; None: that of the first sample.
    margin : how near to an edge the meeting point may come, as a share of the side, 0 to 0.5.
    fill : what no sample covers: a pixel value, or ``"median"`` of each channel.
    keep_empty : keep instances that were cut off, with empty masks.
    p : how often, 0 to 1.
    """

    source: SampleSource
    size: tuple[int, int] | None = None
    margin: float = 0.25
    fill: Fill = "median"
    keep_empty: bool = False
    p: float = 0.5

    def __post_init__(self) -> None:
        check_share("p", self.p)
        check_share("margin", self.margin, high=0.5)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        height, width = self.size or (sample.image.shape[0], sample.image.shape[1])
        meet_y = round(height * rng.uniform(self.margin, 1 - self.margin))
        meet_x = round(width * rng.uniform(self.margin, 1 - self.margin))
        image = np.empty((height, width, sample.image.shape[2]), sample.image.dtype)
        image[:] = fill_values(sample.image, self.fill).astype(image.dtype)
        found: list[Instances] = []
        tiles = [
            (0, 0, meet_x, meet_y),
            (meet_x, 0, width, meet_y),
            (0, meet_y, meet_x, height),
            (meet_x, meet_y, width, height),
        ]
        for number, (x0, y0, x1, y1) in enumerate(tiles):
            if x0 == x1 or y0 == y1:
                continue
            tile = sample if number == 0 else self.source(rng)
            check_alike(sample, tile)
            tile = Crop((y1 - y0, x1 - x0), 0.5, self.fill, self.keep_empty)(tile, rng)
            image[y0:y1, x0:x1] = tile.image
            found.append(moved(tile.instances, partial(Masks.shift, dx=x0, dy=y0, size=(height, width)), True))
        return Sample(image, _joined(found))


def _joined(parts: list[Instances]) -> Instances:
    """Return all instances, with new ids, and the extra attributes that every part has."""
    shared = set.intersection(*(set(part.attributes) for part in parts))
    scored = all(part.scores is not None for part in parts)
    first = 0
    alike = []
    for part in parts:
        ids: Int = np.arange(first, first + len(part), dtype=np.int64)
        first += len(part)
        scores = part.scores if scored else None
        alike.append(part.replace(ids=ids, scores=scores, attributes={k: part.attributes[k] for k in sorted(shared)}))
    return Instances.concatenate(alike)


def _blend(below: Array, above: Array, cover: Bool, feather: float) -> Array:
    if feather == 0:
        return np.where(cover[:, :, None], above, below)
    alpha = cv2.GaussianBlur(cover.astype(np.float32), (0, 0), feather)[:, :, None]
    mixed = below + (above.astype(np.float64) - below) * alpha
    return np.asarray(np.rint(mixed) if below.dtype.kind in "iu" else mixed).astype(below.dtype)


def check_alike(sample: Sample, other: Sample) -> None:
    """Refuse samples with other classes, channels or dtype."""
    if sample.instances.classes != other.instances.classes:
        raise DataError(
            f"samples to be mixed must have the same classes: {sample.instances.classes} and {other.instances.classes}"
        )
    if sample.image.shape[2] != other.image.shape[2] or sample.image.dtype != other.image.dtype:
        raise DataError(
            "samples to be mixed must have the same channels and dtype: "
            f"{sample.image.shape[2]} of {sample.image.dtype} and {other.image.shape[2]} of {other.image.dtype}"
        )
