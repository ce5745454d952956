"""The process that one model is trained or measured in: ``python -m apiece.benchmark._child TASK``.

``TASK`` is a JSON object: ``stage``, ``file`` for the result, ``key`` that goes into it, and the stage's own settings.
The process ends when its standard input does, so that it does not outlive a benchmark that was killed.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from apiece._atomic import write_text
from apiece.benchmark._gauges import Memory, Others, whole_peak
from apiece.benchmark.rows import MASK_AP
from apiece.errors import ApieceError

if TYPE_CHECKING:
    from apiece.metrics import Number

_WARM_UP = 3  # images before the clock runs, at least
_TIMES = 20  # timings, at least: few images are gone through several times


def main(task: Mapping[str, Any]) -> None:
    """Do one stage and write its outcome: ``{"key", "result"}`` with the names of `Row`, or ``{"key", "error"}``."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    stages = {"train": _train, "judge": _judge, "runtime": _runtime}
    try:
        if task["stage"] != "runtime":  # a runtime may do without torch, and takes the environment's threads
            _set_threads(task["threads"])
        outcome: dict[str, Any] = {"result": stages[task["stage"]](task)}
    except ApieceError as error:
        outcome = {"error": str(error)}
    except Exception as error:  # a row of the table says why, whatever it was
        traceback.print_exc()
        outcome = {"error": f"{type(error).__name__}: {error}"}
    write_text(Path(task["file"]), json.dumps({"key": task["key"], **outcome}, indent=2))


def _end_with_parent() -> None:
    # the descriptor itself: a data-loader process forked meanwhile would inherit the lock of sys.stdin
    while os.read(0, 1):
        pass
    os._exit(3)


def _set_threads(threads: int) -> None:
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def _gpu_peak() -> float | None:
    """Return the most memory that tensors took on the GPU, in MB; None without one."""
    import torch

    used = float(torch.cuda.max_memory_allocated())  # 0 where CUDA was never touched
    return used / 1e6 if used else None


# ---------------------------------------------------------------- training


def _train(task: Mapping[str, Any]) -> dict[str, Any]:
    from apiece.models import load_model
    from apiece.training.config import TrainConfig
    from apiece.training.device import Hardware
    from apiece.training.trainer import fit

    config = TrainConfig.from_dict(task["config"])
    goes_on = (config.folder / "last" / "state.safetensors").is_file()
    config = TrainConfig.from_dict({**config.to_dict(), "resume": goes_on, "overwrite": not goes_on})
    gauge = Memory()
    made = fit(config)
    rate = throughput(made.folder / "log.csv")
    return {
        "steps": made.steps,
        "best_step": made.best_step,
        "train_seconds": made.seconds,
        "batch": made.batch,
        "train_images_per_second": None if rate is None else rate * made.batch,
        "val_mask_ap": made.metrics.get("mask_ap"),
        "train_memory_mb": gauge.peak,
        "train_gpu_memory_mb": _gpu_peak(),
        "imgsz": load_model(made.folder).input.imgsz,
        "precision": Hardware.choose(config).precision,
    }


def throughput(log: Path) -> float | None:
    """Return steps per second between the first and last row of ``log.csv``, without validation; None with one row."""
    with log.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    steps = [i for i, row in enumerate(rows) if row["loss"]]
    if len(steps) < 2:
        return None
    first, last = steps[0], steps[-1]
    validating = sum(float(row["val_seconds"]) for row in rows[first:last] if row["val_seconds"])
    seconds = float(rows[last]["seconds"]) - float(rows[first]["seconds"]) - validating
    taken = int(rows[last]["step"]) - int(rows[first]["step"])
    return taken / seconds if seconds > 0 and taken > 0 else None


# ---------------------------------------------------------------- measuring


def _judge(task: Mapping[str, Any]) -> dict[str, Any]:
    """Measure latency and memory of prediction first, while nothing else is in memory; then accuracy."""
    from apiece.benchmark._data import validation_images
    from apiece.datasets import class_counts
    from apiece.evaluation import evaluate
    from apiece.models import LoadedModel
    from apiece.predict import load
    from apiece.training.config import TrainConfig

    truth = validation_images(TrainConfig.from_dict(task["config"]), task["trains"])
    every = max(1, -(-len(truth) // task["timed"]))
    paths = [ref.path for ref in truth.refs[::every]]
    gauge = Memory()
    model = load(task["model"], device=task["device"])
    milliseconds, others = _latency(model, paths)
    memory, on_gpu = gauge.peak, _gpu_peak()
    most = int(class_counts(truth.labels).data.max(initial=0))  # COCO's limit of 100 would leave objects out
    result = evaluate(model, truth, max_dets=tuple({1, 10, 100, max(100, most)}))
    loaded = model.loaded
    assert isinstance(loaded, LoadedModel)
    return {
        "architecture": loaded.name,
        "kind": loaded.architecture.kind,
        "parameters": sum(p.numel() for p in loaded.module.parameters()),
        "imgsz": loaded.input.imgsz,
        "latency_ms": float(np.median(milliseconds)),
        "latency_p90_ms": float(np.percentile(milliseconds, 90)),
        "timings": len(milliseconds),
        "others_cores": others,
        "predict_memory_mb": memory,
        "predict_gpu_memory_mb": on_gpu,
        **{key: _known(result.number(key)) for key in result.about},
        "per_class": {name: {key: _known(result.number(key, name)) for key in MASK_AP} for name in result.per_class},
    }


def _runtime(task: Mapping[str, Any]) -> dict[str, Any]:
    """Measure an exported model, or one on torch: start, latency, and memory of the whole process."""
    from apiece.predict import load

    paths = [Path(path) for path in task["images"]]
    begin = time.perf_counter()
    model = load(task["model"], device="cpu")
    model.predict(paths[0])
    start = 1e3 * (time.perf_counter() - begin)
    milliseconds, others = _latency(model, paths)
    median, p90 = np.percentile(milliseconds, [50, 90])
    found = {"milliseconds": median, "p90": p90, "memory_mb": whole_peak(), "start_ms": start}
    return {**found, "others_cores": others}


def _known(number: Number) -> float | None:
    """Return the value; None where there was nothing to score."""
    return number.value if np.isfinite(number.value) else None


def _latency(model: Any, paths: list[Path]) -> tuple[list[float], float | None]:
    """Return milliseconds from image file to instances at its own size, image by image, and cores that others used."""
    for path in (paths * _WARM_UP)[:_WARM_UP]:
        model.predict(path)
    times, others = [], Others()
    for path in paths * -(-_TIMES // len(paths)):
        begin = time.perf_counter()
        model.predict(path)
        times.append(1e3 * (time.perf_counter() - begin))
    return times, others.cores


if __name__ == "__main__":
    import logging

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(json.loads(sys.argv[1]))
