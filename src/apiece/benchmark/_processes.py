"""Child processes, a few at a time: each ends with an outcome, none ends the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apiece._atomic import write_text

_POLL = 0.2  # seconds


@dataclass(frozen=True)
class Task:
    """One stage of one model."""

    name: str  # of the model
    file: Path  # where the outcome is written
    log: Path  # where the process's output goes
    key: Mapping[str, Any]  # JSON-able: an outcome in ``file`` under another key is not this task's
    settings: Mapping[str, Any]  # what else the process is told
    threads: int  # of the process
    expected: float  # seconds that it is expected to take
    limit: float  # seconds after which it is given up


@dataclass(frozen=True)
class Outcome:
    """What came of a task: numbers, or the reason why there are none."""

    result: Mapping[str, Any] | None  # None if it failed
    error: str = ""  # why it failed


@dataclass
class _Running:
    process: subprocess.Popen[bytes]
    began: float


def finished(task: Task) -> Outcome | None:
    """Return what an earlier process left of this very task; None if there is nothing, or nothing that can be read."""
    try:
        content = json.loads(task.file.read_text(encoding="utf-8"))
        if content["key"] != json.loads(json.dumps(task.key)):
            return None
        return Outcome(content.get("result"), content.get("error", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def run_tasks(
    tasks: Sequence[Task],
    jobs: int,
    done: Callable[[Task, Outcome], None],
    tick: Callable[[Mapping[str, float]], None],
    command: Sequence[str] = (sys.executable, "-P", "-m", "apiece.benchmark._child"),
) -> None:
    """Run ``tasks``, ``jobs`` at a time, in their order.

    Parameters
    ----------
    done : called with each task and its outcome as it ends.
    tick : called several times a second with what runs: name to the share of its expected time that has passed.
    command : takes the task as a JSON object in its last argument.
    """
    waiting, running = list(tasks), dict[str, _Running]()
    by_name = {task.name: task for task in tasks}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                task = waiting.pop(0)
                running[task.name] = _Running(_start(task, command), time.monotonic())
            for name in list(running):
                outcome = _outcome(by_name[name], running[name])
                if outcome is not None:
                    del running[name]
                    done(by_name[name], outcome)
            now = time.monotonic()
            tick({name: min(1.0, (now - r.began) / by_name[name].expected) for name, r in running.items()})
            if running:
                time.sleep(_POLL)
    finally:
        for entry in running.values():
            _end(entry.process)


def _start(task: Task, command: Sequence[str]) -> subprocess.Popen[bytes]:
    task.file.unlink(missing_ok=True)
    task.log.parent.mkdir(parents=True, exist_ok=True)
    told = {**task.settings, "key": task.key, "file": str(task.file), "threads": task.threads}
    threads = str(task.threads)
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    with task.log.open("wb") as log:
        # the child reads from a pipe that is never written to: it sees its end when this process is gone
        return subprocess.Popen(
            [*command, json.dumps(told)], stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment
        )


def _outcome(task: Task, running: _Running) -> Outcome | None:
    """Return the outcome of a process that has ended, or has taken too long; None while it runs."""
    code = running.process.poll()
    if code is None:
        seconds = time.monotonic() - running.began
        if seconds < task.limit:
            return None
        _end(running.process)
        outcome = Outcome(None, f"was given up after {seconds / 60:.0f} minutes; raise overtime to let it take longer")
    else:
        _end(running.process)
        outcome = finished(task) or Outcome(None, _last_words(code, task.log))
    if outcome.error:
        write_text(task.file, json.dumps({"key": task.key, "error": outcome.error}, indent=2))
    return outcome


def _last_words(code: int, log: Path) -> str:
    """Say why a process ended without an outcome."""
    if code == -signal.SIGTERM or code == -getattr(signal, "SIGKILL", 9):
        return f"its process was killed (signal {-code}), as happens when memory runs out; see {log}"
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    said = f": {lines[-1].strip()[:300]}" if lines else ""
    return f"its process ended with code {code}{said}; see {log}"


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()
