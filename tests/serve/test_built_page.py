"""The committed page of the studio is the page that its sources make."""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("index.html", "package-lock.json", "public", "src", "vite.config.ts")


def test_the_page_is_built_from_its_sources() -> None:
    studio, page = ROOT / "studio", ROOT / "src/apiece/serve/static"
    places = [studio / name for name in SOURCES]
    files = [file for place in places for file in (place.rglob("*") if place.is_dir() else [place]) if file.is_file()]
    total = hashlib.sha256()
    for name in sorted(file.relative_to(studio).as_posix() for file in files):
        total.update(f"{name}\n".encode() + (studio / name).read_bytes())
    assert (page / "built-from.txt").read_text().strip() == total.hexdigest(), "in studio/ run: npm ci && npm run build"
    shown = (page / "index.html").read_text()
    assert all((page / name).is_file() and f"./{name}" in shown for name in ("studio.js", "studio.css"))
