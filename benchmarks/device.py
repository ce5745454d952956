"""Images a second on a GPU at 640 px, training and predicting: the share of its matrix rate, and where the time goes.

python benchmarks/device.py --models swift:s swift:m mask_rcnn
python benchmarks/device.py --device cpu --side 256 --batches 1 4 --no-compile

The roofline is what the device reaches on one large bf16 matrix product in the same run. Operations of the network are
counted by torch (a multiplication and an addition are two); a training step counts as three forward passes. What every
model makes of ten minutes is `apiece benchmark --models all --budget 10m`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from apiece import models
from apiece.datasets.dataset import Dataset, open_data
from apiece.datasets.synthetic import SceneConfig, write_dataset
from apiece.models.contract import Architecture, DecodeOptions, Frame, ModelInput
from apiece.training._data import Batch, CropSet, Draw, Store, collate
from apiece.training._schedule import parameter_groups

FORMS = {"float32": (False, False), "bf16": (True, False), "bf16 compiled": (True, True)}
"""Name to (autocast, compiled)."""


def seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median time of ``work``, after as many rounds of warming up as it takes to compile."""
    times = []
    for k in range(repeats + 3):
        wait(device)
        start = time.perf_counter()
        work()
        wait(device)
        if k >= 3:
            times.append(time.perf_counter() - start)
    return float(np.median(times))


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(device: torch.device, side: int, repeats: int) -> float:
    """Operations a second of one bf16 product of two square matrices."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / seconds(lambda: a @ b, device, repeats)


def operations(module: torch.nn.Module, images: torch.Tensor) -> int:
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        module(images)
    return int(counter.get_total_flops())


class Subject:
    """A model, and batches of scenes as it learns from them."""

    def __init__(self, name: str, data: Dataset, side: int, device: torch.device) -> None:
        kind, _, size = name.partition(":")
        self.name, self.side, self.device, self.data = name, side, device, data
        self.architecture: Architecture = models.load(kind)
        self.config = self.architecture.config(**({"size": size} if size else {}))
        spec = ModelInput(imgsz=side)
        store = Store(data, spec, 1e9)
        self.crops = CropSet(
            store, self.architecture.encode, self.config, crop=side, strength=1.0, upright=False, seed=0
        )

    def build(self, compiled: bool) -> torch.nn.Module:
        torch.manual_seed(0)
        module = self.architecture.build(self.config, ModelInput(imgsz=self.side), len(self.data.classes))
        module = module.to(self.device).to(memory_format=torch.channels_last)
        if compiled:
            module.compile()
        return module

    def batch(self, count: int) -> Batch:
        return collate([self.crops[Draw(0, i, i % len(self.data))] for i in range(count)]).to(self.device)


def inference(subject: Subject, count: int, form: str, rate: float, repeats: int) -> None:
    autocast, compiled = FORMS[form]
    module = subject.build(compiled).eval()
    images = subject.batch(count).images.contiguous(memory_format=torch.channels_last)
    frames = [Frame((subject.side, subject.side), (subject.side, subject.side))] * count
    options = DecodeOptions(conf=0.2)

    def network() -> object:
        with torch.inference_mode(), torch.autocast(subject.device.type, torch.bfloat16, enabled=autocast):
            return module(images)

    spent = seconds(network, subject.device, repeats)
    outputs = network()
    decoding = seconds(
        lambda: subject.architecture.decode(outputs, frames, subject.data.classes, options), subject.device, 1
    )
    share = count * operations(subject.build(False).eval(), images[:1]) / spent / rate
    print(
        f"{subject.name:<14} inference  batch {count:>3}  {form:<14} {count / spent:9.1f} images/s  "
        f"{share:6.1%} of the matrix rate  decoding {1000 * decoding / count:.1f} ms an image",
        flush=True,
    )


def training(subject: Subject, count: int, form: str, rate: float, repeats: int) -> None:
    autocast, compiled = FORMS[form]
    module = subject.build(compiled).train()
    made = subject.batch(count)
    images = made.images.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(parameter_groups(module, 0.02), lr=1e-4)

    def step() -> None:
        with torch.autocast(subject.device.type, torch.bfloat16, enabled=autocast):
            total = sum(subject.architecture.loss(module, images, made.targets).values())
        total.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    spent = seconds(step, subject.device, repeats)
    share = 3 * count * operations(subject.build(False).eval(), images[:1]) / spent / rate
    print(
        f"{subject.name:<14} training   batch {count:>3}  {form:<14} {count / spent:9.1f} images/s  "
        f"{share:6.1%} of the matrix rate",
        flush=True,
    )
    if form == "bf16":
        where(step, subject.device)


def where(step: Callable[[], None], device: torch.device) -> None:
    """The ten operations that take most of a step."""
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    with profile(activities=activities) as seen:
        step()
        wait(device)
    by = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    rows = sorted(seen.key_averages(), key=lambda row: -getattr(row, by))
    total = sum(getattr(row, by) for row in rows)
    for row in rows[:10]:
        print(f"    {getattr(row, by) / total:6.1%}  {row.count:>6} calls  {row.key[:80]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["swift:s", "swift:m", "swift:l", "mask_rcnn"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--side", type=int, default=640)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--matrix", type=int, default=8192, help="side of the matrices whose product is the roofline")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.backends.cudnn.benchmark = True
    rate = matrix_rate(device, options.matrix, options.repeats)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    print(f"{name}: {rate / 1e12:.1f} TFLOP/s on bf16 matrices of {options.matrix} x {options.matrix}")
    with tempfile.TemporaryDirectory() as folder:
        scenes = SceneConfig(size=(options.side,) * 2, objects=(10, 40), radius=(16.0, 48.0))
        write_dataset(folder, train=max(8, min(32, *options.batches)), val=1, config=scenes)
        data = open_data(Path(folder))["train"]
        for entry in options.models:
            subject = Subject(entry, data, options.side, device)
            for form in [f for f in FORMS if not (options.no_compile and FORMS[f][1])]:
                for count in options.batches:
                    inference(subject, count, form, rate, options.repeats)
                    training(subject, count, form, rate, options.repeats)


if __name__ == "__main__":
    main()
