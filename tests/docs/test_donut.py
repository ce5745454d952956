"""docs/donut.md says of every format what becomes of a ring and of two parts now."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_table_is_what_the_formats_do() -> None:
    spec = importlib.util.spec_from_file_location("donut_page", DOCS / "donut.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    text = (DOCS / "donut.md").read_text(encoding="utf-8")
    assert text == script.page(text), "run: python docs/donut.py"
    assert all(f"| `{name}` |" in text for name in script.written())
    assert script.picture().shape == (400, 1836, 3)
