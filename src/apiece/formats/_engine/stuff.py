"""Which classes are stuff: regions of ground, one segment an image each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from apiece.formats.contract import LabelSet

__all__ = ["stuff_classes"]


def stuff_classes(labels: LabelSet) -> tuple[str, ...]:
    """Return the classes that the labels name as stuff (``isthing`` 0 in COCO's categories), in their order.

    Examples
    --------
    >>> import apiece
    >>> apiece.formats.stuff_classes(apiece.read("data/train.json"))
    ()
    """
    tables = (said.get("categories", ()) for said in labels.metadata.values() if isinstance(said, Mapping))
    rows = [row for row in itertools.chain.from_iterable(tables) if isinstance(row, Mapping)]
    named = {row.get("name") for row in rows if row.get("isthing") == 0}
    return tuple(name for name in labels.classes if name in named)
