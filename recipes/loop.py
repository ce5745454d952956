"""What the recipes have in common: a network that learns step by step, and goes on where it was stopped."""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from apiece.training._schedule import Average, learning_rate, parameter_groups
from apiece.training.checkpoint import RunState, read_state, restore, write_state

_LR, _DECAY = 2e-3, 2e-2


class Learner:
    """A network, the average of its weights, and where it stands; its state lies in a folder.

    Parameters
    ----------
    settings : of the run; a state of other settings is another run.
    warmup, clip, average : steps to the full learning rate; largest norm of the gradient; decay of the average.
    """

    def __init__(
        self, folder: Path, module: nn.Module, settings: dict[str, object], warmup: int, clip: float, average: float
    ) -> None:
        self.folder, self.module, self.warmup, self.clip = folder, module, warmup, clip
        self.average = Average(module, average)
        self.optimizer = torch.optim.AdamW(parameter_groups(module, _DECAY), lr=_LR)
        self.state = RunState(config=settings)
        if self._place.is_file():
            self.state, tensors = read_state(self._place)
            restore(self._place, tensors, module, self.average.module, self.optimizer)
            print(f"going on after step {self.state.step} and {self.state.seconds:.0f} s", flush=True)

    @property
    def _place(self) -> Path:
        return self.folder / "state.safetensors"

    def save(self) -> None:
        """Write the state."""
        write_state(self._place, self.state, self.module, self.average.module, self.optimizer)

    def begin(self, progress: float) -> None:
        """Set the learning rate of a step."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(_LR, self.state.step, self.warmup, progress)
        self.module.train()

    def end(self) -> Tensor:
        """Take the step that the gradients point to, and return their norm."""
        norm = torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.clip)
        if torch.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.state.step += 1
        self.average.update(self.module, self.state.step)
        return norm


def learn(
    learner: Learner,
    step: Callable[[float], dict[str, float]],
    hours: float,
    often: dict[Callable[[], None], float],
    *,
    until: float = float("inf"),
    anew: bool = False,
) -> None:
    """Take steps until ``hours`` are used up, those of earlier calls counted, or the process is asked to end.

    Parameters
    ----------
    step : takes one, at a share of the time from 0 to 1, and returns what to print.
    often : what to write, and each how many minutes; all of it at the end, too.
    until : minutes of this call at most.
    anew : the share of the time begins at 0 with this call.
    """
    state = learner.state
    earlier = state.seconds if anew else 0.0
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    begin = last = time.monotonic()
    written = dict.fromkeys(often, begin)
    sums: dict[str, float] = {}
    since = 0
    while (progress := (state.seconds - earlier) / (3600 * hours - earlier)) < 1 and not asked:
        told = step(progress)
        now = time.monotonic()
        state.seconds, last = state.seconds + now - last, now
        since += 1
        sums = {name: sums.get(name, 0.0) + value for name, value in told.items()}
        if since == 50:
            words = " ".join(f"{name} {value / since:.3f}" for name, value in sums.items())
            print(f"{state.step} {state.seconds:.0f}s {words}", flush=True)
            sums, since = {}, 0
        for write, minutes in often.items():
            if now - written[write] > 60 * minutes:
                write()
                written[write] = now
        if now - begin > 60 * until:
            break
    for write in often:
        write()


def arguments(description: str | None, hours: float) -> argparse.ArgumentParser:
    """Return the options that every recipe has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--data", type=_share, action="append", required=True, help="FOLDER=SHARE of the draws")
    parser.add_argument("--hours", type=float, default=hours, help=f"in all, earlier calls counted (default {hours})")
    parser.add_argument("--until", type=float, default=float("inf"), help="minutes of this call at most")
    parser.add_argument("--seed", type=int, default=0, help="of weights and draws (default 0)")
    parser.add_argument("--save", type=float, default=3.0, help="minutes between saved states (default 3)")
    return parser


def _share(text: str) -> tuple[Path, float]:
    path, _, share = text.partition("=")
    return Path(path), float(share or 1)
