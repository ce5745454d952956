"""The state that a killed run resumes from: one safetensors file, what is not a tensor as JSON in its header.

Written beside itself and renamed, so that a kill at any moment leaves a whole file. Reading runs no code from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from apiece._atomic import atomic
from apiece.errors import ModelFileError, Option

__all__ = ["STATE", "RunState", "read_state", "restore", "write_state"]

STATE = Path("last") / "state.safetensors"
"""Where in a run's folder the state is that ``resume`` goes on from."""

_KEY = "apiece_train_state"
_VERSION = 1
ANEW = Option("overwrite", True)
"""What begins a run anew."""


@dataclass
class RunState:
    """Where a run is, apart from its tensors."""

    step: int = 0  # steps taken
    seconds: float = 0.0  # time used
    micro: int = 1  # crops that go through the network at once; shrinks when memory runs out
    best: float = -1.0  # best validation mask AP so far, -1 before the first validation
    best_step: int = 0  # the step it was reached at
    stale: int = 0  # validations since then
    validated: float = 0.0  # seconds at the end of the last validation
    cost: float = 0.0  # seconds that the last validation took
    skipped: int = 0  # steps in a row whose gradient was not finite
    config: dict[str, Any] = field(default_factory=dict)  # effective settings of the run
    fingerprint: str = ""  # of the data


def write_state(
    path: Path, state: RunState, module: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write everything that `restore` needs to ``path``, atomically."""
    tensors = {f"model.{k}": v for k, v in module.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in values.items() if isinstance(v, Tensor)}
    # weights that share memory would be refused, and channels-last ones too: each is written as a plain copy
    plain = {k: v.detach().cpu().clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}
    with atomic(path) as scratch:
        save_file(plain, scratch, metadata={_KEY: json.dumps({"version": _VERSION, **asdict(state)})})


def read_state(path: Path) -> tuple[RunState, dict[str, Tensor]]:
    """Return the state and its tensors; a file that is absent, damaged or of another version is refused."""
    if not path.is_file():
        raise ModelFileError(path, "there is no saved state to resume from; start without " + Option("resume"))
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
        if header.pop("version") != _VERSION or set(header) != {f.name for f in fields(RunState)}:
            raise ModelFileError(path, "this state was written by another version of apiece; start anew with " + ANEW)
        return RunState(**header), tensors
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(path, f"cannot resume from this file ({error}); start anew with " + ANEW) from error


def restore(
    path: Path, tensors: Mapping[str, Tensor], module: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Put the tensors of `read_state` back where they were; tensors that do not fit the module are refused."""
    try:
        for name, target in (("model.", module), ("average.", average)):
            target.load_state_dict({k.removeprefix(name): v for k, v in tensors.items() if k.startswith(name)})
        saved: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".", 2)
                saved.setdefault(int(index), {})[name] = value
        optimizer.load_state_dict({"state": saved, "param_groups": optimizer.state_dict()["param_groups"]})
    except (RuntimeError, ValueError, KeyError) as error:
        raise ModelFileError(path, f"this state does not fit the model: {error}") from error
