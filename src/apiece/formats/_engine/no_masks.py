"""What label files hold that is no mask: told when it is read, and a loss where the writer is of another format."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from apiece.errors import LossyFormatError
from apiece.formats.contract import LabelFormat, LabelSet, OpenedLabels, Record, in_words, shape_counts

_log = logging.getLogger("apiece")


def tell(path: Path, labels: LabelSet) -> None:
    """Warn, in one line, that the reader of ``path`` passed over shapes; ``facts`` of the log's record counts them."""
    counts = labels.shape_counts() if isinstance(labels, OpenedLabels) else shape_counts(labels.refs)
    if counts:
        on = sum(bool(ref.shapes) for ref in labels.refs)
        said = f"{in_words(counts)} (on {on:,} of {len(labels):,} images)"
        facts = {"path": path, "shapes": dict(counts)}
        _log.warning("%s: the reader passes over what is no mask: %s", path, said, extra={"facts": facts})


def own_shapes(
    records: Iterable[Record], path: Path, format: LabelFormat, allow_lossy: bool, lost: list[str]
) -> Iterator[Record]:
    """Yield the records with the shapes that the writer of ``format`` writes again.

    Other shapes raise a `LossyFormatError`; with ``allow_lossy``, ``lost`` gets a line about each image instead.
    """
    before = now = None  # pieces of an image keep one reference
    for ref, instances in records:
        if ref is before and now is not None:
            yield now, instances
            continue
        before = ref
        own = tuple(s for s in ref.shapes if s.content is not None and s.format == format.shapes)
        if len(own) < len(ref.shapes):
            gone = in_words(shape_counts([ref]) - shape_counts([replace(ref, shapes=own)]))
            named = f"image {ref.name!r}, {gone}"
            if not allow_lossy:
                reason = f"{named}: no masks, and this format holds masks only; nothing was written"
                raise LossyFormatError(path, reason, "shapes")
            lost.append(f"{named}: no masks, left out")
            ref = replace(ref, shapes=own)
        now = ref
        yield now, instances
