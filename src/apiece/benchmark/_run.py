"""`run`: train each model within the budget, then measure all of them one at a time, and write what was found."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from apiece import models
from apiece._atomic import write_text
from apiece._limits import cores
from apiece.benchmark._data import validation_images
from apiece.benchmark._processes import Outcome, Task, finished, run_tasks
from apiece.benchmark.config import BenchmarkConfig, Entry
from apiece.benchmark.page import write_page
from apiece.benchmark.rows import Row, pareto, row, write_csv, write_json
from apiece.datasets.dataset import fingerprint
from apiece.errors import ApieceError, ConfigError, ModelFileError, Option
from apiece.models.contract import is_name
from apiece.training.config import differences

__all__ = ["Plan", "Result", "Watch", "run"]

_PACKAGES = ("apiece", "torch", "torchvision", "timm", "lightning", "transformers", "numpy")
_ANEW = "another " + Option("out") + ", or " + Option("overwrite", True)
_MEASURING = 60.0  # seconds that measuring a model is thought to take


@dataclass(frozen=True)
class Plan:
    """Say what is about to happen.

    Attributes
    ----------
    train : names of the models that are trained, in their order.
    kept : names of the models trained by an earlier run of this benchmark, or before it.
    measured : how many of all were measured already.
    jobs : how many are trained at a time.
    budget : seconds for each.
    conditions : as they stand in ``benchmark.json``.
    """

    train: tuple[str, ...]
    kept: tuple[str, ...]
    measured: int
    jobs: int
    budget: float
    conditions: Mapping[str, Any]

    @property
    def seconds(self) -> float:
        """Seconds of training in all."""
        return -(-len(self.train) // self.jobs) * self.budget


@dataclass(frozen=True)
class Watch:
    """Hear of a benchmark while it runs; by default nobody does.

    Attributes
    ----------
    plan : called before anything begins.
    tick : called several times a second with ``"training"`` or ``"measuring"``, and the share of its time that has
        passed for each model at work.
    line : called with a sentence about a model as it finishes.
    """

    plan: Callable[[Plan], None] = lambda plan: None
    tick: Callable[[str, Mapping[str, float]], None] = lambda what, shares: None
    line: Callable[[str], None] = lambda text: None


@dataclass(frozen=True)
class Result:
    """Hold what a benchmark found.

    Attributes
    ----------
    rows : best mask AP first, failed ones last.
    conditions : the same for all.
    files : what was written.
    """

    rows: tuple[Row, ...]
    conditions: Mapping[str, Any]
    files: tuple[Path, ...]


def run(config: BenchmarkConfig, watch: Watch | None = None) -> Result:
    """Run a benchmark, or go on with the one in ``config.out``.

    A model that fails has a row that says why, and is tried again when the benchmark is started again.

    Raises
    ------
    ConfigError, UnknownNameError
        If a setting is out of range, or the folder holds a benchmark under other conditions.
    DataError, FormatError
        If there are no images to train on or to judge by.
    ModelFileError
        If a trained model is not there.
    """
    bench = _Benchmark(config, watch or Watch())
    bench.train()
    bench.measure()
    return bench.write()


class _Benchmark:
    """A benchmark at work: outcomes by name of model."""

    def __init__(self, config: BenchmarkConfig, watch: Watch) -> None:
        self.config, self.watch = config, watch
        self.trains = any(e.trained is None for e in config.entries)
        for entry in config.entries:
            _check(config, entry)
        self.conditions = _conditions(config, self.trains)
        if config.overwrite:
            _forget(config)
        _hold_conditions(config.out / "conditions.json", self.conditions)
        self.training: dict[str, Outcome] = {}
        self.judging: dict[str, Outcome] = {}
        self.waiting: list[Task] = []
        for task in [self._training(e) for e in config.entries if e.trained is None]:
            _refuse_other_settings(task)
            before = finished(task)
            if before is not None and before.result is not None and (task.file.parent / "model/model.json").is_file():
                self.training[task.name] = before
            else:
                self.waiting.append(task)
        self.watch.plan(self._plan())

    def _plan(self) -> Plan:
        names = {t.name for t in self.waiting}
        kept = tuple(e.name for e in self.config.entries if e.name not in names)
        measured = [e for e in self.config.entries if e.name in kept and self._measured(e) is not None]
        jobs, budget = self.config.jobs, self.config.seconds
        return Plan(tuple(t.name for t in self.waiting), kept, len(measured), jobs, budget, self.conditions)

    # --- training -----------------------------------------------------------------------------------------------------

    def _training(self, entry: Entry) -> Task:
        config, folder = self.config, self.config.out / entry.folder
        settings = config.training(entry).to_dict()
        key = {**{k: settings[k] for k in ("model", "model_settings", "imgsz")}, "conditions": self.conditions}
        told = {"stage": "train", "config": settings}
        limit = config.seconds + float(config.overtime)
        return Task(
            entry.name, folder / "training.json", folder / "training.log", key, told, config.train_threads,
            config.seconds, limit,
        )  # fmt: skip

    def train(self) -> None:
        """Train the models that are not trained yet."""

        def done(task: Task, outcome: Outcome) -> None:
            self.training[task.name] = outcome
            self.watch.line(f"{task.name}: {_trained_words(outcome)}")

        run_tasks(self.waiting, self.config.jobs, done, lambda shares: self.watch.tick("training", shares))

    # --- measuring ----------------------------------------------------------------------------------------------------

    def _model_folder(self, entry: Entry) -> Path:
        return entry.trained or self.config.out / entry.folder / "model"

    def _judging(self, entry: Entry) -> Task:
        config, folder, model = self.config, self.config.out / entry.folder, self._model_folder(entry)
        key = {"model": _checksum(model), "conditions": self.conditions}
        told = {
            "stage": "judge", "model": str(model), "config": config.common.to_dict(), "trains": self.trains,
            "timed": config.timed, "device": config.device,
        }  # fmt: skip
        return Task(
            entry.name, folder / "measured.json", folder / "measured.log", key, told, config.predict_threads,
            _MEASURING, float(config.overtime),
        )  # fmt: skip

    def _measured(self, entry: Entry) -> Outcome | None:
        before = finished(self._judging(entry))
        return before if before is not None and before.result is not None else None

    def measure(self) -> None:
        """Measure every model that there is, one at a time; results of an earlier run are kept."""
        tasks = []
        for entry in self.config.entries:
            trained = self.training.get(entry.name)
            if entry.trained is None and (trained is None or trained.result is None):
                continue
            before = self._measured(entry)
            if before is not None:
                self.judging[entry.name] = before
            else:
                tasks.append(self._judging(entry))

        def done(task: Task, outcome: Outcome) -> None:
            self.judging[task.name] = outcome
            self.watch.line(f"{task.name}: {_judged_words(outcome)}")
            self.write()

        self.write()
        run_tasks(tasks, 1, done, lambda shares: self.watch.tick("measuring", shares))

    # --- results ------------------------------------------------------------------------------------------------------

    def write(self) -> Result:
        """Write everything that is known so far."""
        rows = [
            row(e, self._model_folder(e), self.training.get(e.name), self.judging.get(e.name))
            for e in self.config.entries
        ]
        best = {r.model for r in pareto(rows)}
        rows = [replace(r, pareto=r.model in best) for r in rows]
        rows.sort(key=lambda r: (("done", "waiting", "failed").index(r.status), -(r.mask_ap or 0.0)))
        out = self.config.out
        files = (out / "benchmark.json", out / "benchmark.csv", out / "benchmark.html")
        write_json(files[0], rows, self.conditions)
        write_csv(files[1], rows)
        write_page(files[2], rows, self.conditions)
        return Result(tuple(rows), self.conditions, files)


def _check(config: BenchmarkConfig, entry: Entry) -> None:
    """Refuse now what would fail when its turn comes; what only its own process can tell is left to that."""
    from apiece.training.config import build_model_config

    if entry.trained is not None:
        if not entry.trained.is_dir() and not is_name(entry.trained):
            raise ModelFileError(entry.trained, "does not exist; a trained model is a folder with model.json")
        return
    try:
        architecture = models.load(entry.architecture)
        config.training(entry).with_defaults(architecture)
        build_model_config(architecture, entry.architecture, entry.settings)
    except ImportError:
        return  # such as a missing extra: its row says what to install
    except ApieceError as error:
        raise ConfigError(f"{entry.name}: " + error.message) from error


def _conditions(config: BenchmarkConfig, trains: bool) -> dict[str, Any]:
    """Return what is the same for every model, JSON-able."""
    from apiece.predict import resolve_device
    from apiece.training import Hardware, open_splits

    truth = validation_images(config.common, trains)
    data: dict[str, Any] = {
        "name": config.data.name, "classes": list(truth.classes), "val_images": len(truth),
        "val_fingerprint": fingerprint(truth),
    }  # fmt: skip
    training: dict[str, Any] | None = None
    if trains:
        hardware, learned = Hardware.choose(config.common), open_splits(config.common)[0]
        data |= {"train_images": len(learned), "train_fingerprint": fingerprint(learned)}
        training = {
            "budget_seconds": config.seconds, "seed": config.seed, "jobs": config.jobs,
            "threads": config.train_threads, "workers": config.workers, "device": str(hardware.device),
            "precision": hardware.precision,
        }  # fmt: skip
    prediction = {
        "threads": config.predict_threads, "device": str(resolve_device(config.device)), "precision": "32-true",
        "images_timed": len(truth.refs[:: max(1, -(-len(truth) // config.timed))]),
    }  # fmt: skip
    machine = {"cores": cores(), "processor": _processor(), "system": platform.system(), "gpu": _gpu(prediction)}
    installed = {d.name.lower(): d.version for d in importlib.metadata.distributions() if d.name}
    versions = {"python": platform.python_version(), **{n: installed[n] for n in _PACKAGES if n in installed}}
    return {
        "data": data, "training": training, "prediction": prediction, "machine": machine, "versions": versions,
    }  # fmt: skip


def _gpu(prediction: Mapping[str, Any]) -> str | None:
    if not prediction["device"].startswith("cuda"):
        return None
    import torch

    return torch.cuda.get_device_name(prediction["device"])


def _processor() -> str:
    """Return the processor's name, as Linux says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _forget(config: BenchmarkConfig) -> None:
    """Remove what an earlier run of this benchmark would go on with."""
    (config.out / "conditions.json").unlink(missing_ok=True)
    for entry in config.entries:
        for name in ("training.json", "measured.json", "model/model.json", "model/last/state.safetensors"):
            (config.out / entry.folder / name).unlink(missing_ok=True)


def _hold_conditions(path: Path, conditions: Mapping[str, Any]) -> None:
    """Write the conditions, or refuse: numbers made under other conditions do not go into one table."""
    if path.is_file():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigError(f"{path} cannot be read ({error}); give " + _ANEW) from error
        if told := differences(before, conditions):
            raise ConfigError(f"{path.parent} holds a benchmark under other conditions ({told}); give " + _ANEW)
    write_text(path, json.dumps(conditions, indent=2))


def _refuse_other_settings(task: Task) -> None:
    """Refuse to throw away a model that was trained with other settings."""
    try:
        content = json.loads(task.file.read_text(encoding="utf-8"))
        before = dict(content["key"]) if "result" in content else None
    except (OSError, ValueError, KeyError, TypeError):
        return
    if before is not None and (told := differences(before, task.key)):
        raise ConfigError(
            f"{task.name} was trained in {task.file.parent} otherwise ({told}); give it a name of its own "
            f"({task.key['model']}:NAME), or " + _ANEW
        )


def _checksum(model: Path) -> str:
    """Return the checksum of the model's tensors from its description; empty where there is none."""
    try:
        return str(json.loads((model / "model.json").read_text(encoding="utf-8"))["tensors"]["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _trained_words(outcome: Outcome) -> str:
    found = outcome.result
    if found is None:
        return f"training failed: {outcome.error}"
    rate = f", {found['train_images_per_second']:.1f} images/s" if found["train_images_per_second"] else ""
    ap = f", validation mask AP {found['val_mask_ap']:.3f}" if found["val_mask_ap"] is not None else ""
    return f"{found['steps']:,} steps in {found['train_seconds'] / 60:.1f} min{rate}{ap}"


def _judged_words(outcome: Outcome) -> str:
    found = outcome.result
    if found is None:
        return f"measuring failed: {outcome.error}"
    ap = found.get("mask_ap")
    shown = "no mask AP (nothing to find)" if ap is None else f"mask AP {ap:.3f}"
    return f"{shown}, {found['latency_ms']:,.0f} ms, {found['parameters'] / 1e6:.1f} M parameters"
