"""A service: what a model finds in images, at the addresses of ``/v1`` and of the Open Inference Protocol."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, File, Query, Request, UploadFile
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from apiece import __version__
from apiece.core.image import Image, PixelSize
from apiece.core.instances import Instances
from apiece.errors import ApieceError
from apiece.measurements import measure
from apiece.models import ExportedModel
from apiece.predict import Model, load
from apiece.serve import inference
from apiece.serve.answers import answer_files, plain, read_upload
from apiece.serve.app import new_app
from apiece.serve.batching import Batcher, FullError, LateError
from apiece.serve.counters import Counters
from apiece.serve.guards import Guard
from apiece.serve.limits import Limits
from apiece.serve.pace import Paced
from apiece.serve.schema import Problem
from apiece.serve.service_schema import Measured, ModelInfo, V2Answer, V2Request

__all__ = ["new_service"]

_POLL = 0.2  # seconds between looks at whether a client is still there
Conf = Annotated[float | None, Query(ge=0, le=1, description="Lowest score; by default the model's thresholds.")]
Files = Annotated[list[UploadFile], File(description="Images: PNG, JPEG, TIFF, WebP or BMP.")]


class _Service:
    """What answers requests."""

    def __init__(self, model: Model, folder: str | Path, limits: Limits, counters: Counters) -> None:
        self.limits, self.folder = limits, folder
        self.batcher = Batcher(model, limits.batch, limits.queue, limits.timeout, counters)

    @property
    def model(self) -> Model:
        return self.batcher.model

    async def found(
        self, request: Request, files: Sequence[UploadFile], conf: float | None
    ) -> tuple[list[Image], list[Instances]]:
        """Return the images of a request, and what is on them."""
        if len(files) > self.limits.images:
            raise HTTPException(413, f"a request may hold {self.limits.images} images at most")
        images = [await asyncio.to_thread(read_upload, await f.read(), i, self.limits) for i, f in enumerate(files)]
        return images, await self.predict(request, images, conf)

    async def predict(self, request: Request, images: Sequence[Image], conf: float | None) -> list[Instances]:
        """Return what is on images; given up when the client has left."""
        options = self.model.options(conf, max_instances=self.limits.instances)
        task = asyncio.create_task(self.batcher.predict(images, options))
        try:
            while not (await asyncio.wait({task}, timeout=_POLL))[0]:
                if await request.is_disconnected():
                    raise HTTPException(499, "the client has left")
            return await task
        finally:
            task.cancel()

    def info(self) -> ModelInfo:
        loaded, runtime = self.model.loaded, self.model.runtime
        return ModelInfo(
            name=loaded.name, classes=list(loaded.classes),
            thresholds=None if loaded.thresholds is None else list(loaded.thresholds), runtime=runtime.name,
            precision=runtime.precision, imgsz=loaded.input.imgsz, channels=loaded.input.channels,
            unequal=loaded.graph.unequal if isinstance(loaded, ExportedModel) else "",
        )  # fmt: skip


def new_service(model: Model, guard: Guard, limits: Limits, folder: str | Path = "default") -> FastAPI:
    """Return an application that answers what is in images; see `apiece.serve.new_app` and `apiece.serve.run`.

    Parameters
    ----------
    model : answers.
    guard : who may ask.
    limits : what a request may cost.
    folder : where the model is read from again when that is asked for.

    Examples
    --------
    >>> from apiece.serve import Guard, Limits, new_service
    >>> app = new_service(apiece.load("bolts-out/onnx"), Guard(), Limits())  # doctest: +SKIP
    """
    counters = Counters()
    service = _Service(model, folder, limits, counters)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.batcher.close)

    router = APIRouter(lifespan=lifespan)
    _add_predict(router, service)
    _add_model(router, service)
    _add_inference(router, service)
    app = new_app("apiece", guard, [router])
    app.add_exception_handler(FullError, _full)
    app.add_exception_handler(LateError, _late)
    app.user_middleware.append(Middleware(Paced, timeout=limits.timeout, counters=counters))  # behind the guard
    return app


async def _full(request: Request, error: Exception) -> Response:
    problem = Problem(kind="FullError", message="too many images wait already; ask again in a moment")
    return Response(problem.model_dump_json(), 503, {"retry-after": "1"}, "application/json")


async def _late(request: Request, error: Exception) -> Response:
    problem = Problem(kind="LateError", message="no answer in time")
    return Response(problem.model_dump_json(), 504, media_type="application/json")


def _add_predict(router: APIRouter, service: _Service) -> None:
    @router.post("/v1/predict", tags=["predict"])
    async def predict(
        request: Request,
        file: Files,
        format: Literal["coco", "geojson", "labelmap", "overlay", "csv"] = "coco",
        conf: Conf = None,
    ) -> Response:
        """Find the objects in images. Each format is what `apiece predict --save` writes; several files come as zip."""
        images, found = await service.found(request, file, conf)
        body, kind = await asyncio.to_thread(answer_files, images, found, service.model.classes, format)
        return Response(body, media_type=kind)

    @router.post("/v1/measure", tags=["predict"], response_model=Measured)
    async def measured(
        request: Request, file: Annotated[UploadFile, File()], conf: Conf = None, pixel_size: str | None = None
    ) -> Response:
        """Find the objects in an image and measure each; `pixel_size` such as `0.5 um`."""
        size = None if pixel_size is None else PixelSize.parse(pixel_size)
        (image,), (found,) = await service.found(request, [file], conf)
        table = await asyncio.to_thread(measure, found, image, pixel_size=size)
        return Response(plain({"rows": list(table.rows()), "units": dict(table.units)}), media_type="application/json")


def _add_model(router: APIRouter, service: _Service) -> None:
    @router.get("/v1/model", tags=["model"])
    async def model() -> ModelInfo:
        """Say which model answers."""
        return service.info()

    @router.post("/v1/model/reload", tags=["model"])
    async def reload() -> ModelInfo:
        """Read the model's folder again. Requests go on: those at work end with the old model."""
        try:
            service.batcher.model = await asyncio.to_thread(load, service.folder, str(service.model.device))
        except ApieceError as error:
            raise HTTPException(409, f"the old model stays: {error}") from error
        return service.info()

    @router.get("/metrics", tags=["model"], response_class=Response)
    async def metrics() -> Response:
        """Give counts in the text form of Prometheus."""
        return Response(service.batcher.counts(), media_type="text/plain; version=0.0.4")


def _add_inference(router: APIRouter, service: _Service) -> None:
    """Add the Open Inference Protocol; the one model is called ``model``."""

    @router.get("/v2/health/live", tags=["v2"])
    @router.get("/v2/health/ready", tags=["v2"])
    @router.get("/v2/models/model/ready", tags=["v2"])
    async def ready() -> dict[str, bool]:
        return {"live": True, "ready": True}

    @router.get("/v2", tags=["v2"])
    async def about() -> dict[str, Any]:
        return {"name": "apiece", "version": __version__, "extensions": []}

    @router.get("/v2/models/model", tags=["v2"])
    async def metadata() -> dict[str, Any]:
        parts = {"inputs": inference.INPUTS, "outputs": inference.OUTPUTS}
        return {"name": "model", "versions": ["1"], "platform": service.model.runtime.name, **parts}

    @router.post("/v2/models/model/infer", tags=["v2"], response_model=V2Answer)
    async def infer(request: Request, asked: V2Request) -> Response:
        image = await asyncio.to_thread(inference.image_of, asked.inputs[0], service.limits)
        (found,) = await service.predict(request, [image], None)
        outputs = await asyncio.to_thread(inference.tensors_of, found)
        return Response(
            plain({"model_name": "model", "id": asked.id, "outputs": outputs}), media_type="application/json"
        )
