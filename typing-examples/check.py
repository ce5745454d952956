"""Check with mypy and pyright that they accept ``accepted.py`` and the docs' Python blocks, and refuse ``refused.py``.

python typing-examples/check.py
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
# what the docs' examples take as given, as a stub
GIVEN = """\
import numpy as np
import apiece
from collections.abc import Iterable
label_map: np.ndarray[tuple[int, int], np.dtype[np.int64]]
other: apiece.Masks
records: Iterable[tuple[apiece.ImageRef, apiece.Instances]]
"""


def docs_blocks(folder: Path) -> list[Path]:
    """Write the Python blocks of each page into one file, and every whole plugin of CONTRIBUTING.md into its own."""
    (folder / "given.pyi").write_text(GIVEN, encoding="utf-8")
    files = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        if blocks:
            files.append(folder / ("_".join(page.relative_to(ROOT).with_suffix("").parts).replace("-", "_") + ".py"))
            files[-1].write_text("from given import *\n" + "\n".join(blocks), encoding="utf-8")
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for place, code in re.findall(r"<!-- example: (\S+) -->\n```python\n(.*?)```", text, re.DOTALL):
        files.append(folder / f"contributing_{place.replace('/', '_')}")
        files[-1].write_text(code, encoding="utf-8")
    return files


def mypy(files: list[Path]) -> list[tuple[str, int, str]]:
    """Return file, line and text of each error that mypy finds."""
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--no-warn-unreachable",
        *map(str, files),
    ]
    environment = {**os.environ, "MYPYPATH": f"{ROOT / 'src'}{os.pathsep}{files[0].parent}"}
    out = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    found = [re.match(r"(.+?):(\d+): error: (.*)", line) for line in out.stdout.splitlines()]
    if out.returncode and not any(found):
        raise SystemExit(out.stdout + out.stderr)
    return [(Path(m[1]).name, int(m[2]), m[3]) for m in found if m]


def pyright(folder: Path) -> list[tuple[str, int, str]]:
    """Return file, line and text of each error that pyright finds in the folder's files."""
    settings = {
        "extraPaths": [str(ROOT / "src")],
        "useLibraryCodeForTypes": False,  # what has no types of its own is not guessed at, as mypy does
        "reportMissingModuleSource": False,
        "reportMissingTypeStubs": False,
        "reportPossiblyUnboundVariable": False,
        "reportUnusedExpression": False,
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(folder)]
    out = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    if not out.stdout.startswith("{"):
        raise SystemExit(out.stdout + out.stderr)
    found = [d for d in json.loads(out.stdout)["generalDiagnostics"] if d["severity"] == "error"]
    return [(Path(d["file"]).name, d["range"]["start"]["line"] + 1, d["message"]) for d in found]


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        accepted, refused = (Path(shutil.copy(HERE / name, folder)) for name in ("accepted.py", "refused.py"))
        files = [accepted, refused, *docs_blocks(folder)]
        lines = refused.read_text(encoding="utf-8").splitlines()
        wanted = {k for k, line in enumerate(lines, 1) if line.endswith("# refused")}
        failures = []
        for tool, errors in (("mypy", mypy(files)), ("pyright", pyright(folder))):
            failures += [
                f"{tool}: {f}:{line}: {text}" for f, line, text in errors if f != refused.name or line not in wanted
            ]
            passed = wanted - {line for f, line, _ in errors if f == refused.name}
            failures += [
                f"{tool}: refused.py:{line}: accepted, and should not be: {lines[line - 1]}" for line in passed
            ]
    print(*failures, f"{len(files)} files, {len(wanted)} lines to refuse, {len(failures)} failures", sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
