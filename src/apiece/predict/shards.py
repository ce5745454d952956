"""Shards: the images or tiles of a run, a few at a time, computed in this process, in several, or on a Ray cluster.

A shard is what goes through the network together. Which images it holds, and the one thread that computes it, do not
depend on who computes it, so the answers do not either, bit for bit. Answers are handed on in the order of the shards.
"""

from __future__ import annotations

import copy
import itertools
import pickle
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.errors import ConfigError, DataError, Option
from apiece.models import ExportedModel
from apiece.models.contract import DecodeOptions
from apiece.predict.predictor import Model
from apiece.predict.runtime import one_thread
from apiece.predict.sources import Bad, OnBad, Source

__all__ = ["TRIES", "Answer", "Backend", "Predicting", "Shard", "packed", "predicting", "too_often", "unpacked"]

_AHEAD = 4  # shards for each that is under way, that may be done before an earlier one
TRIES = 10
"""How often a shard's process may be ended, by chance or by the shard, before the run is given up."""

Answer = Instances | Bad
"""What was found on an image, or why it cannot be read."""


class Predicting(Protocol):
    """Predict on many images in order: a `Model`, or several processes with one."""

    def results(
        self, sources: Iterable[Source], batch: int, options: DecodeOptions, max_pixels: int, on_bad: OnBad | None
    ) -> Generator[tuple[Source, Image | None, Instances]]:
        """Yield each source with its image, where this process has read it, and what is found; as `Model.results`."""


@dataclass(frozen=True)
class Shard:
    """Hold sources that go through the network together, and how."""

    sources: tuple[Source, ...]
    options: DecodeOptions
    max_pixels: int

    def answers(self, model: Model) -> list[Answer]:
        """Return what a model finds on each source, or why the source cannot be read."""
        bad: deque[Bad] = deque()
        found = model.results(self.sources, len(self.sources), self.options, self.max_pixels, bad.append)
        seen = {id(source): instances for source, _, instances in found}
        return [seen[id(source)] if id(source) in seen else bad.popleft() for source in self.sources]

    @property
    def name(self) -> str:
        """The first of its images, for messages."""
        return self.sources[0].name


class Backend(Protocol):
    """Compute shards, one or several at a time. It computes a shard anew whose process is ended.

    Attributes
    ----------
    room : how many shards are under way at most.
    """

    room: int

    def begin(self, number: int, shard: Shard) -> None:
        """Take a shard; at most ``room`` are under way."""

    def done(self) -> tuple[int, list[Answer]]:
        """Wait for any of the shards that are under way; return its number and its answers, or raise its error."""


@dataclass
class _Here:
    """This process."""

    model: Model
    room: int = 1

    def begin(self, number: int, shard: Shard) -> None:
        self._waiting = number, shard

    def done(self) -> tuple[int, list[Answer]]:
        number, shard = self._waiting
        return number, shard.answers(self.model)


@contextmanager
def predicting(model: Model, workers: int | None, ray: str | None) -> Iterator[Predicting]:
    """Yield what predicts: the model itself, or ``workers`` processes with it, here or on a Ray cluster."""
    if workers is not None and workers < 1:
        raise ConfigError(Option("workers") + f" must be at least 1, got {workers}")
    if workers is None and ray is None:
        yield model
    elif workers == 1 and ray is None:
        with one_thread():  # a runtime counts its threads when it is opened
            yield _Spread(_Here(Model(model.loaded, str(model.device))))
    else:
        with _elsewhere(model, workers, ray) as backend:
            yield _Spread(backend)


def _elsewhere(model: Model, workers: int | None, ray: str | None) -> AbstractContextManager[Backend]:
    if ray is None:
        from apiece.predict._backends.processes import processes

        assert workers is not None
        return processes(model, workers)
    from apiece.predict._backends.ray import cluster

    return cluster(model, workers, ray)


@dataclass
class _Spread:
    """Predict as a model does, by way of a backend."""

    backend: Backend

    def results(
        self, sources: Iterable[Source], batch: int, options: DecodeOptions, max_pixels: int, on_bad: OnBad | None
    ) -> Generator[tuple[Source, Image | None, Instances]]:
        if batch < 1:
            raise ConfigError(Option("batch") + f" must be at least 1, got {batch}")
        given = iter(sources)
        groups = iter(lambda: tuple(itertools.islice(given, batch)), ())
        for shard, answers in _in_order(self.backend, (Shard(group, options, max_pixels) for group in groups)):
            for source, answer in zip(shard.sources, answers, strict=True):
                if isinstance(answer, Instances):
                    yield source, None, answer
                elif on_bad is None:
                    raise answer
                else:
                    on_bad(answer)


def _in_order(backend: Backend, shards: Iterator[Shard]) -> Iterator[tuple[Shard, list[Answer]]]:
    """Keep a backend busy, and yield shards in their order with their answers; only a few are in memory."""
    under_way: dict[int, Shard] = {}
    ready: dict[int, tuple[Shard, list[Answer]]] = {}
    first = 0  # the shard to yield next
    numbered = enumerate(shards)
    while True:
        room = min(backend.room - len(under_way), _AHEAD * backend.room - len(under_way) - len(ready))
        for number, shard in itertools.islice(numbered, max(room, 0)):
            under_way[number] = shard
            backend.begin(number, shard)
        if not under_way:
            return
        number, answers = backend.done()
        ready[number] = under_way.pop(number), answers
        while first in ready:
            yield ready.pop(first)
            first += 1


def packed(model: Model) -> bytes:
    """Return a model for `unpacked` in another process; its tensors may lie on a device that the process lacks."""
    loaded: Any = model.loaded
    if not isinstance(loaded, ExportedModel):
        loaded = replace(loaded, module=copy.deepcopy(loaded.module).cpu())
    try:
        return pickle.dumps((loaded, str(model.device)))
    except (pickle.PicklingError, AttributeError, TypeError) as error:  # an architecture of an outside package
        reason = f"a model of architecture {loaded.name} cannot be sent to other processes ({error}): its functions "
        raise ConfigError(reason + "must have names; leave out " + Option("workers")) from error


@contextmanager
def unpacked(model: bytes) -> Iterator[Model]:
    """Yield a model that `packed` made; it computes on one thread."""
    loaded, device = pickle.loads(model)
    with one_thread():
        yield Model(loaded, device)


def too_often(shard: Shard, reason: str) -> DataError:
    """Return the error of a shard whose process was ended `TRIES` times."""
    return DataError(
        f"{shard.name}: the process that predicted on it was ended {TRIES} times ({reason}); use fewer "
        + Option("workers")
        + ", or a smaller "
        + Option("tile")
    )
