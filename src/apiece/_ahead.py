"""Iterators that run in a thread of their own: some steps ahead, or always at the newest item."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Dropped", "ahead", "newest"]

T = TypeVar("T")


@dataclass(frozen=True)
class Dropped:
    """How many items nobody took in time, so far."""

    count: int


class _Runner:
    """Runs an iterator in a thread, into a queue of at most ``size`` items; a full queue waits, or drops the oldest."""

    def __init__(self, items: Iterable[object], size: int, drops: bool) -> None:
        self.items, self.size, self.drops = items, size, drops
        self.queue: deque[object] = deque()
        self.change = threading.Condition()
        self.ended = self.stopped = False
        self.dropped = 0
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name="apiece-ahead", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            for item in self.items:
                with self.change:
                    self.change.wait_for(lambda: self.drops or self.stopped or len(self.queue) < self.size)
                    if self.stopped:
                        break
                    if len(self.queue) == self.size:
                        self.queue.popleft()
                        self.dropped += 1
                    self.queue.append(item)
                    self.change.notify_all()
        except BaseException as error:
            self.error = error
        finally:
            close = getattr(self.items, "close", None)
            if close is not None and self.error is None:
                close()
            with self.change:
                self.ended = True
                self.change.notify_all()

    def take(self) -> tuple[bool, object]:
        """Return whether there is another item, and the item; raise what the iterator raised."""
        with self.change:
            # a wait without an end would not hear Ctrl-C
            while not self.change.wait_for(lambda: self.queue or self.ended, timeout=1.0):
                pass
            if self.queue:
                item = self.queue.popleft()
                self.change.notify_all()
                return True, item
        if self.error is not None:
            raise self.error
        return False, None

    def stop(self) -> None:
        with self.change:
            self.stopped = True
            self.change.notify_all()
        self.thread.join()


def ahead(items: Iterable[T], size: int) -> Generator[T]:
    """Yield the same items in the same order; a thread makes up to ``size`` of them before they are asked for.

    An error comes out where it arose. Closing the generator ends the thread, and closes ``items``.

    >>> list(ahead(iter("abc"), 2))
    ['a', 'b', 'c']
    """
    runner = _Runner(items, size, drops=False)
    try:
        while True:
            more, item = runner.take()
            if not more:
                return
            yield item  # type: ignore[misc]
    finally:
        runner.stop()


def newest(items: Iterable[T]) -> Generator[T | Dropped]:
    """Yield always the newest item; what came meanwhile is dropped, and `Dropped` says so before the next item."""
    runner = _Runner(items, 1, drops=True)
    told = 0
    try:
        while True:
            more, item = runner.take()
            if runner.dropped > told:
                told = runner.dropped
                yield Dropped(told)
            if not more:
                return
            yield item  # type: ignore[misc]
    finally:
        runner.stop()
