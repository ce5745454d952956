"""The model that answers: ``/v1/model``, its reload, and counts for Prometheus."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from apiece.errors import ApieceError
from apiece.serve.service_schema import ModelInfo
from apiece.serve.state import PROBLEMS, Service

__all__ = ["routes"]


def routes(service: Service) -> APIRouter:
    """Return the routes about the model."""
    router = APIRouter(tags=["model"], responses=PROBLEMS)

    @router.get("/v1/model")
    async def model() -> ModelInfo:
        """Say which model answers, and which rules there are."""
        return service.served.info()

    @router.post("/v1/model/reload")
    async def reload() -> ModelInfo:
        """Read the model's folder and the rules again. Requests go on: those at work end with the old ones."""
        try:
            return await asyncio.to_thread(service.reload)
        except ApieceError as error:
            raise HTTPException(409, f"the old model stays: {error}") from error

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Give counts in the text form of Prometheus."""
        return Response(service.counters.text(service.batcher.waiting), media_type="text/plain; version=0.0.4")

    return router
