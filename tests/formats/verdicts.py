"""What a reader makes of a file, broken or not, and whether that is what readers promise."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from apiece import formats
from apiece.errors import FormatError
from apiece.formats import Record

__all__ = ["CASES", "BrokenPromiseError", "Verdict", "opened", "verdict"]

CASES = Path(__file__).parent / "fuzz_cases"
"""A folder for each format: labels as other tools write them, and ``bad-...`` on which a reader once failed."""
Verdict = Literal["read", "told", "refused"]
"""All of it came; some was left out and told; nothing can be had."""


class BrokenPromiseError(Exception):
    """A reader did what none may do; the message says which promise it was."""


def opened(case: Path) -> Path:
    """What is read of a case: itself, or the file ``case.*`` in it."""
    return next((p for p in sorted(case.glob("case.*")) if p.is_file()), case)


def verdict(path: Path, name: str) -> Verdict:
    """Detect, read strictly, then with ``on_bad``; every record decoded.

    Raises
    ------
    BrokenPromiseError
        if the two readings contradict each other, or something else than a `FormatError` is told.
    Exception
        whatever a reader raises that is no `FormatError`.
    """
    chosen = formats.load(name)
    promised(type(chosen.detect(path)) is bool, "detect gives True or False")
    try:
        strict: list[Record] | FormatError = list(formats.read(path, name))
    except FormatError as error:
        promised(not starved(error), "no file makes a reader ask for more memory than there is")
        strict = error
    told: list[FormatError] = []
    try:
        labels = formats.read(path, name, on_bad=told.append)
    except FormatError:
        promised(type(strict) is FormatError, "what is read without on_bad is read with it")
        return "refused"
    try:
        found = list(labels)
    except FormatError as error:
        raise BrokenPromiseError(f"with on_bad, iterating raises nothing: {error.reason}") from error
    promised(all(isinstance(error, FormatError) for error in told), "only FormatError is told")
    promised(not any(map(starved, told)), "no file makes a reader ask for more memory than there is")
    promised(len(set(map(str, told))) == len(told), "each bad entry is told once")
    if isinstance(strict, FormatError):
        promised(bool(told), "what is refused without on_bad is told with it")
        return "told"
    promised(not told, "what is told with on_bad is refused without it")
    promised([ref for ref, _ in found] == [ref for ref, _ in strict], "both readings give the same images")
    promised([i.masks for _, i in found] == [i.masks for _, i in strict], "both readings give the same masks")
    return "read"


def starved(error: BaseException | None) -> bool:
    """Whether memory that could not be had lies at the bottom of an error."""
    return error is not None and (isinstance(error, MemoryError) or starved(error.__context__))


def promised(kept: bool, promise: str) -> None:
    """Raise if the promise is not kept."""
    if not kept:
        raise BrokenPromiseError(promise)
