"""A service: what a model finds in images, at the addresses of ``/v1`` and of the Open Inference Protocol."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import Response
from starlette.middleware import Middleware

from apiece.predict import Model, Prompter
from apiece.rules import read_rules
from apiece.serve import inference, model_routes, predict_routes, session_routes
from apiece.serve.app import new_app
from apiece.serve.batching import FullError, LateError
from apiece.serve.counters import Counters
from apiece.serve.guards import Guard
from apiece.serve.jobs import routes as job_routes
from apiece.serve.jobs.runner import Jobs
from apiece.serve.jobs.store import Store
from apiece.serve.known_query import known_query
from apiece.serve.limits import Limits
from apiece.serve.noted import Noted
from apiece.serve.pace import Paced
from apiece.serve.schema import Problem
from apiece.serve.state import Served, Service

__all__ = ["new_service"]


def new_service(
    model: Model,
    guard: Guard,
    limits: Limits,
    folder: str | Path = "default",
    *,
    rules: Path | None = None,
    prompter: Prompter | None = None,
    jobs: Path | None = None,
) -> FastAPI:
    """Return an application that answers what is in images; see `apiece.serve.new_app` and `apiece.serve.run`.

    Parameters
    ----------
    model : answers.
    guard : who may ask.
    limits : what a request may cost.
    folder : where the model is read from again when that is asked for.
    rules : file of rules that ``/v1/inspect`` judges by; None: there is no inspection.
    prompter : answers points and boxes; None: the best backend that needs no weights.
    jobs : folder where jobs and their results are kept; None: there are no jobs, and nothing is kept.

    Raises
    ------
    ConfigError
        If the folder of jobs cannot be written, or belongs to another server.
    FormatError
        If the rules cannot be read, or are about classes that the model does not know.

    Examples
    --------
    >>> from apiece.serve import Guard, Limits, new_service
    >>> app = new_service(apiece.load("bolts-out/onnx"), Guard(), Limits())  # doctest: +SKIP
    """
    counters = Counters()
    served = Served(model, None if rules is None else read_rules(rules, model.classes))
    runner = None
    if jobs is not None:
        runner = Jobs(Store(jobs, limits.jobs, 3600 * limits.keep), str(folder), str(model.device))
    service = Service(served, folder, rules, prompter or Prompter(), limits, counters)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        if runner is not None:
            await asyncio.to_thread(runner.close)
        await asyncio.to_thread(service.close)

    own = APIRouter(lifespan=lifespan, dependencies=[Depends(known_query)])
    for module in (predict_routes, session_routes, model_routes):
        own.include_router(module.routes(service))
    own.include_router(job_routes.routes(runner))
    app = new_app("apiece", guard, [own, inference.routes(service)], {job_routes.JOBS: limits.job_bytes})
    app.add_exception_handler(FullError, _full)
    app.add_exception_handler(LateError, _late)
    app.user_middleware.insert(0, Middleware(Noted, counters=counters))  # before the guard
    app.user_middleware.append(Middleware(Paced, timeout=limits.timeout, streamed={job_routes.JOBS}))  # behind it
    return app


async def _full(request: Request, error: Exception) -> Response:
    problem = Problem(kind="FullError", message="too much waits already; ask again in a moment")
    return Response(problem.model_dump_json(), 503, {"retry-after": "1"}, "application/json")


async def _late(request: Request, error: Exception) -> Response:
    problem = Problem(kind="LateError", message="no answer in time")
    return Response(problem.model_dump_json(), 504, media_type="application/json")
