"""Data out of a pickle without unpickling it: this reader follows the opcodes and never calls anything in them.

A pickle is a little program. The reader knows the instructions that build numbers, text, lists, tuples, dictionaries
and NumPy arrays, and holds every array as a type, a shape and a stretch of the file. What a pickle would import is only
a name here: the names of NumPy's own arrays, types and scalars are known, and every other name is refused. Nothing is
allocated by what the file claims: lengths are compared with the bytes that are there, and an array is a view of them.
The format: https://docs.python.org/3/library/pickletools.html.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from apiece._arrays import Array

_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_KNOWN = {
    **{f"{m}._reconstruct": "reconstruct" for m in _MODULES},
    **{f"{m}.scalar": "scalar" for m in _MODULES},
    "numpy.ndarray": "ndarray",
    "numpy.dtype": "dtype",
}
_PLAIN = re.compile(r"(?:b1|[iu][1248]|f[248]|c(?:8|16)|[SU]\d{1,9}|O8)", re.ASCII)
_MOST = 1 << 20  # instructions; a file of labels has some hundred


class PickleRefusedError(Exception):
    """What is in a pickle that cannot be read as data."""


@dataclass(frozen=True)
class _Name:
    """Something a pickle would import."""

    what: str


@dataclass
class _Type:
    """A NumPy dtype; its byte order comes with its state."""

    code: str
    order: str = "="

    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code if self.code[0] in "iufcU" else self.code)


@dataclass
class Pickled:
    """An array in a pickle, not read yet."""

    shape: tuple[int, ...] = ()
    type: _Type | None = None
    fortran: bool = False
    data: Any = None
    """A view of the file; a list of objects for an array of them."""

    def array(self) -> Array:
        """Return the numbers, a read-only view of the file; refuse objects, and data of another length."""
        if self.type is None or self.type.code == "O8":
            raise PickleRefusedError("is an array of objects")
        try:
            dtype = self.type.dtype()
            if not isinstance(self.data, memoryview) or len(self.data) != math.prod(self.shape) * dtype.itemsize:
                raise PickleRefusedError(f"claims shape {self.shape} of {dtype}, and its data is of another length")
            return np.frombuffer(self.data, dtype).reshape(self.shape, order="F" if self.fortran else "C")
        except (TypeError, ValueError):
            reason = f"claims shape {self.shape} of {self.type.code}, which NumPy cannot hold"
            raise PickleRefusedError(reason) from None


class _Mark:
    """Where on the stack a list or dictionary begins."""


_MARK = _Mark()


def read_pickle(data: memoryview) -> Any:
    """Return what a pickle describes: numbers, text, containers and `Pickled` arrays; refuse anything else."""
    reader = _Reader(data)
    try:
        return reader.run()
    except PickleRefusedError as error:
        raise PickleRefusedError(f"byte {reader.at}: {error}") from None
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
        raise PickleRefusedError(f"byte {reader.at}: is damaged ({type(error).__name__}: {error})") from None


class _Reader:
    """A stack, a memo, and a place in the file."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.at = data, 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(_MOST):
            code = self.take(1)[0]
            if code == ord("."):
                if len(self.stack) != 1:
                    raise PickleRefusedError("ends with a stack that is not one object")
                return self.stack[0]
            if code in _CONSTANTS:
                self.stack.append(_CONSTANTS[code])
            elif code in _VALUES:
                self.stack.append(_VALUES[code](self))
            elif code in _ACTIONS:
                _ACTIONS[code](self)
            else:
                raise PickleRefusedError(f"has the instruction {bytes([code])!r}, which no plain data needs")
        raise PickleRefusedError(f"has more than {_MOST} instructions")

    def take(self, count: int) -> memoryview:
        if count > len(self.data) - self.at:
            raise PickleRefusedError("is cut short")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form: str) -> Any:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def sized(self, form: str) -> memoryview:
        return self.take(self.number(form))

    def text(self, form: str) -> str:
        return bytes(self.sized(form)).decode("utf-8", "surrogatepass")

    def line(self) -> str:
        stretch = bytes(self.data[self.at : self.at + 256])
        end = stretch.find(b"\n")
        if end < 0:
            raise PickleRefusedError("has a name without an end")
        return bytes(self.take(end + 1))[:-1].decode("ascii", "replace")

    def since_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while not isinstance(self.stack[at], _Mark):
            at -= 1
            if at < 0:
                raise PickleRefusedError("has no beginning of a list")
        found = self.stack[at + 1 :]
        del self.stack[at:]
        return found

    def pop(self) -> Any:
        found = self.stack.pop()
        if isinstance(found, _Mark):
            raise PickleRefusedError("takes the beginning of a list for a value")
        return found


def _name(module: str, name: str) -> _Name:
    full = f"{module}.{name}"
    if full not in _KNOWN:
        raise PickleRefusedError(f"would import {full!r}; only arrays, numbers, text, lists and dictionaries are read")
    return _Name(_KNOWN[full])


def _global(reader: _Reader) -> _Name:
    module = reader.line()
    return _name(module, reader.line())


def _stack_global(reader: _Reader) -> None:
    name, module = reader.pop(), reader.pop()
    if not (isinstance(name, str) and isinstance(module, str)):
        raise PickleRefusedError("has an import whose name is no text")
    reader.stack.append(_name(module, name))


def _reduce(reader: _Reader) -> None:
    given, what = reader.pop(), reader.pop()
    if not isinstance(what, _Name) or not isinstance(given, tuple):
        raise PickleRefusedError("calls something that is no function of NumPy")
    reader.stack.append(_made(what.what, given))


def _made(what: str, given: tuple[Any, ...]) -> Any:
    """Return what one of NumPy's functions would give."""
    if what == "reconstruct" and len(given) == 3 and given[0] == _Name("ndarray"):
        return Pickled()
    if what == "dtype" and 1 <= len(given) <= 3 and isinstance(given[0], str):
        if not _PLAIN.fullmatch(given[0]):
            raise PickleRefusedError(f"has an array of type {given[0][:20]!r}; only plain numbers and text are read")
        return _Type(given[0])
    if what == "scalar" and len(given) == 2 and isinstance(given[0], _Type) and isinstance(given[1], memoryview):
        return Pickled((), given[0], False, given[1]).array()[()].item()
    raise PickleRefusedError(f"uses NumPy's {what} in a way that NumPy does not")


def _build(reader: _Reader) -> None:
    state = reader.pop()
    made = reader.stack[-1]
    if isinstance(made, _Type) and isinstance(state, tuple) and len(state) >= 8 and state[2:5] == (None, None, None):
        if state[1] not in ("<", ">", "=", "|"):
            raise PickleRefusedError("has an array of unknown byte order")
        made.order = "=" if state[1] == "|" else state[1]
    elif isinstance(made, Pickled) and isinstance(state, tuple) and len(state) == 5:
        _, shape, kind, fortran, data = state
        whole = isinstance(shape, tuple) and len(shape) <= 32 and all(type(n) is int and n >= 0 for n in shape)
        if not whole or not isinstance(kind, _Type) or not isinstance(data, memoryview | list):
            raise PickleRefusedError("has an array that NumPy would not have written")
        if isinstance(data, list) != (kind.code == "O8") or (isinstance(data, list) and len(data) != math.prod(shape)):
            raise PickleRefusedError(f"claims an array of shape {shape}, and its data is of another length")
        made.shape, made.type, made.fortran, made.data = shape, kind, bool(fortran), data
    else:
        raise PickleRefusedError("fills something that is no array")


def _set_items(reader: _Reader, items: list[Any]) -> None:
    target = reader.stack[-1]
    if not isinstance(target, dict) or len(items) % 2:
        raise PickleRefusedError("sets items of something that is no dictionary")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int | float | bool | None):
            raise PickleRefusedError("has a dictionary with keys that are neither text nor numbers")
        target[key] = value


def _append(reader: _Reader, items: list[Any]) -> None:
    if not isinstance(reader.stack[-1], list):
        raise PickleRefusedError("appends to something that is no list")
    reader.stack[-1].extend(items)


def _tuple(count: int) -> Callable[[_Reader], Any]:
    return lambda r: tuple([r.pop() for _ in range(count)][::-1])


def _put(form: str | None) -> Callable[[_Reader], None]:
    def put(reader: _Reader) -> None:
        reader.memo[len(reader.memo) if form is None else reader.number(form)] = reader.stack[-1]

    return put


_CONSTANTS: dict[int, Any] = {ord("N"): None, 0x88: True, 0x89: False, ord(")"): (), ord("("): _MARK}
_VALUES: dict[int, Callable[[_Reader], Any]] = {
    ord("K"): lambda r: r.number("B"),
    ord("M"): lambda r: r.number("H"),
    ord("J"): lambda r: r.number("i"),
    0x8A: lambda r: int.from_bytes(r.sized("B"), "little", signed=True),  # LONG1
    ord("G"): lambda r: struct.unpack(">d", r.take(8))[0],
    0x8C: lambda r: r.text("B"),  # SHORT_BINUNICODE
    ord("X"): lambda r: r.text("I"),
    0x8D: lambda r: r.text("Q"),  # BINUNICODE8
    ord("C"): lambda r: r.sized("B"),
    ord("B"): lambda r: r.sized("I"),
    0x8E: lambda r: r.sized("Q"),  # BINBYTES8
    0x96: lambda r: r.sized("Q"),  # BYTEARRAY8
    ord("}"): lambda r: {},
    ord("]"): lambda r: [],
    0x85: _tuple(1),
    0x86: _tuple(2),
    0x87: _tuple(3),
    ord("t"): lambda r: tuple(r.since_mark()),
    ord("h"): lambda r: r.memo[r.number("B")],
    ord("j"): lambda r: r.memo[r.number("I")],
    ord("c"): _global,
}
_ACTIONS: dict[int, Callable[[_Reader], Any]] = {
    0x80: lambda r: r.take(1),  # PROTO
    0x95: lambda r: r.take(8),  # FRAME
    0x93: _stack_global,
    0x94: _put(None),  # MEMOIZE
    ord("q"): _put("B"),
    ord("r"): _put("I"),
    ord("R"): _reduce,
    ord("b"): _build,
    ord("s"): lambda r: _set_items(r, [r.pop(), r.pop()][::-1]),
    ord("u"): lambda r: _set_items(r, r.since_mark()),
    ord("a"): lambda r: _append(r, [r.pop()]),
    ord("e"): lambda r: _append(r, r.since_mark()),
    ord("0"): lambda r: r.pop(),
}
