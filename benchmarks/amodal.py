"""Whole objects learned from labels of what is visible, on held-back scenes whose full masks are known.

Trains `swift` with and without `amodal` for the same time on crowded synthetic scenes, with visible labels only. Prints
the IoU of full masks and of hidden parts for objects hidden by 20 to 70%, beside two baselines on the same predictions:
the visible mask as it is, and its convex hull; and what the second mask costs in visible AP.

python benchmarks/amodal.py --time 20m --out runs/amodal
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

import apiece
from apiece import Instances, Masks
from apiece.datasets.synthetic import SceneConfig, write_dataset
from apiece.evaluation import join, open_truth
from apiece.metrics import evaluate
from apiece.predict import Model

CROWDED = SceneConfig(
    size=(256, 256), classes=("washer", "pill", "nut"), objects=(14, 28), overlap=0.7, touching=0.9, seed=5
)
JUDGED = replace(CROWDED, seed=6)  # nothing in common with the scenes that training validates on
KEYS = ("amodal_partial_iou", "hidden_partial_iou", "amodal_ap", "hidden_ap50")


def hulls(found: Instances) -> Masks:
    """The convex hull of each visible mask."""
    crops, corners = found.masks.to_crops()
    drawn = []
    for crop in crops:
        out = np.zeros(crop.shape, np.uint8)
        points = np.argwhere(crop)[:, ::-1].astype(np.int32)
        if len(points):
            cv2.fillConvexPoly(out, cv2.convexHull(points), 1)
        drawn.append(out | crop)
    return Masks.from_crops(drawn, corners, found.size)


def judged(model: Model, data: Path, full: Callable[[Instances], Masks | None]) -> dict[str, float]:
    """Numbers of full masks that ``full`` gives for the model's predictions."""
    pairs = [
        (truth, ranked.replace(full=full(ranked))) for _, truth, ranked, _ in join(model, open_truth(data / "val.json"))
    ]
    return dict(evaluate(pairs, model.classes, metrics=["amodal", "coco"]).numbers)


def seconds(model: Model, images: list[np.ndarray]) -> float:
    """Median seconds of one prediction."""
    times = []
    for image in images:
        begin = time.process_time()
        model.predict(image)
        times.append(time.process_time() - begin)
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", default="20m")
    parser.add_argument("--size", default="s", help="of both, without --weights")
    parser.add_argument("--weights", help="what both begin with, such as default; they bring their own size")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=("plain", "amodal", "judge"), help="train one of the two, or judge both")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        write_dataset(data, train=300, val=20, config=CROWDED)  # the best step by fewer is a matter of luck
        for name in ("plain", "amodal") if options.only is None else {options.only} - {"judge"}:
            apiece.train(
                data=data, model="swift", weights=options.weights, max_time=options.time,
                model_settings={"amodal": name == "amodal"} | ({} if options.weights else {"size": options.size}),
                out=options.out / name, overwrite=True,
            )  # fmt: skip
        if options.only in ("plain", "amodal"):
            return
        write_dataset(data, train=1, val=80, config=JUDGED, full=True)
        plain, amodal = (apiece.load(options.out / name) for name in ("plain", "amodal"))
        rows = {
            "visible mask": judged(amodal, data, lambda found: None),
            "convex hull": judged(amodal, data, hulls),
            "amodal": judged(amodal, data, lambda found: found.full),
        }
        print(f"{'':16}" + "".join(f"{key:>20}" for key in KEYS))
        for name, numbers in rows.items():
            print(f"{name:16}" + "".join(f"{numbers[key]:>20.3f}" for key in KEYS))
        before, after = judged(plain, data, lambda found: None)["mask_ap"], rows["amodal"]["mask_ap"]
        print(f"visible mask AP: {before:.3f} without, {after:.3f} with --set amodal=true")
        images = [apiece.read_image(ref.path).pixels for ref in open_truth(data / "val.json").refs[:40]]
        without, with_full = seconds(plain, images), seconds(amodal, images)
        print(
            f"CPU time of one image: {without * 1e3:.0f} and {with_full * 1e3:.0f} ms, {with_full / without:.2f} times"
        )


if __name__ == "__main__":
    main()
