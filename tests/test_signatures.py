"""What `inspect.signature` and `help` say of every public function and class is true."""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import apiece

ROOMS = sorted(p.parent.name for p in Path(apiece.__file__).parent.glob("*/__init__.py") if p.parent.name != "cli")
PLACES = ["apiece", *(f"apiece.{room}" for room in ROOMS)]

VERBS = {
    *("Ask", "Check", "Compare", "Convert", "Count", "Describe", "Detect", "Divide", "Draw", "Embed"),
    *("Export", "Serve"),
    *("Evaluate", "Find", "Fit", "Follow", "Hold", "Join", "Judge", "List", "Load", "Look", "Make", "Mark", "Measure"),
    *("Merge", "Observe", "Open", "Plan", "Predict", "Put", "Read", "Refuse", "Rename", "Return", "Run", "Save"),
    *("Suppress", "Train", "Turn", "Write", "Yield"),
}


def public(place: str) -> dict[str, Callable[..., Any]]:
    module = importlib.import_module(place)
    found = {name: getattr(module, name) for name in module.__all__}
    return {n: v for n, v in found.items() if inspect.isroutine(v) or inspect.isclass(v)}


FUNCTIONS = [pytest.param(v, id=f"{p}.{n}") for p in PLACES for n, v in public(p).items() if inspect.isroutine(v)]
CLASSES = [pytest.param(v, id=f"{p}.{n}") for p in PLACES for n, v in public(p).items() if inspect.isclass(v)]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_names_its_parameters_and_types(function: Callable[..., Any]) -> None:
    parameters = inspect.signature(function).parameters.values()
    assert not [p.name for p in parameters if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    hints = typing.get_type_hints(function)
    assert {p.name for p in parameters} | {"return"} == set(hints)
    first = (inspect.getdoc(function) or "").partition(" ")[0].rstrip(",")
    assert first in VERBS, f"the first word of the docstring, {first!r}, is no verb; if it is, it belongs to VERBS"


@pytest.mark.parametrize("kind", CLASSES)
def test_a_class_is_documented_and_so_are_its_public_methods(kind: type) -> None:
    assert inspect.getdoc(kind)
    for name, member in vars(kind).items():
        field = name in vars(kind).get("__annotations__", {})
        if not name.startswith("_") and not field and (inspect.isroutine(member) or isinstance(member, property)):
            among_attributes = f"\n{name} :" in (inspect.getdoc(kind) or "")
            assert among_attributes or inspect.getdoc(getattr(kind, name)), name
