"""Compare architectures, and trained models, on one data set: accuracy, speed and memory under equal conditions.

A room of its own between `training` and `cli`: it trains, predicts, evaluates and draws, so it has to lie behind all
four of these rooms, and none of them may know of it. Every model is trained and measured in a process of its own
(`_child`), so that its memory is its own and a model that fails takes no other with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apiece._lazy import lazy

if TYPE_CHECKING:
    from apiece.benchmark._run import Plan, Result, Watch, run
    from apiece.benchmark._runtimes import RuntimeRow, compare_runtimes
    from apiece.benchmark.config import BenchmarkConfig, Entry
    from apiece.benchmark.rows import Row

__all__ = ["BenchmarkConfig", "Entry", "Plan", "Result", "Row", "RuntimeRow", "Watch", "compare_runtimes", "run"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "apiece.benchmark._run": "Plan Result Watch run",
            "apiece.benchmark._runtimes": "RuntimeRow compare_runtimes",
            "apiece.benchmark.config": "BenchmarkConfig Entry",
            "apiece.benchmark.rows": "Row",
        },
    )
