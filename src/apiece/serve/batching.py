"""A bounded queue of images before one network: those that wait together go through it together."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from apiece._ahead import ahead
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.models.contract import DecodeOptions
from apiece.predict import Model
from apiece.predict.pipeline import Computed
from apiece.serve.counters import Counters

__all__ = ["Batcher", "FullError", "LateError"]


class FullError(Exception):
    """The queue is full."""


class LateError(Exception):
    """The answer would come too late."""


@dataclass(eq=False)
class _Waiting:
    image: Image
    model: Model
    options: DecodeOptions
    until: float
    future: Future[Instances] = field(default_factory=Future)


class Batcher:
    """Predict images of many requests, one batch after another: the network in one thread, masks in another.

    Each image goes through the model that its request names, so that a model may be replaced while others wait.
    """

    def __init__(self, batch: int, room: int, timeout: float, counters: Counters) -> None:
        self._batch, self._room, self._timeout = batch, room, timeout
        self._counters = counters
        self._pace = 0.0  # seconds that an image takes, of late
        self._waiting: deque[_Waiting] = deque()
        self._ready = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._work, name="apiece-serve", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many images wait."""
        return len(self._waiting)

    async def predict(self, model: Model, images: Sequence[Image], options: DecodeOptions) -> list[Instances]:
        """Return the instances of each image; those of a request that is cancelled leave the queue.

        Raises
        ------
        FullError, LateError
            If there is no room for all images, or their turn would come too late; or no answer in time.
        """
        until = time.monotonic() + self._timeout
        items = [_Waiting(image, model, options, until) for image in images]
        with self._ready:
            ahead = len(self._waiting) + len(items)
            # whom no answer can reach in time is sent away now: otherwise the network works for nobody under overload
            if not self._open or ahead > self._room or (self._waiting and ahead * self._pace > self._timeout):
                raise FullError
            self._waiting.extend(items)
            self._ready.notify()
        try:
            async with asyncio.timeout(self._timeout):
                return [await asyncio.wrap_future(item.future) for item in items]
        except TimeoutError:
            raise LateError from None
        finally:
            for item in items:
                item.future.cancel()

    def close(self) -> None:
        """End when all that waits is done."""
        with self._ready:
            self._open = False
            self._ready.notify()
        self._thread.join()

    def _work(self) -> None:
        """Make masks of what the network says; it goes on with the next images meanwhile."""
        for group, computed in ahead(self._computed(), 1):
            try:
                found = group[0].model.decode(computed, group[0].options)
            except Exception:
                _each_alone(group)
                continue
            self._counters.add(images=len(group), batches=1, instances=sum(map(len, found)))
            for item, instances in zip(group, found, strict=True):
                item.future.set_result(instances)

    def _computed(self) -> Generator[tuple[list[_Waiting], list[Computed]]]:
        """Yield images that went through the network together, with what it says."""
        while group := self._next():
            begin = time.monotonic()
            try:
                computed = group[0].model.compute([item.image for item in group])
            except Exception:
                _each_alone(group)
                continue
            seconds = (time.monotonic() - begin) / len(group)
            self._pace = seconds if not self._pace else 0.8 * self._pace + 0.2 * seconds
            yield group, computed

    def _next(self) -> list[_Waiting]:
        """Return images that wait, with the same model and options; none when the queue is closed."""
        group: list[_Waiting] = []
        with self._ready:
            while True:
                while self._waiting and len(group) < self._batch:
                    item = self._waiting[0]
                    if group and (item.model is not group[0].model or item.options != group[0].options):
                        break
                    self._waiting.popleft()
                    if item.until < time.monotonic():
                        item.future.cancel()
                    elif item.future.set_running_or_notify_cancel():
                        group.append(item)
                if group or not self._open:
                    return group
                self._ready.wait()


def _each_alone(group: Sequence[_Waiting]) -> None:
    """Answer images one by one, so that none suffers from an error of another."""
    for item in group:
        try:
            item.future.set_result(item.model.predict_batch([item.image], item.options)[0])
        except Exception as error:
            item.future.set_exception(error)
