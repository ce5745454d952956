"""Every architecture on every target: does the exported network answer as the original?

python benchmarks/exports.py                           # a table in Markdown
python benchmarks/exports.py --int8                    # 8-bit integers as well
python benchmarks/exports.py --only solo mask_rcnn
python benchmarks/exports.py --only mask2former rf_detr detr_mask embedding --learn 300

Networks are as `train` makes them, with random weights; the score threshold is set so that about 30 objects come out of
the first image. Random masks are a hard case: their outlines are long, and many values lie near the threshold. Where
random weights give no masks, `--learn` takes so many steps on the images themselves first, which then show bright
discs; the table says how many of the discs the original finds.
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
from apiece import Image, Instances, Masks, export, models
from apiece.datasets import AnythingConfig, any_scene
from apiece.errors import ConfigError
from apiece.models import ModelInput, save_model
from apiece.ops import iou
from apiece.predict import Model
from apiece.transforms.input import prepare

HEAD = ("architecture", "target", "images of", "objects", "discs", "mask IoU", "by one only", "score", "times as fast")
WANTED = 30
"""Objects of the first image."""
SIDE = 128
"""Of the scenes of discs."""


def photos(folder: Path, count: int, scenes: list[tuple[Image, Instances]] | None) -> list[Path]:
    """The scenes, or drawn ones, as files: whole, every second one as a part of another shape too."""
    made = []
    for seed in range(count):
        pixels = scenes[seed][0].pixels if scenes else any_scene(AnythingConfig((256, 256)), seed)[0].pixels
        parts = [pixels, pixels[: 5 * len(pixels) // 8]] if seed % 2 else [pixels]
        for k, part in enumerate(parts):
            made.append(folder / f"{seed}-{k}.png")
            cv2.imwrite(str(made[-1]), np.ascontiguousarray(part[:, :, ::-1]))
    return made


def discs(count: int, side: int = SIDE) -> list[tuple[Image, Instances]]:
    """Scenes of bright discs that do not touch, and their masks."""
    rng, made = np.random.default_rng(0), []
    for _ in range(count):
        labels = np.zeros((side, side), np.int32)
        for k, (row, column) in enumerate(np.ndindex(2, 3)):
            middle = (21 + 42 * column + int(rng.integers(-5, 6)), 32 + 64 * row + int(rng.integers(-8, 9)))
            cv2.circle(labels, middle, int(rng.integers(9, 15)), k + 1, -1)
        pixels = np.clip(rng.normal(60, 12, (side, side, 3)) + 120 * (labels > 0)[:, :, None], 0, 255)
        masks = Masks.from_label_map(labels)
        made.append((Image(pixels.astype(np.uint8)), Instances(masks, np.zeros(len(masks), np.int64), ("a", "b"))))
    return made


def learn(module: torch.nn.Module, name: str, scenes: list[tuple[Image, Instances]], spec: ModelInput, steps: int):
    """Take so many steps on all of a few scenes."""
    architecture, config = models.load(name), module.config
    images = torch.from_numpy(np.stack([prepare(image, spec, architecture.stride)[0] for image, _ in scenes]))
    targets = [architecture.encode(truth, config) for _, truth in scenes]
    optimiser = torch.optim.AdamW(module.parameters(), lr=architecture.defaults.get("lr", 1e-3))
    module.train()
    for _ in range(steps):
        optimiser.zero_grad()
        sum(architecture.loss(module, images, targets).values()).backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
    module.eval()


def made_model(name: str, folder: Path, scenes: list[tuple[Image, Instances]], image: Path, steps: int) -> Path:
    """A model folder, whose thresholds give about `WANTED` objects on the image; of learned ones, as many as discs."""
    torch.manual_seed(0)
    architecture, spec = models.load(name), ModelInput(3, imgsz=SIDE if steps else 256)
    known = {field.name for field in dataclasses.fields(architecture.config)}
    config = architecture.config(**({"conf": 0.001} if "conf" in known else {}))
    module = architecture.build(config, spec, 2)
    if steps:
        learn(module, name, scenes, spec, steps)
    else:
        wake(module)
    module.eval()
    wanted = len(scenes[0][1]) if steps else WANTED
    given = {"architecture": name, "config": config, "input": spec, "classes": ("a", "b")}
    save_model(folder, module, **given)
    scores = np.sort(Model(models.load_model(folder), "cpu").predict(image, conf=0.0).scores)[::-1]
    lowest = float(scores[min(wanted, len(scores)) - 1]) if len(scores) else 0.5
    save_model(folder, module, **given, thresholds=(lowest, lowest))
    return folder


def found_discs(model: Path, scenes: list[tuple[Image, Instances]]) -> str:
    """How many discs a model finds, with an IoU of 0.5 or more, of how many there are."""
    original, right = apiece.load(model, device="cpu"), 0
    for image, truth in scenes:
        found = original.predict(image)
        right += int((iou(truth.masks, found.masks).max(axis=1).toarray() >= 0.5).sum()) if len(found) else 0
    return f"{right} of {sum(len(truth) for _, truth in scenes)}"


def wake(module: torch.nn.Module) -> None:
    """Let masks of random weights be neither empty nor whole."""
    for name, values in module.named_parameters():
        if name.endswith("mask_fcn_logits.bias"):
            torch.nn.init.ones_(values)
        elif name.startswith("maps.") and values.ndim == 4 and len(values) == 2 * 16 * 16:  # the last layer of `solo`
            torch.nn.init.normal_(values, std=0.5)


def rows(names: list[str], targets: list[str], count: int, int8: bool, steps: int) -> Iterator[tuple[str, ...]]:
    """A line for each architecture, target and precision."""
    scenes = discs(count)
    for name in names:
        with tempfile.TemporaryDirectory() as work:
            images = photos(Path(work), count, scenes if steps else None)
            model = made_model(name, Path(work) / "model", scenes, images[0], steps)
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
                    str(sum(image.original for image in parity.images)), found_discs(model, scenes) if steps else "-",
                    f"{parity.iou:.4f}", f"{parity.alone:.1%}",
                    f"{max(image.score for image in parity.images):.0e}", f"{before / after:.1f}",
                )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(models.names()))
    parser.add_argument("--targets", nargs="+", default=["onnx", "openvino"])
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--int8", action="store_true")
    parser.add_argument("--learn", type=int, default=0, metavar="STEPS")
    options = parser.parse_args()
    logging.getLogger("apiece").setLevel(logging.ERROR)
    print(f"| {' | '.join(HEAD)} |", f"| {' | '.join(['---'] * len(HEAD))} |", sep="\n", flush=True)
    for row in rows(options.only, options.targets, options.images, options.int8, options.learn):
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
