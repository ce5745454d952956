"""`new_app`: a FastAPI application behind its guard, with errors as JSON; `run`: listen until interrupted."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from apiece import __version__
from apiece.errors import ApieceError, MissingExtraError, UnknownNameError
from apiece.serve.guards import Guard, Guarded
from apiece.serve.listening import listen
from apiece.serve.schema import Problem, answer_of, problem_of

__all__ = ["answer", "new_app", "run"]

_LAST = 90  # seconds that requests at work have after the signal to end

_STATUS: tuple[tuple[type[ApieceError], int], ...] = ((UnknownNameError, 404), (MissingExtraError, 501))
"""The status of an error; 422 for all others."""


def new_app(
    title: str, guard: Guard, routers: Sequence[APIRouter] = (), larger: Mapping[str, int] | None = None
) -> FastAPI:
    """Return an application that answers only who the guard lets in, and tells every error as a `Problem`.

    Parameters
    ----------
    title : what it is called in its OpenAPI description.
    guard : who may ask, and how much.
    routers : its routes.
    larger : paths whose bodies may be larger than the guard says, and how large.

    Examples
    --------
    >>> from apiece.serve import Guard, new_app
    >>> new_app("counting", Guard()).title
    'counting'
    """
    # the pages of /docs and /redoc would load scripts from elsewhere
    app = FastAPI(title=title, version=__version__, docs_url=None, redoc_url=None, responses={422: {"model": Problem}})
    app.add_middleware(Guarded, guard=guard, larger=larger or {})
    app.add_exception_handler(ApieceError, _told)
    app.add_exception_handler(OSError, _told)
    app.add_exception_handler(HTTPException, _told)
    app.add_exception_handler(RequestValidationError, _told)
    app.add_exception_handler(Exception, _broken)
    for router in routers:
        app.include_router(router)
    return app


async def _told(request: Request, error: Exception) -> JSONResponse:
    """Return an error as a `Problem` with its status."""
    status = 422
    if isinstance(error, ApieceError):
        problem = problem_of(error)
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), 422)
    elif isinstance(error, HTTPException):
        problem, status = Problem(kind="Refused", message=str(error.detail)), error.status_code
    elif isinstance(error, RequestValidationError):
        said = [(".".join(str(part) for part in each["loc"][1:]), each["msg"]) for each in error.errors()]
        text = "; ".join(f"{place}: {why}" if place else why for place, why in said)
        problem = Problem(kind="RequestError", message=text, options=[place for place, _ in said])
    else:
        assert isinstance(error, OSError)  # no space, no permission, a file that has gone
        place = f"{error.filename}: " if error.filename is not None else ""
        problem, status = Problem(kind="OSError", message=f"{place}{error.strerror or error}"), 500
    headers = {"allow": _allowed(request)} if status == 405 else None
    return JSONResponse(answer_of(problem, request.url.path), status, headers)


def _allowed(request: Request) -> str:
    """Return the methods of an address; Starlette names those of its first route alone."""
    found: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return ", ".join(sorted(found))


async def _broken(request: Request, error: Exception) -> JSONResponse:
    """Tell of a fault of the program itself; the log has it in full."""
    problem = Problem(kind="Fault", message="the server made a mistake; its log says where")
    return JSONResponse(answer_of(problem, request.url.path), 500)


def run(app: FastAPI, guard: Guard, ready: Callable[[str], None] = lambda address: None) -> None:
    """Run an application until it is interrupted.

    Parameters
    ----------
    app : what `new_app` made.
    guard : its guard, which says where to listen.
    ready : called with the address once requests are accepted.

    Raises
    ------
    ConfigError
        If the address cannot be listened on.
    """
    with listen(guard) as (listening, address):
        ready(address)
        answer(app, listening)


def answer(app: FastAPI, listening: socket.socket) -> None:
    """Answer requests until a signal; what was asked by then is answered."""
    config = uvicorn.Config(
        app, log_config=None, log_level="warning", access_log=False, timeout_graceful_shutdown=_LAST
    )
    uvicorn.Server(config).run(sockets=[listening])
