"""`new_app`: a FastAPI application behind its guard, with errors as JSON; `run`: listen until interrupted."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from apiece import __version__
from apiece.errors import ApieceError, ConfigError, MissingExtraError, UnknownNameError
from apiece.serve.guards import Guard, Guarded
from apiece.serve.schema import Problem, problem_of

__all__ = ["new_app", "run"]

_STATUS: tuple[tuple[type[ApieceError], int], ...] = ((UnknownNameError, 404), (MissingExtraError, 501))
"""The status of an error; 422 for all others."""


def new_app(title: str, guard: Guard, routers: Sequence[APIRouter] = ()) -> FastAPI:
    """Return an application that answers only who the guard lets in, and tells every error as a `Problem`.

    Parameters
    ----------
    title : what it is called in its OpenAPI description.
    guard : who may ask, and how much.
    routers : its routes.

    Examples
    --------
    >>> from apiece.serve import Guard, new_app
    >>> new_app("counting", Guard()).title
    'counting'
    """
    # the pages of /docs and /redoc would load scripts from elsewhere
    app = FastAPI(title=title, version=__version__, docs_url=None, redoc_url=None, responses={422: {"model": Problem}})
    app.add_middleware(Guarded, guard=guard)
    app.add_exception_handler(ApieceError, _told)
    app.add_exception_handler(OSError, _told)
    app.add_exception_handler(HTTPException, _told)
    app.add_exception_handler(RequestValidationError, _told)
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
    return JSONResponse(jsonable_encoder(problem), status)


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
    family = socket.AF_INET6 if ":" in guard.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((guard.host, guard.port))
        except OSError as error:
            raise ConfigError(f"cannot listen on {guard.host}, port {guard.port}: {error.strerror}") from None
        listening.listen(128)
        host = f"[{guard.host}]" if ":" in guard.host else guard.host
        ready(f"http://{host}:{listening.getsockname()[1]}/")
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listening])
