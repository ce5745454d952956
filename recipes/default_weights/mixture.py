"""Crops of many data sets for one class, "object": which set, which image, at what scale, in what light."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from apiece._arrays import Array, Float, Float32
from apiece.core.instances import Instances
from apiece.datasets.dataset import Dataset, Subset, open_data
from apiece.models.contract import ModelInput
from apiece.transforms import AffineCrop, Blur, ColourJitter, Compose, CopyPaste, Invert, Noise, Sample
from apiece.transforms.geometric import scaled
from apiece.transforms.input import input_size, normalise, seen, value_limits

CLASSES = ("object",)
INPUT = ModelInput(channels=3, normalise="percentile", imgsz=640, any_channels=True)

_KEPT = 1024  # longer side in pixels at which images are kept in memory
_HELD = 0.12  # of each set's training images are held back: they choose checkpoint and threshold
_HELD_LEAST = 3
_SHOWN = (12.0, 300.0)  # diameter at which a batch shows objects by lot, in pixels
_SIDES = ((45.0, 192, 8), (110.0, 256, 5), (np.inf, 384, 3))  # up to which diameter, the crops' side, and how many
_DRAWS = 6  # of an object that can be shown at the diameter
_ZOOM = (0.3, 2.2)  # farthest and nearest look, as a share of the scale at which the model sees a whole image
_SMALLEST = 9  # pixels of an object; smaller ones are neither learned nor forbidden
_PASTE = 0.25  # of the crops get objects of another set
COLOUR = Compose(
    (
        Invert(0.1, (0.0, 1.0)),
        ColourJitter(0.15, 0.4, 0.8, 0.5, 0.25, p=0.85, value_range=(0.0, 1.0)),
        Blur((0.3, 1.8), p=0.25),
        Noise((0.0, 0.07), p=0.35, value_range=(0.0, 1.0)),
    )
)


def as_objects(instances: Instances) -> Instances:
    """Return the instances with one class for all."""
    return Instances(instances.masks, np.zeros(len(instances), np.int64), CLASSES, crowd=instances.crowd)


def halves(folder: Path) -> tuple[Dataset, Dataset]:
    """Return what is learned from, and the last images of ``train``, held back; neighbouring photos stay together."""
    data = open_data(folder)["train"]
    held = max(_HELD_LEAST, round(_HELD * len(data)))
    cut = len(data) - held
    return Dataset(Subset(data.labels, tuple(range(cut)))), Dataset(Subset(data.labels, tuple(range(cut, len(data)))))


@dataclass(frozen=True, eq=False)
class Kept:
    """An image in memory."""

    sample: Sample
    limits: tuple[float, float]  # raw values that become 0 and 1
    whole: float  # the scale at which the model sees the whole image


class Mixture:
    """Draw crops; everything random in a crop comes from (seed, step, slot).

    Parameters
    ----------
    folders : data sets with a ``train``, each with its share of the draws.
    seed : of all draws.
    """

    def __init__(self, folders: Sequence[tuple[Path, float]], seed: int = 0) -> None:
        self.seed = seed
        shares = np.array([share for _, share in folders])
        self.shares: Float = shares / shares.sum()
        self.sets = [list(self._load(halves(folder)[0])) for folder, _ in folders]

    def _load(self, data: Dataset) -> Iterator[Kept]:
        for image, instances in data:
            pixels, _ = seen(image, INPUT.channels)
            limits = value_limits(pixels, INPUT)
            size = input_size(image.size, min(_KEPT, max(image.size)))
            sample = scaled(Sample(np.ascontiguousarray(pixels), as_objects(instances)), size)
            yield Kept(sample, limits, (INPUT.imgsz or max(size)) / max(size))

    def batch(self, step: int) -> tuple[torch.Tensor, list[Instances]]:
        """Return images (count, 3, side, side) and their instances.

        All crops of a batch show objects at about one diameter: a loss counts objects, so that beside a crop with a
        hundred small ones a single large object would teach next to nothing.
        """
        shown = float(np.exp(np.random.default_rng([self.seed, 0x512E, step]).uniform(*np.log(_SHOWN))))
        side, count = next((side, count) for most, side, count in _SIDES if shown <= most)
        crops = [self.crop(step, slot, side, shown) for slot in range(count)]
        pixels = np.stack([crop.image.transpose(2, 0, 1) for crop in crops])
        return torch.from_numpy(pixels), [crop.instances for crop in crops]

    def crop(self, step: int, slot: int, side: int, shown: float) -> Sample:
        """Return one crop with objects of about this diameter, ready for the network."""
        rng = np.random.default_rng([self.seed, step, slot])
        paste = CopyPaste(lambda r: self._cut(r, side, shown), (0.2, 0.7), feather=0.6, p=_PASTE)
        sample = paste(self._cut(rng, side, shown), rng)
        pixels = np.asarray(COLOUR(sample, rng).image, np.float32)
        instances = sample.instances
        small = instances.masks.area < _SMALLEST
        return Sample(camera(pixels, rng), instances.replace(crowd=instances.crowd | small, ids=None))

    def _cut(self, rng: np.random.Generator, side: int, shown: float) -> Sample:
        kept, zoom = self._look(rng, shown)
        fill = "median" if rng.random() < 0.5 else kept.limits[0]
        turn = 180.0 if rng.random() < 0.5 else 15.0
        cut = AffineCrop((side, side), (-turn, turn), (zoom, zoom), 1.3, True, 0.6, fill)(kept.sample, rng)
        return Sample(normalise(cut.image, INPUT, kept.limits), cut.instances)

    def _look(self, rng: np.random.Generator, shown: float) -> tuple[Kept, float]:
        """Return an image and the zoom at which one of its objects has about the diameter ``shown``, if any can."""
        for _ in range(_DRAWS):
            images = self.sets[rng.choice(len(self.sets), p=self.shares)]
            kept = images[rng.integers(len(images))]
            area = kept.sample.instances.masks.area
            one = float(area[rng.integers(len(area))]) if len(area) else 0.0
            zoom = shown * float(np.exp(rng.normal(0, 0.2))) / np.sqrt(max(one, 1.0))
            low, high = _ZOOM[0] * kept.whole, _ZOOM[1] * kept.whole
            if low <= zoom <= high:
                break
        return kept, float(np.clip(zoom, low, high))


def camera(pixels: Float32, rng: np.random.Generator) -> Float32:
    """Swap or drop colours, and lose detail as small cameras and JPEG do."""
    lot = rng.random()
    if lot < 0.18:
        pixels = np.repeat(pixels @ rng.dirichlet((2.0, 2.0, 2.0)).astype(np.float32)[:, None], 3, axis=2)
    elif lot < 0.3:
        pixels = pixels[:, :, rng.permutation(3)]
    lot = rng.random()
    if lot < 0.12:
        shown: Array = np.clip(pixels * 255, 0, 255).astype(np.uint8)
        _, code = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 85))])
        pixels = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.float32) / 255
    elif lot < 0.22:
        small = cv2.resize(pixels, None, fx=(f := float(rng.uniform(0.35, 0.8))), fy=f, interpolation=cv2.INTER_AREA)
        pixels = cv2.resize(small, pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(pixels, np.float32)
