"""What holds for every file in `apiece.rules`: a new kind of rule is tested by being there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from apiece.rules import load, names
from apiece.testing._rules import PROMISES


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_it_keeps_its_promises(tmp_path: Path, name: str, promise: Callable[..., None]) -> None:
    promise(load(name), tmp_path)
