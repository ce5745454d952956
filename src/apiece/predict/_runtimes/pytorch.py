"""PyTorch: computes model folders and published weights, on any device that torch knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from apiece._arrays import Float32
from apiece.core.instances import Instances
from apiece.errors import ConfigError, Option
from apiece.models import Frame, LoadedModel
from apiece.models.contract import DecodeOptions

__all__ = ["open_runtime", "resolve_device"]

_INSTEAD = "use " + Option("device", "cpu") + " or " + Option("device", "auto")


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device of this name, tried out.

    Raises
    ------
    ConfigError
        If there is no such device, or it cannot be used here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(Option("device", str(device)) + f" cannot be used here ({reason}); " + _INSTEAD) from error
    if found.type == "meta":
        raise ConfigError(Option("device", "meta") + " holds no numbers; " + _INSTEAD)
    return found


class _Torch:
    name, precision = "torch", "float32"

    def __init__(self, model: LoadedModel, device: torch.device) -> None:
        self.device, self._architecture = device, model.architecture
        self._module = model.module.to(device).eval()

    def run(self, images: Float32, sizes: Sequence[tuple[int, int]]) -> Any:
        more = (list(sizes),) if self._architecture.sized else ()
        with torch.inference_mode(), _same_convolutions():
            try:
                return self._module(torch.from_numpy(images).to(self.device), *more)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()  # what is left may do for fewer images
                raise

    def decode(
        self, outputs: Any, frames: Sequence[Frame], classes: tuple[str, ...], options: DecodeOptions
    ) -> list[Instances]:
        with torch.inference_mode():
            return self._architecture.decode(outputs, frames, classes, options)


def open_runtime(model: LoadedModel, device: str | torch.device) -> _Torch:
    """Return what computes a module, on a device."""
    return _Torch(model, resolve_device(device))


@contextmanager
def _same_convolutions() -> Iterator[None]:
    """Let cuDNN always take the same convolution: the fastest by measuring would depend on the clock, not on the
    input.

    (`torch.backends.cudnn.flags` would also undo what the person chose for float32's precision.)
    """
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark, cudnn.deterministic = False, True
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before
