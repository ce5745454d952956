"""Raw outputs as NumPy arrays, whatever computed them, and decoding image by image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeAlias

import numpy as np

from apiece._arrays import Array, Float
from apiece.core.instances import Instances
from apiece.models.contract import DecodeOptions, Frame

Arrays: TypeAlias = dict[str, Array]
DecodeOne: TypeAlias = Callable[[Arrays, Frame, tuple[str, ...], DecodeOptions], Instances]
DecodeBatch: TypeAlias = Callable[[Any, Sequence[Frame], tuple[str, ...], DecodeOptions], list[Instances]]


def as_array(values: Any) -> Array:
    """Return an array, or a tensor of torch on any device, as an array; numbers with a point as float32."""
    if not isinstance(values, np.ndarray):
        values = values.detach()
        values = (values.float() if values.is_floating_point() else values).cpu().numpy()
    return values.astype(np.float32, copy=False) if values.dtype.kind == "f" else values


def images_of(values: Any) -> list[Array] | Array:
    """Return an output of a batch as arrays, image by image: of one array, or of a list with one for each image."""
    return [as_array(value) for value in values] if isinstance(values, list) else as_array(values)


def image_by_image(decode: DecodeOne) -> DecodeBatch:
    """Make a decoder of batches from one that decodes the outputs of a single image."""

    @wraps(decode)
    def decode_batch(
        outputs: Mapping[str, Any], frames: Sequence[Frame], classes: tuple[str, ...], options: DecodeOptions
    ) -> list[Instances]:
        found = {name: images_of(values) for name, values in outputs.items()}
        parts = ({name: values[i] for name, values in found.items()} for i in range(len(frames)))
        return [decode(part, frame, classes, options) for part, frame in zip(parts, frames, strict=True)]

    return decode_batch


def chance(logits: Array) -> Float:
    """Return the logistic function of logits, in float64."""
    with np.errstate(over="ignore"):  # of -inf, and beyond: 0
        return 1 / (1 + np.exp(-logits.astype(np.float64)))
