"""Validation as a person would run it: each image whole, decoded at its own size, scored by COCO's rule."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.datasets import class_counts
from apiece.datasets.dataset import Dataset
from apiece.errors import TrainingError
from apiece.evaluation import LOWEST
from apiece.measurements import EdgeFit
from apiece.metrics import Evaluation, evaluate, f1_thresholds
from apiece.models.contract import Architecture, DecodeOptions, ModelInput
from apiece.ops.ground import judged_on, on_data
from apiece.predict.pipeline import unless_memory_runs_out
from apiece.transforms.input import data_of, prepare

_IMAGES = 50  # on which outlines are compared


@dataclass(frozen=True)
class Validation:
    """What a validation found."""

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
    """Compares predictions on the validation images with the truth; keeps images of up to ``budget`` bytes."""

    def __init__(
        self,
        data: Dataset,
        architecture: Architecture,
        spec: ModelInput,
        one_piece: tuple[bool, ...],
        device: torch.device,
        budget: float,
    ) -> None:
        self.data, self.architecture, self.spec, self.device = data, architecture, spec, device
        # as `apiece.evaluate` does, so that its numbers are these
        self.options = DecodeOptions(conf=LOWEST, one_piece=one_piece)
        # COCO's limits, and one that leaves no object out where a class has more in one image
        most = int(class_counts(data.labels).data.max(initial=0))
        self.max_dets = tuple({1, 10, 100, max(100, most)})
        self.budget = budget
        self._kept: dict[int, tuple[Image, Instances]] = {}
        self._used = 0

    def __call__(self, module: nn.Module, limit: float | None = None) -> Validation | None:
        """Validate ``module`` as it is, in evaluation mode; None if that was not done within ``limit`` seconds.

        A model that has learned little finds thousands of objects everywhere, and its worth is known without waiting.
        """
        module.eval()
        try:
            found: Evaluation = evaluate(self._pairs(module, limit), self.data.classes, max_dets=self.max_dets)
        except _OutOfTime:
            return None
        return Validation(dict(found), tuple(f1_thresholds(found.matches).tolist()))

    def _pairs(self, module: nn.Module, limit: float | None) -> Iterator[tuple[Instances, Instances]]:
        end = None if limit is None else time.monotonic() + limit
        for i in range(len(self.data)):
            if end is not None and time.monotonic() > end:
                raise _OutOfTime
            image, truth = self._record(i)
            predicted = unless_memory_runs_out(partial(self._predicted, module, image))
            if predicted is None:
                height, width = image.size
                raise TrainingError(
                    f"memory runs out in validation with {self.data.refs[i].name} of {height} x {width} pixels: images "
                    "are validated whole; lower imgsz, choose a smaller model, or cut large images into smaller ones"
                )
            yield truth, predicted

    @property
    def edges_share(self) -> float:
        """How many of the validation images `edges` looks at, 0 to 1."""
        return min(1.0, _IMAGES / len(self.data))

    def edges(self, module: nn.Module, thresholds: tuple[float, ...]) -> tuple[float, float] | None:
        """Return how many times the softness of its masks' edges outlines are off; None if too little is found."""
        module.eval()
        options = replace(self.options, conf=thresholds, edges=(1.0, 1.0))
        fit = EdgeFit()
        for i in np.unique(np.linspace(0, len(self.data) - 1, _IMAGES).astype(np.int64)).tolist():
            image, truth = self._record(i)
            found = unless_memory_runs_out(partial(self._predicted, module, image, options))
            if found is not None and "edge" in found.attributes:
                fit.add(truth, found)
        return fit.factors

    def _predicted(self, module: nn.Module, image: Image, options: DecodeOptions | None = None) -> Instances:
        options = options or self.options
        array, frame = prepare(image, self.spec, self.architecture.stride)
        batch = torch.from_numpy(array)[None].to(self.device).contiguous(memory_format=torch.channels_last)
        # at full precision, as in prediction, whatever the training around it does
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            outputs: Any = module(batch)
            (predicted,) = self.architecture.decode(outputs, [frame], self.data.classes, options)
        return options.finished(predicted if frame.data is None else on_data(predicted, frame.data))

    def _record(self, index: int) -> tuple[Image, Instances]:
        if index in self._kept:
            return self._kept[index]
        image, truth = self.data[index]
        if (data := data_of(image, self.spec.channels)) is not None:
            truth = judged_on(truth, data)
        if self._used < self.budget:
            self._kept[index] = (image, truth)
            self._used += image.pixels.nbytes + truth.masks.x.nbytes * 3
        return image, truth
