"""Size and shape of each mask.

Pixels are rectangles of the pixel size: lengths are measured after x and y are scaled, so pixels need not be square.
Places in the image (`box`, `centroid`) stay in pixels. Definitions are those of scikit-image's ``regionprops``, if it
has the property, unless the property's line says otherwise. Sizes and counts of an empty mask are 0, the rest is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from apiece._arrays import Array
from apiece.core.masks import Masks
from apiece.measurements._kit.fitted import with_fits
from apiece.measurements._kit.forms import AREA, MAJOR, MINOR, beside_ellipse, with_forms
from apiece.measurements._kit.moments import ellipses, ratio
from apiece.measurements.contract import Measure, Property, Request
from apiece.ops.hull import calipers, convex_pixels, hull_columns
from apiece.ops.perimeter import crofton
from apiece.ops.true_hull import tips, true_hulls

__all__ = ["MEASURE"]

ROUND = 5  # fewest pixels with a circularity: of 1, 2 and 4 pixels it would be 1.75, 1.20 and 1.20; of more, up to 1.08

Columns = dict[str, Array]


def _compute(request: Request) -> Mapping[str, Array]:
    masks, wanted = request.masks, request.wanted
    out = _sizes(masks, request.scale)
    if wanted & {"perimeter", "circularity"}:
        out |= _outline(masks, out["area"], request.scale)
    hull = wanted & {"feret_max", "feret_min", "rect_length", "rect_width", "rect_angle", "fitted_area", "solidity"}
    if hull or wanted & {"major_axis", "minor_axis", "orientation", "eccentricity"}:
        out |= ellipses(masks, request.scale)
    if hull:
        out |= _hulls(masks, request.scale, out, "solidity" in wanted)
    if "holes" in wanted:
        out["holes"] = masks.holes
    if "parts" in wanted:
        out["parts"] = masks.parts
    return out


def _sizes(masks: Masks, scale: tuple[float, float]) -> Columns:
    pixels = masks.area
    box = masks.boxes.astype(np.int64)
    height, width = masks.size
    area = pixels if scale == (1.0, 1.0) else pixels * (scale[0] * scale[1])
    touches = (box[:, :2] == 0).any(axis=1) | (box[:, 2] == width) | (box[:, 3] == height)
    return {
        "pixels": pixels,
        "area": area,
        "equivalent_diameter": np.sqrt(area * (4 / np.pi)),
        "box": box,
        "centroid": np.where(pixels[:, None] > 0, masks.centroids, np.nan),
        "cut_by_border": touches & (pixels > 0),
    }


def _outline(masks: Masks, area: Array, scale: tuple[float, float]) -> Columns:
    perimeter = crofton(masks, scale)
    circularity = np.where(masks.area >= ROUND, ratio(4 * np.pi * area, perimeter**2), np.nan)
    return {"perimeter": perimeter, "circularity": circularity}


def _hulls(masks: Masks, scale: tuple[float, float], axes: Columns, solidity: bool) -> Columns:
    count = len(masks)
    columns = hull_columns(masks)
    hulls = true_hulls(columns, count)
    found = calipers(*hulls, tips(hulls), scale)
    out = {
        "feret_max": found.feret_max,
        "feret_min": found.feret_min,
        "rect_length": found.length,
        "rect_width": found.width,
        "rect_angle": found.angle,
    }
    side = math.sqrt(scale[0] * scale[1])
    if scale[0] == scale[1]:
        pixels = axes | {name: axes[name] / side for name in ("major_axis", "minor_axis")}
    else:
        pixels = ellipses(masks, (1.0, 1.0))
    beside, edges = beside_ellipse(hulls, masks.centroids, pixels), np.diff(hulls.offsets)
    out = with_forms(out, masks.area, axes, beside, edges, side)
    out = with_fits(out, masks, axes | {name: axes[name] / side for name in ("major_axis", "minor_axis")}, edges, scale)
    return out | ({"solidity": ratio(masks.area, convex_pixels(columns, count))} if solidity else {})


MEASURE = Measure(
    summary="size and shape of each mask",
    properties=(
        Property("pixels", "none", "number of pixels"),
        Property("area", "area", "number of pixels times the area of a pixel; holes are not counted", spread=AREA),
        Property(
            "fitted_area",
            "area",
            "area of the disc, ellipse, rectangle or stadium that has the mask's pixels, less its hole; else none",
            spread=AREA,
        ),
        Property("perimeter", "length", "outline and holes, Crofton in 4 directions (skimage perimeter_crofton)"),
        Property("equivalent_diameter", "length", "diameter of the disc of the same area", spread=AREA),
        Property("box", "pixel", "half-open box, pixel edges; zeros for an empty mask", parts=("x0", "y0", "x1", "y1")),
        Property("centroid", "pixel", "mean of the pixel centres, which lie at +0.5", parts=("x", "y")),
        Property(
            "feret_max",
            "length",
            "largest width of the shape that was drawn; about 0.2 pixels too large on discs (skimage: 1.5)",
            spread=0.80,
        ),
        Property("feret_min", "length", "least width between parallel lines, unbiased", spread=0.64),
        Property("rect_length", "length", "long side of the rectangle of least area around it", spread=0.80),
        Property("rect_width", "length", "short side of that rectangle", spread=0.64),
        Property("rect_angle", "degree", "direction of its long side, 0 to 180, from x towards y (clockwise)"),
        Property(
            "major_axis",
            "length",
            "long axis of the ellipse with the same second moments as the pixel centres",
            spread=MAJOR,
        ),
        Property("minor_axis", "length", "short axis of that ellipse", spread=MINOR),
        Property("orientation", "degree", "direction of its long axis, as rect_angle (skimage: from y towards x)"),
        Property("eccentricity", "none", "of that ellipse: 0 for a disc, towards 1 for a line"),
        Property("circularity", "none", "4 pi area / perimeter^2: about 1 for a disc, up to 1.08; none below 5 pixels"),
        Property("solidity", "none", "pixels / pixels of the convex hull of the edge midpoints (skimage area_convex)"),
        Property("holes", "none", "number of holes (background joined over 8 neighbours)"),
        Property("parts", "none", "number of parts (pixels joined over 4 neighbours)"),
        Property("cut_by_border", "none", "whether the mask touches the border of the image"),
    ),
    compute=_compute,
)
