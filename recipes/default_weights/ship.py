"""Choose among a run's saved models, on images held back from training, and write the one that ships with apiece.

python -m recipes.default_weights.ship --run RUN --data DATA/nuclei --data DATA/many/bottles ... --out FOLDER

For each model: mask AP50 without classes, the mean over the sets. The threshold is the one of the highest mean F1.
Weights are stored as float16. The sets' own ``val`` is never looked at.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from apiece.datasets import Dataset
from apiece.evaluation import LOWEST
from apiece.metrics import Evaluation, evaluate, f1, sweep
from apiece.models import load_model, save_model
from apiece.predict import Model, load
from recipes.default_weights.mixture import CLASSES, as_objects, halves

_SURE = 0.02  # a threshold in steps of this, so that it says no more than the few images do


def judged(model: Model, data: Dataset, most: int) -> Evaluation:
    """Judge a model on up to ``most`` images of a set, without classes."""
    step = -(-len(data) // most)
    pairs = (
        (as_objects(truth), model.predict(image, conf=LOWEST))
        for image, truth in (data[i] for i in range(0, len(data), step))
    )
    return evaluate(pairs, CLASSES, kinds=["mask"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--data", type=Path, action="append", required=True, help="a set that the run learned from")
    parser.add_argument("--last", type=int, default=2, help="models to choose from, the last ones (default 2)")
    parser.add_argument("--most", type=int, default=12, help="images of a set (default 12)")
    parser.add_argument("--out", type=Path, help="folder to write; by default nothing is written")
    options = parser.parse_args()
    held = {folder.name: halves(folder)[1] for folder in options.data}
    found = {}
    for folder in sorted((options.run / "models").iterdir())[-options.last :]:
        model = load(folder, "cpu")
        results = {name: judged(model, data, options.most) for name, data in held.items()}
        ap50 = {name: round(float(result["mask_ap50"]), 3) for name, result in results.items()}
        quality = np.mean([f1(sweep(result.matches, _steps()).counts[0]) for result in results.values()], axis=0)
        found[folder] = float(np.mean(list(ap50.values()))), round(float(_steps()[quality.argmax()]), 2), ap50
        print(f"{folder.name} AP50 {found[folder][0]:.3f} threshold {found[folder][1]:.2f}", ap50, flush=True)
    best = max(found, key=lambda folder: found[folder][0])
    if options.out is not None:
        _write(best, options.out, *found[best])


def _steps() -> np.ndarray:
    return np.arange(0.1, 0.8, _SURE)


def _write(folder: Path, out: Path, mean: float, threshold: float, ap50: dict[str, float]) -> None:
    model = load_model(folder)
    save_model(
        out,
        model.module,
        architecture=model.name,
        config=model.config,
        input=model.input,
        classes=model.classes,
        thresholds=(threshold,),
        one_piece=model.one_piece,
        provenance={**model.provenance, "weights": {"source": "random", "licence": "Apache-2.0"}},
        metrics={"held_out_mask_ap50": round(mean, 4), "held_out_mask_ap50_by_set": ap50},
        half=True,
    )
    print(f"{folder} is in {out}", flush=True)


if __name__ == "__main__":
    main()
