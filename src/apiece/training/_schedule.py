"""How far training is, the learning rate that follows from it, and the moving average of the weights."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_FLOOR = 0.01  # the cosine ends at this share of the highest learning rate


LEAST = 5
"""Steps that are taken however short the time budget is."""


class Clock:
    """Seconds that a run has trained, from its first step on, with those before it was resumed."""

    def __init__(self) -> None:
        self._used, self._start = 0.0, math.inf

    def start(self) -> None:
        """Begin to count, at the first call: opening data and building the network are no training."""
        self._start = min(self._start, time.monotonic())

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._used + max(0.0, time.monotonic() - self._start)

    def add(self, used: float) -> None:
        """Count time that an earlier run of this training took."""
        self._used += used


@dataclass(frozen=True)
class Plan:
    """When training ends."""

    steps: int | None  # after so many steps, if any
    seconds: float | None  # or when so much time has passed, if any, but not before the step `LEAST`

    def progress(self, step: int, seconds: float, reserve: float) -> float:
        """Return how far training is, 0 to 1; ``reserve`` seconds are kept for what follows the last step."""
        by_step = 0.0 if self.steps is None else step / self.steps
        by_time = 0.0 if self.seconds is None else seconds / max(self.seconds - reserve, 1e-3)
        return min(1.0, max(by_step, by_time if step >= LEAST else min(by_time, 0.99)))


def learning_rate(highest: float, step: int, warmup: int, progress: float) -> float:
    """Return the rate of a step: linear over the first ``warmup`` steps, or a tenth of a shorter run; then a cosine
    over ``progress`` (Loshchilov and Hutter 2017, arXiv 1608.03983)."""
    rise = min(1.0, max((step + 1) / (warmup + 1), progress / 0.1))
    return highest * rise * (_FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * progress)))


def step_seed(seed: int, step: int) -> int:
    """Return a seed for torch's generators for each step, so that a resumed run draws what it would have drawn."""
    return (seed * 1_000_003 + step * 7_919 + 17) % (2**63)


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Group the parameters: weights decay; biases, norms and other vectors do not."""
    used = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in used if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in used if p.ndim <= 1], "weight_decay": 0.0},
    ]


class Average:
    """Exponential moving average of a module's weights and of its norms' statistics.

    The decay rises from 0 to ``decay`` as ``(1 + step) / (10 + step)`` (as TensorFlow's moving average does), so that
    the first weights are soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.module = copy.deepcopy(module).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take in the weights after ``step`` steps."""
        keep = min(self.decay, (1 + step) / (10 + step))
        mine, theirs = self.module.state_dict(), module.state_dict()
        floating = [k for k, v in mine.items() if v.is_floating_point()]
        averages: list[Tensor] = [mine[k] for k in floating]
        torch._foreach_lerp_(averages, [theirs[k] for k in floating], 1.0 - keep)
        for k in mine.keys() - set(floating):
            mine[k].copy_(theirs[k])
