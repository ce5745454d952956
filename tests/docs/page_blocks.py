"""Fenced blocks of a page, and what running one means.

What a block may be:

* ``bash``: command lines. Each must end with exit code 0.
* ``console``: lines that begin with ``$ `` are run, and the lines below must be what they print; ``...`` stands for
  any text.
* ``python``: run as it stands, one namespace for the whole page; with ``>>>`` it is a doctest.
* anything else (``text``, ``yaml``, ``json`` ...) is shown only.

Comments in front of a block, which no reader sees:

* ``<!-- not run: REASON -->``: the block is not run. Its ``apiece`` lines are still parsed.
* ``<!-- file: NAME -->``: the block is saved under this name.
* ``<!-- exit: 1 -->``: the exit code that its commands end with; ``0 or 1`` where either will do.
* ``<!-- shorter: --max-time 30m => --epochs 2 -->``: what the test replaces before it runs the block; several by ``;``.
* ``<!-- example: formats/npy.py -->``: a whole plugin, which test_contributing.py runs.

And once on a page: ``<!-- prepare: parts, model -->``, what its folder holds before the first block (prepared.py), and
``<!-- slow: REASON -->``, for a page that runs with the slow tests. A page that trains, or has a model, does so anyway.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from apiece import cli

ROOT = Path(__file__).parents[2]
RUN = ("bash", "console", "python")
KINDS = ("not run", "file", "exit", "shorter", "example", "prepare", "slow")
_FENCE = re.compile(
    r"(?P<before>(?:^ *<!--(?:(?!-->).)*-->\n)*)^(?P<indent> *)```(?P<kind>\S*)\n(?P<text>.*?)^ *```$", re.M | re.S
)
_COMMENT = re.compile(r"<!-- ([a-z ]+): (.*?) -->", re.S)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: str
    line: int
    kind: str
    text: str
    notes: dict[str, str]

    def __str__(self) -> str:
        return f"{self.page}:{self.line} ({self.kind})"

    @property
    def commands(self) -> list[str]:
        """The command lines, without prompts and output."""
        if self.kind == "console":
            return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]
        joined = self.text.replace("\\\n", " ")
        return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]

    @property
    def shortened(self) -> str:
        """The text as the test runs it."""
        text = self.text
        for pair in filter(None, self.notes.get("shorter", "").split(";")):
            old, new = (side.strip() for side in pair.split("=>"))
            assert old in text, f"{self}: there is no {old!r} to make shorter"
            text = text.replace(old, new)
        return text


def pages() -> list[Path]:
    """Return every page a person reads: README, CONTRIBUTING and docs/."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """Return the page's fenced blocks in order."""
    text = page.read_text(encoding="utf-8")
    name = page.relative_to(ROOT).as_posix()
    found = []
    for match in _FENCE.finditer(text):
        notes = dict(_COMMENT.findall(match["before"]))
        body = re.sub(f"^{match['indent']}", "", match["text"], flags=re.M)
        found.append(Block(name, text.count("\n", 0, match.start("indent")) + 1, match["kind"], body, notes))
    return found


def comments(page: Path) -> dict[str, str]:
    """Return the page's comments: kind to text."""
    return dict(_COMMENT.findall(page.read_text(encoding="utf-8")))


def prepared(page: Path) -> list[str]:
    """Return the names of what the page's folder holds before the first block."""
    return [name.strip() for name in comments(page).get("prepare", "").split(",") if name.strip()]


def run(block: Block, namespace: dict[str, Any]) -> None:
    """Run one block in the folder we are in; an AssertionError says what went otherwise."""
    if "file" in block.notes:
        Path(block.notes["file"]).write_text(block.text, encoding="utf-8")
    if block.kind not in RUN or "not run" in block.notes or "example" in block.notes:
        return
    if block.kind == "python":
        _run_python(block, namespace)
    elif block.kind == "bash":
        for command in replace(block, text=block.shortened).commands:
            _run_command(command, block)
    else:
        _run_console(block)


def _run_python(block: Block, namespace: dict[str, Any]) -> None:
    text = block.shortened
    if ">>>" not in text:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile("\n" * block.line + text, block.page, "exec"), namespace)
        return
    said = io.StringIO()
    test = doctest.DocTestParser().get_doctest(text, namespace, block.page, block.page, block.line)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed = doctest.DocTestRunner(optionflags=flags).run(test, out=said.write, clear_globs=False).failed
    namespace.update(test.globs)
    assert not failed, said.getvalue()


def _run_console(block: Block) -> None:
    for part in re.split(r"^\$ ", block.shortened, flags=re.M)[1:]:
        command, _, wanted = part.partition("\n")
        found = _run_command(command, block)
        assert _alike(wanted, found), f"{block}: {command}\nthe page says:\n{wanted}\nit printed:\n{found}"


def _run_command(command: str, block: Block) -> str:
    """Run a command line and return what it printed. `apiece` runs in this process, which spares importing it anew."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:
        words = []
    simple = words[:1] == ["apiece"] and not re.search(r"[|><&;*$]", re.sub(r"'[^']*'|\"[^\"]*\"", "", command))
    found, said = _inside(words[1:]) if simple else _outside(command)
    right = [int(code) for code in block.notes.get("exit", "0").split(" or ")]
    assert found in right, f"{block}: {command}\nended with exit code {found}, not {right}:\n{said}"
    return said


def _inside(words: list[str]) -> tuple[int, str]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            cli.main(words)
        except SystemExit as end:
            return int(end.code or 0), said.getvalue()
    raise AssertionError("a command always ends with an exit code")


def _outside(command: str) -> tuple[int, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        ["bash", "-c", command], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def _alike(wanted: str, found: str) -> bool:
    """Whether the text is the one the page shows; ``...`` stands for any text, and widths of columns do not count."""
    clean = ["\n".join(" ".join(line.split()) for line in text.strip().splitlines()) for text in (wanted, found)]
    pattern = ".*".join(re.escape(piece) for piece in clean[0].split("..."))
    return re.fullmatch(pattern, clean[1], re.S) is not None


def parse(command: str) -> None:
    """Parse an ``apiece`` line without running it; an unknown option or a missing argument raises."""
    words = shlex.split(command, comments=True)[1:]
    if words[:1] in ([], ["--help"], ["--version"]) or "--help" in words or "COMMAND" in words:
        return
    words = cli._one_word([word for word in words if word not in ("...",)])
    cli._app(words[0]).parse_args(words, exit_on_error=False, print_error=False)
