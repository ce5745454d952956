"""Train apiece's default weights, on one core, and go on where it was stopped.

python -m recipes.default_weights.scenes --out RUN/scenes --count 3000
python -m recipes.default_weights.train --run RUN --hours 2 --data RUN/scenes=5 --data DATA/nuclei=1 ...

A second call with the same ``--run`` goes on; data, shares and hours may change. Every ``--save`` minutes, and when the
process is asked to end (SIGTERM), the state is written; every ``--model`` minutes a model folder, ``RUN/models/STEP``,
of the averaged weights. ``--begin`` takes the weights of an earlier model in place of random ones.
"""

from __future__ import annotations

from pathlib import Path

import torch

from apiece import models
from apiece.models import fill, open_checkpoint, save_model
from recipes.default_weights.mixture import CLASSES, INPUT, Mixture
from recipes.loop import Learner, arguments, learn

_WARMUP, _CLIP, _AVERAGE = 400, 10.0, 0.999


class Run(Learner):
    """The default model, learning."""

    def __init__(self, folder: Path, begin: str | None, size: str, seed: int) -> None:
        self.seed, self.first = seed, begin
        self.architecture = models.load("swift")
        self.config = self.architecture.config(size=size)
        torch.manual_seed(seed)
        module = self.architecture.build(self.config, INPUT, len(CLASSES)).to(memory_format=torch.channels_last)
        if begin is not None:
            fill(module, open_checkpoint(begin).tensors, begin)
        super().__init__(folder, module, {"size": size, "seed": seed}, _WARMUP, _CLIP, _AVERAGE)

    def save_model(self) -> None:
        """Write a model folder of the averaged weights."""
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
                **({} if self.first is None else {"begin": self.first}),
            },
        )

    def step(self, mixture: Mixture, progress: float) -> dict[str, float]:
        """Learn from one batch; return its losses."""
        images, found = mixture.batch(self.state.step)
        targets = [self.architecture.encode(instances, self.config) for instances in found]
        self.begin(progress)
        with torch.autocast("cpu", torch.bfloat16):
            images = images.contiguous(memory_format=torch.channels_last)
            losses = self.architecture.loss(self.module, images, targets)
        torch.stack([value.float() for value in losses.values()]).sum().backward()
        norm = self.end()
        return {name: float(value.detach()) for name, value in losses.items()} | {"gradient": float(norm)}


def main() -> None:
    parser = arguments(__doc__, hours=2.0)
    parser.add_argument("--begin", help="model folder, or default, to begin with (default: random weights)")
    parser.add_argument("--size", default="m", help="of swift (default m)")
    parser.add_argument("--model", type=float, default=12.0, help="minutes between saved models (default 12)")
    parser.add_argument("--anew", action="store_true", help="raise the learning rate again, and let it fall by the end")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.run.mkdir(parents=True, exist_ok=True)
    run, mixture = Run(options.run, options.begin, options.size, options.seed), Mixture(options.data, options.seed)
    often = {run.save: options.save, run.save_model: options.model}
    learn(
        run, lambda progress: run.step(mixture, progress), options.hours, often, until=options.until, anew=options.anew
    )


if __name__ == "__main__":
    main()
