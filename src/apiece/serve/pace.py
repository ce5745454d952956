"""A request must arrive in time, and is answered once all of it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apiece.serve.schema import Problem, answer_of

__all__ = ["Paced"]


class Paced:
    """An application that gets a request once all of its body is there; on ``streamed`` paths, as it comes."""

    def __init__(self, app: ASGIApp, timeout: float, streamed: Collection[str] = ()) -> None:
        self._app, self._timeout, self._streamed = app, timeout, streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] in self._streamed:
            await self._app(scope, self._flowing(receive), send)
            return
        body = await self._arrived(scope, receive, send)
        if body is not None:
            await self._app(scope, _handed_on(body, receive), send)

    def _flowing(self, receive: Receive) -> Receive:
        """Return ``receive`` that gives up a body of which nothing comes for too long."""
        ended = False

        async def flowing() -> Message:
            nonlocal ended
            if ended:
                return await receive()
            try:
                async with asyncio.timeout(self._timeout):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"nothing of the request came for {self._timeout:g} s") from None
            ended = not message.get("more_body", False)
            return message

        return flowing

    async def _arrived(self, scope: Scope, receive: Receive, send: Send) -> bytes | None:
        """Return the whole body; None if the client left, or was answered since it was late or sent too much."""
        try:
            async with asyncio.timeout(self._timeout):
                return await _body(receive)
        except TimeoutError:
            refused = HTTPException(408, f"the request took more than {self._timeout:g} s to arrive")
        except HTTPException as error:
            refused = error
        problem = Problem(kind="Refused", message=str(refused.detail))
        answer = JSONResponse(answer_of(problem, scope["path"]), refused.status_code, {"connection": "close"})
        await answer(scope, receive, send)
        return None


async def _body(receive: Receive) -> bytes | None:
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
