"""Quadratic forms over boxes as weighted sums of the same few maps, so that a linear decoder can hold them."""

from __future__ import annotations

import numpy as np

from apiece._arrays import Float, Float32

FORM = 6
"""Numbers of a quadratic form: weights of 1, u, v, uu, uv and vv."""


def quadratic_planes(forms: Float32, boxes: Float, shape: tuple[int, ...], stride: int) -> tuple[Float32, Float32]:
    """Return quadratic forms over boxes as weighted sums of the same six maps: float32 (6, h, w) and (N, 6).

    Parameters
    ----------
    forms : (N, 6) weights of 1, u, v, uu, uv, vv, where u and v run from -1 to 1 across the box.
    boxes : (N, 4) half-open xyxy in pixels.
    shape : (h, w) of the maps; each cell is ``stride`` pixels wide.
    """
    unit = stride * max(shape) / 2
    x, y = (((np.arange(n) + 0.5) * stride - n * stride / 2) / unit for n in (shape[1], shape[0]))
    x, y = np.broadcast_to(x, shape), np.broadcast_to(y[:, None], shape)
    planes = np.stack([np.ones(shape), x, y, x * x, x * y, y * y]).astype(np.float32)
    # u = a x + b
    side = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    a = 2 * unit / side
    middle = np.array([shape[1], shape[0]]) * stride / 2
    b = 2 * (middle - boxes[:, :2]) / side - 1
    (ax, ay), (bx, by) = a.T, b.T
    one, u, v, uu, uv, vv = forms.astype(np.float64).T
    weights = [
        one + u * bx + v * by + uu * bx * bx + uv * bx * by + vv * by * by,
        ax * (u + 2 * uu * bx + uv * by),
        ay * (v + 2 * vv * by + uv * bx),
        uu * ax * ax,
        uv * ax * ay,
        vv * ay * ay,
    ]
    return planes, np.stack(weights, 1).astype(np.float32)
