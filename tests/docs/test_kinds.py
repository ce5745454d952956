"""docs/check-labels.md says of every kind of finding what is true now."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from apiece import check

DOCS = Path(__file__).parents[2] / "docs"


def test_the_tables_are_those_of_the_checks() -> None:
    spec = importlib.util.spec_from_file_location("labels_page", DOCS / "kinds.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    text = (DOCS / "check-labels.md").read_text(encoding="utf-8")
    assert text == script.page(text), "run: python docs/kinds.py"
    assert all(f"| `{name}` |" in text for name in check.kinds())
