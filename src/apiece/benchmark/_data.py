"""The validation images: the same ones for every model, in every process."""

from __future__ import annotations

from apiece.datasets.dataset import Dataset
from apiece.errors import DataError
from apiece.evaluation import open_truth
from apiece.training.config import TrainConfig


def validation_images(config: TrainConfig, trains: bool) -> Dataset:
    """Return the images that training validates on; where nothing is trained, those that ``apiece evaluate`` takes.

    No images, or none to train on where something is to be trained, are a `DataError`.
    """
    if trains:
        from apiece.training import open_splits

        truth = open_splits(config)[1]
    else:
        truth = open_truth(
            config.data, None, config.images, config.format, None, config.clip_outlines, config.annotator
        )
    if not len(truth):
        raise DataError(f"{config.data}: there are no validation images")
    return truth
