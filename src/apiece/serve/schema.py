"""What goes over the wire: the bases of requests and answers, and how an error is told.

A request is checked whole before a route sees it: no unknown field, no NaN, no infinity, no number as text.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from apiece.errors import ApieceError

__all__ = ["Answer", "Problem", "Request", "answer_of", "problem_of"]


class Request(BaseModel):
    """Base of what is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Answer(BaseModel):
    """Base of what is answered."""

    model_config = ConfigDict(frozen=True)


class Problem(Answer):
    """Why a request was not answered."""

    kind: str
    """Name of the error, such as ``ImageError``."""
    message: str
    """What was wrong, where, and what to do next."""
    options: list[str] = []
    """Names of the fields that the message is about."""


def problem_of(error: ApieceError) -> Problem:
    """Return an error as a service tells it."""
    return Problem(kind=type(error).__name__, message=str(error), options=[option.name for option in error.options])


def answer_of(problem: Problem, path: str) -> dict[str, object]:
    """Return a problem as JSON; clients of the Open Inference Protocol read ``error``."""
    told: dict[str, object] = problem.model_dump()
    return told | ({"error": problem.message} if path.startswith("/v2") else {})
