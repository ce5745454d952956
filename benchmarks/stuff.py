"""What stuff costs `swift`: CPU time of a prediction with and without the semantic branch, network and decoding.

    python benchmarks/stuff.py [--size s] [--side 640] [--classes 10] [--runs 9]

The networks have random weights, and the same ones but for the branch. Both are decoded from the same answer for
objects: discs drawn into it, on a map of stuff that is as ragged as a street scene. Medians; one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import cv2
import numpy as np
import torch

from apiece import models
from apiece.models.contract import Architecture, DecodeOptions, Frame, ModelInput

OBJECTS = 40


def network(architecture: Architecture, size: str, classes: int, stuff: int) -> Any:
    """Return `swift` with random weights; the first ``stuff`` classes are stuff."""
    torch.manual_seed(0)
    spec = ModelInput(3, mean=(0.0,) * 3, std=(1.0,) * 3)
    config = architecture.config(size=size, stuff=tuple(range(stuff)))
    module = architecture.build(config, spec, classes).eval()
    return module.to(memory_format=torch.channels_last)


def answer(out: dict[str, torch.Tensor], side: int, stuff: int, classes: int) -> dict[str, torch.Tensor]:
    """Return outputs in which as many objects are found as there are in a busy photo, and regions of stuff."""
    rng = np.random.default_rng(0)
    found = {name: values.clone() for name, values in out.items()}
    found["logits"][:] = -9.0
    chosen = rng.choice(found["logits"].shape[1], OBJECTS, replace=False)
    found["logits"][0, chosen, rng.integers(stuff, classes, OBJECTS)] = 4.0
    found["quality"][:] = 4.0
    middle, reach = rng.uniform(0, side, (OBJECTS, 2)), rng.uniform(10, 60, (OBJECTS, 2))
    found["boxes"][0, chosen] = torch.from_numpy(np.concatenate([middle - reach, middle + reach], 1)).float()
    if "semantic" in found:
        noise = rng.normal(size=found["semantic"].shape[1:]).astype(np.float32)
        found["semantic"][0] = torch.from_numpy(np.stack([cv2.GaussianBlur(n, (0, 0), 8) * 80 for n in noise]))
    return found


def main() -> None:
    """Print both medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="s")
    parser.add_argument("--side", type=int, default=640)
    parser.add_argument("--classes", type=int, default=10, help="of stuff, and as many of objects")
    parser.add_argument("--runs", type=int, default=9)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    architecture, classes = models.load("swift"), 2 * asked.classes
    image = torch.rand(1, 3, asked.side, asked.side).contiguous(memory_format=torch.channels_last)
    frames, names = [Frame((asked.side, asked.side), (asked.side, asked.side))], tuple(map(str, range(classes)))
    kinds = {kind: network(architecture, asked.size, classes, stuff) for kind, stuff in
             (("instances", 0), ("panoptic", asked.classes))}  # fmt: skip
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    with torch.inference_mode():
        ready = {kind: answer(module(image), asked.side, asked.classes, classes) for kind, module in kinds.items()}
        for run in range(asked.runs + 1):  # the first is not counted
            for kind, module in kinds.items():
                begun = time.process_time()
                module(image)
                (found,) = architecture.decode(ready[kind], frames, names, DecodeOptions(conf=0.3))
                if run:
                    seconds[kind].append(time.process_time() - begun)
                counted = len(found)
                assert counted >= asked.classes, f"{kind}: {counted} instances"
    medians = {kind: statistics.median(values) for kind, values in seconds.items()}
    for kind, value in medians.items():
        print(f"{kind:10} {value * 1000:7.1f} ms")
    print(f"panoptic / instances: {medians['panoptic'] / medians['instances']:.2f}")


if __name__ == "__main__":
    main()
