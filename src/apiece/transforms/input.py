"""Turn an image into what a network takes: the one road, shared by training and prediction.

``seen → value_limits → resize → normalise → pad``, each a pure function on (height, width, channels). How an image is
resized is one number (``imgsz``), or the rule that published weights learned with (`Fit`). Training puts its random
transforms between the last two. All of it is deterministic. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from apiece._arrays import Array, Bool, Float32, Int
from apiece._strict_json import LATER
from apiece.core.image import Image
from apiece.core.masks import Masks
from apiece.errors import ConfigError, DataError, ImageError
from apiece.transforms._warp import resize
from apiece.transforms.fit import Fit
from apiece.transforms.scale import Scale

__all__ = [
    "Frame",
    "ModelInput",
    "colour_channels",
    "data_of",
    "input_size",
    "match_channels",
    "normalise",
    "percentile_range",
    "prepare",
    "seen",
    "taken",
    "value_limits",
    "value_limits_of",
]


PERCENTILES = (1.0, 99.8)
_SAMPLE = 1 << 20  # values that percentiles of 32-bit and float images are taken from
_COUNTED = (np.bool_, np.uint8, np.uint16)
_BLOCK = 1 << 24  # counts up to this are exact in the float32 that OpenCV counts in


@dataclass(frozen=True)
class ModelInput:
    """Describe what a model takes; saved in ``model.json``.

    Attributes
    ----------
    channels : channels of the network's input, 1 to 12. A grey image given to a 3-channel model is repeated; see
        `match_channels` for the rest.
    normalise : ``"percentile"``: each image is scaled so that its 1st and 99.8th percentile (over all channels
        together) become 0 and 1; ``"range"``: integers are divided by their dtype's maximum, floats are taken as they
        are. Then ``(x - mean) / std``.
    mean, std : one per channel, applied after that.
    imgsz : the longer side, in pixels, that an image is resized to; None keeps the image's own pixels.
    fit : the rule by which an image is resized and padded instead, of published weights.
    any_channels : take images of any other number of channels too: each channel is scaled by its own percentiles, and
        their mean is seen as a grey image.
    learned : how large pixels and objects were on the training images, if known.
    """

    channels: int = 3
    normalise: str = "percentile"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    imgsz: int | None = None
    fit: Fit | None = field(default=None, metadata=LATER)
    any_channels: bool = field(default=False, metadata=LATER)
    learned: Scale | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(float(v) for v in self.mean))
        object.__setattr__(self, "std", tuple(float(v) for v in self.std))
        if not 1 <= self.channels <= 12:
            raise ConfigError(f"channels must be 1 to 12, got {self.channels}")
        if self.normalise not in ("percentile", "range"):
            raise ConfigError(f"normalise must be 'percentile' or 'range', got {self.normalise!r}")
        if len(self.mean) != self.channels or len(self.std) != self.channels or not min(self.std) > 0:
            raise ConfigError(f"mean and std need {self.channels} values, std above 0; got {self.mean} and {self.std}")
        if not np.isfinite([*self.mean, *self.std]).all():
            raise ConfigError(f"mean and std must be finite, got {self.mean} and {self.std}")
        if self.imgsz is not None and self.imgsz < 32:
            raise ConfigError(f"imgsz must be at least 32, got {self.imgsz}")
        if self.imgsz is not None and self.fit is not None:
            raise ConfigError("imgsz and fit both say how an image is resized; give one of them")

    def fitted(self, pixels: Array) -> Array:
        """Return pixels (height, width, channels) at the network's resolution; the dtype mostly stays.

        Up to here nothing is padded, and values are not scaled.
        """
        size = pixels.shape[0], pixels.shape[1]
        wanted = input_size(size, self.imgsz) if self.fit is None else self.fit.size(size)
        if wanted == size:
            return pixels
        return resize(pixels, wanted) if self.fit is None else self.fit.resize(pixels, wanted)

    def step(self, stride: int) -> int:
        """Return what sides are padded to multiples of, for an architecture of this stride."""
        return stride if self.fit is None or not self.fit.pad else self.fit.pad


@dataclass(frozen=True)
class Frame:
    """Say where one network input lies on its image.

    The image is resized to ``input_size`` and padded at the bottom and on the right, so image coordinate ``x`` is
    network coordinate ``x * input_size[1] / size[1]`` (continuous, pixel edges at integers).

    Attributes
    ----------
    size : (height, width) of the image: masks come out at this size.
    input_size : (height, width) of the part of the network input that the image fills.
    data : one mask, where the image is not transparent ground; None if that is all of it.
    """

    size: tuple[int, int]
    input_size: tuple[int, int]
    data: Masks | None = None


def seen(image: Image, channels: int) -> tuple[Array, Bool | None]:
    """Return what a model of so many channels takes of an image, and where that is data (None: everywhere).

    An alpha channel is left out, and what it makes transparent is no data, unless the model takes as many channels as
    the image has with it. Pixels of the image's ``nodata`` are none, either. What is left is matched as
    `match_channels` says.

    Examples
    --------
    >>> tile = apiece.Image(np.zeros((4, 6, 4), np.uint8), alpha="unassociated")
    >>> [seen(tile, channels)[0].shape[2] for channels in (3, 4)]
    [3, 4]
    """
    if not _leaves_ground(image, channels):
        return match_channels(image.pixels, channels), None
    try:
        return match_channels(image.colours().pixels, channels), data_of(image, channels)
    except DataError as error:
        raise (error if image.alpha is None else DataError(f"beside its alpha channel, {error}")) from error


def taken(image: Image, spec: ModelInput) -> tuple[Array, Bool | None]:
    """Return what `seen` does for the model's channels; of an image that does not fit, a grey one if it may be any."""
    try:
        return seen(image, spec.channels)
    except DataError:
        if not spec.any_channels or not image.pixels.size:
            raise
    return np.repeat(_averaged(image.colours().pixels), spec.channels, axis=2), image.data


def _averaged(pixels: Array) -> Float32:
    """Return the mean over the channels, each scaled to its own percentiles: float32 (height, width, 1)."""
    grey = np.zeros(pixels.shape[:2], np.float32)
    for k in range(pixels.shape[2]):
        low, high = percentile_range(pixels[:, :, k])
        grey += ((pixels[:, :, k].astype(np.float64) - low) / (high - low)).astype(np.float32)
    return grey[:, :, None] / np.float32(pixels.shape[2])


def data_of(image: Image, channels: int) -> Bool | None:
    """Return where a model of so many channels takes an image for data, as `seen` does; None: everywhere."""
    return image.data if _leaves_ground(image, channels) else None


def _leaves_ground(image: Image, channels: int) -> bool:
    return image.nodata is not None or (image.alpha is not None and image.channels != channels)


def colour_channels(image: Image) -> int:
    """Return how many channels hold colour: all but alpha, and but a fourth one that is opaque everywhere."""
    if image.alpha is not None:
        return image.channels - 1
    return _without_opaque(image.pixels).shape[2]


def match_channels(pixels: Array, channels: int) -> Array:
    """Return the image with as many channels as the model takes, where that loses nothing.

    A grey image is repeated for a 3-channel model; a fourth channel that is opaque everywhere is left out; three equal
    channels become one for a 1-channel model. Every other mismatch is a `DataError` that names both numbers.

    Parameters
    ----------
    pixels : (height, width, any number of channels).
    channels : how many the model takes.

    Examples
    --------
    >>> match_channels(np.zeros((4, 6, 1), np.uint8), 3).shape
    (4, 6, 3)
    """
    found = pixels.shape[2]
    if found == channels:
        return pixels
    given = _without_opaque(pixels) if channels in (1, 3) else pixels
    if given.shape[2] == channels:
        return given
    if channels == 3 and given.shape[2] == 1:
        return np.repeat(given, 3, axis=2)
    if channels == 1 and given.shape[2] == 3:
        first = given[:, :, :1]
        if (given[:, :, 1:] == first).all():
            return first
    why = " that differ from each other" if (found, channels) == (3, 1) else ""
    if found == 4 and given is pixels and channels in (1, 3):
        why = " (none of them known to be alpha; an array with alpha is given as Image(array, alpha='unassociated'))"
    raise DataError(
        f"the image has {found} channels{why}, the model takes {channels}; convert the image, or train a model on "
        f"images of {found} channels"
    )


def _without_opaque(pixels: Array) -> Array:
    """Return the pixels without a fourth channel that is opaque everywhere; of two channels none is ever left out."""
    opaque = pixels.shape[2] == 4 and bool((pixels[:, :, -1] == _full(pixels.dtype)).all())
    return pixels[:, :, :-1] if opaque else pixels


def _full(dtype: np.dtype[Any]) -> float | int | bool:
    """Return what "all of it" is in a dtype."""
    return np.iinfo(dtype).max if dtype.kind in "ui" else 1


def value_limits(pixels: Array, spec: ModelInput, data: Bool | None = None) -> tuple[float, float]:
    """Return the values of an image that become 0 and 1, as `ModelInput.normalise` says, by its pixels on ``data``.

    An image without pixels, or with NaN or infinity, is a `DataError`.
    """
    _check_finite(pixels)
    if spec.normalise == "percentile" and (data is None or data.any()):
        return percentile_range(pixels if data is None else pixels[data][:, None])
    return 0.0, float(_full(pixels.dtype))


def value_limits_of(blocks: Iterable[Image], spec: ModelInput) -> tuple[float, float]:
    """Return what `value_limits` gives of an image that comes in blocks; of one dtype, one after the other.

    Of dtypes beyond 16 bits it takes a part of each block's values, so that about 2**20 values of 64 blocks are left.
    """
    counts: Array | int = 0
    values: list[Array] = []
    dtype = np.dtype(np.uint8)
    for block in blocks:
        pixels, data = taken(block, spec)
        dtype = pixels.dtype
        if spec.normalise != "percentile":
            break
        _check_finite(pixels)
        shown = pixels if data is None else pixels[data]
        if dtype in _COUNTED:
            counts = counts + _counts(shown)
        else:
            some = shown.reshape(-1)[:: max(shown.size * 64 // _SAMPLE, 1)]
            values.append(some.copy())  # a view would keep its block
    if values:
        return percentile_range(np.concatenate(values)[:, None])
    if np.any(counts):
        return _range_of_counts(np.asarray(counts))
    return 0.0, float(_full(dtype))


def _check_finite(pixels: Array) -> None:
    if pixels.size == 0:
        raise DataError(f"an image of shape {pixels.shape} has no pixels")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise DataError("the image holds NaN or infinite values; fill them before it is given to a model")


def normalise(pixels: Array, spec: ModelInput, limits: tuple[float, float] | None = None) -> Float32:
    """Scale an image's values for the network, as `ModelInput` says; a new float32 array of the same shape.

    ``limits`` become 0 and 1; None takes them from these pixels, see `value_limits`.
    """
    low, high = value_limits(pixels, spec) if limits is None else limits
    # beyond 16 bits, float32 could not hold the difference of two large values
    exact = np.float32 if pixels.dtype.itemsize <= 2 or pixels.dtype == np.float32 else np.float64
    scaled = np.subtract(pixels, exact(low), dtype=exact)
    mean, std = np.array(spec.mean), np.array(spec.std)
    factor = (1 / ((high - low) * std)).astype(exact)
    scaled *= factor if np.ptp(factor) else factor[0]  # one number for all channels is four times as fast
    if mean.any():
        scaled -= (mean / std).astype(exact)
    return scaled.astype(np.float32, copy=False)


def percentile_range(pixels: Array) -> tuple[float, float]:
    """Return the 1st and the 99.8th percentile over all channels together; the second is always above the first.

    ``pixels`` is (height, width) or (height, width, channels). The result equals `numpy.percentile` for bool, uint8 and
    uint16, and for other dtypes up to 2**20 values. Of larger arrays of other dtypes every n-th row and column is
    taken, with n chosen so that about 2**20 values are left.

    If the two percentiles are equal, the image's maximum replaces the second. If the maximum equals the first, the
    image's minimum replaces the first. If the image is constant, the second is the first plus 1.
    """
    if pixels.dtype in _COUNTED:
        return _range_of_counts(_counts(pixels))
    step = int(np.ceil(np.sqrt(pixels.size / _SAMPLE)))
    low, high = (float(v) for v in np.percentile(pixels[::step, ::step].astype(np.float64), PERCENTILES))
    return _apart(low, high, float(pixels.min()), float(pixels.max()))


def _apart(low: float, high: float, least: float, most: float) -> tuple[float, float]:
    """Return limits that differ."""
    if high <= low:
        high = most
    if high <= low:  # a few dark pixels on a background as bright as can be
        low = least
    return low, high if high > low else low + 1.0


def _counts(pixels: Array) -> Int:
    """Return how many values there are of each: int64 (256,) or (65536,)."""
    values = np.ascontiguousarray(pixels, np.uint8 if pixels.dtype == np.bool_ else pixels.dtype).reshape(-1)
    bins = int(np.iinfo(values.dtype).max) + 1
    counts = np.zeros(bins, np.int64)
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK].reshape(1, -1)  # a long row: twice as fast as a column
        counts += cv2.calcHist([block], [0], None, [bins], [0, bins]).reshape(-1).astype(np.int64)
    return counts


def _range_of_counts(counts: Int) -> tuple[float, float]:
    """Return what `percentile_range` gives of so many values each."""
    below = np.cumsum(counts)
    ranks = np.array(PERCENTILES) / 100 * (below[-1] - 1)
    floor = np.searchsorted(below, np.floor(ranks), side="right")
    ceil = np.searchsorted(below, np.ceil(ranks), side="right")
    low, high = floor + (ceil - floor) * (ranks - np.floor(ranks))
    there = counts.nonzero()[0]
    return _apart(float(low), float(high), float(there[0]), float(there[-1]))


def input_size(size: tuple[int, int], imgsz: int | None) -> tuple[int, int]:
    """Return (height, width) after the longer side became ``imgsz``; neither side falls below 1.

    Examples
    --------
    >>> input_size((600, 800), 640)
    (480, 640)
    """
    if imgsz is None:
        return size
    scale = imgsz / max(size)
    return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))


def prepare(
    image: Image, spec: ModelInput, stride: int = 1, limits: tuple[float, float] | None = None
) -> tuple[Float32, Frame]:
    """Return an image as the network takes it, float32 (channels, height, width), and its `Frame`.

    ``limits`` become 0 and 1, as for a part of a larger image; None takes them from the image, see `value_limits`.
    Sides are padded with zeros at the bottom and on the right to multiples of ``stride``, or of `Fit.pad`.

    Raises
    ------
    ImageError, DataError
        If its channels do not fit or it holds NaN; the first where the image has a path.

    Examples
    --------
    >>> array, frame = prepare(apiece.read_image("photo.png"), ModelInput(3, imgsz=64), stride=32)
    >>> array.shape, frame
    ((3, 64, 64), Frame(size=(24, 32), input_size=(48, 64), data=None))
    """
    try:
        pixels, data = taken(image, spec)
        if limits is None:
            limits = value_limits(pixels, spec, data)
        else:
            _check_finite(pixels)
    except DataError as error:
        if image.path is None:
            raise
        raise ImageError(image.path, str(error)) from error
    stride = spec.step(stride)
    # the image keeps its dtype here, as in training: 8 bits are resized many times faster than floats
    values = normalise(spec.fitted(pixels), spec, limits)
    height, width = size = values.shape[0], values.shape[1]
    array = np.zeros((spec.channels, height + -height % stride, width + -width % stride), np.float32)
    array[:, :height, :width] = values.transpose(2, 0, 1)
    return array, Frame(image.size, size, None if data is None else Masks.from_dense(data[None]))
