"""`ServiceRecipe`: what a worker makes the service of, after it was started and after the one before it died."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from apiece.serve.guards import Guard
from apiece.serve.limits import Limits
from apiece.serve.logs import LogFormat, start_log

if TYPE_CHECKING:  # the keeper of the workers has this in hand, and stays small
    from fastapi import FastAPI

__all__ = ["ServiceRecipe"]


@dataclass(frozen=True)
class ServiceRecipe:
    """Hold everything that ``apiece serve`` was asked for.

    Attributes
    ----------
    model, device : as for `apiece.load`.
    guard, limits : who may ask, and how much.
    rules : file of rules for ``/v1/inspect``.
    backend, weights : what answers points and boxes, as for `apiece.prompt`.
    jobs : folder of jobs.
    log : how the log is written.
    """

    model: str
    device: str
    guard: Guard
    limits: Limits
    rules: Path | None = None
    backend: str = "auto"
    weights: str = ""
    jobs: Path | None = None
    log: LogFormat = "text"

    def app(self) -> tuple[FastAPI, dict[str, str]]:
        """Return the service, and what is told of its model."""
        from apiece import prompts
        from apiece.errors import UnknownNameError
        from apiece.predict import Prompter, load
        from apiece.serve.service import new_service

        start_log(self.log)
        known = ("auto", *prompts.names())
        if self.backend not in known:  # it is opened when a session first asks
            raise UnknownNameError("backend", self.backend, known)
        model = load(self.model, self.device)
        prompter = Prompter(self.backend, self.weights, device=self.device)
        app = new_service(
            model, self.guard, self.limits, self.model, rules=self.rules, prompter=prompter, jobs=self.jobs
        )
        runtime = model.runtime
        told = {"model": model.loaded.name, "runtime": runtime.name, "precision": runtime.precision, "is": repr(model)}
        return app, told
