"""A plugin room shows its plugins: what lies where, and who may import it."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import apiece

ROOT = Path(apiece.__file__).parent
ROOMS = ("check", "export", "formats", "images", "measurements", "metrics", "models", "prompts", "rules", "track")
FRONTS = sorted(p.parent.name for p in ROOT.glob("*/__init__.py") if p.parent.name != "cli")
MOST = {"check": 18, "formats": 28, "metrics": 22}


def entries(room: str) -> list[Path]:
    return [p for p in (ROOT / room).iterdir() if p.name != "__pycache__"]


@pytest.mark.parametrize("room", ROOMS)
def test_the_top_of_a_plugin_room_is_its_contract_and_its_plugins(room: str) -> None:
    top = {p.name for p in entries(room)}
    plugins = {p for p in top if not p.startswith("_") and p != "contract.py"}
    assert top - plugins <= {"__init__.py", "contract.py", "_kit", "_engine", "_decode"}
    assert {"__init__.py", "contract.py"} <= top
    assert len(top) <= MOST.get(room, len(top))
    assert all(p.endswith(".py") or (ROOT / room / p / "__init__.py").exists() for p in plugins)


@pytest.mark.parametrize("room", ROOMS)
def test_a_private_module_of_a_plugin_is_imported_from_its_folder_only(room: str) -> None:
    folders = [p for p in entries(room) if p.is_dir() and not p.name.startswith("_")]
    for folder in folders:
        private = re.compile(rf"apiece\.{room}\.{folder.name}(\._\w+| import .*\b_[a-z])")
        strangers = [p for p in ROOT.rglob("*.py") if folder not in p.parents and private.search(p.read_text("utf-8"))]
        assert not strangers


@pytest.mark.parametrize("room", FRONTS)
def test_a_front_lists_its_names_and_none_is_also_a_module(room: str) -> None:
    front = importlib.import_module(f"apiece.{room}")
    assert front.__doc__
    assert front.__all__
    files = {p.name.removesuffix(".py") for p in entries(room)}
    assert not files & set(front.__all__)
    assert all(hasattr(front, name) for name in front.__all__)
    assert set(front.__all__) <= set(dir(front))
