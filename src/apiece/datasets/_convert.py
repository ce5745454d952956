"""`convert`: labels of any format as another, whole data sets split by split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from apiece import formats
from apiece.datasets._merge import together
from apiece.datasets.write import DEFAULTS, WriteOptions, Written, write_sets
from apiece.errors import ConfigError
from apiece.formats import LabelSet

__all__ = ["convert"]


def convert(
    sets: Mapping[str, LabelSet],
    out: Path,
    format: str | None = None,
    *,
    options: WriteOptions = DEFAULTS,
    step: Callable[[], None] = lambda: None,
) -> dict[str, Written]:
    """Write label sets as one data set that `open_data` reads.

    A single set becomes the file ``out``, if it ends as such, or the folder ``out``, laid out as its format has it,
    with ``labels.json`` (or another ending) in it where the format is a file. Several become a folder for each split in
    ``out``; a format that says itself which image is of which split (YOLO) gets them all as one set.

    Parameters
    ----------
    sets : label sets by split; the key of a single one does not matter.
    format : by the ending of ``out`` if left out.
    step : called after each image's labels, and after each image that is put in its place.

    Returns
    -------
    What was written, by split.

    Raises
    ------
    ConfigError
        if ``out`` does not say which format, or there is something already.
    LossyFormatError
        naming image and instances that the format cannot hold.
    """
    name = formats.format_for(out) if format is None else format
    chosen, ending = formats.load(name), formats.load(name).ending
    if len(sets) == 1:
        ((split, labels),) = sets.items()
        if chosen.splits and split:
            labels = together({split: labels})
        key = f"labels{ending}" if ending and not out.suffix else "."
        return {split: write_sets({key: labels}, out, name, options, step=step)[key]}
    if out.suffix and (out.suffix == ending or out.suffix in chosen.suffixes):
        raise ConfigError(f"{' and '.join(sets)} do not fit into one file; name a folder instead of {out.name}")
    if chosen.splits:
        return {"": write_sets({".": together(sets)}, out, name, options, step=step)["."]}
    keys = {split: f"{split}/labels{ending}" if ending else split for split in sets}
    written = write_sets({keys[split]: labels for split, labels in sets.items()}, out, name, options, step=step)
    return {split: written[key] for split, key in keys.items()}
