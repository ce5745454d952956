"""`fit`: from labelled images to a model folder, in one path that reads from top to bottom.

The run's folder holds the best model by validation mask AP (``model.safetensors``, ``model.json``), ``config.yaml``
with the settings in effect, ``log.csv``, ``tensorboard/``, ``losses.png``, ``ap.png``, and in ``last/`` the state to
resume from.
"""

from __future__ import annotations

import importlib.metadata
import logging
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor

from apiece import models
from apiece._arrays import Int
from apiece._atomic import atomic
from apiece.datasets import class_counts, split
from apiece.datasets.dataset import BadEntries, Dataset, fingerprint, open_data, readable
from apiece.errors import ConfigError, DataError, ModelFileError, Option
from apiece.models import load_model, save_model
from apiece.models.contract import Architecture
from apiece.training._data import (
    CropSet,
    Order,
    Store,
    collate,
    quiet_worker,
    repeat_factors,
)
from apiece.training._loop import Actions, Loop
from apiece.training._pretrained import Start, begin, room
from apiece.training._report import Report
from apiece.training._schedule import Average, Clock, Plan, parameter_groups
from apiece.training._survey import survey
from apiece.training._train import TrainResult
from apiece.training._validate import Validation, Validator
from apiece.training.checkpoint import ANEW, RunState, read_state, restore, write_state
from apiece.training.config import TrainConfig, build_model_config
from apiece.training.device import Hardware

__all__ = ["STATE", "fit"]

log = logging.getLogger("apiece")

_VAL_SHARE = 0.2
STATE = Path("last") / "state.safetensors"
"""Where in a run's folder the state is that ``resume`` goes on from."""
# may differ when a run is resumed: they say how long and where, not what is computed
_FREE = {
    "cache", "data", "device", "epochs", "max_time", "out", "overwrite", "patience", "resume", "save_every",
    "val_every", "workers",
}  # fmt: skip


def fit(config: TrainConfig, *, splits: tuple[Dataset, Dataset] | None = None) -> TrainResult:
    """Train a model with the settings of ``config``.

    Parameters
    ----------
    config : all settings.
    splits : the images to train and to validate on, in place of those at ``config.data``.

    Raises
    ------
    ConfigError, UnknownNameError
        for settings that cannot be.
    DataError, ImageError, FormatError
        for data that cannot be trained on.
    TrainingError
        if the loss is no number, or memory runs out with a single crop.
    """
    clock = Clock()
    architecture: Architecture = models.load(config.model)
    config = config.with_defaults(architecture)
    saved = _earlier_state(config)
    hardware = Hardware.choose(config)
    log.info("settings:\n%s", config.to_yaml())

    # what there is to learn from
    training, validation = splits or open_splits(config)
    found = survey(training, config)
    print_of_data = fingerprint(training)
    counts = class_counts(training.labels).toarray() if config.balance != "none" else None
    start = begin(
        config,
        architecture,
        _model_config(config, architecture, counts, found.most),
        found.most,
        training[0][0].pixels.dtype,
    )
    model_config = start.config
    spec = start.input(found.channels, found.imgsz)
    store = Store(training, spec, config.cache * 1e9)
    store.preload()

    # what learns
    torch.manual_seed(config.seed)
    module = start.build(architecture, spec, len(training.classes))
    module = module.to(hardware.device).to(memory_format=torch.channels_last)
    average = Average(module, config.ema or 0.0)
    optimizer = torch.optim.AdamW(parameter_groups(module, config.weight_decay or 0.0), lr=config.lr or 0.0)

    # where it stands
    batch = hardware.batch if config.batch == "auto" else int(config.batch or 1)
    state = RunState(micro=batch, config=config.to_dict(), fingerprint=print_of_data)
    if saved is not None:
        state, tensors = saved
        if state.fingerprint != print_of_data:
            raise DataError(f"{config.data}: images or labels changed since this run began; start anew with " + ANEW)
        restore(config.folder / STATE, tensors, module, average.module, optimizer)
        clock.add(state.seconds)
        _forget_broken_best(config.folder, state)
        log.info("resuming after step %d and %.0f s", state.step, state.seconds)
        del saved, tensors  # they are several times the module's size
    _open_folder(config)

    # what it sees, in which order, and when it ends
    balanced = counts is not None and config.balance in ("sampling", "both")
    factors = repeat_factors(counts) if balanced and counts is not None else np.ones(len(training))
    order = Order(factors, batch * (config.accumulate or 1), config.seed, state.step)
    steps_per_epoch = order.per_epoch / order.batch
    plan = Plan(
        None if config.epochs is None else max(1, round(config.epochs * steps_per_epoch)),
        None if config.max_time is None else float(config.max_time),
    )
    crops = CropSet(
        store,
        architecture.encode,
        model_config,
        crop=found.crop,
        strength=config.augment or 0.0,
        upright=found.upright,
        seed=config.seed,
    )
    budget = max(0.0, config.cache * 1e9 - store.used)
    validator = Validator(validation, architecture, spec, found.one_piece, hardware.device, budget)

    def save_best(result: Validation) -> None:
        save_model(
            config.folder,
            average.module,
            architecture=config.model,
            config=model_config,
            input=spec,
            classes=training.classes,
            thresholds=result.thresholds,
            one_piece=found.one_piece,
            provenance=_provenance(config, state, clock, start),
            metrics=result.numbers,
        )

    def save_state() -> None:
        write_state(config.folder / STATE, state, module, average.module, optimizer)

    with Report(config.folder, state.step) as report, _quiet_lightning():
        loop = Loop(
            module,
            average,
            optimizer,
            architecture,
            config,
            plan=plan,
            clock=clock,
            state=state,
            report=report,
            actions=Actions(validator, save_best, save_state),
            steps_per_epoch=steps_per_epoch,
        )
        if plan.progress(state.step, clock.seconds, 0.0) < 1.0:
            _fit(_trainer(config, hardware, report), loop, _loader(crops, order, hardware))
        else:
            log.info("this run has ended already; raise epochs or max_time to go on")
        report.plot()
    best = load_model(config.folder)
    return TrainResult(config.folder, dict(best.metrics), state.best_step, state.step, clock.seconds)


def _fit(trainer: lightning.Trainer, loop: lightning.LightningModule, loader: Any) -> None:
    """Lightning ends the program when it is interrupted; here the caller hears of it, as of any other interrupt."""
    try:
        trainer.fit(loop, loader)
    except SystemExit:
        if trainer.interrupted:
            raise KeyboardInterrupt from None
        raise


def open_splits(config: TrainConfig) -> tuple[Dataset, Dataset]:
    """The training and the validation images.

    Raises
    ------
    DataError, FormatError
        if there is no ``train``, or it is too small to be split.
    """
    splits = _without_bad(config.data) if config.skip_bad else open_data(config.data)
    if "train" not in splits:
        raise DataError(f"{config.data}: there is no 'train' here, only {', '.join(sorted(splits))}")
    training = splits["train"]
    if "val" in splits:
        return training, splits["val"]
    parts = split(training.labels, {"train": 1 - _VAL_SHARE, "val": _VAL_SHARE}, seed=config.seed)
    log.info("%s has no 'val': %d of %d images are held back by seed %d",
             config.data, len(parts["val"]), len(training), config.seed)  # fmt: skip
    return Dataset(parts["train"]), Dataset(parts["val"])


def _without_bad(data: Path) -> dict[str, Dataset]:
    bad = BadEntries()
    splits = {name: readable(found, bad) for name, found in open_data(data, on_bad=bad).items()}
    for error in bad.errors:
        log.warning("left out: %s", error)
    return splits


def _earlier_state(config: TrainConfig) -> tuple[RunState, dict[str, Tensor]] | None:
    """The state to resume from, if that is asked for; refuses a folder that holds a run, if nothing is."""
    folder, state = config.folder, config.folder / STATE
    if config.resume:
        saved = read_state(state)
        mine, before = config.to_dict(), saved[0].config
        differing = sorted(k for k in mine if k not in _FREE and mine[k] != before.get(k))
        if differing:
            told = ", ".join(f"{k} was {before.get(k)!r}, is {mine[k]!r}" for k in differing)
            raise ConfigError(f"{folder}: a run resumes with the settings it began with; {told}")
        return saved
    if (state.exists() or (folder / "model.json").exists()) and not config.overwrite:
        ways = Option("out") + ", or " + Option("resume", True) + " or " + ANEW
        raise ConfigError(f"{folder} holds a run already; give another " + ways)
    return None


def _open_folder(config: TrainConfig) -> None:
    """Make the run's folder and write ``config.yaml``. An earlier run is only removed when nothing more can be refused:
    a mistyped setting must not cost a trained model."""
    folder = config.folder
    folder.mkdir(parents=True, exist_ok=True)
    if config.overwrite:
        for name in (STATE, Path("model.json"), Path("model.safetensors"), Path("log.csv")):
            (folder / name).unlink(missing_ok=True)
    with atomic(folder / "config.yaml") as path:
        path.write_text(config.to_yaml(), encoding="utf-8")


def _forget_broken_best(folder: Path, state: RunState) -> None:
    """A kill while the best model was written may have left half of it: then the next validation writes it anew."""
    if state.best < 0:
        return
    try:
        load_model(folder)
    except ModelFileError as error:
        log.warning("%s; the next validation writes it anew", error)
        state.best = -1.0


def _model_config(config: TrainConfig, architecture: Architecture, counts: Int | None, most: int) -> Any:
    """The architecture's own settings, with dropout, class weights and room for all objects filled in."""
    settings = dict(config.model_settings)
    slots = architecture.slots
    if slots and slots not in settings and most > getattr(architecture.config(), slots):
        settings[slots] = room(most)
        log.info("%s: %d, as one image has %d objects (set it to change it)", slots, settings[slots], most)
    if config.dropout is not None:
        settings["dropout"] = config.dropout
    if counts is not None and config.balance in ("loss", "both"):
        weight = 1 / np.sqrt(np.maximum(counts.sum(axis=0), 1))
        settings["class_weights"] = tuple((weight / weight.mean()).tolist())
    return build_model_config(architecture, config.model, settings)


def _provenance(config: TrainConfig, state: RunState, clock: Clock, start: Start) -> dict[str, Any]:
    packages = ("apiece", "torch", "torchvision", "timm", "lightning", "numpy")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {
        "data": str(config.data.name),
        "data_fingerprint": state.fingerprint,
        "seed": config.seed,
        "step": state.step,
        "seconds": round(clock.seconds, 1),
        **({"weights": dict(start.origin)} if start.origin else {}),
        "versions": {**versions, "python": platform.python_version()},
        "settings": {k: v for k, v in config.to_dict().items() if k not in ("data", "out", "resume", "overwrite")},
    }


def _loader(crops: CropSet, order: Order, hardware: Hardware) -> torch.utils.data.DataLoader[Any]:
    return torch.utils.data.DataLoader(
        crops,
        batch_sampler=order,  # yields draws, not integers
        collate_fn=collate,
        num_workers=hardware.workers,
        multiprocessing_context=hardware.start_method,
        worker_init_fn=quiet_worker if hardware.workers else None,
        pin_memory=hardware.device.type == "cuda",
        prefetch_factor=4 if hardware.workers else None,
    )


def _trainer(config: TrainConfig, hardware: Hardware, report: Report) -> lightning.Trainer:
    """Lightning without what is done here: validation by time, the file to resume from, the progress bar."""
    return lightning.Trainer(
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        precision=hardware.precision,
        logger=report.tensorboard,
        max_epochs=1,  # the loader has no end; the loop says when
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=config.folder,
    )


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keep Lightning's hints out of the person's way."""
    chatter = logging.getLogger("lightning.pytorch")
    before = chatter.level
    chatter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        chatter.setLevel(before)
