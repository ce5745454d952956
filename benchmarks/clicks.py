"""How many clicks an object takes: NoC@85, with simulated clicks, of every backend in one run.

    python benchmarks/clicks.py [--data DATA/many] [--backends grabcut,watershed,wand,click] [--objects 12]
    python benchmarks/clicks.py --backends grabcut,sam=hf:facebook/sam-vit-base,efficient_sam=models/esam

On each validation set, the objects are taken evenly from all images. The first click lies in the object, as far from
its border as possible; each further click lies in the same way in the larger of the two errors: missing or too much
(K. Sofiiuk et al., "Reviving iterative training with mask guidance for interactive segmentation", arXiv 2102.06583).
NoC@85 is the mean number of clicks until the IoU is 0.85; an object that does not reach it counts with --most clicks.
Times are processor time of one process. Memory is the process's peak so far, so name a heavy backend last. At the end
each backend is asked about an image of 1024 x 1024 pixels.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from apiece import Image, formats
from apiece.core.masks import Masks
from apiece.datasets import AnythingConfig, any_scene
from apiece.images import read_image
from apiece.predict import Prompter, Session

AIM = 0.85


def objects(folder: Path, most: int) -> Iterator[tuple[Image, Masks]]:
    """Yield images with some of their objects, evenly over all images of a set."""
    labels = formats.read(folder / "val.json")
    chosen = [(ref, found.masks[~found.crowd & (found.masks.area >= 64)]) for ref, found in labels]
    total = sum(len(masks) for _, masks in chosen)
    number, step = 0, max(total / most, 1)
    for ref, masks in chosen:
        mine = [k for k in range(len(masks)) if int((number + k) / step) != int((number + k - 1) / step)]
        number += len(masks)
        if mine:
            yield read_image(ref.path), masks[mine]


def inmost(error: np.ndarray) -> tuple[int, int]:
    """Return the column and row that lie farthest from the border of an area, and of the image."""
    depth = cv2.distanceTransform(np.pad(error, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(column), int(row)


def next_click(truth: np.ndarray, found: np.ndarray) -> tuple[tuple[int, int], bool]:
    """Return where a person would click next, and whether on the object."""
    missing, beyond = truth & ~found, found & ~truth
    areas = [cv2.connectedComponentsWithStats(e.astype(np.uint8), connectivity=8) for e in (missing, beyond)]
    largest = [stats[1:, cv2.CC_STAT_AREA].max(initial=0) for _, _, stats, _ in areas]
    positive = largest[0] >= largest[1]
    _, parts, stats, _ = areas[0 if positive else 1]
    return inmost(parts == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())), bool(positive)


def clicks_of(session: Session, mask: Masks, most: int, again: bool, seconds: list[float]) -> tuple[int, list[float]]:
    """Return the clicks until the aim, and the IoU after each."""
    truth = mask.to_dense()[0]
    found, before = np.zeros_like(truth), None
    points, signs, ious = [], [], []
    for _ in range(most):
        point, positive = next_click(truth, found)
        points.append(point)
        signs.append(positive)
        begin = time.process_time()
        answer = session.points(points, signs, masks=before)
        seconds.append(time.process_time() - begin)
        found = answer.masks.to_dense()[0]
        before = answer.masks if again else None
        ious.append(float((found & truth).sum() / (found | truth).sum()))
        if ious[-1] >= AIM:
            break
    return len(points), ious


def measure(spec: str, folders: list[Path], options: argparse.Namespace) -> dict[str, object]:
    """Return the numbers of one backend."""
    name, _, weights = spec.partition("=")
    prompter = Prompter(name, weights, device=options.device)
    rows, embed, seconds = {}, [], []
    first, fifth, reached, clicked = [], [], [], []
    for folder in folders:
        counts = []
        for image, masks in objects(folder, options.objects):
            session = prompter.session(image)
            prompter.segmenter  # noqa: B018  # opening it is no part of the embedding
            begin = time.process_time()
            session.embed()
            embed.append(time.process_time() - begin)
            for mask in masks:
                count, ious = clicks_of(session, mask, options.most, options.again, seconds)
                counts.append(count)
                first.append(ious[0])
                fifth.append(max(ious[:5]))
                reached.append(max(ious) >= AIM)
        rows[folder.name] = float(np.mean(counts))
        clicked += counts
        print(f"{spec} {folder.name}: {rows[folder.name]:.2f} clicks, {len(counts)} objects", file=sys.stderr)
    return {
        "backend": spec,
        "objects": len(clicked),
        "noc85": float(np.mean(list(rows.values()))),
        "not reached": 1 - float(np.mean(reached)),
        "iou after 1": float(np.mean(first)),
        "best iou of 5": float(np.mean(fifth)),
        "ms per click": 1000 * float(np.median(seconds)),
        "ms to embed": 1000 * float(np.median(embed)),
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "sets": rows,
    }


def at_1024(spec: str, device: str, clicks: int = 15) -> dict[str, float]:
    """Return the processor time of the embedding of an image of 1024 x 1024 pixels, and of a click on it."""
    name, _, weights = spec.partition("=")
    drawn = any_scene(AnythingConfig((1024, 1024), 0), 3)
    prompter = Prompter(name, weights, device=device)
    rng = np.random.default_rng(0)
    embed, click = [], []
    for _ in range(3):
        session = prompter.session(drawn[0])
        prompter.segmenter  # noqa: B018
        begin = time.process_time()
        session.embed()
        embed.append(time.process_time() - begin)
    for which in rng.integers(len(drawn[1]), size=clicks):
        column, row = inmost(drawn[1].masks[[which]].to_dense()[0])
        begin = time.process_time()
        session.points([(column, row)])
        click.append(time.process_time() - begin)
    return {"1024 px: ms to embed": 1000 * float(np.median(embed)), "ms per click": 1000 * float(np.median(click))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("APIECE_DATA", ".")) / "many")
    parser.add_argument("--backends", default="grabcut,watershed,wand,click")
    parser.add_argument("--objects", type=int, default=12, help="objects of each set")
    parser.add_argument("--most", type=int, default=20, help="clicks of an object")
    parser.add_argument("--again", action="store_true", help="give the mask before back with each click")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folders = sorted(path.parent for path in options.data.glob("*/val.json"))
    specs = options.backends.split(",")
    found = [measure(spec, folders, options) | {"large": at_1024(spec, options.device)} for spec in specs]
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for row in found:
        print(
            ", ".join(
                f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}"
                for k, v in row.items()
                if k not in ("sets", "large")
            )
        )
        large = ", ".join(f"{name} {value:.0f}" for name, value in row["large"].items())  # type: ignore[attr-defined]
        print(f"   {large}")
        print("   " + ", ".join(f"{name} {value:.1f}" for name, value in row["sets"].items()))  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
