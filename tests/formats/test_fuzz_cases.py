"""Kept cases of ``scripts/fuzz_formats.py``: layouts of other tools, and broken files on which a reader once failed."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.formats.verdicts import CASES, BrokenPromiseError, opened, verdict

from apiece import formats
from apiece.errors import FormatError
from apiece.formats import Record
from apiece.formats.contract import refuse

FILES = sorted(CASES.glob("*/*"))


@pytest.mark.parametrize("case", FILES, ids=lambda case: f"{case.parent.name}-{case.name}")
def test_readers_keep_their_promises(case: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = verdict(opened(case), case.parent.name)
    if not case.name.startswith("bad-"):
        assert found == "read"


def test_there_are_cases_of_formats_only() -> None:
    assert {case.parent.name for case in FILES} <= set(formats.names())


@pytest.mark.parametrize(
    ("strict", "told", "promise"),
    [
        (False, 1, "what is told with on_bad is refused without it"),
        (True, 0, "what is refused without on_bad is told with it"),
        (True, 2, "each bad entry is told once"),
    ],
)
def test_a_broken_promise_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strict: bool, told: int, promise: str
) -> None:
    def read(path: Path, name: str, on_bad: Callable[[FormatError], None] | None = None) -> list[Record]:
        for _ in range(told if on_bad else strict):
            refuse(FormatError(path, "is bad"), on_bad)
        return []

    monkeypatch.setattr(formats, "read", read)
    with pytest.raises(BrokenPromiseError, match=promise):
        verdict(tmp_path, "coco")


@pytest.mark.parametrize("name", ["cvat", "labelmap"])  # a folder and a file
def test_the_script_runs(tmp_path: Path, name: str) -> None:
    script = Path(__file__).parents[2] / "scripts" / "fuzz_formats.py"
    command = [sys.executable, str(script), "--seconds", "0.2", "--formats", name, "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[1].startswith(name)
