"""Slides and videos as jobs: ``/v1/jobs``. The upload goes to the disk as it comes, whatever its size."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path as FilePath
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from apiece.core.image import PixelSize
from apiece.predict import OUTPUTS
from apiece.predict.tracks import TRACKS
from apiece.serve.answers import MEDIA_TYPES, media_type
from apiece.serve.jobs.runner import Jobs
from apiece.serve.jobs.store import Job, Kind
from apiece.serve.service_schema import JobInfo
from apiece.serve.state import PROBLEMS

__all__ = ["JOBS", "routes"]

JOBS = "/v1/jobs"
"""Where jobs are sent to; such a body may be larger than others."""

_BODY = {"requestBody": {"required": True, "description": "A slide, an image of any size, or a video.", "content": {
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}}  # fmt: skip
Id = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
_FORMATS = {"image": ("coco", "geojson", "labelmap", "overlay", "csv"), "video": tuple(TRACKS)}
assert set(_FORMATS["image"]) <= set(OUTPUTS)


def routes(jobs: Jobs | None) -> APIRouter:
    """Return the routes of jobs; without a place for jobs, they say how to give one."""
    router = APIRouter(prefix=JOBS, tags=["jobs"], responses=PROBLEMS)

    def runner() -> Jobs:
        if jobs is None:
            raise HTTPException(404, "this server takes no jobs; start it with --jobs FOLDER")
        return jobs

    def found(id: str) -> Job:
        job = runner().store.get(id)
        if job is None:
            raise HTTPException(404, "there is no such job, or the time that its result is kept is over")
        return job

    def told(job: Job) -> JobInfo:
        done, total = runner().progress(job.id)
        return JobInfo(
            id=job.id, kind=job.kind, format=job.format, state=job.state, done=done, total=total, message=job.message,
            created=job.created, ended=job.ended,
        )  # fmt: skip

    @router.post("", status_code=202, openapi_extra=_BODY)
    async def begun(
        request: Request,
        kind: Kind = "image",
        format: Literal["coco", "geojson", "labelmap", "overlay", "csv", "jsonl", "mots", "ctc", "video"] = "coco",
        conf: Annotated[float | None, Query(ge=0, le=1)] = None,
        tile: Annotated[int | None, Query(ge=64, le=16384)] = None,
        pixel_size: str | None = None,
        every: Annotated[int, Query(ge=1, le=100_000)] = 1,
    ) -> JobInfo:
        """Begin a job with the body of the request: an image in tiles of `tile` pixels, or one of `every` frames."""
        store = runner().store
        if format not in _FORMATS[kind]:
            raise HTTPException(422, f"the result of a job of kind {kind} is one of {', '.join(_FORMATS[kind])}")
        if pixel_size not in (None, "auto"):
            PixelSize.parse(pixel_size)
        job = Job(store.new_id(), kind, format, conf, tile, pixel_size, every, created=time.time())
        try:
            with store.upload(job) as path:
                await _saved(request, path)
        except ClientDisconnect:
            raise HTTPException(499, "the client has left") from None
        runner().begin()
        return told(job)

    @router.get("")
    async def listed() -> list[JobInfo]:
        """List the jobs, the oldest first."""
        return [told(job) for job in runner().store.jobs()]

    @router.get("/{id}")
    async def one(id: Id) -> JobInfo:
        """Say how a job stands."""
        return told(found(id))

    @router.get("/{id}/result", response_class=Response, responses={200: {"content": {k: {} for k in MEDIA_TYPES}}})
    async def result(id: Id) -> FileResponse:
        """Give the result of a job that is done: a file, or a zip archive of several."""
        job, path = found(id), runner().store.result(id)
        if job.state != "done" or path is None:
            raise HTTPException(409, f"the job is {job.state}" + (f": {job.message}" if job.message else ""))
        return FileResponse(path, media_type=media_type(path))

    @router.delete("/{id}", status_code=204)
    async def cancelled(id: Id) -> None:
        """End a job that waits or runs; forget a job that has ended, and its result."""
        await asyncio.to_thread(runner().cancel, found(id))

    return router


async def _saved(request: Request, path: FilePath) -> None:
    """Write the body to a file as it comes."""
    size = 0
    with path.open("wb") as file:
        async for part in request.stream():
            size += len(part)
            await asyncio.to_thread(file.write, part)
    if not size:
        raise HTTPException(422, "the body is empty; send a slide or a video in it")
