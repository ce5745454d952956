"""Fixtures shared by every test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:  # each process has a core, so a thread each; read when torch is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# how long an example takes says nothing of it: machines are busy at times
settings.register_profile("apiece", deadline=None)
settings.load_profile("apiece")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real labelled images (``nuclei``, ``facades``); set ``APIECE_DATA`` to use one elsewhere."""
    folder = Path(os.environ.get("APIECE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "nuclei" / "val.json").exists():
        pytest.skip(f"real images are not here ({folder}); set APIECE_DATA to a folder with nuclei/ and facades/")
    return folder
