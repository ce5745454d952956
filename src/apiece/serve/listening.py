"""`listen`: the socket of a service, at the address that its guard names."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from apiece.errors import ConfigError
from apiece.serve.guards import Guard

__all__ = ["listen"]

_BACKLOG = 1024  # connections that wait to be taken


@contextmanager
def listen(guard: Guard) -> Iterator[tuple[socket.socket, str]]:
    """Listen where a guard says; give the socket and its address.

    Raises
    ------
    ConfigError
        If the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in guard.host else socket.AF_INET
    # asyncio sends at once only on sockets that say they are TCP; on others an answer waits 40 ms for its second part
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((guard.host, guard.port))
            listening.listen(_BACKLOG)
        except OSError as error:
            raise ConfigError(f"cannot listen on {guard.host}, port {guard.port}: {error.strerror}") from None
        host = f"[{guard.host}]" if ":" in guard.host else guard.host
        yield listening, f"http://{host}:{listening.getsockname()[1]}/"
