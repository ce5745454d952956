"""Refuse a package without the studio's page, which is built from `studio/` and committed: no install needs node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class StudioPage(BuildHookInterface[Any]):
    """Runs before each build."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not (Path(self.root) / "src/apiece/serve/static/index.html").is_file():
            source = Path(self.root) / "studio"
            raise RuntimeError(f"the studio's page is missing; in {source} run: npm ci && npm run build")
