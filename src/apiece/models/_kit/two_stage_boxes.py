"""Between the parts of a two-stage network that was exported: proposals, detections and their levels, in NumPy.

The network itself does the same with torchvision's functions (`RegionProposalNetwork`, `RoIHeads`), for batches and on
its own device. The number of boxes depends on the image, which no single graph can express.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from apiece._arrays import Array, Float32, Int
from apiece.models._kit.arrays import Arrays
from apiece.models._kit.box_nms import greedy_nms

Compute: TypeAlias = Callable[..., Arrays]
"""``(name of a part, **inputs)`` to its outputs by name."""

STRIDES = (4, 8, 16, 32)
_LONGEST = np.float32(np.log(1000 / 16))  # of the logarithm of a side's growth
_LEVEL = 3  # log2 of the stride at which boxes with a side of `scale` are pooled
_LOG = logging.getLogger("apiece")


def two_stages(
    compute: Compute, images: Float32, sizes: Sequence[tuple[int, int]], settings: Mapping[str, Any], classes: int
) -> dict[str, Any]:
    """Return what the whole network returns, see `apiece.models.mask_rcnn.MaskRCNN`.

    Parameters
    ----------
    compute : computes a part: ``model`` (images) gives ``features0`` and so on, ``objectness0``, ``moves0``; ``boxes``
        (features, boxes on their grid) gives ``logits`` and ``moves``; ``masks`` (the same, and labels) gives masks.
    sizes : (height, width) of each image, at whose border boxes are cut.
    settings : those of the architecture.
    classes : how many classes the network has.
    """
    first = compute("model", images=images)
    levels = range(len(settings["anchors"]))
    anchors = _anchors(settings, [first[f"objectness{k}"].shape[2:] for k in levels], images.shape[2:])
    found: dict[str, list[Array]] = {}
    for i, size in enumerate(sizes):
        one = {name: values[i] for name, values in first.items()}
        features = [one[f"features{k}"][None] for k in range(len(STRIDES))]
        proposals = _proposals(one, anchors, size, settings)
        said = _pooled(compute, "boxes", features, proposals, settings)
        boxes, scores, labels = _detections(said, proposals, size, settings, classes)
        masks = _pooled(compute, "masks", features, boxes, settings, labels=labels)
        tell_crowded(len(boxes), settings["proposals"])
        answers: Arrays = {"boxes": boxes, "scores": scores, "labels": labels, **masks}
        for name, values in answers.items():
            found.setdefault(name, []).append(values)
    rest = {k: v for k, v in first.items() if not k.startswith(("features", "objectness", "moves"))}
    return {**found, **rest}


def tell_crowded(count: int, proposals: int) -> None:
    """Warn where the limit may bite: proposals crowd each other out well before they are all objects."""
    if 2 * count > proposals:
        _LOG.warning(
            "%d objects found in one image, with room for %d proposals: some may be missing; raise proposals "
            "in the settings of the model", count, proposals,
        )  # fmt: skip


def _anchors(settings: Mapping[str, Any], grids: Sequence[Sequence[int]], size: Sequence[int]) -> list[Float32]:
    """Return the anchors of each level, (rows * columns * A, 4), as torchvision's `AnchorGenerator` does."""
    root = np.sqrt(np.array(settings["aspects"], np.float32))
    found: list[Float32] = []
    for sides, (rows, columns) in zip(settings["anchors"], grids, strict=True):
        side = np.array(sides, np.float32)
        wide, high = (1 / root[:, None] * side).ravel(), (root[:, None] * side).ravel()
        cell = np.round(np.stack([-wide, -high, wide, high], 1) / 2)
        y, x = np.meshgrid(
            np.arange(rows) * (size[0] // rows), np.arange(columns) * (size[1] // columns), indexing="ij"
        )
        corner = np.stack([x, y, x, y], -1).reshape(-1, 1, 4).astype(np.float32)
        found.append((corner + cell).reshape(-1, 4).astype(np.float32))
    return found


def _proposals(one: Arrays, anchors: list[Float32], size: tuple[int, int], settings: Mapping[str, Any]) -> Float32:
    """Return the boxes that go on to the second stage, best first."""
    most = settings["proposals"]
    boxes, scores, levels = [], [], []
    for k, anchor in enumerate(anchors):
        logits = one[f"objectness{k}"].transpose(1, 2, 0).ravel()
        moves = one[f"moves{k}"].reshape(-1, 4, *one[f"moves{k}"].shape[1:]).transpose(2, 3, 0, 1).reshape(-1, 4)
        best = np.argsort(-logits, kind="stable")[:most]
        boxes.append(_moved(anchor[best], moves[best, None], (1, 1, 1, 1))[:, 0])
        scores.append(logits[best])
        levels.append(np.full(len(best), k))
    box = _cut(np.concatenate(boxes), size)
    keep = np.flatnonzero(((box[:, 2:] - box[:, :2]) >= np.float32(1e-3)).all(1))
    score = np.concatenate(scores)[keep].astype(np.float64)
    keep = keep[greedy_nms(box[keep], score, np.concatenate(levels)[keep], 0.7)[:most]]
    return box[keep]


def _detections(
    said: Arrays, proposals: Float32, size: tuple[int, int], settings: Mapping[str, Any], classes: int
) -> tuple[Float32, Float32, Int]:
    """Return boxes, scores and labels of one image, best first."""
    logits = said["logits"].copy()
    logits[:, [1 + label for label in settings["stuff"]]] = -np.inf
    powers = np.exp(logits - logits.max(1, keepdims=True))
    chances = (powers / powers.sum(1, keepdims=True))[:, 1:]
    moved = _cut(_moved(proposals, said["moves"].reshape(len(proposals), -1, 4), (10, 10, 5, 5))[:, 1:], size)
    row, label = np.nonzero((chances > settings["conf"]) & ((moved[..., 2:] - moved[..., :2]) >= 1e-2).all(-1))
    boxes, scores = moved[row, label], chances[row, label]
    best = greedy_nms(boxes, scores.astype(np.float64), label, settings["iou"])[: settings["proposals"]]
    best = best[label[best] < classes]  # the others are of no class
    return boxes[best], scores[best], label[best]


def _moved(boxes: Float32, moves: Float32, weights: tuple[int, int, int, int]) -> Float32:
    """Return boxes (N, 4), each moved in K ways (N, K, 4), as torchvision's `BoxCoder` does."""
    side = (boxes[:, 2:] - boxes[:, :2])[:, None]
    centre = boxes[:, None, :2] + np.float32(0.5) * side
    step = moves / np.array(weights, np.float32)
    middle = step[..., :2] * side + centre
    half = np.float32(0.5) * np.exp(np.minimum(step[..., 2:], _LONGEST)) * side
    return np.concatenate([middle - half, middle + half], -1)


def _cut(boxes: Float32, size: tuple[int, int]) -> Float32:
    return boxes.clip(0, np.array([size[1], size[0]] * 2, np.float32))


def _pooled(
    compute: Compute, part: str, features: list[Float32], boxes: Float32, settings: Mapping[str, Any], **more: Array
) -> Arrays:
    """Return what a part says of each box, pooled at the level that suits its size (Lin et al., equation 1)."""
    side = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1))
    with np.errstate(divide="ignore"):
        level = np.floor(_LEVEL + np.log2(side / np.float32(settings["scale"])) + np.float32(1e-6)) - 2
    level = level.clip(0, len(STRIDES) - 1)
    found: Arrays = {}
    for k, stride in enumerate(STRIDES):
        here = np.flatnonzero(level == k)
        if not len(here) and not (k == 0 and not len(boxes)):
            continue
        grid = {"features": features[k], "boxes": boxes[here] / np.float32(stride)}
        said = compute(part, **grid, **{name: values[here] for name, values in more.items()})
        for name, values in said.items():
            found.setdefault(name, np.zeros((len(boxes), *values.shape[1:]), np.float32))[here] = values
    return found
