"""What every architecture owes: runs over all of them by name, so a new file is tested for free."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from apiece import models
from apiece.testing._architectures import PROMISES, SLOW


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_it_keeps_its_promises(tmp_path: Path, name: str, promise: Callable[..., None]) -> None:
    promise(models.load(name), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("promise", SLOW, ids=lambda promise: promise.__name__)
def test_it_keeps_its_slow_promises(tmp_path: Path, name: str, promise: Callable[..., None]) -> None:
    promise(models.load(name), tmp_path)
