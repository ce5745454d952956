"""Training throughput: images a second at 256 px, batch 16, crops and augmentation apart from the network.

python benchmarks/throughput.py --models swift:s mask_rcnn
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from apiece import models
from apiece.datasets.dataset import open_data
from apiece.datasets.synthetic import SceneConfig, write_dataset
from apiece.models.contract import Architecture, ModelInput
from apiece.training._data import CropSet, Draw, Store, collate
from apiece.training._schedule import Average, parameter_groups


def measure(name: str, settings: dict[str, str], folder: Path, batch: int, side: int, steps: int) -> None:
    architecture: Architecture = models.load(name)
    config = architecture.config(**settings)
    data = open_data(folder)["train"]
    torch.manual_seed(0)
    module = architecture.build(config, ModelInput(), len(data.classes)).to(memory_format=torch.channels_last).train()
    crops = CropSet(
        Store(data, ModelInput(), 1e9), architecture.encode, config, crop=side, strength=1.0, upright=False, seed=0
    )
    crops.store.preload()
    start = time.perf_counter()
    batches = [collate([crops[Draw(k, i, (k * batch + i) % len(data))] for i in range(batch)]) for k in range(4)]
    making = (time.perf_counter() - start) / (4 * batch)
    optimizer = torch.optim.AdamW(parameter_groups(module, 0.02), lr=1e-3)
    average = Average(module, 0.998)
    times = []
    for step in range(steps + 2):
        made = batches[step % len(batches)]
        images = made.images.contiguous(memory_format=torch.channels_last)
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            total = sum(architecture.loss(module, images, made.targets).values())
        total.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(module, step)
        times.append(time.perf_counter() - start)
    median = float(np.median(times[2:]))
    count = sum(p.numel() for p in module.parameters()) / 1e6
    print(
        f"{name} {settings or ''}: {count:.2f} million parameters, {batch / median:.1f} images/s in the step, crops "
        f"{1 / making:.0f} a second in one loader process",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["swift:s", "swift:m", "mask_rcnn"], help="name or name:size")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(folder, train=64, val=1, config=SceneConfig(size=(options.size,) * 2))
        for entry in options.models:
            name, _, size = entry.partition(":")
            measure(name, {"size": size} if size else {}, Path(folder), options.batch, options.size, options.steps)


if __name__ == "__main__":
    main()
