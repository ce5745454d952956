"""The validation images: the same ones for every model, in every process."""

from __future__ import annotations

from pathlib import Path

from apiece.datasets.dataset import Dataset
from apiece.errors import DataError
from apiece.evaluation import open_truth


def validation_images(data: Path, seed: int, trains: bool) -> Dataset:
    """Those that training validates on; where nothing is trained, those that ``apiece evaluate`` takes.

    Raises
    ------
    DataError, FormatError
        if there are none, or none to train on where something is to be trained.
    """
    if trains:
        from apiece.training import TrainConfig, open_splits

        truth = open_splits(TrainConfig(data=data, seed=seed))[1]
    else:
        truth = open_truth(data)
    if not len(truth):
        raise DataError(f"{data}: there are no validation images")
    return truth
