"""Every exception that apiece raises on purpose.

The tree::

    ApieceError
    ├── ConfigError           settings that contradict each other or lie outside their range
    ├── UnknownNameError      a class, model, format or key that does not exist (says the nearest right one)
    ├── InvalidInstancesError arrays that cannot be a set of instances (also a ValueError)
    ├── PromptError           points, boxes or words that fit neither the image nor what answers (also a ValueError)
    ├── ImageError            an image file that cannot be read exactly
    ├── FormatError           a label file that breaks its format
    │   └── LossyFormatError  a format that cannot hold what it was given
    ├── DataError             a data set that is whole, yet not usable for what was asked
    ├── ModelFileError        a model folder that is damaged, foreign or unsafe
    ├── TrainingError         training that cannot go on (NaN loss, out of memory at batch 1)
    ├── PluginError           a plugin of another installed package that cannot be used (names the package)
    └── MissingExtraError     an optional dependency is absent (says the install command; also an ImportError)

A message says what was wrong, where, and what to do next. Where it names an option, it holds an `Option`, and whoever
shows the message chooses the spelling: ``str(error)`` is Python's (``device='cpu'``), `on_command_line` is the
shell's (``--device cpu``). So a page or a service can mark the field that an error is about (`ApieceError.options`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

__all__ = [
    "ApieceError",
    "ConfigError",
    "DataError",
    "FormatError",
    "ImageError",
    "InvalidInstancesError",
    "LossyFormatError",
    "Message",
    "MissingExtraError",
    "ModelFileError",
    "Option",
    "PluginError",
    "PromptError",
    "TrainingError",
    "UnknownNameError",
    "on_command_line",
]


@dataclass(frozen=True)
class Option:
    """Name an option within a `Message`; adding text to it makes the message.

    Parameters
    ----------
    name : the parameter's name in Python.
    value : the value to give it, or ``...`` for any; None names the option alone.
    flag : its name on the command line, where that is another than ``--name``.

    Examples
    --------
    >>> message = "use " + Option("device", "cpu") + " here"
    >>> print(message)
    use device='cpu' here
    >>> on_command_line(message)
    'use --device cpu here'
    """

    name: str
    value: object = None
    flag: str = ""

    def __str__(self) -> str:
        if self.value is None:
            return self.name
        return f"{self.name}=..." if self.value is ... else f"{self.name}={self.value!r}"

    def __add__(self, other: str | Option) -> Message:
        return Message(self, other)

    def __radd__(self, other: str) -> Message:
        return Message(other, self)

    @property
    def on_command_line(self) -> str:
        """The option as a person types it in a shell."""
        flag = self.flag or "--" + self.name.replace("_", "-")
        return flag if self.value is None or self.value is True or self.value is ... else f"{flag} {self.value}"


class Message(str):
    """Text that names options: a ``str`` in Python's spelling, which adding text keeps."""

    parts: tuple[str | Option, ...]
    """The text and the options in it, in order."""

    def __new__(cls, *parts: str | Option) -> Self:
        flat = [piece for part in parts for piece in (part.parts if isinstance(part, Message) else (part,))]
        made = super().__new__(cls, "".join(map(str, flat)))
        made.parts = tuple(flat)
        return made

    def __add__(self, other: str | Option) -> Message:
        return Message(self, other)

    def __radd__(self, other: str) -> Message:
        return Message(other, self)


def on_command_line(said: object) -> str:
    """Return a message, or an error's message, with its options as a person types them in a shell."""
    if isinstance(said, ApieceError):
        said = said.message
    parts = said.parts if isinstance(said, Message) else (str(said),)
    return "".join(part.on_command_line if isinstance(part, Option) else part for part in parts)


class ApieceError(Exception):
    """Base of every error raised on purpose; catch this to catch them all."""

    _arguments: ClassVar[tuple[str, ...]] = ()
    """Attributes that it is made from, so that it survives the way back from another process."""

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), tuple(getattr(self, name) for name in self._arguments) or self.args

    @property
    def message(self) -> Message:
        """The text, with its options."""
        return Message(*self.args[:1])

    @property
    def options(self) -> tuple[Option, ...]:
        """The options that the message names."""
        return tuple(part for part in self.message.parts if isinstance(part, Option))


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

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), (self.kind, str(self.name), self.known)


class InvalidInstancesError(ApieceError, ValueError):
    """Arrays that cannot be a set of instances: says what was expected and what came.

    Attributes
    ----------
    reason : the message without the index.
    index : which mask the error is about; None where it is about the set.
    """

    _arguments = ("reason", "index")

    def __init__(self, reason: str, index: int | None = None) -> None:
        super().__init__(reason if index is None else f"mask {index}: {reason}")
        self.reason, self.index = reason, index


class PromptError(ApieceError, ValueError):
    """Points, boxes, masks or words that cannot be asked of this image or of this backend; nothing was answered.

    Attributes
    ----------
    reason : the message without the object.
    object : which object the error is about, counted from 0; None where it is about all. Messages count from 1.
    """

    _arguments = ("reason", "object")

    def __init__(self, reason: str, object: int | None = None) -> None:
        super().__init__(reason if object is None else Message(f"object {object + 1}: ", reason))
        self.reason, self.object = reason, object


class _FileError(ApieceError):
    """An error about one file: ``path`` and ``reason`` are kept apart for callers."""

    _arguments: ClassVar[tuple[str, ...]] = ("path", "reason")

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(Message(f"{path}: ", reason))
        self.path, self.reason = Path(path), reason

    def at(self, path: Path) -> Self:
        """Return the same error about the file at ``path``."""
        return type(self)(path, *self.__reduce__()[1][1:])


class ImageError(_FileError):
    """An image file that cannot be read exactly: ``path`` and ``reason``."""


class FormatError(_FileError):
    """A label file that breaks its format: ``path`` and ``reason`` (with line or key)."""


class LossyFormatError(FormatError):
    """A format cannot hold what it was given; nothing was written.

    Attributes
    ----------
    field : what of the instances it cannot hold (``"ids"``, ``"scores"``, ``"crowd"``, ``"classes"``,
        ``"attributes"``, ``"shapes"``), where writing goes on without it; else None.
    """

    _arguments = ("path", "reason", "field")

    def __init__(self, path: Path | str, reason: str, field: str | None = None) -> None:
        super().__init__(path, reason)
        self.field = field


class DataError(ApieceError):
    """A data set that is whole, yet not usable for what was asked."""


class ModelFileError(_FileError):
    """A model folder that is damaged, foreign or unsafe: ``path`` and ``reason``."""


class TrainingError(ApieceError):
    """Training cannot go on; the message says what to change."""


class PluginError(ApieceError):
    """A plugin of another installed package cannot be used; names the package."""


class MissingExtraError(ApieceError, ImportError):
    """An optional dependency is absent.

    Attributes
    ----------
    module : what could not be imported.
    extra : the extra of apiece that brings it; empty: the package of this name, which a small install leaves out.
    """

    _arguments = ("module", "extra")

    def __init__(self, module: str, extra: str) -> None:
        wanted = f"'apiece[{extra}]'" if extra else module
        super().__init__(f"{module} is not installed. Install it with: pip install {wanted}", name=module)
        self.module, self.extra = module, extra
