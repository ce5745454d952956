"""`Lane`: work that is done in one thread, one piece after another, with a bound on how much waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from apiece.serve.batching import FullError, LateError

__all__ = ["Lane"]

_T = TypeVar("_T")


class Lane:
    """Do work of many requests in one thread.

    Parameters
    ----------
    room : pieces of work that may wait.
    timeout : seconds until a piece must be done.
    """

    def __init__(self, room: int, timeout: float) -> None:
        self._room, self._timeout, self._waiting = room, timeout, 0
        self._thread = ThreadPoolExecutor(1, "apiece-lane")

    async def run(self, work: Callable[[], _T]) -> _T:
        """Return what ``work`` returns; work that was given up before it began is not done.

        Raises
        ------
        FullError, LateError
            If too much waits, or the answer is not there in time.
        """
        if self._waiting >= self._room:
            raise FullError
        self._waiting += 1
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except TimeoutError:
            raise LateError from None
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End when the work at hand is done."""
        self._thread.shutdown(cancel_futures=True)
