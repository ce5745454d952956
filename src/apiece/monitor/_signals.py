"""What is watched of each image, without labels: how it looks, and what the model found on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from apiece._arrays import Float, Float32
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.core.masks import Masks

_STRONGEST = 0.03
"""Share of an image's pixels whose edges are looked at: where objects are few, the outlines of all."""
_BESIDE = 3
"""Pixels around an instance that belong to its outline."""


@dataclass(frozen=True)
class Signal:
    """One number that is watched."""

    name: str
    """Its name in reports."""
    of: Literal["image", "found"]
    """Whether it is taken from the pixels or from what the model found."""
    summary: str
    """How it is defined."""


SIGNALS: tuple[Signal, ...] = (
    Signal("pixels", "image", "log10 of height x width"),
    Signal("brightness", "image", "mean grey value, as a share of the dtype's largest"),
    Signal("dark", "image", "5th percentile of the grey values"),
    Signal("bright", "image", "95th percentile of the grey values"),
    Signal("contrast", "image", "standard deviation of the grey values"),
    Signal("colour", "image", "mean difference between a pixel's largest and smallest channel"),
    Signal("tint", "image", "mean of the first channel less mean of the last"),
    Signal("sharpness", "image", "log10 ratio of gradients at full and half resolution"),
    Signal("coarseness", "image", "log10 ratio of gradients at 1/2 and 1/8 resolution"),
    Signal("noise", "image", "log10 of noise over contrast (Immerkaer 1996)"),
    Signal("count", "found", "log of 1 + instances"),
    Signal("density", "found", "log of 1 + instances per megapixel"),
    Signal("covered", "found", "share of the image's pixels under a mask"),
    Signal("size", "found", "median of log10 of the instances' area in pixels"),
    Signal("size spread", "found", "interquartile range of the same"),
    Signal("extent", "found", "median share of its box that an instance fills"),
    Signal("elongation", "found", "median of log10 of the boxes' longer over shorter side"),
    Signal("score", "found", "median score"),
    Signal("lowest scores", "found", "10th percentile of the scores"),
    Signal("standing out", "found", "grey value on instances less beside, over contrast"),
    Signal("unexplained", "found", "share of the strongest edges away from instances"),
)
"""Every signal, in the order of the columns that `observe` gives."""


def observe(image: Image | None, found: Instances) -> Float:
    """Return all signals of one image: float64 of shape (signals,); NaN for what cannot be told.

    Parameters
    ----------
    image : its pixels; None leaves the signals of pixels out.
    found : the model's final answer on it, at its own thresholds.
    """
    values = _of_found(found)
    if image is not None:
        values |= _of_image(image, found.masks)
    return np.array([values.get(signal.name, np.nan) for signal in SIGNALS])


def _of_image(image: Image, masks: Masks) -> dict[str, float]:
    data, pixels = image.data, image.colours().pixels
    # floating point has no largest value, and is taken as it is
    full = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "ui" else 1
    planes = [pixels[:, :, c].astype(np.float32) / np.float32(full) for c in range(pixels.shape[2])]
    if pixels.dtype.kind == "f":
        planes = [np.nan_to_num(plane, posinf=0.0, neginf=0.0) for plane in planes]
    grey = planes[0] if len(planes) == 1 else np.mean(planes, axis=0)
    if data is not None and not data.any():
        return {"pixels": float(np.log10(grey.size))}
    inside = grey if data is None else grey[data]  # transparent ground has no brightness
    spread = float(inside.std())
    colours = [plane if data is None else plane[data] for plane in planes[:3]]
    level, edges = grey, [_edges(grey)]
    for _ in range(3):
        if min(level.shape) >= 8:
            level = cv2.resize(level, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        edges.append(_edges(level))
    low, high = np.percentile(inside, (5, 95))
    return {
        "pixels": float(np.log10(grey.size)),
        "brightness": float(inside.mean()),
        "dark": float(low),
        "bright": float(high),
        "contrast": spread,
        "colour": float((np.maximum.reduce(colours) - np.minimum.reduce(colours)).mean()),
        "tint": float(colours[0].mean() - colours[-1].mean()),
        "sharpness": _log_ratio(edges[0], edges[1]),
        "coarseness": _log_ratio(edges[1], edges[3]),
        "noise": _log_ratio(_noise(grey), spread),
        **_beside(grey, masks, spread),
    }


def _edges(grey: Float32) -> float:
    """Mean absolute difference between neighbouring pixels."""
    if min(grey.shape) < 2:
        return 0.0
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())


def _noise(grey: Float32) -> float:
    """Standard deviation of the noise: a filter that is blind to edges and ramps (Immerkaer, CVIU 64, 1996)."""
    if min(grey.shape) < 3:
        return 0.0
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    answer = cv2.filter2D(grey, cv2.CV_32F, kernel)[1:-1, 1:-1]
    return float(np.sqrt(np.pi / 2) / 6 * np.abs(answer).mean())


def _log_ratio(a: float, b: float) -> float:
    """Log10 of a / b; NaN where either is nothing, as on an image of one colour."""
    return float(np.log10(a / b)) if a > 1e-9 and b > 1e-9 else float("nan")


def _beside(grey: Float32, masks: Masks, spread: float) -> dict[str, float]:
    """How the instances differ from what lies beside them, and how much of what is there they leave unexplained."""
    if spread < 1e-9 or min(grey.shape) < 3:
        return {}
    inside = masks.union().to_dense()[0].astype(np.uint8)
    edges = cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    strongest = edges >= np.percentile(edges, 100 * (1 - _STRONGEST))
    grown = cv2.dilate(inside, np.ones((2 * _BESIDE + 1, 2 * _BESIDE + 1), np.uint8))
    found = {"unexplained": float((strongest & (grown == 0)).sum() / strongest.sum())}
    if 0 < inside.mean() < 1:
        found["standing out"] = float((grey[inside == 1].mean() - grey[inside == 0].mean()) / spread)
    return found


def _of_found(found: Instances) -> dict[str, float]:
    count, area = len(found), found.masks.area
    whole = found.size[0] * found.size[1]
    values = {
        "count": float(np.log1p(count)),
        "density": float(np.log1p(count * 1e6 / max(whole, 1))),
        "covered": float(found.masks.union().area.sum() / max(whole, 1)),
    }
    some = area > 0
    if not some.any():
        return values
    boxes = found.boxes[some].astype(np.float64)
    sides = boxes[:, 2:] - boxes[:, :2]
    size = np.log10(area[some])
    quarter, middle, three_quarters = np.percentile(size, (25, 50, 75))
    values |= {
        "size": float(middle),
        "size spread": float(three_quarters - quarter),
        "extent": float(np.median(area[some] / sides.prod(1))),
        "elongation": float(np.median(np.log10(sides.max(1) / sides.min(1)))),
    }
    if found.scores is not None:
        lowest, middle = np.percentile(found.scores, (10, 50))
        values |= {"score": float(middle), "lowest scores": float(lowest)}
    return values
