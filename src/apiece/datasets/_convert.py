"""`convert`: labels of one format to another, whole data sets split by split."""

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

    A single set becomes the file ``out``, if that has the ending of a file, or the folder ``out`` in the layout of its
    format; a format of one file gets ``labels.json`` (or another ending) in it. Several sets become a folder for each
    split in ``out``, or one set if the format states the split of each image (YOLO).

    Parameters
    ----------
    sets : label sets by split; the key of a single set does not matter.
    out : file or folder to write.
    format : name of the format; by default by the ending of ``out``.
    options : images, loss and overwriting.
    step : called after the labels of each image, and after each image that is put in its place.

    Returns
    -------
    What was written, by split.

    Raises
    ------
    ConfigError
        If ``out`` does not tell the format, or is there already.
    LossyFormatError
        If the format cannot hold an instance; names it and its image.

    Examples
    --------
    >>> from pathlib import Path
    >>> from apiece.datasets import WriteOptions, convert, open_data
    >>> sets = {split: data.labels for split, data in open_data("data").items()}
    >>> written = convert(sets, Path("as_yolo"), "yolo", options=WriteOptions(allow_lossy=True))  # YOLO has no ids
    >>> written[""].images, written[""].instances
    (3, 6)
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
