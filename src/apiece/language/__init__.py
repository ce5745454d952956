"""Words: the objects that a sentence is about, and the inventory of a picture; a grammar, and no language model.

>>> from apiece.language import find
>>> masks = apiece.Masks.from_boxes([[2, 2, 6, 9], [10, 2, 14, 9], [18, 2, 22, 9]], (12, 24))
>>> find(apiece.Instances(masks, classes=("door",)), "third door from the left").index
array([2])
"""

from __future__ import annotations

from apiece.language.answers import Answer, find
from apiece.language.inventory import Inventory, describe_scene
from apiece.language.relations import Relations

__all__ = ["Answer", "Inventory", "Relations", "describe_scene", "find"]
