"""`run_kept`: a worker that answers, and a keeper that starts a new one at once when it dies.

The keeper holds the listening socket, so that clients who come meanwhile wait and are not refused. It loads no model,
and imports little: what a worker needs is imported in `_work`. Workers are forked from a process that has imported all
of it (``forkserver``), so a new one need only read the model.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Protocol

from apiece.errors import ApieceError, ConfigError
from apiece.serve.guards import Guard
from apiece.serve.listening import listen

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["Recipe", "run_kept"]

_log = logging.getLogger("apiece.serve")


class Recipe(Protocol):
    """What a worker makes its application of; it travels to another process."""

    def app(self) -> tuple[FastAPI, dict[str, str]]:
        """Return the application, and what is told of it."""


def run_kept(
    recipe: Recipe, guard: Guard, ready: Callable[[str, dict[str, str]], None], imports: Sequence[str] = ()
) -> None:
    """Run a service until it is interrupted, whatever happens to the process that answers.

    Parameters
    ----------
    recipe : makes the application.
    guard : where to listen.
    ready : called with the address and what the application tells, once requests are accepted.
    imports : modules to have at hand for a new worker.

    Raises
    ------
    ConfigError
        If the address cannot be listened on.
    ApieceError
        If the application cannot be made, at the beginning or later.
    """
    with listen(guard) as (listening, address):
        keeper = _Keeper(recipe, listening, imports)
        told = keeper.start()
        ready(address, told)
        while True:
            wait([keeper.worker.sentinel])
            keeper.worker.join()
            if keeper.has_stopped():
                return
            begin, code = time.monotonic(), keeper.worker.exitcode
            keeper.start()
            said = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
            _log.error("the worker died (%s); a new one answers after %.1f s", said, time.monotonic() - begin)


class _Keeper:
    """Starts workers, and passes signals on to the one that runs."""

    def __init__(self, recipe: Recipe, listening: socket.socket, imports: Sequence[str]) -> None:
        self._recipe, self._listening = recipe, listening
        self._stopped = False
        self._context: BaseContext = multiprocessing.get_context("spawn")  # Windows has no other
        if "forkserver" in multiprocessing.get_all_start_methods():
            self._context = multiprocessing.get_context("forkserver")
            self._context.set_forkserver_preload([__name__, "apiece.serve.app", *imports])
        self.worker: BaseProcess
        self._line: Connection | None = None
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._stop)

    def has_stopped(self) -> bool:
        """Return whether a signal told the keeper to end."""
        return self._stopped

    def start(self) -> dict[str, str]:
        """Start a worker, and return what it tells when it answers."""
        if self._line is not None:
            self._line.close()
        self._line, theirs = self._context.Pipe()
        self.worker = self._context.Process(target=_work, args=(self._recipe, self._listening, theirs))  # type: ignore[attr-defined]
        self.worker.start()
        theirs.close()
        try:
            told = self._line.recv()
        except EOFError:
            self.worker.join()
            if self.has_stopped():
                return {}
            raise ConfigError(
                f"the server's process died while it read the model (exit code {self.worker.exitcode})"
            ) from None
        if isinstance(told, ApieceError):
            raise told
        return dict(told)

    def _stop(self, number: int, frame: object) -> None:
        self._stopped = True
        self._listening.close()  # who comes now is refused, and does not wait for nobody
        with contextlib.suppress(OSError, AttributeError, ValueError):
            os.kill(self.worker.pid or 0, signal.SIGTERM)


def _work(recipe: Recipe, listening: socket.socket, line: Connection) -> None:
    """Answer requests in a process of its own, until a signal or the end of the keeper."""
    from apiece.serve.app import answer

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the keeper passes it on
    try:
        app, told = recipe.app()
    except ApieceError as error:
        line.send(error)
        return
    line.send(told)
    threading.Thread(target=_end_with, args=(line,), daemon=True).start()
    answer(app, listening)


def _end_with(line: Connection) -> None:
    """End this process when its keeper has died."""
    with contextlib.suppress(EOFError, OSError):
        line.recv()
    os.kill(os.getpid(), signal.SIGTERM)
