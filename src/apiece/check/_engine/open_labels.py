"""Label files opened so that what their reader refuses is kept, not raised."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from apiece import formats
from apiece.errors import FormatError
from apiece.formats import LabelSet


class HasLabels(Protocol):
    """A data set that has its labels as ``labels``, such as `apiece.datasets.dataset.Dataset`."""

    @property
    def labels(self) -> LabelSet: ...


@dataclass(frozen=True)
class OpenLabels:
    """Labels, and what their reader refused."""

    labels: LabelSet
    """The set."""
    refused: list[FormatError] = field(default_factory=list)
    """Bad entries, as far as they have been met: some are only seen when an image is decoded."""
    path: Path | None = None
    """Where they were read from; None for a set that somebody else opened."""
    format: str | None = None
    """The format they were read by."""


def open_labels(path: str | os.PathLike[str], images: str | os.PathLike[str] | None = None) -> OpenLabels:
    """Open a label file or folder; bad entries are left out and kept in `OpenLabels.refused`.

    Parameters
    ----------
    images : folder that image names are relative to; found beside the labels if left out.

    Raises
    ------
    FormatError
        if the file as a whole cannot be read.
    """
    name = formats.detect(path)
    refused: list[FormatError] = []
    return OpenLabels(formats.read(path, name, images, refused.append), refused, Path(path), name)


def source_of(given: LabelSet | HasLabels | OpenLabels | str | os.PathLike[str]) -> OpenLabels:
    """Whatever labels may come as."""
    if isinstance(given, OpenLabels):
        return given
    if isinstance(given, str | os.PathLike):
        return open_labels(given)
    # a data set has labels, and a label set has metadata; a subset of a label set has both
    return OpenLabels(cast(LabelSet, given) if hasattr(given, "metadata") else given.labels)
