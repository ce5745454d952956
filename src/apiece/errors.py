"""Every exception that apiece raises on purpose.

The tree::

    ApieceError
    ├── ConfigError           settings that contradict each other or lie outside their range
    ├── UnknownNameError      a class, model, format or key that does not exist (says the nearest right one)
    ├── InvalidInstancesError arrays that cannot be a set of instances (also a ValueError)
    ├── ImageError            an image file that cannot be read exactly
    ├── FormatError           a label file that breaks its format
    │   └── LossyFormatError  a format that cannot hold what it was given
    ├── DataError             a data set that is whole, yet not usable for what was asked
    ├── ModelFileError        a model folder that is damaged, foreign or unsafe
    ├── TrainingError         training that cannot go on (NaN loss, out of memory at batch 1)
    └── MissingExtraError     an optional dependency is absent (says the install command; also an ImportError)

A message says what was wrong, where, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "ApieceError",
    "ConfigError",
    "DataError",
    "FormatError",
    "ImageError",
    "InvalidInstancesError",
    "LossyFormatError",
    "MissingExtraError",
    "ModelFileError",
    "TrainingError",
    "UnknownNameError",
]


class ApieceError(Exception):
    """Base of every error raised on purpose; catch this to catch them all."""


class ConfigError(ApieceError):
    """Settings that contradict each other or lie outside their range."""


class UnknownNameError(ApieceError):
    """A name that does not exist among those that do.

    Parameters
    ----------
    kind : what was looked for, in the singular (``"model"``, ``"class"``).
    name : what was asked for.
    known : every name that would have been right.
    """

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        options = sorted(known)
        near = difflib.get_close_matches(str(name), options, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"no {kind} named {str(name)!r}.{hint} There are: {', '.join(options) or 'none'}.")
        self.kind, self.name, self.known = kind, name, options

    def __reduce__(self) -> tuple[type, tuple[str, str, list[str]]]:
        # so that it survives the way back from another process
        return type(self), (self.kind, str(self.name), self.known)


class InvalidInstancesError(ApieceError, ValueError):
    """Arrays that cannot be a set of instances: says what was expected and what came."""


class _FileError(ApieceError):
    """An error about one file: ``path`` and ``reason`` are kept apart for callers."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = Path(path), reason

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        # so that it survives the way back from another process
        return type(self), (self.path, self.reason)


class ImageError(_FileError):
    """An image file that cannot be read exactly: ``path`` and ``reason``."""


class FormatError(_FileError):
    """A label file that breaks its format: ``path`` and ``reason`` (with line or key)."""


class LossyFormatError(FormatError):
    """A format cannot hold what it was given; nothing was written."""


class DataError(ApieceError):
    """A data set that is whole, yet not usable for what was asked."""


class ModelFileError(_FileError):
    """A model folder that is damaged, foreign or unsafe: ``path`` and ``reason``."""


class TrainingError(ApieceError):
    """Training cannot go on; the message says what to change."""


class MissingExtraError(ApieceError, ImportError):
    """An optional dependency is absent."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed. Install it with: pip install 'apiece[{extra}]'")
        self.module, self.extra = module, extra

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        # so that it survives the way back from another process
        return type(self), (self.module, self.extra)
