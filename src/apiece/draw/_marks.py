"""Lines and zones drawn into a picture, with a word beside each."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from apiece._arrays import Array, UInt8
from apiece.draw._text import draw_text, text_height, text_width

__all__ = ["mark_line", "mark_zone", "write_text"]

_INK, _HALO = (255, 220, 0), (40, 30, 0)


def mark_line(canvas: UInt8, start: tuple[float, float], end: tuple[float, float], text: str) -> None:
    """Draw a line, x and y in pixels, into uint8 RGB (height, width, 3); an arrow points to its right-hand side.

    Examples
    --------
    >>> canvas = np.zeros((40, 60, 3), np.uint8)
    >>> apiece.draw.mark_line(canvas, (5, 20), (55, 20), "exit: 3 | 1")
    >>> (canvas[20, 30] > 180).tolist()  # yellow
    [True, True, False]
    """
    points = np.array([start, end])
    middle, way = points.mean(0), points[1] - points[0]
    right = np.array([-way[1], way[0]]) / max(float(np.hypot(*way)), 1e-9)
    tip = middle + right * _side(canvas) / 20
    for ink, more in ((_HALO, 2), (_INK, 0)):
        _stroke(canvas, points, False, ink, more)
        cv2.arrowedLine(canvas, _whole(middle), _whole(tip), ink, _width(canvas) + more, cv2.LINE_AA, tipLength=0.4)
    write_text(canvas, text, points.min(0) - np.array([0, _side(canvas) / 20]))


def mark_zone(canvas: UInt8, rings: Sequence[Sequence[float]], text: str) -> None:
    """Draw the outline of a zone, rings of x, y, x, y ... in pixels, into uint8 RGB (height, width, 3).

    Examples
    --------
    >>> canvas = np.zeros((40, 60, 3), np.uint8)
    >>> apiece.draw.mark_zone(canvas, [(10, 10, 50, 10, 50, 30, 10, 30)], "shelf: 2")
    >>> (canvas[30, 30] > 180).tolist()  # yellow
    [True, True, False]
    """
    for ring in rings:
        points = np.array(ring, float).reshape(-1, 2)
        for ink, more in ((_HALO, 2), (_INK, 0)):
            _stroke(canvas, points, True, ink, more)
    write_text(canvas, text, np.array(rings[0], float).reshape(-1, 2).min(0))


def _side(canvas: UInt8) -> float:
    return float(np.sqrt(canvas.shape[0] * canvas.shape[1]))


def _width(canvas: UInt8) -> int:
    return max(round(_side(canvas) / 400), 1)


def _whole(point: np.ndarray) -> tuple[int, int]:
    x, y = np.rint(np.clip(point, -30000, 30000)).astype(int).tolist()
    return x, y


def _stroke(canvas: UInt8, points: np.ndarray, closed: bool, ink: tuple[int, int, int], more: int) -> None:
    whole = np.array([_whole(point) for point in points], np.int32)
    cv2.polylines(canvas, [whole[:, None]], closed, ink, _width(canvas) + more, cv2.LINE_AA)


def write_text(canvas: UInt8, text: str, corner: Array) -> None:
    """Write a word into uint8 RGB (height, width, 3) with its upper left corner at x, y, moved so that it is all seen.

    Examples
    --------
    >>> canvas = np.zeros((40, 60, 3), np.uint8)
    >>> apiece.draw.write_text(canvas, "3", np.array([50.0, 10.0]))
    >>> bool(canvas.any())
    True
    """
    size = int(np.clip(_side(canvas) / 36, 10, 28))
    height, width = canvas.shape[:2]
    x = int(np.clip(corner[0], 0, max(width - text_width(text, size) - 4, 0)))
    y = int(np.clip(corner[1], 0, max(height - text_height(size) - 4, 0)))
    draw_text(canvas, text, (x, y), size)
