"""A trained model on the nuclei of the 2018 Data Science Bowl: all validation images, and the fluorescence ones.

apiece train --data DATA/nuclei --model embedding --max-time 30m --out runs/nuclei
python benchmarks/nuclei.py --model runs/nuclei --data DATA/nuclei --worst worst/
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from apiece import load, metrics
from apiece.datasets.dataset import Dataset, Subset
from apiece.draw import overlay
from apiece.evaluation import evaluate, open_truth
from apiece.images import write_image


def report(name: str, result: metrics.Evaluation) -> None:
    print(
        f"{name:<14} {result.images:3d} images  mask AP {result['mask_ap']:.3f}  AP50 {result['mask_ap50']:.3f}  "
        f"AP-tau(0.5) pooled {result['ap_tau50']:.3f}, mean over images {result['ap_tau50_image']:.3f}  "
        f"AP-tau {result['ap_tau']:.3f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--worst", type=Path, help="folder for overlays of the ten worst images: truth left, found right"
    )
    options = parser.parse_args()
    model, truth = load(options.model), open_truth(options.data)
    print(f"{model}, thresholds {model.thresholds}")
    answers: list = []
    start = time.perf_counter()
    whole = evaluate(model, truth, watch=lambda _, answer: answers.append(answer))
    print(f"predicted, decoded twice and judged in {time.perf_counter() - start:.1f} s")
    report("all", whole)
    kinds = np.array([str(ref.attributes.get("modality", "")) for ref in truth.refs])
    chosen = np.flatnonzero(np.char.endswith(kinds, "gray_dark"))
    report("fluorescence", evaluate(model, Dataset(Subset(truth.labels, tuple(chosen.tolist())))))
    counts = whole.extras["ap_tau"]["counts"][0]
    score = counts[:, 0] / np.maximum(counts.sum(1), 1)
    for kind in sorted(set(kinds)):
        own = counts[kinds == kind]
        mean = (own[:, 0] / own.sum(1)).mean()
        print(f"  {kind:<24} {len(own):3d} images  {mean:.3f}  TP, FP, FN {own.sum(0).tolist()}")
    for rank, i in enumerate(np.argsort(score, kind="stable")[:10].tolist()):
        print(f"  worst {rank}: {truth.refs[i].name[:12]} {kinds[i]} {score[i]:.2f} TP, FP, FN {counts[i].tolist()}")
        if options.worst is not None:
            options.worst.mkdir(parents=True, exist_ok=True)
            image, wanted = truth[i]
            sides = [overlay(image, instances, fill=False, names=False) for instances in (wanted, answers[i])]
            write_image(options.worst / f"{rank}_{kinds[i]}.png", np.concatenate(sides, 1))


if __name__ == "__main__":
    main()
