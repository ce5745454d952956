"""Train apiece's default weights: from random weights, on one core, and go on where it was stopped.

python recipes/default_weights/scenes.py --out RUN/scenes --count 3000
python recipes/default_weights/train.py --run RUN --hours 2 --data RUN/scenes=5 --data DATA/nuclei=1 ...

A second call with the same ``--run`` goes on; data, shares and hours may change. Every ``--save`` minutes, and when the
process is asked to end (SIGTERM), the state is written; every ``--model`` minutes a model folder, ``RUN/models/STEP``,
of the averaged weights.
"""

from __future__ import annotations

import argparse
import signal
import time
from pathlib import Path

import torch
from mixture import CLASSES, INPUT, Mixture

from apiece import models
from apiece.models import save_model
from apiece.training._schedule import Average, learning_rate, parameter_groups
from apiece.training.checkpoint import RunState, read_state, restore, write_state

_LR, _WARMUP, _DECAY, _CLIP, _AVERAGE = 2e-3, 400, 2e-2, 10.0, 0.999


class Run:
    """What learns, and where it stands."""

    def __init__(self, folder: Path, size: str, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.architecture = models.load("swift")
        self.config = self.architecture.config(size=size)
        torch.manual_seed(seed)
        module = self.architecture.build(self.config, INPUT, len(CLASSES))
        self.module = module.to(memory_format=torch.channels_last)
        self.average = Average(self.module, _AVERAGE)
        self.optimizer = torch.optim.AdamW(parameter_groups(self.module, _DECAY), lr=_LR)
        self.state = RunState(config={"size": size, "seed": seed})
        if self.place.is_file():
            self.state, tensors = read_state(self.place)
            restore(self.place, tensors, self.module, self.average.module, self.optimizer)
            print(f"going on after step {self.state.step} and {self.state.seconds:.0f} s", flush=True)

    @property
    def place(self) -> Path:
        return self.folder / "state.safetensors"

    def save(self) -> None:
        write_state(self.place, self.state, self.module, self.average.module, self.optimizer)

    def save_model(self) -> None:
        save_model(
            self.folder / "models" / f"{self.state.step:06d}",
            self.average.module,
            architecture="swift",
            config=self.config,
            input=INPUT,
            classes=CLASSES,
            one_piece=(True,),
            provenance={
                "recipe": "recipes/default_weights",
                "seed": self.seed,
                "step": self.state.step,
                "seconds": round(self.state.seconds),
            },
        )

    def step(self, mixture: Mixture, progress: float) -> dict[str, float]:
        """Learn from one batch; return its losses."""
        images, found = mixture.batch(self.state.step)
        targets = [self.architecture.encode(instances, self.config) for instances in found]
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(_LR, self.state.step, _WARMUP, progress)
        self.module.train()
        with torch.autocast("cpu", torch.bfloat16):
            images = images.contiguous(memory_format=torch.channels_last)
            losses = self.architecture.loss(self.module, images, targets)
        torch.stack([value.float() for value in losses.values()]).sum().backward()
        norm = torch.nn.utils.clip_grad_norm_(self.module.parameters(), _CLIP)
        if torch.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.state.step += 1
        self.average.update(self.module, self.state.step)
        return {name: float(value.detach()) for name, value in losses.items()} | {"gradient": float(norm)}


def train(run: Run, mixture: Mixture, hours: float, save: float, model: float, anew: bool) -> None:
    """Learn until ``hours`` are used up, those of earlier calls counted, or until the process is asked to end."""
    begin = run.state.seconds if anew else 0.0
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    last = saved = shown = time.monotonic()
    sums: dict[str, float] = {}
    since = 0
    while (progress := (run.state.seconds - begin) / (3600 * hours - begin)) < 1:
        losses = run.step(mixture, progress)
        now = time.monotonic()
        run.state.seconds, last = run.state.seconds + now - last, now
        since += 1
        sums = {name: sums.get(name, 0.0) + value for name, value in losses.items()}
        if since == 100:
            words = " ".join(f"{name} {value / since:.3f}" for name, value in sums.items())
            print(f"{run.state.step} {run.state.seconds:.0f}s {words}", flush=True)
            sums, since = {}, 0
        if now - saved > 60 * save:
            run.save()
            saved = now
        if now - shown > 60 * model:
            run.save_model()
            shown = now
        if asked:
            break
    run.save()
    run.save_model()


def _share(text: str) -> tuple[Path, float]:
    path, _, share = text.partition("=")
    return Path(path), float(share or 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--data", type=_share, action="append", required=True, help="FOLDER=SHARE of the draws")
    parser.add_argument("--hours", type=float, default=2.0, help="time in all, earlier calls counted (default 2)")
    parser.add_argument("--size", default="m", help="of swift (default m)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and draws (default 0)")
    parser.add_argument("--save", type=float, default=3.0, help="minutes between saved states (default 3)")
    parser.add_argument("--model", type=float, default=12.0, help="minutes between saved models (default 12)")
    parser.add_argument("--anew", action="store_true", help="raise the learning rate again, and let it fall by the end")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.run.mkdir(parents=True, exist_ok=True)
    train(
        Run(options.run, options.size, options.seed),
        Mixture(options.data, options.seed),
        options.hours,
        options.save,
        options.model,
        options.anew,
    )


if __name__ == "__main__":
    main()
