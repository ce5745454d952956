"""`Service`: what the routes share. A model behind its queue, rules, and images that are asked about often."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Request, UploadFile
from starlette.exceptions import HTTPException

from apiece.core.conf import thresholds
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.models import ExportedModel
from apiece.predict import Model, Prompter, load
from apiece.rules import RuleSet, read_rules
from apiece.serve.answers import read_upload
from apiece.serve.batching import Batcher
from apiece.serve.counters import Counters
from apiece.serve.lane import Lane
from apiece.serve.limits import Limits
from apiece.serve.schema import Problem
from apiece.serve.service_schema import ModelInfo
from apiece.serve.sessions import Sessions

__all__ = ["PROBLEMS", "Found", "Served", "Service"]

_BATCH = 4  # images that go through the network of a GPU together
_T = TypeVar("_T")
PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"description": why, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for code, why in {
        400: "The request is not what the protocol says.", 401: "The key is missing.", 403: "A page of another site.",
        404: "There is no such thing.", 408: "The request did not arrive in time.",
        409: "It does not fit what stands.", 413: "Larger than a limit.", 421: "Asked by another name.",
        422: "It cannot be read, with the reason.", 499: "The client has left.",
        503: "Too much waits; ask again after `Retry-After` seconds.", 504: "No answer in time.",
    }.items()
}  # fmt: skip
PROBLEMS[422] = {
    "model": Problem,
    "description": PROBLEMS[422]["description"],
}  # a model for each costs time at a start
"""What every route may answer."""


@dataclass(frozen=True)
class Served:
    """What answers a request from its beginning to its end, whatever is loaded meanwhile."""

    model: Model
    rules: RuleSet | None = None

    @classmethod
    def load(cls, folder: str | Path, device: str, rules: Path | None) -> Served:
        """Return a model, and rules that fit its classes."""
        model = load(folder, device)
        return cls(model, None if rules is None else read_rules(rules, model.classes))

    @property
    def conf(self) -> dict[str, float]:
        """The model's threshold of each class."""
        own = thresholds(self.model.options().conf, self.model.classes).tolist()
        return dict(zip(self.model.classes, own, strict=True))

    def info(self) -> ModelInfo:
        """Return what is told of the model."""
        loaded, runtime = self.model.loaded, self.model.runtime
        return ModelInfo(
            name=loaded.name, classes=list(loaded.classes),
            thresholds=None if loaded.thresholds is None else list(loaded.thresholds), runtime=runtime.name,
            precision=runtime.precision, imgsz=loaded.input.imgsz, channels=loaded.input.channels,
            unequal=loaded.graph.unequal if isinstance(loaded, ExportedModel) else "",
            rules=[] if self.rules is None else [rule.name for rule in self.rules.rules],
        )  # fmt: skip


@dataclass(frozen=True)
class Found:
    """The images of a request, what is on them, and what found it."""

    by: Served
    images: list[Image]
    instances: list[Instances]


class Service:
    """What answers requests.

    Parameters
    ----------
    served : the model, and rules.
    folder, rules : where both are read from again.
    prompter : answers points and boxes.
    """

    def __init__(
        self, served: Served, folder: str | Path, rules: Path | None, prompter: Prompter, limits: Limits,
        counters: Counters,
    ) -> None:  # fmt: skip
        self.served, self.limits, self._folder, self._rules = served, limits, folder, rules
        self.counters = counters
        batch = limits.batch or (1 if str(served.model.device) == "cpu" else _BATCH)
        self.batcher = Batcher(batch, limits.queue, limits.timeout, counters)
        self.lane = Lane(limits.queue, limits.timeout)
        self.sessions = Sessions(prompter, limits.sessions, limits.idle)

    def reload(self) -> ModelInfo:
        """Read model and rules again. Requests that are there already are answered by the old ones."""
        self.served = Served.load(self._folder, str(self.served.model.device), self._rules)
        return self.served.info()

    def close(self) -> None:
        """End when all that waits is done."""
        self.batcher.close()
        self.lane.close()

    async def found(
        self, request: Request, files: Sequence[UploadFile], conf: float | Mapping[str, float] | None
    ) -> Found:
        """Return the images of a request, and what is on them."""
        by = self.served
        if len(files) > self.limits.images:
            raise HTTPException(413, f"a request may hold {self.limits.images} images at most")
        images = [await self.image(file, i) for i, file in enumerate(files)]
        return Found(by, images, await self.predict(request, by, images, conf))

    async def image(self, file: UploadFile, index: int = 0) -> Image:
        """Return an image that was sent."""
        return await asyncio.to_thread(read_upload, await file.read(), index, self.limits)

    async def predict(
        self, request: Request, by: Served, images: Sequence[Image], conf: float | Mapping[str, float] | None,
        edges: bool = False,
    ) -> list[Instances]:  # fmt: skip
        """Return what is on images, with ``edges`` how far outlines may be off; given up when the client has left."""
        options = by.model.options(conf, max_instances=self.limits.instances, edges=edges)
        return await self.while_asked(request, self.batcher.predict(by.model, images, options))

    async def while_asked(self, request: Request, answer: Coroutine[Any, Any, _T]) -> _T:
        """Return an answer; given up when the client has left."""
        task, gone = asyncio.create_task(answer), asyncio.create_task(_gone(request))
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise HTTPException(499, "the client has left")
            return await task
        finally:
            task.cancel()
            gone.cancel()


async def _gone(request: Request) -> None:
    """Return when the client of a request that has been read has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
