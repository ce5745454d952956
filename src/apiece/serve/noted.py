"""Every request gets a name, is counted, and is written to the log, also one that is refused."""

from __future__ import annotations

import logging
import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apiece.serve.counters import Counters

__all__ = ["Noted"]

_NAME = re.compile(r"[\w.:-]{1,64}")
_log = logging.getLogger("apiece.serve.requests")


class Noted:
    """An application whose requests are counted and logged; ``X-Request-Id`` of the request or a new one names it."""

    def __init__(self, app: ASGIApp, counters: Counters) -> None:
        self._app, self._counters = app, counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status, bytes_in, bytes_out = time.perf_counter(), 0, 0, 0
        given = Headers(scope=scope).get("x-request-id", "")
        name = given if _NAME.fullmatch(given) else secrets.token_hex(8)

        async def received() -> Message:
            nonlocal bytes_in
            message = await receive()
            bytes_in += len(message.get("body", b""))
            return message

        async def sent(message: Message) -> None:
            nonlocal status, bytes_out
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = name
            bytes_out += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, received, sent)
        except BaseException:
            status = status or 500  # so it is answered further out, where the error is logged
            raise
        finally:
            seconds, path = time.perf_counter() - begin, getattr(scope.get("route"), "path", "other")
            self._counters.answered(path, status, seconds)
            about = {"request": name, "method": scope["method"], "path": scope["path"], "status": status}
            about |= {"seconds": round(seconds, 4), "bytes_in": bytes_in, "bytes_out": bytes_out}
            about["client"] = (scope.get("client") or ("",))[0]
            _log.info("%s %s %d", scope["method"], scope["path"], status, extra=about)
