"""The scene that most transform tests use."""

from __future__ import annotations

import pytest
from tests.transforms.transform_scenes import disks

from apiece.transforms import Sample


@pytest.fixture
def scene() -> Sample:
    """Twelve disks, some overlapping, on 60 x 80 pixels."""
    return disks((60, 80), 12)
