"""Answers: an image is embedded once, and each object is looked at from afar and then close by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import cv2
import numpy as np

from apiece._arrays import Array, Bool, Float, Float32
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.prompts import Prompts
from apiece.core.runs import Runs
from apiece.models import DecodeOptions
from apiece.ops.ground import on_data
from apiece.prompts.click.guess import guessed
from apiece.prompts.click.looks import Look, prompt_maps
from apiece.prompts.click.networks import LEVELS, SIDE, Networks
from apiece.prompts.contract import Answer, Embedding
from apiece.transforms.input import normalise, prepare, taken, value_limits

__all__ = ["ClickSegmenter"]

Size: TypeAlias = tuple[int, int]

_SHARE = 0.65  # of the side of a close look that the object takes
_LOOKS = 3  # at an object, at most
_CLOSER = 0.8  # of the extent of the look before, from which down on another look sees more
_WIDER = 1.8  # times the look before, where the object goes on beyond its rim
_RIM = 2  # cells
_WARPED = (np.uint8, np.uint16, np.float32)  # values that OpenCV resizes
_POSSIBLE = 0.15  # score from which on what the default model finds is a first guess


class ClickSegmenter:
    """Answer points, boxes and earlier masks, and find every object."""

    def __init__(self, networks: Networks) -> None:
        self.networks, self.model = networks, networks.model

    def embed(self, image: Image) -> Embedding:
        """Return the pixels, what the default model finds, and the features of a look from afar."""
        pixels, data = taken(image, self.model.input)
        limits = np.array(value_limits(pixels, self.model.input, data))
        if pixels.dtype.type not in _WARPED:
            pixels, limits = normalise(pixels, self.model.input, (limits[0], limits[1])), np.array([0.0, 1.0])
        found = self._found(image)
        arrays: dict[str, Array] = {"pixels": pixels, "limits": limits, "scores": np.asarray(found.scores)}
        arrays |= {f"found_{name}": values for name, values in found.masks.runs._asdict().items()}
        far = self._features(arrays, Look.whole(image.size, SIDE))
        arrays |= {f"far_{k}": level.astype(np.float16) for k, level in enumerate(far)}
        return Embedding(image.size, arrays)

    def find_all(self, embedding: Embedding) -> Instances:
        """Return every object, best first: what the default model finds by itself."""
        masks, scores = _candidates(embedding)
        (least,) = self.model.thresholds or (0.5,)
        return Instances(masks, scores=scores)[scores >= least]

    def answer(self, embedding: Embedding, prompts: Prompts) -> Answer:
        """Return one mask per object, and the IoU that the chances of its pixels make likely."""
        masks, scores = [Masks.empty(embedding.size)], np.zeros(len(prompts))
        candidates = _candidates(embedding)
        for k in range(len(prompts)):
            one = prompts[k]
            before = one.masks if one.masked[0] else guessed(one, *candidates)
            look, logits, kept = self._seen(embedding, one, before)
            masks.append(Masks.from_logits(np.where(kept, logits, -abs(logits) - 1)[None], [look.box], embedding.size))
            scores[k] = _likely_iou(logits, kept)
        return Answer(Masks.concatenate(masks), scores)

    def _seen(self, embedding: Embedding, prompts: Prompts, known: Masks | None) -> tuple[Look, Float32, Bool]:
        """Look at an object until nothing more can be seen; return the last look, its logits, and its object."""
        size = embedding.size
        look = whole = Look.whole(size, SIDE)
        if prompts.boxed[0] or prompts.masked[0]:
            look = _close(whole, prompts, known if prompts.masked[0] else None).within(size)
        before = None if known is None else look.cells(known.to_dense()[0])
        for number in range(_LOOKS):
            maps = prompt_maps(look, size, prompts, before)
            logits = self._logits(embedding, look, maps)
            kept = _touched(logits > 0, maps)
            following = _following(look, whole, prompts, kept, known, size)
            if following is None or (number and following.extent < look.extent):
                break
            following = following.within(size)
            before, last = look.seen(np.where(kept, 1 / (1 + np.exp(-logits)), 0), following), look
            look = following
        else:
            look = last
        return look, logits, kept

    def _logits(self, embedding: Embedding, look: Look, maps: Float32) -> Float32:
        if look == Look.whole(embedding.size, SIDE):
            levels = [np.asarray(embedding.arrays[f"far_{k}"], np.float32) for k in range(len(LEVELS))]
        else:
            levels = self._features(embedding.arrays, look)
        return self.networks.logits(levels, maps)

    def _features(self, arrays: Mapping[str, Array], look: Look) -> list[Float32]:
        low, high = arrays["limits"].tolist()
        values = normalise(look.pixels(arrays["pixels"], low), self.model.input, (low, high))
        return self.networks.features(np.ascontiguousarray(values.transpose(2, 0, 1), np.float32)[None])

    def _found(self, image: Image) -> Instances:
        """Return what the default model finds, and what it hardly believes in."""
        model = self.model
        array, frame = prepare(image, model.input, model.stride)
        options = DecodeOptions(_POSSIBLE, one_piece=model.one_piece)
        (found,) = model.decode(self.networks.everything(array[None]), [frame], model.classes, options)
        found = options.finished(found)
        return found if frame.data is None else on_data(found, frame.data)


def _candidates(embedding: Embedding) -> tuple[Masks, Float]:
    """Return what the default model found, and its scores."""
    runs = Runs(*(embedding.arrays[f"found_{name}"] for name in Runs._fields))
    return Masks.of_runs(embedding.size, runs), embedding.arrays["scores"]


def _close(whole: Look, prompts: Prompts, masks: Masks | None, box: Float | None = None) -> Look:
    """Return the look around a box, the prompts and masks."""
    at = prompts.points[prompts.positive]
    boxes = [np.concatenate([at, at + 1], axis=1), prompts.boxes[prompts.boxed]]
    if masks is not None:
        boxes.append(masks.boxes.astype(np.float64))
    if box is not None:
        boxes.append(box[None])
    each = np.concatenate(boxes)
    look = Look.around(np.concatenate([each[:, :2].min(0), each[:, 2:].max(0)]), _SHARE, SIDE)
    return look if look.extent < whole.extent else whole


def _following(look: Look, whole: Look, prompts: Prompts, kept: Bool, known: Masks | None, size: Size) -> Look | None:
    """Return the next look at an object of which a look has seen ``kept``; None if it would see no more.

    It is wider where the object goes on beyond the rim, and closer where the object is small. An object that was not
    seen at all is looked for where it was known before, or near the clicks.
    """
    if (kept & look.rim(size, _RIM)).any():
        wider = Look.around(look.box, 1 / _WIDER, SIDE)
        return wider if wider.extent < whole.extent else whole
    if kept.any():
        closer = _close(whole, prompts, None, look.cells_box(kept))
    elif known is not None:
        closer = _close(whole, prompts, known)
    else:
        middle = prompts.points[prompts.positive].mean(0) if prompts.positive.any() else look.box.reshape(2, 2).mean(0)
        closer = Look.around(np.tile(middle, 2) + np.array([-1, -1, 1, 1]) * look.extent / 8, 1.0, SIDE)
    return closer if closer.extent < _CLOSER * look.extent else None


def _touched(drawn: Bool, maps: Float32) -> Bool:
    """Return the parts of an object that a positive click touches; without one, the mask before, or the box."""
    positive, box, before = maps[0] > 0, maps[2] > 0.5, maps[3] > 0.5
    seeds = next((where for where in (positive, before, box) if where.any()), drawn)
    _, parts = cv2.connectedComponents(drawn.astype(np.uint8), connectivity=8)
    touched = np.unique(parts[seeds & drawn])
    return np.isin(parts, touched) if len(touched) else drawn


def _likely_iou(logits: Float32, kept: Bool) -> float:
    """Return the expected intersection of a mask with its object as a share of the expected union."""
    chance = 1 / (1 + np.exp(-logits.astype(np.float64)))
    near = cv2.dilate(kept.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    return float(chance[kept].sum() / max(kept.sum() + chance[near & ~kept].sum(), 1.0))
