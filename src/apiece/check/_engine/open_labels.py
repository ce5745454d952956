"""`open_labels`: a label file whose bad entries are kept, not raised."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from apiece import formats
from apiece.errors import FormatError
from apiece.formats import LabelSet


class HasLabels(Protocol):
    """A data set with its labels as ``labels``, such as `apiece.datasets.Dataset`."""

    @property
    def labels(self) -> LabelSet: ...


@dataclass(frozen=True)
class OpenLabels:
    """Labels, and the entries that their reader refused."""

    labels: LabelSet
    """The set."""
    refused: list[FormatError] = field(default_factory=list)
    """Bad entries, as far as the reader has met them: it sees some of them only when it decodes an image."""
    path: Path | None = None
    """The label file or folder; None for a set that the caller opened."""
    format: str | None = None
    """Name of the format of ``path``."""


def open_labels(
    path: str | os.PathLike[str], images: str | os.PathLike[str] | None = None, clip_outlines: bool = False
) -> OpenLabels:
    """Open a label file or folder for `check`, `write_page` and `fix`, without its bad entries.

    Parameters
    ----------
    path : label file or folder, of any format.
    images : folder that image names are relative to; by default found beside the labels.
    clip_outlines : as in `apiece.read`.

    Returns
    -------
    The labels; `OpenLabels.refused` collects the bad entries.

    Raises
    ------
    FormatError
        If the file as a whole cannot be read.

    Examples
    --------
    >>> from apiece.check import open_labels
    >>> opened = open_labels("data/train.json")
    >>> opened.format, len(opened.labels), opened.refused
    ('coco', 2, [])
    """
    name = formats.detect(path)
    refused: list[FormatError] = []
    return OpenLabels(formats.read(path, name, images, refused.append, clip_outlines), refused, Path(path), name)


def source_of(given: LabelSet | HasLabels | OpenLabels | str | os.PathLike[str]) -> OpenLabels:
    """Return labels that were opened, or open them."""
    if isinstance(given, OpenLabels):
        return given
    if isinstance(given, str | os.PathLike):
        return open_labels(given)
    # a data set has labels, and a label set has metadata; a subset of a label set has both
    return OpenLabels(cast(LabelSet, given) if hasattr(given, "metadata") else given.labels)
