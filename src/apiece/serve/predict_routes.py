"""What is in images, how large it is, and whether it passes: ``/v1/predict``, ``/v1/measure``, ``/v1/inspect``."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Query, Request, UploadFile
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from apiece.core.image import PixelSize
from apiece.measurements import measure
from apiece.rules import judge, verdicts_as_dict
from apiece.serve.answers import MEDIA_TYPES, answer_files, json_bytes
from apiece.serve.service_schema import Inspected, Measured
from apiece.serve.state import PROBLEMS, Service

__all__ = ["routes"]

Conf = Annotated[float | None, Query(ge=0, le=1, description="Lowest score; by default the model's thresholds.")]
Files = Annotated[list[UploadFile], File(min_length=1, description="Images: PNG, JPEG, TIFF, WebP or BMP.")]
OneFile = Annotated[UploadFile, File(description="An image: PNG, JPEG, TIFF, WebP or BMP.")]
Size = Annotated[str | None, Query(description="Physical size of a pixel, such as `0.5 um`.", examples=["0.5 um"])]
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {} for kind in MEDIA_TYPES}, "description": "A file of the format."}
}


def routes(service: Service) -> APIRouter:
    """Return the routes that take images."""
    router = APIRouter(tags=["predict"], responses=PROBLEMS)

    @router.post("/v1/predict", response_class=Response, responses=_ANSWERS)
    async def predict(
        request: Request,
        file: Files,
        format: Literal["coco", "geojson", "labelmap", "overlay", "csv"] = "coco",
        conf: Conf = None,
    ) -> Response:
        """Find the objects in images. Each format is what `apiece predict --save` writes; several files come as zip."""
        found = await service.found(request, file, conf)
        classes = found.by.model.classes
        body, kind = await asyncio.to_thread(answer_files, found.images, found.instances, classes, format)
        return Response(body, media_type=kind)

    @router.post("/v1/measure", response_model=Measured)
    async def measured(request: Request, file: OneFile, conf: Conf = None, pixel_size: Size = None) -> Response:
        """Find the objects in an image and measure each."""
        size = None if pixel_size is None else PixelSize.parse(pixel_size)
        found = await service.found(request, [file], conf)
        table = await asyncio.to_thread(measure, found.instances[0], found.images[0], pixel_size=size)
        answer = {"rows": list(table.rows()), "units": dict(table.units)}
        return Response(json_bytes(answer), media_type="application/json")

    @router.post("/v1/inspect", response_model=Inspected)
    async def inspected(request: Request, file: OneFile, pixel_size: Size = None) -> Response:
        """Judge an image by the rules that the server was started with: pass, fail or unsure, with the reasons."""
        size = None if pixel_size is None else PixelSize.parse(pixel_size)
        by = service.served
        if by.rules is None:
            raise HTTPException(404, "this server has no rules; start it with --rules FILE")
        image = await service.image(file)
        (found,) = await service.predict(request, by, [image], by.rules.lowest_scores(by.conf), edges=True)
        judged = await asyncio.to_thread(judge, by.rules, found, image, pixel_size=size, score=by.conf)
        row = {key: value for key, value in verdicts_as_dict(judged).items() if key != "image"}
        return Response(json_bytes(row), media_type="application/json")

    return router
