"""The Open Inference Protocol, version 2 (KServe, Triton): an image as a tensor, instances as four tensors.

A tensor comes as numbers in JSON, or as bytes behind the JSON (Triton's binary tensor extension).
"""

from __future__ import annotations

import asyncio
from math import prod
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from apiece import __version__
from apiece._arrays import Array
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.serve.answers import json_bytes
from apiece.serve.limits import Limits
from apiece.serve.service_schema import V2_REQUEST_SCHEMA, TensorIn, V2Answer, V2Request
from apiece.serve.state import PROBLEMS, Service

__all__ = ["routes"]

_DTYPES = {"UINT8": np.uint8, "UINT16": np.uint16, "FP32": np.float32}
_HEADER = "inference-header-content-length"  # bytes of JSON; what follows is the tensor

_INPUTS = [{"name": "image", "datatype": "UINT8", "shape": [-1, -1, -1]}]
_OUTPUTS = [
    {"name": "boxes", "datatype": "FP32", "shape": [-1, 4]},
    {"name": "scores", "datatype": "FP32", "shape": [-1]},
    {"name": "labels", "datatype": "INT64", "shape": [-1]},
    {"name": "masks", "datatype": "BYTES", "shape": [-1]},
]


def routes(service: Service) -> APIRouter:
    """Return the routes of the protocol; the one model is called ``model``, and has the version 1."""
    router = APIRouter(prefix="/v2", tags=["v2"], responses=PROBLEMS)

    @router.get("/health/live")
    @router.get("/health/ready")
    @router.get("/models/model/ready")
    @router.get("/models/model/versions/1/ready", include_in_schema=False)
    async def ready() -> dict[str, bool]:
        """Say that requests are answered."""
        return {"live": True, "ready": True}

    @router.get("")
    async def about() -> dict[str, Any]:
        """Name the server."""
        return {"name": "apiece", "version": __version__, "extensions": ["binary_tensor_data"]}

    @router.get("/models/model")
    @router.get("/models/model/versions/1", include_in_schema=False)
    async def metadata() -> dict[str, Any]:
        """Say which tensors go in and come out."""
        platform = service.served.model.runtime.name
        return {"name": "model", "versions": ["1"], "platform": platform, "inputs": _INPUTS, "outputs": _OUTPUTS}

    body = {"requestBody": {"required": True, "content": {"application/json": {"schema": V2_REQUEST_SCHEMA}}}}

    @router.post("/models/model/infer", response_model=V2Answer, openapi_extra=body)
    @router.post("/models/model/versions/1/infer", response_model=V2Answer, include_in_schema=False)
    async def infer(request: Request) -> Response:
        """Find the objects in one image: boxes, scores, labels, and masks as COCO's run-lengths."""
        asked, data = _parts(await request.body(), request.headers.get(_HEADER))
        by = service.served
        image = await asyncio.to_thread(_image_of, asked.inputs[0], data, service.limits)
        (found,) = await service.predict(request, by, [image], None)
        outputs = await asyncio.to_thread(_tensors_of, found, [one.name for one in asked.outputs])
        answer = {"model_name": "model", "model_version": "1", "id": asked.id, "outputs": outputs}
        return Response(json_bytes(answer), media_type="application/json")

    return router


def _parts(body: bytes, stated: str | None) -> tuple[V2Request, bytes]:
    """Return the JSON of a request, and the bytes behind it."""
    length = len(body) if stated is None else int(stated) if stated.isdecimal() and len(stated) < 10 else -1
    if not 0 <= length <= len(body):
        raise HTTPException(400, f"{_HEADER} should be at most the {len(body)} bytes of the body, got {stated!r}")
    try:
        asked = V2Request.model_validate_json(body[:length])
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
        raise HTTPException(400, f"this is no request of the Open Inference Protocol: {said}") from None
    unknown = {one.name for one in asked.outputs} - {str(one["name"]) for one in _OUTPUTS}
    if unknown:
        raise HTTPException(400, f"there is no output {', '.join(sorted(unknown))}")
    return asked, body[length:]


def _image_of(tensor: TensorIn, data: bytes, limits: Limits) -> Image:
    """Return the image of a tensor; ``data``: its bytes, if they do not stand in JSON.

    Raises
    ------
    HTTPException
        If its shape, type or values are none of an image.
    """
    if tensor.shape[0] * tensor.shape[1] > limits.image_pixels:
        raise HTTPException(413, f"shape should be (height, width, channels) of at most {limits.image_pixels:,} pixels")
    dtype: np.dtype[Any] = np.dtype(_DTYPES[tensor.datatype])
    values = _numbers(tensor.data, dtype) if tensor.data is not None else _raw(data, dtype)
    if len(values) != prod(tensor.shape):
        raise HTTPException(400, f"data should be {prod(tensor.shape)} numbers, as shape says; there are {len(values)}")
    if dtype.kind == "f" and not (np.abs(values) <= 1e30).all():
        raise HTTPException(400, f"values of {tensor.datatype} lie from -1e30 to 1e30")
    return Image(values.reshape(tensor.shape))


def _numbers(data: list[Any], dtype: np.dtype[Any]) -> Array:
    """Return numbers of JSON as ``dtype``, which can hold them."""
    try:
        values: Array = np.array(data, np.float64).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        raise HTTPException(400, "data should be numbers") from None
    low, high = (0.0, float(np.iinfo(dtype).max)) if dtype.kind == "u" else (-1e30, 1e30)
    if not ((values >= low) & (values <= high)).all():
        raise HTTPException(400, f"values of {dtype} lie from {low:g} to {high:g}")
    return values.astype(dtype)


def _raw(data: bytes, dtype: np.dtype[Any]) -> Array:
    """Return bytes as numbers, little-endian."""
    if len(data) % dtype.itemsize:
        raise HTTPException(400, f"{len(data)} bytes are no whole count of numbers of {dtype}")
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype)


def _tensors_of(found: Instances, wanted: list[str]) -> list[dict[str, Any]]:
    """Return instances as tensors; all of them if none is named."""
    assert found.scores is not None
    columns = {
        "boxes": found.masks.boxes.astype(float).ravel().tolist(),
        "scores": found.scores.astype(float).tolist(),
        "labels": found.labels.tolist(),
        "masks": [one["counts"] if isinstance(one["counts"], str) else one["counts"].decode() for one in
                  found.masks.to_coco()],
    }  # fmt: skip
    return [
        {**about, "shape": [len(found), *about["shape"][1:]], "data": columns[str(about["name"])]}
        for about in _OUTPUTS
        if not wanted or about["name"] in wanted
    ]
