"""The Open Inference Protocol, version 2 (KServe, Triton): images as tensors of JSON, instances as four tensors."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from starlette.exceptions import HTTPException

from apiece._arrays import Array
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.serve.limits import Limits
from apiece.serve.service_schema import TensorIn

__all__ = ["INPUTS", "OUTPUTS", "image_of", "tensors_of"]

_DTYPES = {"UINT8": np.uint8, "UINT16": np.uint16, "FP32": np.float32}

INPUTS = [{"name": "image", "datatype": "UINT8", "shape": [-1, -1, -1]}]
OUTPUTS = [
    {"name": "boxes", "datatype": "FP32", "shape": [-1, 4]},
    {"name": "scores", "datatype": "FP32", "shape": [-1]},
    {"name": "labels", "datatype": "INT64", "shape": [-1]},
    {"name": "masks", "datatype": "BYTES", "shape": [-1]},
]


def image_of(tensor: TensorIn, limits: Limits) -> Image:
    """Return the image of a tensor.

    Raises
    ------
    HTTPException
        If its shape, type or values are none of an image.
    """
    if tensor.datatype not in _DTYPES:
        raise HTTPException(400, f"datatype should be one of {', '.join(_DTYPES)}")
    if min(tensor.shape) < 1 or tensor.shape[0] * tensor.shape[1] > limits.image_pixels:
        raise HTTPException(413, f"shape should be (height, width, channels) of at most {limits.image_pixels:,} pixels")
    dtype: np.dtype[Any] = np.dtype(_DTYPES[tensor.datatype])
    try:
        values: Array = np.array(tensor.data, np.float64).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        raise HTTPException(400, "data should be numbers") from None
    if len(values) != prod(tensor.shape):
        raise HTTPException(400, f"data should be {prod(tensor.shape)} numbers, as shape says; there are {len(values)}")
    low, high = (0.0, float(np.iinfo(dtype).max)) if dtype.kind == "u" else (-1e30, 1e30)
    if not ((values >= low) & (values <= high)).all():
        raise HTTPException(400, f"values of {tensor.datatype} lie from {low:g} to {high:g}")
    return Image(values.astype(dtype).reshape(tensor.shape))


def tensors_of(found: Instances) -> list[dict[str, Any]]:
    """Return instances as tensors."""
    assert found.scores is not None
    columns = {
        "boxes": found.masks.boxes.astype(float).ravel().tolist(),
        "scores": found.scores.astype(float).tolist(),
        "labels": found.labels.tolist(),
        "masks": [one["counts"] if isinstance(one["counts"], str) else one["counts"].decode() for one in
                  found.masks.to_coco()],
    }  # fmt: skip
    return [
        {**about, "shape": [len(found), *about["shape"][1:]], "data": columns[str(about["name"])]} for about in OUTPUTS
    ]
