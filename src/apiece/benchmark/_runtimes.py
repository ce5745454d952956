"""One model on several runtimes: speed and memory of each in a process of its own, and how its answers differ."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apiece.benchmark._processes import Outcome, Task, run_tasks
from apiece.datasets import AnythingConfig, Dataset, any_scene
from apiece.errors import ConfigError, Option
from apiece.export import Exported, export_to
from apiece.export import names as targets
from apiece.images import write_image
from apiece.predict import find_sources

__all__ = ["RuntimeRow", "compare_runtimes"]

TORCH = "torch"
_TIMED = 16  # images, at most
_SCENES, _SCENE = 4, (480, 640)  # drawn where no images are given
_LIMIT = 1800.0  # seconds of measuring


@dataclass(frozen=True)
class RuntimeRow:
    """Say how a model does on one runtime.

    Attributes
    ----------
    runtime, precision : such as ``"onnx"`` and ``"int8"``.
    milliseconds, p90 : from an image file to instances at its own size, median and 90th percentile.
    memory_mb : the most memory that a process which loads the model and predicts has taken, in MB.
    start_ms : from the begin of loading to the first answer.
    others_cores : cores that other programs kept busy meanwhile: above 0.25 times are too long.
    iou, alone : how its answers differ from torch's, see `apiece.export.Parity`; 1 and 0 for torch itself.
    mask_ap : where the images have labels.
    error : why there are no numbers; empty: there are.
    """

    runtime: str
    precision: str = "float32"
    milliseconds: float | None = None
    p90: float | None = None
    memory_mb: float | None = None
    start_ms: float | None = None
    others_cores: float | None = None
    iou: float = 1.0
    alone: float = 0.0
    mask_ap: float | None = None
    error: str = ""


def compare_runtimes(
    model: str,
    runtimes: Sequence[str],
    *,
    data: Dataset | None = None,
    photos: Sequence[str | Path] = (),
    int8: bool = False,
    bf16: bool = False,
    step: Callable[[str], None] = lambda what: None,
) -> list[RuntimeRow]:
    """Return how one model does on several runtimes, on the same images, one after the other.

    Parameters
    ----------
    model : model folder, or published weights, as `apiece.load` takes them.
    runtimes : ``"torch"`` and targets of `apiece.export`.
    data : labelled images, whose labels give the accuracy; ``photos``: others; without both, scenes are drawn.
    int8, bf16 : as for `apiece.export.export_to`.
    step : called with what is done next.

    Raises
    ------
    ConfigError, UnknownNameError
        If the model cannot be exported, or a runtime is unknown.

    Examples
    --------
    >>> from apiece.benchmark import compare_runtimes
    >>> rows = compare_runtimes("runs/bolts", ["torch", "onnx"], photos=["line/"])  # doctest: +SKIP
    >>> [(row.runtime, round(row.milliseconds)) for row in rows]  # doctest: +SKIP
    [('torch', 81), ('onnx', 43)]
    """
    wanted = [name for name in runtimes if name != TORCH]
    if not wanted:
        known = ", ".join((TORCH, *targets()))
        raise ConfigError("name a runtime beside torch with " + Option("runtimes", ...) + f", of {known}")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        photos = photos if data is not None or photos else _scenes(work / "scenes")
        made = export_to(
            model, work / "out", wanted, data=data, photos=photos, int8=int8, bf16=bf16,
            allow_unequal=True, step=step,
        )  # fmt: skip
        paths = _paths(data, photos)
        folders: dict[str, str] = {TORCH: model} if TORCH in runtimes else {}
        folders |= {one.folder.name: str(one.folder) for one in made}
        step("measuring each in a process of its own")
        measured = _measured(folders, paths, work)
        return [_row(name, measured[name], made) for name in folders]


def _scenes(folder: Path) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{seed}.png" for seed in range(_SCENES)]
    for seed, path in enumerate(paths):
        write_image(path, any_scene(AnythingConfig(_SCENE), seed)[0].pixels)
    return paths


def _paths(data: Dataset | None, photos: Sequence[str | Path]) -> list[str]:
    """Return the images that are timed: spread evenly over those that there are."""
    found = (
        [ref.path for ref in data.refs]
        if data is not None
        else [source.path for source in find_sources([str(path) for path in photos])]
    )
    return [str(path) for path in found[:: -(-len(found) // _TIMED)] if path is not None]


def _measured(folders: dict[str, str], paths: list[str], work: Path) -> dict[str, Outcome]:
    threads, found = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1), dict[str, Outcome]()
    tasks = [
        Task(
            name, work / f"{name}.json", work / f"{name}.log", {},
            {"stage": "runtime", "model": folder, "images": paths}, threads, 60.0, _LIMIT,
        )
        for name, folder in folders.items()
    ]  # fmt: skip
    run_tasks(tasks, 1, lambda task, outcome: found.update({task.name: outcome}), lambda shares: None)
    return found


def _row(name: str, outcome: Outcome, made: Sequence[Exported]) -> RuntimeRow:
    numbers: dict[str, Any] = dict(outcome.result or {})
    one = next((one for one in made if one.folder.name == name), None)
    ap = made[0].parity.mask_ap
    if one is None:
        return RuntimeRow(TORCH, mask_ap=None if ap is None else ap[0], error=outcome.error, **numbers)
    parity = one.parity
    return RuntimeRow(
        one.target, one.precision, iou=parity.iou, alone=parity.alone, error=outcome.error,
        mask_ap=None if parity.mask_ap is None else parity.mask_ap[1], **numbers,
    )  # fmt: skip
