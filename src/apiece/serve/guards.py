"""Who may ask, and how much: address, key, ``Host``, ``Origin`` and size of a request, before any route runs."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apiece.errors import ConfigError

__all__ = ["Guard", "Guarded", "is_loopback"]

_COOKIE = "apiece_key"
_POLICY = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True)
class Guard:
    """Hold who may ask a service, and how much at once.

    Attributes
    ----------
    host : address to listen on. Any other than this machine's own needs a ``key``.
    port : port to listen on; 0 lets the system choose.
    key : what a request must show, as ``Authorization: Bearer KEY``. A page is opened once with ``?key=KEY``.
    most_bytes : largest body of a request.
    hosts : further names under which a service on this machine is asked, such as that of a proxy before it.
    origins : pages of other origins whose scripts may ask, such as ``"https://line.example"``.

    Raises
    ------
    ConfigError
        If others could reach the service without a key, a request cannot show the key, or a name is none of a host.

    Examples
    --------
    >>> from apiece.serve import Guard
    >>> Guard(port=8080)
    Guard(host='127.0.0.1', port=8080, most_bytes=67108864)
    """

    host: str = "127.0.0.1"
    port: int = 8000
    key: str = ""
    most_bytes: int = 64 << 20
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not is_loopback(self.host) and not self.key:
            raise ConfigError(f"{self.host} is an address that other machines can reach; give a key, or use 127.0.0.1")
        for name in self.hosts:
            if not re.fullmatch(r"[^\s/@:\[\]]+|[0-9a-f]*:[0-9a-f:.]*", name, re.IGNORECASE):
                raise ConfigError(
                    f"hosts are names such as 'line.example', without scheme, port and path; got {name!r}"
                )
        for page in self.origins:
            if not re.fullmatch(r"https?://[^/\s]+", page):
                raise ConfigError(f"origins are such as 'https://line.example', without a path; got {page!r}")
        if not self.key.isascii():
            raise ConfigError("the key must be ASCII, as the headers of a request are")
        if not 0 <= self.port < 1 << 16:
            raise ConfigError(f"a port is a number from 0 to 65535, got {self.port}")

    def __repr__(self) -> str:
        return f"Guard(host={self.host!r}, port={self.port}, most_bytes={self.most_bytes})"  # the key is nobody's

    def refusal(self, method: str, headers: Mapping[str, str], most_bytes: int | None = None) -> tuple[int, str] | None:
        """Return status and reason why a request is not answered; None if it is.

        A page of another site may not ask on a person's behalf (``Origin``), nor by giving its own name to this
        address (``Host``).
        """
        host, origin = headers.get("host", ""), headers.get("origin")
        if is_loopback(self.host) and not is_loopback(_name(host)) and _name(host) not in self.hosts:
            return 421, f"this service is on this machine only; it does not answer to the name {_name(host)!r}"
        if origin is not None and origin not in (f"http://{host}", f"https://{host}", *self.origins):
            return 403, f"pages of {origin} may not ask this service"
        if origin is None and method not in ("GET", "HEAD") and headers.get("sec-fetch-site") == "cross-site":
            return 403, "pages of other sites may not ask this service"
        length, most = headers.get("content-length", "0"), most_bytes or self.most_bytes
        if not length.isdecimal() or int(length) > most:
            return 413, _too_large(most)
        if self.key and not any(hmac.compare_digest(shown, _digest(self.key)) for shown in _shown(headers)):
            return 401, "this service needs its key: Authorization: Bearer KEY, or ?key=KEY once in the page's address"
        return None


class Guarded:
    """An application behind a `Guard`; ``larger`` names paths whose bodies may be larger than others, and how large."""

    def __init__(self, app: ASGIApp, guard: Guard, larger: Mapping[str, int]) -> None:
        self._app, self._guard, self._larger = app, guard, larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("key", [""])[0]
        if self._guard.key and given and hmac.compare_digest(_digest(given), _digest(self._guard.key)):
            answer = RedirectResponse(scope["path"], 303)
            answer.set_cookie(_COOKIE, _digest(given), httponly=True, samesite="strict")
            await answer(scope, receive, send)
            return
        most = self._larger.get(scope["path"], self._guard.most_bytes)
        refused = self._guard.refusal(scope["method"], headers, most)
        if refused is not None:
            problem = {"kind": "Refused", "message": refused[1], "options": []}
            await JSONResponse(problem, refused[0])(scope, receive, send)
            return
        await self._app(scope, _limited(receive, most), _with_policy(send))


def _limited(receive: Receive, most: int) -> Receive:
    """Return ``receive`` that stops a body without a stated length once it is too large."""
    read = 0

    async def limited() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise HTTPException(413, _too_large(most))
        return message

    return limited


def _too_large(most: int) -> str:
    """Return the reason why a body is not read."""
    return f"the request is larger than {most:,} bytes"


def _with_policy(send: Send) -> Send:
    """Return ``send`` that adds what keeps a page's scripts to this service."""

    async def with_policy(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_POLICY)
        await send(message)

    return with_policy


def is_loopback(host: str) -> bool:
    """Return whether an address is this machine's own.

    >>> [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    """Return the name in a ``Host`` header, without port and brackets."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _shown(headers: Mapping[str, str]) -> list[str]:
    """Return the digests of the keys that a request shows."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    cookie = cookie_parser(headers.get("cookie", "")).get(_COOKIE, "")
    return [_digest(bearer.strip()) if scheme.lower() == "bearer" else "", cookie if cookie.isascii() else ""]


def _digest(key: str) -> str:
    """Return what a browser keeps in place of the key itself."""
    return hashlib.sha256(key.encode()).hexdigest()
