"""Train the head that answers clicks, over the frozen encoder of the default weights; go on where it was stopped.

python -m recipes.click_weights.train --run RUN --hours 0.7 --data RUN/scenes=2 --data DATA/nuclei=1 ...

A second call with the same ``--run`` goes on. Every ``--save`` minutes, and when the process is asked to end (SIGTERM),
it writes its state and ``RUN/head.safetensors``, the averaged weights. ``--begin`` takes the weights of an earlier
head, as when the encoder has been trained on.

Each step looks at some objects (`crops.py`) and clicks several times on each: first on the object, then in the middle
of the largest error. Before the first click there may be a box, a poor mask, or what the default model sees there; from
the second on there mostly is the mask of the click before.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from apiece.models import ClickHead, click_features, load_model
from apiece.models.swift import FORM, form_values
from recipes.click_weights.asked import Asked
from recipes.click_weights.crops import Crops
from recipes.click_weights.head_file import fill_head, save_head
from recipes.loop import Learner, arguments, learn

_SHAPES = ((192, 10, 0.7), (256, 8, 0.3))  # side of the looks, looks, share of the steps
_CLICKS = 3  # on each object
_WARMUP, _CLIP, _AVERAGE = 200, 5.0, 0.998


class Run(Learner):
    """The head, learning over the default model's encoder."""

    def __init__(self, folder: Path, begin: Path | None, seed: int) -> None:
        self.seed = seed
        self.swift = load_model("default").module.to(memory_format=torch.channels_last).requires_grad_(False)
        torch.manual_seed(seed)
        head = ClickHead().to(memory_format=torch.channels_last)
        if begin is not None:
            fill_head(head, begin)
        super().__init__(folder, head, {"seed": seed}, _WARMUP, _CLIP, _AVERAGE)

    def save(self) -> None:
        """Write the state, and the averaged head."""
        super().save()
        about = {"recipe": "recipes/click_weights", "seed": self.seed, "step": self.state.step}
        about |= {"seconds": round(self.state.seconds), "licence": "Apache-2.0"}
        save_head(self.folder / "head.safetensors", self.average.module, self.swift, about)

    def step(self, crops: Crops, progress: float) -> dict[str, float]:
        """Learn from the clicks on some objects; return the IoU and the loss after each click."""
        sides, counts, shares = zip(*_SHAPES, strict=True)
        rng = np.random.default_rng([self.seed, 0xC11C, self.state.step])
        kind = rng.choice(len(_SHAPES), p=shares)
        looks = [crops.look(self.state.step, slot, sides[kind]) for slot in range(counts[kind])]
        images = torch.from_numpy(np.stack([look.pixels for look in looks])).contiguous(
            memory_format=torch.channels_last
        )
        target, inside = (torch.from_numpy(np.stack(a)) for a in ([c.target for c in looks], [c.inside for c in looks]))
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            levels = click_features(self.swift, images)
        asked = [Asked(look, rng) for look in looks]
        for one, guess in zip(asked, self._guesses(images, asked), strict=True):
            one.begin(guess)
        self.begin(progress)
        told: dict[str, float] = {}
        for click in range(_CLICKS):
            maps = torch.from_numpy(np.stack([one.maps() for one in asked]))
            with torch.autocast("cpu", torch.bfloat16):
                logits = self.module(levels, maps.contiguous(memory_format=torch.channels_last))
            loss = _loss(logits, target, inside)
            (loss / _CLICKS).backward()
            drawn = logits.detach().sigmoid()
            told[f"loss{click}"], told[f"iou{click}"] = float(loss.detach()), float(_iou(drawn, target, inside).mean())
            for one, found in zip(asked, drawn.numpy(), strict=True):
                one.click(found)
        self.end()
        return told

    @torch.no_grad()
    def _guesses(self, images: Tensor, asked: list[Asked]) -> list[np.ndarray | None]:
        """Return what the default model sees at the first click of those that begin with it, as chances of cells."""
        which = [k for k, one in enumerate(asked) if one.guessed]
        guesses: list[np.ndarray | None] = [None] * len(asked)
        if which:
            with torch.autocast("cpu", torch.bfloat16):
                out = self.swift(images[which])
            for row, k in enumerate(which):
                guesses[k] = seen_at({name: value[row] for name, value in out.items()}, asked[k].points[0])
        return guesses


def seen_at(out: dict[str, Tensor], cell: np.ndarray) -> np.ndarray | None:
    """Return the default model's best mask at a cell, as chances; None where it has none."""
    x, y = (2.0 * cell + 1).tolist()
    boxes, logits = out["boxes"].float(), out["logits"][:, 0] + out["quality"][:, 0]
    holds = (boxes[:, 0] < x) & (boxes[:, 1] < y) & (boxes[:, 2] > x) & (boxes[:, 3] > y)
    best = int(torch.where(holds, logits, -torch.inf).argmax())
    if not holds[best]:
        return None
    kernel, maps = out["kernels"][best].float(), out["features"].float()
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in maps.shape[1:]), indexing="ij")
    box = boxes[best].expand(rows.numel(), 4)
    form = form_values(2 * columns.flatten() + 1, 2 * rows.flatten() + 1, box).clamp(-9, 9) @ kernel[-FORM:]
    chance = (torch.einsum("khw,k->hw", maps, kernel[:-FORM]) + form.view(rows.shape)).sigmoid()
    x0, y0, x1, y1 = (boxes[best] / 2).tolist()
    margin = 0.1 * max(x1 - x0, y1 - y0) + 1
    near = (columns > x0 - margin) & (columns < x1 + margin) & (rows > y0 - margin) & (rows < y1 + margin)
    return (chance * near).numpy()


def _loss(logits: Tensor, target: Tensor, inside: Tensor) -> Tensor:
    """Return cross-entropy, most of it where the object and its surroundings are in doubt, and Dice."""
    each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    chance = logits.sigmoid()
    doubt = (chance.detach() - target).abs() * inside + 0.02 * inside
    cross = (each * doubt).sum((1, 2)) / doubt.sum((1, 2)).clamp(min=1.0)
    both = (chance * target * inside).sum((1, 2))
    dice = 1 - (2 * both + 1) / ((chance * inside).sum((1, 2)) + (target * inside).sum((1, 2)) + 1)
    return (cross + dice).mean()


def _iou(drawn: Tensor, target: Tensor, inside: Tensor) -> Tensor:
    a, b = (drawn >= 0.5) & (inside > 0.5), (target >= 0.5) & (inside > 0.5)
    return (a & b).sum((1, 2)) / (a | b).sum((1, 2)).clamp(min=1)


def main() -> None:
    parser = arguments(__doc__, hours=0.7)
    parser.add_argument("--begin", type=Path, help="head to begin with, of any encoder (default: random weights)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.run.mkdir(parents=True, exist_ok=True)
    run, crops = Run(options.run, options.begin, options.seed), Crops(options.data, options.seed)
    learn(run, lambda progress: run.step(crops, progress), options.hours, {run.save: options.save}, until=options.until)


if __name__ == "__main__":
    main()
