"""From a data set to batches: an in-memory store of images, random crops, the order of draws.

Every draw knows its step and its slot in the batch, and all randomness of a crop comes from (seed, step, slot). So a
resumed run sees the batches it would have seen, whatever the number of loader processes.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from apiece._arrays import Float, Float32, Int
from apiece.core.instances import Instances
from apiece.datasets import class_counts, split
from apiece.datasets.dataset import BadEntries, Dataset, open_data, readable
from apiece.errors import ApieceError, DataError, Option
from apiece.models.contract import ModelInput, Targets
from apiece.training._ground import in_strips, with_frame, with_ground
from apiece.training.config import TrainConfig
from apiece.transforms import Compose, Flip, Occlude, Sample, default_colour, default_geometry
from apiece.transforms.geometric import scaled
from apiece.transforms.input import input_size, normalise, seen, value_limits

log = logging.getLogger("apiece")

_VAL_SHARE = 0.2
_NAMED = 8  # classes in one line
_RARE = 0.5  # a class in fewer than this share of the images is drawn more often


class Splits(NamedTuple):
    """The images of a training."""

    train: Dataset
    val: Dataset
    held_back: bool = False
    """Whether ``val`` was taken out of the training images, since the data have none."""


def open_splits(config: TrainConfig) -> tuple[Dataset, Dataset]:
    """Return the training and the validation images.

    Raises
    ------
    DataError, FormatError
        If there is no ``train``, or it is too small to be split.
    """
    found = splits_of(config)
    return found.train, found.val


def splits_of(config: TrainConfig) -> Splits:
    """Return what `open_splits` does, and whether the validation images were held back."""
    bad = BadEntries() if config.skip_bad else None
    splits = open_data(config.data, config.images, config.format, bad, config.clip_outlines, config.annotator)
    if bad is not None:
        splits = {name: readable(found, bad) for name, found in splits.items()}
        for error in bad.errors:
            log.warning("left out: %s", error)
    else:
        _check_there(splits)
    if "train" not in splits:
        raise DataError(
            f"{config.data}: there is no 'train' here, only {', '.join(sorted(splits))}; to learn from these, name the "
            "label file itself as " + Option("data")
        )
    training = splits["train"]
    if "val" in splits:
        _compare(training, splits["val"], config)
        return Splits(training, splits["val"])
    if len(training) < 2:
        raise DataError(
            f"{config.data} has no 'val', and {len(training)} image is too few to hold one back; label a second image, "
            "or put labels to validate on beside it as val.json (of the same image, if this is only a trial: the "
            "scores then say nothing)"
        )
    parts = split(training.labels, {"train": 1 - _VAL_SHARE, "val": _VAL_SHARE}, seed=config.seed)
    log.info("%s has no 'val': %d of %d images are held back by seed %d",
             config.data, len(parts["val"]), len(training), config.seed)  # fmt: skip
    return Splits(Dataset(parts["train"]), Dataset(parts["val"]), held_back=True)


def _check_there(splits: Mapping[str, Dataset]) -> None:
    """Refuse images that are nowhere, before the first of them is asked for."""
    refs = [ref for data in splits.values() for ref in data.refs]
    lost = [ref.path for ref in refs if not ref.path.exists()]
    if lost:
        raise DataError(
            f"{len(lost):,} of {len(refs):,} images are not there, such as {lost[0]}; name their folder with "
            + Option("images", ...)
            + ", or leave such images out with "
            + Option("skip_bad", True)
        )


def _compare(training: Dataset, validation: Dataset, config: TrainConfig) -> None:
    """Refuse a validation set without images; warn of classes that one of the two sets has no object of."""
    if not len(validation):
        raise DataError(f"{config.data}: 'val' has no image; remove it, and a fifth of 'train' is held back instead")
    seen = {(ref.path, ref.page) for ref in training.refs}
    if both := [ref.name for ref in validation.refs if (ref.path, ref.page) in seen]:
        log.warning(
            "%d of %d images of val are in train, too, such as %s: the scores say nothing of new images",
            len(both), len(validation), both[0],
        )  # fmt: skip
    learned, judged = (class_counts(data.labels).sum(axis=0) for data in (training, validation))
    if not judged.any():
        log.warning("no object is in val, so that mask AP is undefined and the last model is kept, not the best")
        return
    for why, which in (
        ("in val, but not in train, so a model cannot learn to find them; move images with them to train", judged),
        ("in train, but not in val, so how well they are learned stays unknown", learned),
    ):
        lone = np.flatnonzero((which > 0) & ((learned == 0) | (judged == 0)))
        if len(lone):
            names = ", ".join(f"{training.classes[k]} ({which[k]:,})" for k in lone[:_NAMED])
            more = f" and {len(lone) - _NAMED} classes more" if len(lone) > _NAMED else ""
            log.warning("objects of %s%s are %s", names, more, why)


def repeat_factors(counts: Int) -> Float:
    """Return how often each image is drawn per epoch (LVIS, Gupta et al. 2019, arXiv 1908.03195, section 4.1).

    A class that is in a share f of the images calls for ``max(1, sqrt(0.5 / f))``; an image follows its rarest class.
    """
    present = counts > 0
    share = present.mean(axis=0)
    factor = np.maximum(1.0, np.sqrt(_RARE / np.maximum(share, 1e-9)))
    return np.asarray(np.where(present, factor, 1.0).max(axis=1, initial=1.0))


@dataclass(frozen=True, eq=False)
class Loaded:
    """An image ready for crops."""

    sample: Sample  # raw pixels with the network's number of channels, at the network's scale, with its instances
    limits: tuple[float, float]  # raw values that become 0 and 1

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        masks = self.sample.instances.masks
        return int(self.sample.image.nbytes + masks.x.nbytes * 3 + masks.offsets.nbytes * 4)


class Store:
    """Images as crops need them, kept in memory up to ``budget`` bytes."""

    def __init__(self, data: Dataset, spec: ModelInput, budget: float) -> None:
        self.data, self.spec, self.budget = data, spec, budget
        self.used = 0
        self._kept: dict[int, Loaded] = {}

    def preload(self) -> None:
        """Fill the memory, before loader processes are forked, so that they share it."""
        for i in range(len(self.data)):
            if self.used >= self.budget:
                break
            self._kept[i] = self._load(i)
            self.used += self._kept[i].nbytes
        kept = len(self._kept)
        log.info("%d of %d training images are kept in memory (%.0f MB)", kept, len(self.data), self.used / 1e6)

    def __getitem__(self, index: int) -> Loaded:
        kept = self._kept.get(index)
        return self._load(index) if kept is None else kept

    def _load(self, index: int) -> Loaded:
        image, instances = self.data[index]
        try:
            pixels, data = seen(image, self.spec.channels)
            limits = value_limits(pixels, self.spec, data)
        except DataError as error:
            raise DataError(f"{self.data.refs[index].path}: {error}") from error
        if data is not None:
            instances = with_ground(instances, data)
        size = input_size(image.size, self.spec.imgsz)
        return Loaded(scaled(Sample(np.ascontiguousarray(pixels), instances), size), limits)


@dataclass(frozen=True)
class Draw:
    """One crop to be made: of image ``index``, for ``slot`` of the batch of ``step``."""

    step: int
    slot: int
    index: int


@dataclass(frozen=True)
class Order:
    """Which image goes where: a batch sampler that can begin at any step.

    Attributes
    ----------
    factors : how often each image is drawn per epoch, on average.
    batch : crops per step.
    seed : of the order.
    start : first step.
    """

    factors: Float
    batch: int
    seed: int
    start: int = 0

    @property
    def per_epoch(self) -> float:
        """Crops per epoch, on average."""
        return float(self.factors.sum())

    def epoch(self, number: int) -> Int:
        """Return the images of one epoch, in order."""
        rng = np.random.default_rng([self.seed, 0xE90C, number])
        whole = np.floor(self.factors)
        times = whole + (rng.random(len(self.factors)) < self.factors - whole)
        return rng.permutation(np.repeat(np.arange(len(self.factors)), times.astype(np.int64)))

    def __iter__(self) -> Iterator[list[Draw]]:
        skip = self.start * self.batch
        step, held, number = self.start, list[int](), 0
        while True:
            images = self.epoch(number)
            number += 1
            if skip >= len(images):
                skip -= len(images)
                continue
            held.extend(images[skip:].tolist())
            skip = 0
            while len(held) >= self.batch:
                yield [Draw(step, slot, index) for slot, index in enumerate(held[: self.batch])]
                held = held[self.batch :]
                step += 1


@dataclass(frozen=True)
class Batch:
    """What one step sees."""

    images: Tensor  # float32 (B, C, crop, crop)
    targets: list[Targets]  # the architecture's own, one per crop
    names: list[str]  # of the images that the crops were cut from
    step: int

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        targets = [{k: v.to(device, non_blocking=True) for k, v in t.items()} for t in self.targets]
        return Batch(self.images.to(device, non_blocking=True), targets, self.names, self.step)

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory; the data loader calls this."""
        targets = [{k: v.pin_memory() for k, v in t.items()} for t in self.targets]
        return Batch(self.images.pin_memory(), targets, self.names, self.step)


Item = tuple[Float32, Targets, str, int]


class CropSet(torch.utils.data.Dataset[Item | ApieceError]):
    """Random crops, augmented, normalised and encoded; indexed by `Draw`."""

    def __init__(
        self,
        store: Store,
        encode: Callable[[Instances, Any], Targets],
        model_config: object,
        *,
        crop: int,
        strength: float,
        upright: bool,
        seed: int,
    ) -> None:
        self.store, self.encode, self.model_config, self.seed = store, encode, model_config, seed
        self.crop, self.strength, self.upright = crop, strength, upright
        self.colour = default_colour(strength, value_range=(0.0, 1.0))
        channels = store.spec.channels
        self.plain = dataclasses.replace(store.spec, mean=(0.0,) * channels, std=(1.0,) * channels)

    def __getitem__(self, draw: Draw) -> Item | ApieceError:
        try:
            sample = self.sample(draw)
        except ApieceError as error:
            return error  # raised where it can be read: an exception's arguments do not survive the loader
        pixels = np.ascontiguousarray(sample.image.transpose(2, 0, 1), np.float32)
        return (
            pixels,
            self.encode(sample.instances, self.model_config),
            self.store.data.refs[draw.index].name,
            draw.step,
        )

    def sample(self, draw: Draw) -> Sample:
        """Return the crop, normalised, before it is encoded."""
        rng = np.random.default_rng([self.seed, draw.step, draw.slot])
        cut = self._cut(draw.index, rng)
        if getattr(self.model_config, "amodal", False):
            # its own objects, mirrored: they have its light, and cost nothing
            cut = Occlude(lambda rng: Flip(p=1.0)(cut, rng))(cut, rng)
        light = self.colour(cut, rng)
        spec = self.store.spec
        pixels = (light.image - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
        return Sample(pixels, light.instances)

    def _cut(self, index: int, rng: np.random.Generator) -> Sample:
        """Return a crop of one image, its values from 0 to 1."""
        loaded = self.store[index]
        # what lies outside an image is either like the image, or like the padding that prediction adds
        geometry: Compose = default_geometry(
            (self.crop, self.crop),
            self.strength,
            any_angle=not self.upright,
            fill="median" if rng.random() < 0.5 else loaded.limits[0],
        )
        sample = loaded.sample
        if getattr(self.model_config, "stuff", ()):
            sample = Sample(sample.image, with_frame(sample.instances))
        cut = geometry(sample, rng)
        # limits are the whole image's: a crop of background must not be stretched to full range
        return Sample(normalise(cut.image, self.plain, loaded.limits), in_strips(cut.instances))


def collate(items: Sequence[Item | ApieceError]) -> Batch | ApieceError:
    """Join crops to a batch; an error among them comes through."""
    crops: list[Item] = []
    for item in items:
        if isinstance(item, ApieceError):
            return item
        crops.append(item)
    images = torch.from_numpy(np.stack([c[0] for c in crops]))
    return Batch(images, [c[1] for c in crops], [c[2] for c in crops], crops[0][3])


def quiet_worker(_: int) -> None:
    """Keep a loader process to one thread; it does this first."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
