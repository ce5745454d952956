"""`describe_scene`: what a picture shows, object by object, and how the objects lie to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.language.relations import Relations
from apiece.language.words import plural
from apiece.ops import nearest

__all__ = ["Inventory", "describe_scene"]

_LISTED = ("in", "on", "touching")
_SIDES = ("left", "right", "above", "below")
_SAID = {"left": "left of", "right": "right of"}


@dataclass(frozen=True)
class Inventory:
    """What a picture shows.

    Attributes
    ----------
    counts : objects of each class that is there.
    objects : class, score, box, centroid, area, share of the picture, place in words and colour of each.
    relations : subject, relation and object, by position: what lies in, lies on or touches what, and on which side
        of each object its nearest neighbour lies, with the gap in pixels.
    """

    counts: dict[str, int]
    objects: list[dict[str, Any]]
    relations: list[dict[str, Any]]

    @property
    def text(self) -> str:
        """The counts in one line."""
        return ", ".join(f"{n} {name if n == 1 else plural(name)}" for name, n in self.counts.items()) or "nothing"


def describe_scene(instances: Instances, image: Image | None = None) -> Inventory:
    """Describe a picture: its objects, and how they lie to each other, read off their masks.

    Parameters
    ----------
    instances : the objects.
    image : the pixels, for colours; without them there are none.

    Examples
    --------
    >>> from apiece.language import describe_scene
    >>> masks = apiece.Masks.from_boxes([[2, 2, 6, 9], [10, 2, 14, 9]], (12, 24))
    >>> seen = describe_scene(apiece.Instances(masks, [0, 1], ("door", "window")))
    >>> seen.text, [(r["subject"], r["relation"], r["object"]) for r in seen.relations]
    ('1 door, 1 window', [(0, 'left of', 1), (1, 'right of', 0)])
    """
    relations = Relations(instances, image)
    labels, number = np.unique(instances.labels, return_counts=True)
    counts = {instances.classes[k]: int(n) for k, n in zip(labels.tolist(), number.tolist(), strict=True)}
    return Inventory(counts, _objects(instances, relations, image), _relations(relations))


def _objects(found: Instances, relations: Relations, image: Image | None) -> list[dict[str, Any]]:
    height, width = found.size
    boxes, centres, area = found.masks.runs.boxes.tolist(), found.masks.centroids, found.masks.area
    colours = relations.colour_names if image is not None else [None] * len(found)
    across = np.array(["left", "centre", "right"])[np.clip(centres[:, 0] * 3 // width, 0, 2).astype(int)]
    down = np.array(["top", "middle", "bottom"])[np.clip(centres[:, 1] * 3 // height, 0, 2).astype(int)]
    return [
        {
            "index": k,
            "class": found.classes[found.labels[k]],
            "score": None if found.scores is None else float(found.scores[k]),
            "box": boxes[k],
            "centroid": [round(float(v), 2) for v in centres[k]],
            "area": int(area[k]),
            "share": float(area[k] / (height * width)),
            "place": f"{down[k]} {across[k]}",
            "colour": colours[k],
        }
        for k in range(len(found))
    ]


def _relations(relations: Relations) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    index = np.arange(len(relations.found))
    for name in _LISTED:
        table = relations.related(name, index)
        table = np.triu(table) if name == "touching" else table
        found += [{"subject": i, "relation": name, "object": j} for i, j in np.argwhere(table).tolist()]
    near, gap = nearest(relations.found.masks, index, index)
    some = np.flatnonzero(near >= 0)
    sides = {name: relations.beyond(name, some, near[some]) for name in _SIDES}
    for k, i in enumerate(some.tolist()):
        said = " and ".join(_SAID.get(name, name) for name in _SIDES if sides[name][k])
        if said:
            found.append({"subject": i, "relation": said, "object": int(near[i]), "gap": round(float(gap[i]), 2)})
    return found
