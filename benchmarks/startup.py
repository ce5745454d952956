"""How long apiece takes to start: medians of whole processes, after one that warms the disk's cache.

That first process also writes all bytecode, as `pip install` does; uv and PYTHONDONTWRITEBYTECODE leave it out, which
doubles every time.

python benchmarks/startup.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 10
APIECE = str(Path(sys.executable).with_name("apiece"))
STARTS = {
    "python -c pass": ([sys.executable, "-c", "pass"], None),
    "import apiece": ([sys.executable, "-c", "import apiece"], 0.05),
    "import numpy": ([sys.executable, "-c", "import numpy"], None),
    "apiece --help": ([APIECE, "--help"], 0.25),
    "apiece info --help": ([APIECE, "info", "--help"], None),
    "apiece train --help": ([APIECE, "train", "--help"], None),
}


def seconds(command: list[str], bytecode: str) -> tuple[float, float]:
    """Median wall time of a process, and of its time on a core, which a busy machine leaves as it is."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**kept, "PYTHONPYCACHEPREFIX": bytecode}
    wall, core = [], []
    for _ in range(1 + RUNS):
        begin, used = time.perf_counter(), sum(os.times()[2:4])
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        wall.append(time.perf_counter() - begin)
        core.append(sum(os.times()[2:4]) - used)
    return statistics.median(wall[1:]), statistics.median(core[1:])


if __name__ == "__main__":
    print(f"{f'median of {RUNS}':22}{'seconds':>9}{'on a core':>11}{'at most':>9}")
    with tempfile.TemporaryDirectory() as bytecode:
        for name, (command, most) in STARTS.items():
            wall, core = seconds(command, bytecode)
            print(f"{name:22}{wall:9.3f}{core:11.3f}{most or '':>9}", flush=True)
