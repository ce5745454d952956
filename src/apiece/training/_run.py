"""A training run, prepared: what it learns from, what learns, where it stands and when it ends."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from apiece import models
from apiece._arrays import Int
from apiece._atomic import atomic
from apiece.datasets import class_counts, with_stuff
from apiece.datasets.dataset import Dataset, fingerprint
from apiece.errors import ConfigError, DataError, ModelFileError, Option
from apiece.formats import stuff_classes
from apiece.models import load_model, save_model, save_thresholds
from apiece.models.contract import Architecture
from apiece.training._data import CropSet, Order, Store, collate, quiet_worker, repeat_factors, splits_of
from apiece.training._pretrained import begin, room
from apiece.training._schedule import Average, Clock, Plan, parameter_groups
from apiece.training._survey import check_channels, survey
from apiece.training._validate import Validation, Validator
from apiece.training.checkpoint import ANEW, STATE, RunState, read_state, restore, write_state
from apiece.training.config import TrainConfig, build_model_config, differences
from apiece.training.device import Hardware

log = logging.getLogger("apiece")

# may differ when a run is resumed: they say how long and where, not what is computed
_FREE = {
    "cache", "data", "device", "epochs", "format", "images", "max_time", "out", "overwrite", "patience", "resume",
    "save_every", "val_every", "workers",
}  # fmt: skip
_NAMED = 8  # classes in one line
_OF_THIS_RUN = ("data", "images", "out", "resume", "overwrite")


class Run:
    """Everything that the training loop works with, made in the order of the methods below.

    Attributes
    ----------
    config, architecture, hardware, clock : settings in effect, and where and how long the run computes.
    training, found, start, spec : the training images, what they are like, what the network begins as and takes.
    module, average, optimizer : what learns; the moving average is validated and saved.
    state : where the run is, apart from its tensors.
    plan, order, validate : when training ends, which image is drawn when, and what judges the average.
    """

    def __init__(self, config: TrainConfig, splits: tuple[Dataset, Dataset] | None) -> None:
        self.clock = Clock()
        self.architecture = models.load(config.model)
        self.config = config.with_defaults(self.architecture)
        build_model_config(self.architecture, config.model, config.model_settings)  # a wrong one ends here
        saved = _earlier_state(self.config)
        self.hardware = Hardware.choose(self.config)
        self._look(*(splits or splits_of(self.config)))
        self._build()
        batch = self.hardware.batch(self.found.crop) if self.config.batch == "auto" else int(self.config.batch or 1)
        self.state = RunState(micro=batch, config=self.config.to_dict(), fingerprint=self._fingerprint)
        if saved is not None:
            self._resume(*saved)
            del saved  # several times the module's size
        _open_folder(self.config)
        self._plan(batch * (self.config.accumulate or 1))
        self._tell(config)

    def _look(self, training: Dataset, validation: Dataset, held_back: bool = False) -> None:
        """Look at the images: what there is to learn from."""
        config = self.config
        if config.stuff:
            training, validation = (Dataset(with_stuff(data.labels)) for data in (training, validation))
        self.training, self._validation, self.held_back = training, validation, held_back
        stuff = _stuff(training, config)
        self.found = survey(training, config, stuff)
        self._fingerprint = fingerprint(training)
        self._counts = class_counts(training.labels).toarray() if config.balance != "none" else None
        settings = _model_config(config, self.architecture, self._counts, self.found.most, stuff)
        self.start = begin(
            config, self.architecture, settings, len(training.classes), self.found.most, training[0][0].pixels.dtype
        )
        self.spec = replace(self.start.input(self.found.channels, self.found.imgsz), learned=self.found.scale)
        check_channels(validation, self.spec.channels)
        self._store = Store(training, self.spec, config.cache * 1e9)
        self._store.preload()

    def _build(self) -> None:
        """Build what learns: network, average and optimizer."""
        torch.manual_seed(self.config.seed)
        module = self.start.build(self.architecture, self.spec, len(self.training.classes))
        self.module = module.to(self.hardware.device).to(memory_format=torch.channels_last)
        self.average = Average(self.module, self.config.ema or 0.0)
        groups = parameter_groups(self.module, self.config.weight_decay or 0.0)
        self.optimizer = torch.optim.AdamW(groups, lr=self.config.lr or 0.0)

    def _resume(self, state: RunState, tensors: Mapping[str, Tensor]) -> None:
        """Go on where an earlier run of the same settings and images stopped."""
        if state.fingerprint != self._fingerprint:
            raise DataError(
                f"{self.config.data}: images or labels changed since this run began; start anew with " + ANEW
            )
        restore(self.config.folder / STATE, tensors, self.module, self.average.module, self.optimizer)
        self.clock.add(state.seconds)
        _forget_broken_best(self.config.folder, state)
        self.state = state
        log.info("resuming after step %d and %.0f s", state.step, state.seconds)

    def _plan(self, batch: int) -> None:
        """Decide the order of draws, when training ends, and what judges the average."""
        config, data = self.config, self.training
        balanced = self._counts is not None and config.balance in ("sampling", "both")
        factors = repeat_factors(self._counts) if balanced and self._counts is not None else np.ones(len(data))
        self.order = Order(factors, batch, config.seed, self.state.step)
        self.steps_per_epoch = self.order.per_epoch / batch
        self.plan = Plan(
            None if config.epochs is None else max(1, round(config.epochs * self.steps_per_epoch)),
            None if config.max_time is None else float(config.max_time),
        )
        budget = max(0.0, config.cache * 1e9 - self._store.used)
        self.validate = Validator(
            self._validation, self.architecture, self.spec, self.found.one_piece, self.hardware.device, budget
        )

    def _tell(self, given: TrainConfig) -> None:
        """Say what begins now, and where all settings are; whatever can be refused was refused before."""
        usual = TrainConfig().to_dict()
        changed = {k: v for k, v in given.to_dict().items() if k not in _OF_THIS_RUN and v != usual[k]}
        values = {"model": given.model, **changed}.items()
        words = [f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in values]
        log.info("settings: %s; all are in %s", ", ".join(words), self.config.folder / "config.yaml")
        steps, seconds = self.plan.steps, self.plan.seconds
        ends = [] if steps is None else [f"{steps:,} step{'s' * (steps != 1)}"]
        ends += [] if seconds is None else [f"{seconds:g} s"]
        counts = len(self.training), len(self._validation)
        log.info("training on %d images, validation on %d, for %s", *counts, " or ".join(ends))

    def batches(self) -> torch.utils.data.DataLoader[Any]:
        """Return the loader of training batches; it never ends."""
        crops = CropSet(
            self._store,
            self.architecture.encode,
            self.start.config,
            crop=self.found.crop,
            strength=self.config.augment or 0.0,
            upright=self.found.upright,
            seed=self.config.seed,
        )
        workers = self.hardware.workers
        return torch.utils.data.DataLoader(
            crops,
            batch_sampler=self.order,  # yields draws, not integers
            collate_fn=collate,
            num_workers=workers,
            multiprocessing_context=self.hardware.start_method,
            worker_init_fn=quiet_worker if workers else None,
            pin_memory=self.hardware.device.type == "cuda",
            prefetch_factor=4 if workers else None,
        )

    def save_best(self, result: Validation) -> None:
        """Write the average as the run's model folder."""
        save_model(
            self.config.folder,
            self.average.module,
            architecture=self.config.model,
            config=self.start.config,
            input=self.spec,
            classes=self.training.classes,
            thresholds=result.thresholds,
            one_piece=self.found.one_piece,
            provenance=self._provenance(),
            metrics=result.numbers,
        )

    def learn_edges(self) -> None:
        """Add to the model folder how far outlines are off; once, at the end, as it takes as long as a validation."""
        best = load_model(self.config.folder)
        if best.edges is None and best.thresholds is not None:
            edges = self.validate.edges(best.module.to(self.hardware.device), best.thresholds)
            save_thresholds(self.config.folder, best.thresholds, edges=edges)

    def save_state(self) -> None:
        """Write what a resumed run needs."""
        self.state.seconds = self.clock.seconds
        write_state(self.config.folder / STATE, self.state, self.module, self.average.module, self.optimizer)

    def _provenance(self) -> dict[str, Any]:
        packages = ("apiece", "torch", "torchvision", "timm", "lightning", "numpy")
        versions = {name: importlib.metadata.version(name) for name in packages}
        settings = {k: v for k, v in self.config.to_dict().items() if k not in _OF_THIS_RUN}
        return {
            "data": str(self.config.data.name),
            "data_fingerprint": self.state.fingerprint,
            "seed": self.config.seed,
            "step": self.state.step,
            "seconds": round(self.clock.seconds, 1),
            **({"weights": dict(self.start.origin)} if self.start.origin else {}),
            "versions": {**versions, "python": platform.python_version()},
            "settings": settings,
        }


def _earlier_state(config: TrainConfig) -> tuple[RunState, dict[str, Tensor]] | None:
    """Return the state to resume from, if ``resume`` is set; otherwise a folder that holds a run is refused."""
    folder, state = config.folder, config.folder / STATE
    if config.resume:
        saved = read_state(state)
        if told := differences({"stuff": False} | saved[0].config, config.to_dict(), _FREE):  # it came later
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
        # a run that goes on from this file neither replaces another nor needs to
        path.write_text(replace(config, overwrite=False, resume=False).to_yaml(), encoding="utf-8")


def _forget_broken_best(folder: Path, state: RunState) -> None:
    """Let the next validation write the best model anew, if a kill left half of it."""
    if state.best < 0:
        return
    try:
        load_model(folder)
    except ModelFileError as error:
        log.warning("%s; the next validation writes it anew", error)
        state.best = -1.0


def _stuff(data: Dataset, config: TrainConfig) -> tuple[int, ...]:
    """Return the classes that are learned as stuff; say which could be."""
    names = stuff_classes(data.labels)
    if config.stuff and not names:
        raise DataError(
            f"{config.data} names no class as stuff, as COCO panoptic (isthing: 0) and Cityscapes do; leave out "
            + Option("stuff", True)
            + ", or give their numbers as the setting stuff in "
            + Option("model_settings", flag="--set")
        )
    if names and not config.stuff and "stuff" not in config.model_settings:
        known = f"{', '.join(names[:_NAMED])}{' ...' * (len(names) > _NAMED)}"
        log.info(f"stuff: {known}: learned as objects (learn them as segments with " + Option("stuff", True) + ")")
    given = config.model_settings.get("stuff", ())
    return tuple(data.classes.index(name) for name in names) if config.stuff else tuple(map(int, given))


def _model_config(
    config: TrainConfig, architecture: Architecture, counts: Int | None, most: int, stuff: tuple[int, ...]
) -> Any:
    """Return the architecture's settings, with dropout, stuff, class weights and room for all objects filled in."""
    settings = dict(config.model_settings)
    if config.stuff:
        settings["stuff"] = stuff
    slots = architecture.slots
    if slots and slots not in settings and most > getattr(architecture.config(), slots):
        settings[slots] = room(most)
        log.info("%s: %d, as one image has %d objects (a setting of the model)", slots, settings[slots], most)
    if config.dropout is not None:
        settings["dropout"] = config.dropout
    if counts is not None and config.balance in ("loss", "both"):
        weight = 1 / np.sqrt(np.maximum(counts.sum(axis=0), 1))
        settings["class_weights"] = tuple((weight / weight.mean()).tolist())
    return build_model_config(architecture, config.model, settings)
