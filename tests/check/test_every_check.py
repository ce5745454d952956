"""What holds for every file in `apiece.check`: a new family is tested by being there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from apiece.check import load, names
from apiece.testing._checks import PROMISES


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_it_keeps_its_promises(tmp_path: Path, name: str, promise: Callable[..., None]) -> None:
    promise(load(name), tmp_path)


def test_no_family_is_called_like_a_kind_of_another() -> None:
    owners = [(kind.name, name) for name in names() for kind in load(name).kinds]
    assert [(kind, name) for kind, name in owners if kind in names() and kind != name] == []
