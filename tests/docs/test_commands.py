"""docs/reference/commands.md says of every command what is true now."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from apiece import cli

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_that_of_the_commands() -> None:
    spec = importlib.util.spec_from_file_location("commands_page", DOCS / "commands.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    text = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    assert text == script.page(text), "run: python docs/commands.py"
    assert all(f"## apiece {name}\n" in text for name in cli.commands())
