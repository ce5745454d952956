"""Images on their way through a network: read ahead, joined to batches, decoded; one by one where memory runs out."""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from apiece._ahead import ahead
from apiece._arrays import Float32
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.errors import DataError, ImageError, Option
from apiece.images import MAX_PIXELS
from apiece.models.contract import DecodeOptions, Frame
from apiece.ops.ground import on_data
from apiece.predict.runtime import Runtime
from apiece.predict.sources import Bad, OnBad, Source
from apiece.transforms.input import prepare

if TYPE_CHECKING:
    from apiece.models import ExportedModel, LoadedModel

__all__ = ["Computed", "Pipeline", "unless_memory_runs_out"]

_log = logging.getLogger("apiece")
T = TypeVar("T")

_NO_MEMORY = ("out of memory", "can't allocate memory", "Failed to allocate memory")
"""As torch says it of a GPU and of a CPU, and ONNX Runtime."""


def unless_memory_runs_out(compute: Callable[[], T]) -> T | None:
    """Return what ``compute`` gives, or None if memory runs out; what the error holds on to is let go."""
    try:
        return compute()
    except MemoryError:
        return None
    except RuntimeError as error:
        if any(said in str(error) for said in _NO_MEMORY):
            return None
        raise


@dataclass(frozen=True, eq=False)
class _Ready:
    """An image on its way: prepared in the background."""

    source: Source
    image: Image
    array: Float32
    frame: Frame


@dataclass(frozen=True, eq=False)
class Computed:
    """Images that went through the network together, and its raw outputs; None where memory ran out."""

    group: list[_Ready]
    outputs: Any


class Pipeline:
    """Take images through the network of one model.

    Attributes
    ----------
    model : says what the network takes, and its classes.
    runtime : computes the network.
    """

    def __init__(self, model: LoadedModel | ExportedModel, runtime: Runtime) -> None:
        self.model, self.runtime = model, runtime

    def at(self, source: Source, several: Sequence[DecodeOptions]) -> list[Instances]:
        """Return the instances of one image at each of several options, for one pass through the network."""
        return [found for (found,) in self._run([self._ready(source)], several)]

    def results(
        self,
        sources: Iterable[Source],
        batch: int,
        options: DecodeOptions,
        max_pixels: int,
        on_bad: OnBad | None,
        beside: bool = False,
    ) -> Generator[tuple[Source, Image, Instances]]:
        """Yield each source with its image and instances; without ``on_bad``, a bad image raises.

        With ``beside``, the network runs in a thread of its own, on the next images while masks are made of outputs.
        """
        computed = self._computed(self._prefetched(sources, batch, max_pixels, on_bad), batch)
        with closing(ahead(computed, 1) if beside else computed) as ready:
            for one in ready:
                group, found = one.group, self._found(one, options)
                del one  # its outputs are large
                for each, instances in zip(group, found, strict=True):
                    yield each.source, each.image, instances

    def computed(self, sources: Iterable[Source]) -> list[Computed]:
        """Return the raw outputs of images; those of one size that follow each other go through together."""
        ready = [self._ready(source) for source in sources]
        return list(self._computed(ready, len(ready)))

    def decoded(self, computed: Iterable[Computed], options: DecodeOptions) -> list[Instances]:
        """Return the instances of each image of some outputs."""
        return [instances for one in computed for instances in self._found(one, options)]

    def _found(self, computed: Computed, options: DecodeOptions) -> list[Instances]:
        found = None
        if computed.outputs is not None:
            found = unless_memory_runs_out(partial(self._decode, computed.outputs, computed.group, options))
        return self._one_by_one(computed.group, [options])[0] if found is None else found

    def _computed(self, images: Iterable[_Ready], batch: int) -> Generator[Computed]:
        """Yield groups of images with their raw outputs."""
        for group in _grouped(images, batch):
            yield Computed(group, unless_memory_runs_out(partial(self._network, group)))

    def _prefetched(
        self, sources: Iterable[Source], batch: int, max_pixels: int, on_bad: OnBad | None
    ) -> Iterator[_Ready]:
        """Yield prepared images in order; a thread of its own reads a batch of them ahead."""
        broken: list[Bad] = []
        with ThreadPoolExecutor(1, thread_name_prefix="apiece-read") as pool:
            waiting: deque[Future[_Ready]] = deque()
            try:
                for source in itertools.chain(_until_broken(sources, broken), itertools.repeat(None, batch)):
                    if source is not None:
                        waiting.append(pool.submit(self._ready, source, max_pixels))
                    if len(waiting) > batch or (source is None and waiting):
                        try:
                            ready = waiting.popleft().result()
                        except (ImageError, DataError) as error:
                            if on_bad is None:
                                raise
                            on_bad(error)
                        else:
                            yield ready
            finally:
                for future in waiting:
                    future.cancel()
        if broken:
            raise broken[0]

    def _ready(self, source: Source, max_pixels: int = MAX_PIXELS) -> _Ready:
        image = source.read(max_pixels)
        array, frame = prepare(image, self.model.input, self.model.stride, source.limits)
        return _Ready(source, image, array, frame)

    def _run(self, group: Sequence[_Ready], several: Sequence[DecodeOptions]) -> list[list[Instances]]:
        """Run network and decoder on images of one size: a list of their instances for each of several options."""
        found = unless_memory_runs_out(partial(self._decoded, group, several))
        return self._one_by_one(group, several) if found is None else found

    def _one_by_one(self, group: Sequence[_Ready], several: Sequence[DecodeOptions]) -> list[list[Instances]]:
        """Return the same as `_run`, of images that do not fit in memory together."""
        if len(group) > 1:
            _log.warning("a batch of %d does not fit in memory; its images are taken one by one", len(group))
            each = [self._run([ready], several) for ready in group]
            return [[one[k][0] for one in each] for k in range(len(several))]
        height, width = group[0].image.size
        reason = f"an image of {height} x {width} pixels does not fit in the memory of {self.runtime.device}; "
        elsewhere = "" if str(self.runtime.device) == "cpu" else "use " + Option("device", "cpu") + ", or "
        raise DataError(reason + elsewhere + "cut it into smaller images")

    def _decoded(self, group: Sequence[_Ready], several: Sequence[DecodeOptions]) -> list[list[Instances]]:
        outputs = self._network(group)
        return [self._decode(outputs, group, options) for options in several]

    def _network(self, group: Sequence[_Ready]) -> Any:
        """Return raw outputs."""
        images = np.stack([ready.array for ready in group])
        return self.runtime.run(images, [ready.frame.input_size for ready in group])

    def _decode(self, outputs: Any, group: Sequence[_Ready], options: DecodeOptions) -> list[Instances]:
        found = self.runtime.decode(outputs, [ready.frame for ready in group], self.model.classes, options)
        return [options.finished(_shown(one, ready)) for one, ready in zip(found, group, strict=True)]


def _grouped(images: Iterable[_Ready], batch: int) -> Iterator[list[_Ready]]:
    """Yield images that the network takes together: as many of one size as come one after another."""
    group: list[_Ready] = []
    for ready in images:
        if group and ready.array.shape != group[0].array.shape:
            yield group
            group = []
        group.append(ready)
        if len(group) == batch:
            yield group
            group = []
    if group:
        yield group


def _until_broken(sources: Iterable[Source], broken: list[Bad]) -> Iterator[Source]:
    """Yield sources up to an error, such as a damaged video, which is kept until what came before is done."""
    try:
        yield from sources
    except (ImageError, DataError) as error:
        broken.append(error)


def _shown(found: Instances, ready: _Ready) -> Instances:
    """Return what was found without what lies on transparent ground."""
    data = ready.frame.data
    if data is None or not len(found):
        return found
    left = on_data(found, data)
    if lost := len(found) - len(left):
        words = "1 object on transparent ground is" if lost == 1 else f"{lost} objects on transparent ground are"
        _log.info("%s: %s left out", ready.source.name, words)
    return left
