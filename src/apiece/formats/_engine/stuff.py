"""Which classes are stuff: regions of ground, one segment an image each."""

from __future__ import annotations

from apiece.formats._kit.said import said_stuff
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
    return said_stuff(labels.metadata, labels.classes)
