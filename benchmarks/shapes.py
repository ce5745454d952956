"""200 + 50 synthetic scenes of three shapes at 256 px, a few minutes from scratch: validation mask AP.

python benchmarks/shapes.py --model swift --set size=s --time 5m --out runs/shapes
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import torch

import apiece
from apiece.datasets.synthetic import SceneConfig, write_dataset
from apiece.training.config import parse_settings

SHAPES = SceneConfig(size=(256, 256), classes=("washer", "pill", "nut"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="swift")
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--time", default="5m")
    parser.add_argument("--batch", type=int, default=None)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(folder, train=200, val=50, config=SHAPES)
        result = apiece.train(
            data=folder, model=options.model, model_settings=parse_settings(options.set), max_time=options.time,
            batch=options.batch, out=options.out, overwrite=True,
        )  # fmt: skip
    images = result.steps * (options.batch or 8)
    print(
        f"{options.model} {' '.join(options.set)}: mask AP {result.metrics['mask_ap']:.3f}, AP50 "
        f"{result.metrics['mask_ap50']:.3f} after {result.seconds:.0f} s, {result.steps} steps, {images} images "
        f"({torch.get_num_threads()} threads of {os.cpu_count()} cores)"
    )


if __name__ == "__main__":
    main()
