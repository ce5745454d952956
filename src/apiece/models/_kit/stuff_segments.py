"""Segments of stuff in the answers of a network: one for each class of stuff and image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apiece.core.instances import Instances
from apiece.core.masks import label_map_masks
from apiece.models._kit.arrays import as_array
from apiece.models._kit.class_pixels import grid_classes
from apiece.models.contract import DecodeOptions, Frame

CELL = 4
"""Pixels of the input along a cell of the semantic branch's answer."""


def joined(instances: Instances, stuff: Sequence[int]) -> Instances:
    """Return the instances with each class of stuff as one segment, as a model of queries learns and finds it.

    The segment comes where its class comes first, with the score of that one; crowds stay apart.
    """
    own = np.flatnonzero(np.isin(instances.labels, stuff) & ~instances.crowd)
    if not len(own):
        return instances
    _, first, which = np.unique(instances.labels[own], return_index=True, return_inverse=True)
    group = np.arange(len(instances))
    group[own] = own[first][which]
    kept, group = np.unique(group, return_inverse=True)
    return instances[kept].replace(masks=instances.masks.merge(group, len(kept)), full=None)


def as_segments(found: Instances, out: Mapping[str, Any]) -> Instances:
    """Return the answers of queries with those of each class of stuff joined, if large enough, as `joined` does."""
    if "stuff" not in out:
        return found
    stuff = out["stuff"].tolist()
    segments = joined(found, stuff)
    return segments[~np.isin(segments.labels, stuff) | (segments.masks.area >= int(out["smallest"]))]


def with_stuff(
    found: Instances, out: Mapping[str, Any], frame: Frame, options: DecodeOptions, *, alone: bool = False
) -> Instances:
    """Return objects and segments of stuff, best first; ``alone``: in the pixels that the objects leave.

    There is one segment per class of stuff that is somewhere the likeliest. Its score is the mean probability of the
    class over the cells where it is that. ``out`` is of one image, see `SemanticBranch.answer`; without stuff in it
    ``found`` is returned.
    """
    if "semantic" not in out:
        return found
    logits, stuff = as_array(out["semantic"]), as_array(out["stuff"]).astype(np.int64)
    best, likely = grid_classes(logits, frame, CELL)
    if alone:
        best[found.masks.union().to_label_map() > 0] = 0
    values, masks = label_map_masks(best)
    labels, scores = stuff[values.astype(np.int64) - 1], likely[values]
    keep = (masks.area >= int(out["smallest"])) & (scores >= options.threshold(labels))
    full = None if found.full is None else masks
    unknown = {name: np.full(len(masks), np.nan) for name in found.attributes}
    segments = Instances(masks, labels, found.classes, scores, attributes=unknown, full=full)[keep]
    both = Instances.concatenate([found, segments])
    assert both.scores is not None
    return both[np.argsort(-both.scores, kind="stable")]
