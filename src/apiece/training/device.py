"""Where training runs and how it uses the machine."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from apiece._limits import cores
from apiece.errors import ConfigError, Option
from apiece.predict import resolve_device
from apiece.training._depthwise import Depthwise
from apiece.training.config import TrainConfig

__all__ = ["Hardware"]


@dataclass(frozen=True)
class Hardware:
    """Hold what a run uses.

    Attributes
    ----------
    device : where the network is.
    precision : as Lightning spells it.
    workers, start_method : data-loader processes, and how they are started.
    """

    device: torch.device
    precision: str
    workers: int
    start_method: str | None

    @classmethod
    def choose(cls, config: TrainConfig) -> Hardware:
        """Follow ``config``; where it says ``auto``, take the best there is.

        Raises
        ------
        ConfigError
            If the device or the precision is not to be had here.
        """
        named = config.device
        if named == "auto" and not torch.cuda.is_available() and torch.backends.mps.is_available():
            named = "mps"
        device = resolve_device(named)
        # on two cores, one process makes crops while the other computes; more would only take turns
        workers = config.workers if config.workers is not None else max(1, min(12, cores() - 1))
        return cls(
            device,
            _precision(config.precision, device),
            workers=workers,
            start_method=("fork" if sys.platform == "linux" else "spawn") if workers else None,
        )

    def batch(self, crop: int) -> int:
        """Return how many crops of this side go through at once where ``batch`` is ``"auto"``.

        A CPU gets no more pixels than 8 crops of 320 have, but 2 crops at least: large crops would leave too few steps.
        """
        return min(8, max(2, 8 * 320**2 // crop**2)) if self.device.type == "cpu" else 8

    def convolving(self) -> AbstractContextManager[object]:
        """Return the context in which a network computes its losses."""
        return Depthwise() if self.device.type == "cpu" and self.precision == "bf16-mixed" else nullcontext()

    @property
    def accelerator(self) -> str:
        """As Lightning spells it."""
        return {"cuda": "gpu"}.get(self.device.type, self.device.type)

    @property
    def devices(self) -> int | list[int]:
        """As Lightning spells it."""
        return [self.device.index or 0] if self.device.type == "cuda" else 1


def _precision(wanted: str, device: torch.device) -> str:
    able = device.type == "cpu" or (device.type == "cuda" and torch.cuda.is_bf16_supported())
    if wanted == "bf16" and not able:
        raise ConfigError(f"{device} does not compute in bf16; use " + Option("precision", "32"))
    fast = able and (device.type == "cuda" or _multiplies_bf16())
    return "bf16-mixed" if wanted == "bf16" or (wanted == "auto" and fast) else "32-true"


def _multiplies_bf16() -> bool:
    """Return whether the CPU multiplies bf16 in hardware: AMX is three times as fast as float32, AVX-512 twice."""
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # older torch cannot tell
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
