"""Child processes: side by side, failing each on its own, and never outliving who started them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apiece.benchmark._gauges import Memory, Others
from apiece.benchmark._processes import Outcome, Task, finished, run_tasks

# does what it is told: sleep, end with a code, kill itself, or write a result
CHILD = """
import json, os, signal, sys, time
task = json.loads(sys.argv[1])
time.sleep(task.get("sleep", 0))
print("first words")
print("last words")
sys.stdout.flush()
if "signal" in task:
    os.kill(os.getpid(), task["signal"])
if "code" in task:
    sys.exit(task["code"])
outcome = {"error": task["error"]} if "error" in task else {"result": {"threads": os.environ["OMP_NUM_THREADS"]}}
open(task["file"], "w").write(json.dumps({"key": task["key"], **outcome}))
"""
COMMAND = (sys.executable, "-c", CHILD)


def task(folder: Path, name: str, limit: float = 60.0, **settings: Any) -> Task:
    return Task(name, folder / name / "out.json", folder / name / "log", {"a": (1, 2)}, settings, 3, 1.0, limit)


def run(*tasks: Task, jobs: int = 2) -> tuple[dict[str, Outcome], list[Mapping[str, float]]]:
    outcomes: dict[str, Outcome] = {}
    shares: list[Mapping[str, float]] = []
    run_tasks(tasks, jobs, lambda t, outcome: outcomes.update({t.name: outcome}), shares.append, COMMAND)
    return outcomes, shares


def test_each_ends_in_its_own_way(tmp_path: Path) -> None:
    killed = int(signal.SIGKILL)
    tasks = [
        task(tmp_path, "good"),
        task(tmp_path, "refused", error="no objects"),
        task(tmp_path, "crashed", code=7),
        task(tmp_path, "killed", signal=killed),
        task(tmp_path, "slow", limit=0.5, sleep=60),
    ]
    outcomes, shares = run(*tasks, jobs=3)
    assert outcomes["good"] == Outcome({"threads": "3"})
    assert outcomes["refused"] == Outcome(None, "no objects")
    assert outcomes["crashed"].error.startswith("its process ended with code 7: last words; see ")
    assert "was killed (signal 9), as happens when memory runs out" in outcomes["killed"].error
    assert "raise overtime" in outcomes["slow"].error
    assert max(map(len, shares)) == 3
    assert all(0 <= share <= 1 for step in shares for share in step.values())
    # a failure is remembered too, and a result is one's own only under one's own key
    assert finished(tasks[2]) == outcomes["crashed"]
    assert finished(tasks[0]) == outcomes["good"]
    assert finished(Task("good", tasks[0].file, tasks[0].log, {"a": 2}, {}, 1, 1.0, 1.0)) is None


def test_no_more_than_jobs_at_a_time_and_in_order(tmp_path: Path) -> None:
    outcomes, shares = run(*(task(tmp_path, name, sleep=0.1) for name in "cab"), jobs=1)
    assert list(outcomes) == ["c", "a", "b"]
    assert max(map(len, shares)) == 1


@pytest.mark.parametrize("text", ["", "[]", "{", '{"result": 1}', '{"key": {"a": [1, 2]}, "result"'])
def test_half_a_result_is_none(tmp_path: Path, text: str) -> None:
    wanted = task(tmp_path, "a")
    assert finished(wanted) is None
    wanted.file.parent.mkdir()
    wanted.file.write_text(text)
    assert finished(wanted) is None


def test_children_end_when_the_work_is_broken_off(tmp_path: Path) -> None:
    def stop(_: Mapping[str, float]) -> None:
        raise KeyboardInterrupt

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_tasks([task(tmp_path, "a", sleep=60)], 1, lambda t, o: None, stop, COMMAND)
    assert time.monotonic() - begin < 30


def test_a_child_does_not_outlive_its_parent() -> None:
    code = "import time, threading; from apiece.benchmark import _child\n"
    code += (
        "threading.Thread(target=_child._end_with_parent, daemon=True).start()\nprint('up', flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == b"up\n"
        child.stdin.close()
        assert child.wait(timeout=30) == 3


def test_what_a_child_is_told_is_json(tmp_path: Path) -> None:
    assert json.loads(json.dumps(dict(task(tmp_path, "a", sleep=1).settings))) == {"sleep": 1}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the high-water mark cannot be set back")
def test_memory_sees_a_rise_and_its_peak() -> None:
    gauge = Memory()
    block = np.ones(8_000_000)
    del block
    peak = gauge.peak
    assert peak is not None
    assert 60 < peak < 120


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not tell")
def test_others_are_seen_at_work() -> None:
    others = Others()
    code = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass"
    begin = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True)
    seconds = time.monotonic() - begin
    cores = others.cores
    assert cores is not None
    assert cores >= 0.4 / (seconds + 0.5)
