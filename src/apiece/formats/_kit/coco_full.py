"""Full masks in COCO files: which keys data sets use for the visible and for the whole object.

KINS (Qi et al., CVPR 2019), COCOA (Zhu et al., CVPR 2017), D2SA (Follmann et al., WACV 2019) and the tools made for
them write the whole object as ``segmentation`` and what is visible of it beside that, or both under names of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from apiece.core.masks import Masks
from apiece.core.set_operations import pairwise_union
from apiece.errors import InvalidInstancesError

VISIBLE = ("visible_seg", "visible_mask", "inmodal_seg", "i_segm")
WHOLE = ("amodal_seg", "amodal_mask", "a_segm")
WRITTEN = WHOLE[0]
"""What the writer calls a full mask; ``segmentation`` stays the visible one, which every other tool reads."""

_RIM = 0.05  # share of a visible mask that may lie outside the full one: two outlines drawn by hand


Keys = tuple[list[str], list[str]]
"""Under which key each annotation has its visible and its full mask."""


def seen_and_whole(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[Any] | None, Keys]:
    """Return annotations whose ``segmentation`` is the visible mask; the segmentations of the full ones, or None; keys.

    An annotation without a visible mask of its own hides nothing. Area and box of the file speak of the whole object,
    and are left out where that is not the visible one.
    """
    keys = set().union(*rows) if rows else set()
    if keys.isdisjoint(VISIBLE) and keys.isdisjoint(WHOLE):
        return rows, None, ([], [])
    seen, whole = [], []
    named: Keys = ([], [])
    for row in rows:
        visible = next((k for k in VISIBLE if row.get(k)), "segmentation")
        others = ("segmentation",) if visible != "segmentation" and row.get("segmentation") else ()
        full = next((k for k in (*WHOLE, *others) if row.get(k)), visible)
        named[0].append(visible)
        named[1].append(full)
        whole.append(row.get(full))
        if visible != "segmentation":
            row = row | {"segmentation": row[visible], "area": None, "bbox": None}
        seen.append(row)
    return seen, whole, named


def regions(rows: list[Any]) -> tuple[list[Any], list[dict[str, Any]]] | None:
    """Return COCOA's regions as annotations of their own, and their categories; None if there are none.

    COCOA has one annotation for each image and person; its regions have names in free text, and are things or stuff.
    """
    if not any(type(row) is dict and type(row.get("regions")) is list for row in rows):
        return None
    found: list[Any] = []
    for row in rows:
        some = row.get("regions") if type(row) is dict else None
        for region in some if type(some) is list else [row]:
            if type(region) is dict and region is not row:
                stuff = bool(region.get("isStuff"))
                outline = region.get("segmentation")
                flat = type(outline) is list and outline and type(outline[0]) is not list
                region = {k: v for k, v in region.items() if k != "isStuff"}
                region |= {"image_id": row.get("image_id"), "category_id": 2 if stuff else 1}
                region |= {"id": len(found) + 1, "segmentation": [outline] if flat else outline}
                region.pop("invisible_mask", None)
            found.append(region)
    return found, [{"id": 1, "name": "thing"}, {"id": 2, "name": "stuff"}]


def united(visible: Masks, full: Masks) -> Masks:
    """Return the full masks with what is visible; refuse one that leaves out more than a rim of its visible mask."""
    both = pairwise_union(full, visible)
    beyond = both.area - full.area
    wrong = np.flatnonzero(beyond > np.maximum(_RIM * visible.area, 4))
    if len(wrong):
        first = int(wrong[0])
        raise InvalidInstancesError(
            f"{beyond[first]} of {visible.area[first]} visible pixels lie outside the full (amodal) mask", first
        )
    return both
