"""`fit`: from labelled images to a model folder.

The run's folder holds the best model by validation mask AP (``model.safetensors``, ``model.json``), ``config.yaml``
with the settings in effect, ``log.csv``, ``tensorboard/``, ``losses.png``, ``ap.png``, and in ``last/`` the state to
resume from. `Run` prepares everything, `Loop` trains.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import lightning

from apiece.datasets.dataset import Dataset
from apiece.errors import Option
from apiece.models import load_model
from apiece.training._data import open_splits
from apiece.training._loop import Loop
from apiece.training._memory import reused
from apiece.training._report import Report
from apiece.training._run import Run
from apiece.training._train import TrainResult
from apiece.training.checkpoint import STATE
from apiece.training.config import TrainConfig

__all__ = ["STATE", "fit", "open_splits"]

log = logging.getLogger("apiece")


def fit(config: TrainConfig, *, splits: tuple[Dataset, Dataset] | None = None) -> TrainResult:
    """Train a model with the settings of ``config``.

    Returns and raises as `train`. ``splits`` are images to train and to validate on, in place of those at
    ``config.data``.
    """
    run = Run(config, splits)
    kept = reused() if run.hardware.device.type == "cpu" else nullcontext()
    with Report(run.config.folder, run.state.step) as report, _quiet_lightning(), kept:
        loop = Loop(run, report)
        if run.plan.progress(run.state.step, run.clock.seconds, 0.0) < 1.0:
            _train(_trainer(run, report), loop, run.batches())
        else:
            log.info(
                "this run has ended already; raise " + Option("epochs") + " or " + Option("max_time") + " to go on"
            )
            loop.finish()
        run.learn_edges()
        report.plot()
    folder, state = run.config.folder, run.state
    numbers = dict(load_model(folder).metrics)
    return TrainResult(folder, numbers, state.best_step, state.step, run.clock.seconds, run.order.batch, run.held_back)


def _train(trainer: lightning.Trainer, loop: lightning.LightningModule, loader: Any) -> None:
    """Run Lightning, which ends the program when it is interrupted; here the caller sees a KeyboardInterrupt."""
    try:
        trainer.fit(loop, loader)
    except SystemExit:
        if trainer.interrupted:
            raise KeyboardInterrupt from None
        raise


def _trainer(run: Run, report: Report) -> lightning.Trainer:
    """Set up Lightning without what is done here: validation by time, the file to resume from, the progress bar."""
    return lightning.Trainer(
        accelerator=run.hardware.accelerator,
        devices=run.hardware.devices,
        precision=run.hardware.precision,
        logger=report.tensorboard,
        max_epochs=1,  # the loader has no end; the loop says when
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=run.config.folder,
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
