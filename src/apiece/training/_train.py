"""`train`: a training run from settings by name; and what came of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from apiece.training.config import TrainConfig


@dataclass(frozen=True)
class TrainResult:
    """Hold what came of a training run.

    Attributes
    ----------
    folder : holds the best model; `apiece.load` takes it.
    metrics : of the best model on the validation images.
    best_step, steps : the step it is from, and steps taken in all.
    seconds : time used, with the time before a resume.
    batch : crops that a step saw.
    held_back : whether the validation images were taken out of the training images, since the data have none.
    """

    folder: Path
    metrics: Mapping[str, float]
    best_step: int
    steps: int
    seconds: float
    batch: int
    held_back: bool = False


def train(
    *,
    data: str | os.PathLike[str] = "data",
    images: str | os.PathLike[str] | None = None,
    format: str | None = None,
    clip_outlines: bool = False,
    annotator: str | None = None,
    model: str = "swift",
    weights: str | None = None,
    out: str | os.PathLike[str] | None = None,
    epochs: float | None = None,
    max_time: float | str | None = None,
    imgsz: int | Literal["native"] | None = None,
    channels: int | None = None,
    crop: int | None = None,
    batch: int | Literal["auto"] | None = None,
    accumulate: int | None = None,
    lr: float | None = None,
    warmup: int | None = None,
    weight_decay: float | None = None,
    dropout: float | None = None,
    ema: float | None = None,
    precision: Literal["auto", "32", "bf16"] = "auto",
    balance: Literal["none", "sampling", "loss", "both"] = "none",
    clip: float | None = None,
    patience: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    device: str = "auto",
    skip_bad: bool = False,
    cache: float = 2.0,
    augment: float | None = None,
    upright: bool | None = None,
    one_piece: bool | None = None,
    stuff: bool = False,
    val_every: float | None = None,
    save_every: float | str = 120.0,
    resume: bool = False,
    overwrite: bool = False,
    model_settings: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train a model; the best by validation mask AP is kept as a model folder.

    The same settings, images and seed give the same model, bit for bit on a CPU, unless ``max_time`` is given.

    Parameters
    ----------
    data, model, weights, out, epochs, max_time, ... : as in `TrainConfig`, which describes each.

    Returns
    -------
    Where the model folder is, and how good the model is on the validation images.

    Raises
    ------
    ConfigError, UnknownNameError
        If a setting is unknown, out of range, or contradicts another one.
    DataError, ImageError, FormatError
        If the data cannot be trained on.
    TrainingError
        If the loss is not a finite number, or memory runs out with a single crop.

    Examples
    --------
    >>> result = apiece.train(data="cells/", model="embedding", max_time="30m", out="runs/cells")  # doctest: +SKIP
    >>> apiece.load(result.folder).predict("photo.png")  # doctest: +SKIP
    """
    settings = {**locals(), "model_settings": model_settings or {}}
    from apiece.training import fit  # needs torch

    return fit(TrainConfig.from_dict(settings))
