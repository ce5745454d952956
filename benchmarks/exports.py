"""Every architecture on every target: does the exported network answer as the original?

python benchmarks/exports.py                           # a table in Markdown
python benchmarks/exports.py --int8                    # 8-bit integers as well
python benchmarks/exports.py --only solo mask_rcnn

Networks are as `train` makes them, with random weights; the score threshold is set so that about 30 objects come out of
the first image. Random masks are a hard case: their outlines are long, and many values lie near the threshold.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

import apiece
from apiece import export, models
from apiece.datasets import AnythingConfig, any_scene
from apiece.errors import ConfigError
from apiece.models import ModelInput, save_model
from apiece.predict import Model

HEAD = ("architecture", "target", "images of", "objects", "mask IoU", "by one only", "score", "times as fast")
WANTED = 30
"""Objects of the first image."""


def photos(folder: Path, count: int) -> list[Path]:
    """Drawn scenes of two shapes."""
    made = []
    for seed in range(count):
        pixels = any_scene(AnythingConfig((256, 256)), seed)[0].pixels
        made.append(folder / f"{seed}.png")
        cv2.imwrite(str(made[-1]), pixels[: 160 if seed % 2 else None, :, ::-1])
    return made


def random_model(name: str, folder: Path, image: Path) -> Path:
    """A model folder with random weights, whose thresholds give about `WANTED` objects on the image."""
    torch.manual_seed(0)
    architecture, spec = models.load(name), ModelInput(3, imgsz=256)
    known = {field.name for field in dataclasses.fields(architecture.config)}
    config = architecture.config(**({"conf": 0.001} if "conf" in known else {}))
    module = architecture.build(config, spec, 2).eval()
    wake(module)
    given = {"architecture": name, "config": config, "input": spec, "classes": ("a", "b")}
    save_model(folder, module, **given)
    scores = np.sort(Model(models.load_model(folder), "cpu").predict(image, conf=0.0).scores)[::-1]
    lowest = float(scores[min(WANTED, len(scores)) - 1]) if len(scores) else 0.5
    save_model(folder, module, **given, thresholds=(lowest, lowest))
    return folder


def wake(module: torch.nn.Module) -> None:
    """Let masks of random weights be neither empty nor whole."""
    for name, values in module.named_parameters():
        if name.endswith("mask_fcn_logits.bias"):
            torch.nn.init.ones_(values)
        elif name.startswith("maps.") and values.ndim == 4 and len(values) == 2 * 16 * 16:  # the last layer of `solo`
            torch.nn.init.normal_(values, std=0.5)


def rows(names: list[str], targets: list[str], count: int, int8: bool) -> Iterator[tuple[str, ...]]:
    """A line for each architecture, target and precision."""
    for name in names:
        with tempfile.TemporaryDirectory() as work:
            images = photos(Path(work), count)
            model = random_model(name, Path(work) / "model", images[0])
            try:
                made = export.export_to(
                    model, Path(work) / "out", targets, photos=images, int8=int8, allow_unequal=True
                )
            except ConfigError as error:
                yield (f"`{name}`", f"refused: {str(error).partition(': ')[2]}", *[""] * (len(HEAD) - 2))
                continue
            for one in made:
                parity, graph = one.parity, apiece.load(one.folder).loaded.graph
                before, after = parity.milliseconds
                yield (
                    f"`{name}`", one.folder.name, "any size" if graph.size is None else "one size",
                    str(sum(image.original for image in parity.images)), f"{parity.iou:.4f}", f"{parity.alone:.1%}",
                    f"{max(image.score for image in parity.images):.0e}", f"{before / after:.1f}",
                )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(models.names()))
    parser.add_argument("--targets", nargs="+", default=["onnx", "openvino"])
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--int8", action="store_true")
    options = parser.parse_args()
    logging.getLogger("apiece").setLevel(logging.ERROR)
    print(f"| {' | '.join(HEAD)} |", f"| {' | '.join(['---'] * len(HEAD))} |", sep="\n", flush=True)
    for row in rows(options.only, options.targets, options.images, options.int8):
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
