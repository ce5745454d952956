"""2,000 objects of 5 classes on 2048 x 2048: what models find without a limit, beside the best that limits allow.

Trains each model from scratch on scenes of 512 x 512 that are as dense, one after the other, then predicts large scenes
whole. Beside them stands a bound that is no model: the truth itself, cut to the 300 objects that raise the score most.
No model of 300 queries, and no detector that returns 300 boxes, can be better.

python benchmarks/dense.py --out runs/dense --time 20m
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

import apiece
from apiece import Instances
from apiece.datasets.synthetic import SceneConfig, SyntheticSet, write_dataset

SCENE = SceneConfig(size=(2048, 2048), objects=(2000, 2000), radius=(9, 20), overlap=0.2, seed=31)
PART = replace(SCENE, size=(512, 512), objects=(110, 140))
HELD_BACK = 1_000_000_000  # the first scene to judge by, which nothing learns from
MODELS = {"swift": {"size": "s"}, "embedding": {}}  # settings of each
CAP = 300  # objects in one answer
EVERYTHING = 1 << 20  # predictions of a class in one image that count: all
COLUMNS = {
    "found of 2,000": "confusion_recall",
    "right of predicted": "confusion_precision",
    "mask AP": "mask_ap",
    "AP50": "mask_ap50",
    "count off by": "count_error_rate",
}


def capped(truth: Instances, rarest_first: np.ndarray) -> Instances:
    """The 300 objects that raise the mean over classes most: those of the rarest class, then of the next."""
    place = np.argsort(rarest_first)[truth.labels]
    chosen = truth[np.sort(np.argsort(place, kind="stable")[:CAP])]
    return chosen.replace(scores=np.ones(len(chosen)))


def judged(pairs: Iterable[tuple[Instances, ...]]) -> str:
    """Return a row of numbers of truths, ranked predictions and final answers, none of them left out."""
    found = apiece.metrics.evaluate(pairs, metrics=["coco", "confusion", "counts"], max_dets=[EVERYTHING])
    return "".join(f"{found[key]:20.3f}" for key in COLUMNS.values())


def train(options: argparse.Namespace) -> None:
    """Train each model on small scenes that are as dense as the large ones."""
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(folder, train=160, val=4, config=PART)
        for name in options.models:
            made = apiece.train(
                data=folder, model=name, model_settings=MODELS[name], imgsz="native", max_time=options.time,
                out=options.out / name, overwrite=True, workers=0,
            )  # fmt: skip
            print(f"{name}: {made.steps} steps")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--time", default="20m", help="of each training")
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--judge", action="store_true", help="judge the models that are in OUT; train none")
    options = parser.parse_args()
    if not options.judge:
        train(options)
    scenes = list(SyntheticSet(SCENE, options.scenes, HELD_BACK))
    print(f"{'':24}" + "".join(f"{name:>20}" for name in COLUMNS))
    totals = sum(np.bincount(truth.labels, minlength=len(truth.classes)) for _, truth in scenes)
    best = [capped(truth, np.argsort(totals)) for _, truth in scenes]
    print(f"{'best 300 of the truth':24}" + judged((truth, b) for (_, truth), b in zip(scenes, best, strict=True)))
    for name in options.models:
        model = apiece.load(options.out / name)
        begin = time.process_time()
        answers = [model.predict_at(image, [0.05, None]) for image, _ in scenes]
        seconds = (time.process_time() - begin) / len(scenes)
        print(f"{name:24}" + judged((truth, *answer) for (_, truth), answer in zip(scenes, answers, strict=True)))
        print(f"{'':24}{seconds:.1f} s of CPU time a scene, {[len(answer) for _, answer in answers]} objects")
    print(f"most memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB")


if __name__ == "__main__":
    main()
