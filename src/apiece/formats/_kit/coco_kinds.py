"""Which member of the COCO family a file is: instances, panoptic or LVIS."""

from __future__ import annotations

from pathlib import Path

from apiece.formats._kit.json_keys import peek_json

_FOREIGN = frozenset(["shapes", "items", "features", "image", "schema_ref"])
_LVIS = frozenset(["neg_category_ids", "not_exhaustive_category_ids"])


def kind_of_coco(path: Path) -> str | None:
    """Return ``"coco"``, ``"coco_panoptic"``, ``"lvis"`` or None, by the keys of the first entries; never raises."""
    seen = peek_json(path)
    if seen is None:
        return None
    if seen.opening == "[":
        return "coco" if seen.empty or {"image_id", "category_id"} <= seen.keys else None
    if not {"images", "annotations"} & seen.keys or _FOREIGN & seen.keys:
        return None
    annotation = seen.first("annotations")
    if annotation and "segments_info" in annotation:
        return "coco_panoptic"
    image = seen.first("images")
    if image and _LVIS & image:
        return "lvis"
    if annotation is None and image is None:
        return None  # other tools have these keys too, but no lists under them
    if annotation and image:
        return "coco"
    # nothing is labelled, so that only categories tell
    category = seen.first("categories") or frozenset()
    if not annotation and "isthing" in category:
        return "coco_panoptic"
    return "lvis" if not image and "frequency" in category else "coco"
