"""An image embedded once and asked about often, with points and boxes: ``/v1/sessions``."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import Response

from apiece.core.instances import Instances
from apiece.core.prompts import Prompts
from apiece.serve.answers import json_bytes
from apiece.serve.predict_routes import OneFile
from apiece.serve.service_schema import Segmented, SessionInfo, ToSegment
from apiece.serve.state import PROBLEMS, Service

__all__ = ["routes"]


def routes(service: Service) -> APIRouter:
    """Return the routes of sessions."""
    router = APIRouter(tags=["segment"], responses=PROBLEMS)
    sessions = service.sessions

    @router.post("/v1/sessions", status_code=201)
    async def opened(file: OneFile) -> SessionInfo:
        """Open a session on an image. It ends when nobody asks for a while, and with the server."""
        image = await service.image(file)
        return SessionInfo(session=sessions.open(image), size=list(image.size), idle=sessions.idle)

    @router.post("/v1/sessions/{session}/segment", response_model=Segmented)
    async def segmented(request: Request, session: str, asked: ToSegment) -> Response:
        """Return an object for each prompt: points on it and beside it, a box around it, an earlier mask."""
        open_one = sessions.get(session)
        entries = [prompt.model_dump(exclude_none=True) for prompt in asked.prompts]
        prompts = Prompts.from_json(entries, open_one.image.size)
        found = await service.while_asked(request, service.lane.run(lambda: open_one.ask(prompts)))
        return Response(await asyncio.to_thread(_told, found), media_type="application/json")

    @router.delete("/v1/sessions/{session}", status_code=204)
    async def closed(session: str) -> None:
        """Close a session."""
        sessions.close(session)

    return router


def _told(found: Instances) -> bytes:
    """Return instances as `Segmented`."""
    scores = [None] * len(found) if found.scores is None else found.scores.tolist()
    boxes, areas = found.masks.boxes.tolist(), found.masks.area.tolist()
    columns = zip(found.masks.to_coco(), boxes, areas, scores, strict=True)
    return json_bytes({"objects": [dict(zip(("mask", "box", "area", "score"), row, strict=True)) for row in columns]})
