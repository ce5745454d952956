"""docs/formats.md says of every format what is true now."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from apiece import formats

DOCS = Path(__file__).parents[2] / "docs"


def test_the_table_is_that_of_the_formats() -> None:
    spec = importlib.util.spec_from_file_location("formats_page", DOCS / "formats.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    text = (DOCS / "formats.md").read_text(encoding="utf-8")
    assert text == script.page(text), "run: python docs/formats.py"
    assert all(f"| `{name}` |" in text for name in formats.names())
