"""The classes of a model and those of the labels that judge it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from apiece import predict
from apiece.core.classes import without_classes
from apiece.core.instances import Instances
from apiece.datasets.classes import Dropped
from apiece.datasets.dataset import Dataset
from apiece.errors import DataError

__all__ = ["check_known", "told_apart"]


def told_apart(truth: Dataset, classes: Sequence[str]) -> Dataset:
    """Return ground truth as predictions of these classes are judged by it.

    It has no classes where the predictions have the one class ``object``, which the ground truth has not; otherwise it
    stays as it is.
    """
    return Dataset(Dropped(truth.labels, ("classes",))) if without_classes(classes, truth.classes) else truth


def check_known(wanted: Instances, model: predict.Model, data: Path | str) -> None:
    """Refuse labels from ``data`` of a class that the model does not know: they say nothing of its scores."""
    strange = next((name for name in wanted.names if name not in model.classes), None)
    if strange is not None:
        raise DataError(
            f"{data} has labels of class {strange!r}, which the model does not know; it knows "
            f"{', '.join(model.classes)}. apiece convert --classes renames classes, and leaves some out"
        )
