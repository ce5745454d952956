"""Build the studio's page into the package: a wheel without it is refused, and a wheel with it needs no node.

An sdist holds the built page. An editable install builds it where npm is there, and goes on without it elsewhere:
`apiece studio` then says what to run.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class StudioPage(BuildHookInterface[Any]):
    """Runs before each build."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        source, page = Path(self.root) / "studio", Path(self.root) / "src/apiece/serve/static/index.html"
        if page.is_file():
            return
        npm, why = shutil.which("npm"), "npm is not installed"
        if npm is not None and (source / "package-lock.json").is_file():
            ran = [subprocess.run([npm, *words], cwd=source, check=False) for words in (["ci"], ["run", "build"])]
            why = f"npm ended with {[one.returncode for one in ran]}"
        if not page.is_file() and version != "editable":
            raise RuntimeError(f"the studio's page is not built ({why}); in {source} run: npm ci && npm run build")
