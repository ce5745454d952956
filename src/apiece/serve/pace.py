"""A request must arrive in time; each one is counted."""

from __future__ import annotations

import asyncio
import time

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apiece.serve.counters import Counters

__all__ = ["Paced"]


class Paced:
    """An application that gets a request once all of its body is there."""

    def __init__(self, app: ASGIApp, timeout: float, counters: Counters) -> None:
        self._app, self._timeout, self._counters = app, timeout, counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            async with asyncio.timeout(self._timeout):
                body = await _arrived(receive)
        except (TimeoutError, HTTPException) as error:
            late = f"the request took more than {self._timeout:g} s to arrive"
            code, said = (error.status_code, error.detail) if isinstance(error, HTTPException) else (408, late)
            problem = {"kind": "Refused", "message": said, "options": []}
            await JSONResponse(problem, code, {"connection": "close"})(scope, receive, noted)
        else:
            if body is not None:
                await self._app(scope, _handed_on(body, receive), noted)
        self._counters.answered(scope["path"], status, time.perf_counter() - begin)


async def _arrived(receive: Receive) -> bytes | None:
    """Return the whole body; None if the client left."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _handed_on(body: bytes, receive: Receive) -> Receive:
    """Return what hands the body on, and then what the server says, such as that the client left."""
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
