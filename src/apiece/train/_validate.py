"""Validation as a person would run it: each image whole, decoded at its own size, scored by COCO's rule."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.datasets.dataset import Dataset
from apiece.metrics import Evaluation, Matches, evaluate
from apiece.models._base import Architecture, DecodeOptions, ModelInput
from apiece.predict.evaluation import LOWEST
from apiece.transforms._input import prepare

__all__ = ["Validation", "Validator", "fit_thresholds"]


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    Attributes
    ----------
    numbers : mask and box AP and their kin, as `apiece.metrics` names them.
    thresholds : per class, the score above which instances are right most often.
    """

    numbers: dict[str, float]
    thresholds: tuple[float, ...]

    @property
    def mask_ap(self) -> float:
        """Mask AP; 0 where there is nothing to find."""
        value = self.numbers["mask_ap"]
        return value if np.isfinite(value) and value >= 0 else 0.0


class _OutOfTime(Exception):
    """A validation takes longer than it may."""


class Validator:
    """Holds predictions on the validation images against the truth; keeps up to ``budget`` bytes of them in memory."""

    def __init__(
        self, data: Dataset, architecture: Architecture, spec: ModelInput, device: torch.device, budget: float
    ) -> None:
        self.data, self.architecture, self.spec, self.device = data, architecture, spec, device
        self.budget = budget
        self._kept: dict[int, tuple[Image, Instances]] = {}
        self._used = 0

    def __call__(self, module: nn.Module, limit: float | None = None) -> Validation | None:
        """Validate ``module`` as it is; puts it into evaluation mode.

        None if it was not done within ``limit`` seconds: a model that has learned little finds thousands of objects
        everywhere, and what it is worth is known.
        """
        module.eval()
        try:
            found: Evaluation = evaluate(self._pairs(module, limit), self.data.classes)
        except _OutOfTime:
            return None
        return Validation(dict(found), fit_thresholds(found.matches))

    def _pairs(self, module: nn.Module, limit: float | None) -> Iterator[tuple[Instances, Instances]]:
        options = DecodeOptions(conf=LOWEST)  # as `apiece.evaluate` does, so that its numbers are these
        end = None if limit is None else time.monotonic() + limit
        for i in range(len(self.data)):
            if end is not None and time.monotonic() > end:
                raise _OutOfTime
            image, truth = self._record(i)
            array, frame = prepare(image, self.spec, self.architecture.stride)
            batch = torch.from_numpy(array)[None].to(self.device).contiguous(memory_format=torch.channels_last)
            with torch.inference_mode():
                outputs: Any = module(batch)
                (predicted,) = self.architecture.decode(outputs, [frame], self.data.classes, options)
            yield truth, predicted

    def _record(self, index: int) -> tuple[Image, Instances]:
        if index in self._kept:
            return self._kept[index]
        image, truth = self.data[index]
        if self._used < self.budget:
            self._kept[index] = (image, truth)
            self._used += image.pixels.nbytes + truth.masks.x.nbytes * 3
        return image, truth


def fit_thresholds(matches: Matches, default: float = 0.5) -> tuple[float, ...]:
    """Per class, the lowest score to keep for the best F1 = 2 TP / (2 TP + FP + FN) at mask IoU 0.5.

    Half way between the last score kept and the next lower one, so that it does not hang on one instance's score;
    ``default`` for a class of which nothing right was found.
    """
    return tuple(_fit_one(matches, label, default) for label in range(len(matches.classes)))


def _fit_one(matches: Matches, label: int, default: float) -> float:
    of_class = (matches.label == label) & ~matches.ignored
    score: npt.NDArray[np.float64] = matches.score[of_class]
    right = matches.hits[of_class]
    if not right.any():
        return default
    order = np.argsort(-score, kind="stable")
    score, hits = score[order], np.cumsum(right[order])
    kept = np.arange(1, len(score) + 1)
    # TP + FP is what is kept, TP + FN is the truth
    f1 = 2 * hits / (kept + int(matches.truths[:, label].sum()))
    last = np.append(score[1:] < score[:-1], True)  # equal scores stay or go together
    best = int(np.argmax(np.where(last, f1, -1.0)))
    below = score[best + 1] if best + 1 < len(score) else 0.0
    return float((score[best] + below) / 2)
