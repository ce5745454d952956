"""Texture of the image inside each mask: how much neighbouring pixels differ, and how alike they are.

Neighbours are the pixels beside each other along x and along y, both inside the mask. The numbers are the contrast and
the correlation of the grey-level co-occurrence matrix at distance 1 (Haralick 1973), of the image's own values and
without a matrix. Measured where its properties are named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from apiece._arrays import Array, Float, Int
from apiece.core.masks import Masks
from apiece.core.runs import Runs
from apiece.errors import ConfigError
from apiece.measurements._kit.inside import statistics
from apiece.measurements.contract import Measure, Property, Request

__all__ = ["MEASURE"]


def _compute(request: Request) -> Mapping[str, Array]:
    if request.pixels is None:
        raise ConfigError("textures need an image; give one, or ask for properties of the shape only")
    pixels = request.pixels.astype(np.float64)
    down = _pairs(request.masks, pixels)
    across = _pairs(request.masks.transpose(), np.ascontiguousarray(pixels.transpose(1, 0, 2)))
    count = (down[0] + across[0])[:, None]
    means = (down[0][:, None] * np.nan_to_num(down[1]) + across[0][:, None] * np.nan_to_num(across[1])) / np.where(
        count > 0, count, np.nan
    )
    squared, product, first, second, first_squared, second_squared = np.split(means, 6, axis=1)
    spread = np.sqrt(np.maximum(first_squared - first**2, 0) * np.maximum(second_squared - second**2, 0))
    alike = np.divide(product - first * second, spread, out=np.full(spread.shape, np.nan), where=spread > 0)
    return {"texture_contrast": np.sqrt(squared), "texture_correlation": np.clip(alike, -1, 1)}


def _pairs(masks: Masks, pixels: Float) -> tuple[Int, Float]:
    """Return the number of pairs of pixels below each other in each mask, and means over them: (N, 6 channels)."""
    runs, (_, width, channels) = masks.runs, pixels.shape
    long = runs.y1 - runs.y0 > 1
    upper = Runs.ordered(runs.owners[long], runs.x[long], runs.y0[long], runs.y1[long] - 1, len(masks))
    flat, below = pixels.reshape(-1), width * channels

    def values(index: Int) -> Sequence[Array]:
        first = [flat[c:].take(index) for c in range(channels)]
        second = [flat[c + below :].take(index) for c in range(channels)]
        both = list(zip(first, second, strict=True))
        return [
            *((a - b) ** 2 for a, b in both), *(a * b for a, b in both), *first, *second,
            *(a * a for a in first), *(b * b for b in second),
        ]  # fmt: skip

    own = Masks.of_runs(masks.size, upper)
    return own.area, statistics(own, channels, values, 6 * channels, spread=False)[0]


MEASURE = Measure(
    summary="how much neighbouring pixels inside each mask differ",
    properties=(
        Property("texture_contrast", "none", "rms difference of neighbouring pixels, in the image's own values"),
        Property("texture_correlation", "none", "correlation of neighbouring pixels: 1 smooth, 0 noise; NaN of plain"),
    ),
    compute=_compute,
    needs_image=True,
    on_request=True,
)
