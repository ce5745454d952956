"""Instances over their image: fill, outlines, boxes, names, scores and ids, thousands at once."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from apiece._arrays import Array, Bool, Int, UInt8
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.draw import _labels, _strokes, palette
from apiece.draw._text import draw_text, text_height, text_width
from apiece.errors import ConfigError, InvalidInstancesError

__all__ = ["display_limits", "overlay", "to_display"]

_RGB = UInt8
_NO_DATA = 40  # grey
_SMALLEST = 10  # text, in pixels
_DASH = 4  # length of a dash, in widths of the outline
_LARGEST = 0.06  # share of the image that a legend may hide
_LONG = 6  # lines; a longer legend is of the smallest text
_NOWHERE = (0, 0, 0, 0)
_FEW, _MOST = 2, 0.9  # more labels than few, and than the rest of most, are left out before there is a legend


def to_display(image: Image, *, limits: tuple[float, float] | None = None) -> _RGB:
    """Return an image as a screen can show it: uint8 (H, W, 3), always a new array.

    Three or more channels show the first three as red, green and blue; one or two show the first as grey. 8-bit
    values are kept, booleans become 0 and 255, and everything else (16-bit, 32-bit, float) is stretched so that
    the 0.5th and the 99.8th percentile of what is shown become black and white; NaN and minus infinity are black,
    infinity is white. An alpha channel is not shown, and transparent ground is dark grey. For display only: nothing is
    measured on this.

    Parameters
    ----------
    image : an image of any dtype.
    limits : values that become black and white, in place of these percentiles; 8-bit images are stretched then, too.
    """
    data, image = image.data, image.colours()
    pixels = image.pixels[:, :, : 3 if image.channels >= 3 else 1]
    if pixels.dtype == np.bool_:
        shown = pixels.astype(np.uint8) * np.uint8(255)
    elif pixels.dtype == np.uint8 and limits is None:
        shown = pixels
    else:
        shown = _stretched(pixels, *(limits or display_limits(pixels)))
    canvas = np.ascontiguousarray(np.broadcast_to(shown, (*image.size, 3))).copy()
    if data is not None:
        canvas[~data] = _NO_DATA
    return canvas


def display_limits(pixels: Array) -> tuple[float, float]:
    """Return the values that `to_display` shows black and white: the 0.5th and the 99.8th percentile of finite values.

    Examples
    --------
    >>> from apiece.draw import display_limits
    >>> display_limits(np.full((4, 4, 1), 7, np.uint16))
    (7.0, 8.0)
    """
    step = max(int(np.sqrt(pixels.shape[0] * pixels.shape[1] / 1e6)), 1)  # a million pixels tell the percentiles
    sample = np.asarray(pixels[::step, ::step], np.float64)
    sample = sample[np.isfinite(sample)]
    low, high = np.percentile(sample, (0.5, 99.8)).tolist() if sample.size else (0.0, 1.0)
    return low, high if high > low else low + 1.0


def _stretched(pixels: Array, low: float, high: float) -> _RGB:
    if pixels.dtype.kind in "iu" and pixels.dtype.itemsize <= 2:
        bounds = np.iinfo(pixels.dtype)
        table = _scaled(np.arange(bounds.min, bounds.max + 1), low, high)
        return np.asarray(table[pixels.astype(np.int32) - bounds.min])
    shown = np.empty(pixels.shape, np.uint8)
    for top in range(0, len(pixels), 512):  # in strips: a float copy of a huge image would be eight times as large
        shown[top : top + 512] = _scaled(pixels[top : top + 512], low, high)
    return shown


def _scaled(values: Array, low: float, high: float) -> _RGB:
    scaled = (np.asarray(values, np.float64) - low) * (255.0 / (high - low))
    np.nan_to_num(scaled, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
    return np.asarray(np.rint(np.clip(scaled, 0, 255)), np.uint8)


def overlay(
    image: Image | Array,
    instances: Instances,
    *,
    fill: bool = True,
    outlines: bool = True,
    boxes: bool = False,
    names: bool = True,
    scores: bool = False,
    ids: bool = False,
    alpha: float = 0.45,
    colour_by: Literal["auto", "instance", "class"] = "auto",
    colours: npt.ArrayLike | None = None,
    thickness: int | None = None,
    text_size: int | None = None,
) -> _RGB:
    """Draw instances over their image.

    Where masks overlap, the smaller one is drawn on top. An outline lies inside its mask, so that its outer edge is
    exact; a darker line outside it keeps it readable on any ground. The outline of what others hide of an object
    (`Instances.full`) is dashed.

    A label lies beside or inside its object, where it covers neither another label nor another object, unless that
    one lies around its own. Where not nearly all have room, their text becomes smaller; labels without room are left
    out. If these are many, a legend in a corner counts the objects of each class, and a single class is named there
    only.

    Parameters
    ----------
    image : an image, or its pixels (H, W) or (H, W, C): any dtype, 1 to 12 channels; shown as `to_display` says.
    instances : of an image of this size.
    fill, outlines, boxes : what to draw of the mask and of its box.
    names, scores, ids : what to write at each object. Scores and ids are skipped where there are none.
    alpha : how much the fill covers, 0..1.
    colour_by : ``"instance"``: by id, or by index where there are no ids; ``"class"``: by label, see `palette.colours`;
        ``"auto"``: by instance, or in shades of a colour for each class where a legend has to explain several classes.
    colours : uint8 (N, 3) RGB instead.
    thickness : of outlines and boxes, in pixels; by default 1, or 2 for images above 800 pixels.
    text_size : in pixels; by default it grows with the image, from 10 to 24, and shrinks to 10 where objects are dense.

    Returns
    -------
    uint8 RGB, (H, W, 3).

    Raises
    ------
    InvalidInstancesError
        if the sizes differ or ``colours`` has another shape.
    ConfigError
        if ``alpha`` is not 0..1, ``thickness`` or ``text_size`` not positive, ``colour_by`` none of its values.
    """
    image = image if isinstance(image, Image) else Image(np.asarray(image))
    if image.size != instances.size:
        raise InvalidInstancesError(f"the image is {image.size} (height, width), the instances are of {instances.size}")
    if not 0 <= alpha <= 1 or (thickness is not None and thickness < 1) or (text_size is not None and text_size < 1):
        raise ConfigError(
            f"alpha must be 0 to 1, thickness and text_size at least 1; got {alpha}, {thickness}, {text_size}"
        )
    if colour_by not in ("auto", "instance", "class"):
        raise ConfigError(f"colour_by must be 'auto', 'instance' or 'class', got {colour_by!r}")
    canvas = to_display(image)
    if not len(instances):
        return canvas
    side = float(np.sqrt(image.size[0] * image.size[1]))
    texts = _texts(instances, names, scores, ids)
    labels = _labels.place(instances.masks, texts, _sizes(text_size, side)) if texts else None
    legend = names and labels is not None and _many_left_out(instances, labels)
    if legend and colour_by == "auto" and len(np.unique(instances.labels)) > 1:
        colour_by = "class"
        shades = palette.shades(instances.labels, _keys(instances))
        colours = shades if colours is None else colours
    colour = _colours(instances, colour_by, colours)
    order = np.argsort(-instances.masks.area, kind="stable")
    width = thickness or (1 if side < 800 else 2)
    if fill and alpha > 0:
        _fill(canvas, instances, order, colour, alpha)
    if outlines:
        _outlines(canvas, instances, order, colour, width)
        _hidden_outlines(canvas, instances, order, colour, width)
    if boxes:
        _boxes(canvas, instances, order, colour, width)
    if labels is not None:
        swatches = None if colour_by != "class" else palette.colours(np.arange(len(instances.classes)))
        corner = _draw_legend(canvas, instances, labels, swatches) if legend else _NOWHERE
        if corner == _NOWHERE or len(set(texts)) > 1:
            _draw_labels(canvas, texts, labels, corner)
    return canvas


def _colours(instances: Instances, colour_by: str, given: npt.ArrayLike | None) -> _RGB:
    if given is not None:
        colour = np.asarray(given)
        if colour.shape != (len(instances), 3) or colour.dtype != np.uint8:
            raise InvalidInstancesError(
                f"colours must be uint8 of shape ({len(instances)}, 3), got {colour.dtype} of shape {colour.shape}"
            )
        return colour
    return palette.colours(instances.labels if colour_by == "class" else _keys(instances))


def _keys(instances: Instances) -> Int:
    return np.arange(len(instances)) if instances.ids is None else instances.ids


def _fill(canvas: _RGB, instances: Instances, order: Int, colour: _RGB, alpha: float) -> None:
    """Blend with the image itself, not with what was painted: where masks overlap the last colour stands alone."""
    # four bytes a pixel move as one word: a third of the time of three bytes
    painted = cv2.cvtColor(canvas, cv2.COLOR_RGB2RGBA)
    words, ground = _words(painted), _words(painted.copy())
    tint = _words(np.pad(colour, ((0, 0), (0, 1))))
    for at, owner in _strokes.fill(instances.masks, order):
        under, over = ground[at].view(np.uint8), tint[owner].view(np.uint8)
        mixed = cv2.addWeighted(under.reshape(-1, 4), 1.0 - alpha, over.reshape(-1, 4), alpha, 0.0)
        words[at] = _words(mixed)
    cv2.cvtColor(painted, cv2.COLOR_RGBA2RGB, dst=canvas)


def _words(rgba: UInt8) -> npt.NDArray[np.uint32]:
    return np.ascontiguousarray(rgba).reshape(-1).view(np.uint32)


def _outlines(canvas: _RGB, instances: Instances, order: Int, colour: _RGB, width: int) -> None:
    at, owner = _strokes.outline(instances.masks, order, width)
    free = np.ones(canvas.shape[:2], bool)
    free.reshape(-1)[at] = False
    _darken_around(canvas, free, at)
    canvas.reshape(-1, 3)[at] = colour[owner]


def _hidden_outlines(canvas: _RGB, instances: Instances, order: Int, colour: _RGB, width: int) -> None:
    """Draw the outline of what others hide of an object, dashed."""
    if instances.full is None:
        return
    at, owner = _strokes.outline(instances.full, order, width)
    row, column = np.divmod(at, canvas.shape[1])
    dash = _DASH * width
    shown = (row + column) // dash % 2 == 0
    at, owner, row, column = at[shown], owner[shown], row[shown], column[shown]
    at, owner = (values[~instances.masks.contains(owner, column, row)] for values in (at, owner))
    canvas.reshape(-1, 3)[at] = colour[owner]


def _darken_around(canvas: _RGB, free: Bool, at: Int) -> None:
    """Halve the brightness of the pixels beside an outline that are not outline themselves."""
    height, width = free.shape
    row, column = np.divmod(at, width)
    flat, open_ = canvas.reshape(-1, 3), free.reshape(-1)
    for inside, step in ((row > 0, -width), (row < height - 1, width), (column > 0, -1), (column < width - 1, 1)):
        beside = at[inside] + step
        beside = beside[open_[beside]]
        flat[beside] = flat[beside] // 2  # read before written: an index that comes twice is halved once
        open_[beside] = False


def _boxes(canvas: _RGB, instances: Instances, order: Int, colour: _RGB, width: int) -> None:
    box = instances.boxes.astype(np.int64)
    for i in order[instances.masks.area[order] > 0].tolist():
        x0, y0, x1, y1 = box[i].tolist()
        rgb = colour[i].tolist()
        # half-open boxes: the last pixel row and column are inside
        canvas[y0 : y0 + width, x0:x1] = canvas[max(y1 - width, y0) : y1, x0:x1] = rgb
        canvas[y0:y1, x0 : x0 + width] = canvas[y0:y1, max(x1 - width, x0) : x1] = rgb


def _texts(instances: Instances, names: bool, scores: bool, ids: bool) -> list[str]:
    """Return the text of each instance; none at all if there is nothing to write."""
    parts: list[list[str]] = []
    if names:
        parts.append([instances.classes[k] for k in instances.labels.tolist()])
    if ids and instances.ids is not None:
        parts.append([f"#{k}" for k in instances.ids.tolist()])
    if scores and instances.scores is not None:
        parts.append([f"{s:.2f}" for s in instances.scores.tolist()])
    return [" ".join(words) for words in zip(*parts, strict=True)]


def _sizes(given: int | None, side: float) -> tuple[int, ...]:
    """Return the text sizes to try, from the largest to the smallest."""
    if given is not None:
        return (given,)
    largest = int(np.clip(side / 42, _SMALLEST, 24))
    return tuple(dict.fromkeys((largest, round((largest * _SMALLEST) ** 0.5), _SMALLEST)))


def _many_left_out(instances: Instances, labels: _labels.Placed) -> bool:
    count = int((instances.masks.area > 0).sum())
    return count - len(labels.which) > max(_FEW, (1 - _MOST) * count)


def _draw_labels(canvas: _RGB, texts: list[str], labels: _labels.Placed, legend: tuple[int, int, int, int]) -> None:
    """Draw the labels that do not touch the legend (x0, y0, x1, y1)."""
    height = text_height(labels.size) + 2 * _labels.PAD
    x0, y0, x1, y1 = legend
    for i, (x, y) in zip(labels.which.tolist(), labels.corners.tolist(), strict=True):
        wide = text_width(texts[i], labels.size) + 2 * _labels.PAD
        if x >= x1 or y >= y1 or x + wide <= x0 or y + height <= y0:
            draw_text(canvas, texts[i], (x, y), labels.size)


def _draw_legend(
    canvas: _RGB, instances: Instances, labels: _labels.Placed, swatches: _RGB | None
) -> tuple[int, int, int, int]:
    """Count the objects of each class in the corner that hides the fewest; return its box (x0, y0, x1, y1).

    A legend hides little of the image: of many classes the rarest are counted together, and a tiny image gets none.
    """
    height, width = canvas.shape[:2]
    counts = np.bincount(instances.labels[instances.masks.area > 0], minlength=len(instances.classes))
    shown = np.argsort(-counts, kind="stable")[: (counts > 0).sum()].tolist()
    size = int(np.clip(np.sqrt(height * width) / 60, _SMALLEST, 16 if len(shown) <= _LONG else _SMALLEST))
    line = text_height(size) + 2 * _labels.PAD
    entries = [(f"{instances.classes[k]}: {counts[k]:,}", k) for k in shown]
    mark = 0 if swatches is None else line
    wide = mark + max(text_width(text, size) for text, _ in entries) + 2 * _labels.PAD + 2
    lines = int(_LARGEST * height * width / (wide * line))
    if lines < 1 or wide > width or line > height:
        return _NOWHERE
    if lines < len(entries):
        rest = shown[lines - 1 :]
        entries[lines - 1 :] = [(f"{len(rest)} other classes: {counts[rest].sum():,}", -1)]
        wide = min(max(wide, mark + text_width(entries[-1][0], size) + 2 * _labels.PAD + 2), width)
    high = line * len(entries)
    centre = instances.masks.centroids
    corners = [(x, y) for y in (0, height - high) for x in (0, width - wide)]
    x, y = min(corners, key=lambda at: ((centre >= at) & (centre < (at[0] + wide, at[1] + high))).all(1).sum())
    panel = canvas[y : y + high, x : x + wide]
    panel[:] = panel // 4  # what lies below stays to be seen
    for row, (text, k) in enumerate(entries):
        if swatches is not None and k >= 0:
            top, inset = y + row * line, line // 4
            canvas[top + inset : top + line - inset, x + inset : x + line - inset] = swatches[k]
        draw_text(canvas, text, (x + mark, y + row * line), size)
    return x, y, x + wide, y + high
