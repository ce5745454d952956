"""What a benchmark trains, measures, keeps, tries again and refuses; its child processes are played here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.benchmark.test_rows import JUDGED, TRAINED

from apiece.benchmark import Plan, Result, Watch, run
from apiece.benchmark import _run as module
from apiece.benchmark._processes import Outcome, Task
from apiece.benchmark.config import BenchmarkConfig
from apiece.datasets.synthetic import SceneConfig, write_dataset
from apiece.errors import ConfigError, DataError, ModelFileError


@dataclass
class Played:
    """Stands in for the processes: writes what they would, and remembers what was asked of them."""

    fails: dict[tuple[str, str], str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    ends_after: int = 10**6

    def __call__(
        self,
        tasks: Sequence[Task],
        jobs: int,
        done: Callable[[Task, Outcome], None],
        tick: Callable[[Mapping[str, float]], None],
    ) -> None:
        for task in tasks:
            stage = task.settings["stage"]
            if len(self.asked) >= self.ends_after:
                raise KeyboardInterrupt
            self.asked.append((stage, task.name))
            tick({task.name: 0.5})
            error = self.fails.get((stage, task.name), "")
            outcome = Outcome(None, error) if error else Outcome(TRAINED if stage == "train" else JUDGED)
            task.file.parent.mkdir(parents=True, exist_ok=True)
            said = {"error": error} if error else {"result": outcome.result}
            task.file.write_text(json.dumps({"key": task.key, **said}))
            if stage == "train" and not error:
                model = task.file.parent / "model"
                model.mkdir(exist_ok=True)
                (model / "model.json").write_text('{"tensors": {"sha256": "aa"}}')
            done(task, outcome)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_dataset(folder, train=3, val=2, config=SceneConfig(size=(64, 64), objects=(2, 3), classes=("pill",)))
    return folder


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    play = Played()
    monkeypatch.setattr(module, "run_tasks", play)
    return play


@pytest.fixture
def settings(data: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "data": data,
        "models": ("embedding", "mask_rcnn"),
        "budget": "5s",
        "out": tmp_path / "out",
        "device": "cpu",
    }


def plans(settings: Mapping[str, Any]) -> tuple[Result, Plan, list[str]]:
    """The result, the plan, and the lines said."""
    plan: list[Plan] = []
    lines: list[str] = []
    result = run(BenchmarkConfig(**settings), Watch(plan.append, lambda what, shares: None, lines.append))
    return result, plan[0], lines


def test_all_are_trained_then_all_are_measured(played: Played, settings: dict[str, Any]) -> None:
    result, plan, lines = plans(settings)
    names = ("embedding", "mask_rcnn")
    assert played.asked == [(stage, name) for stage in ("train", "judge") for name in names]
    assert (plan.train, plan.kept, plan.seconds) == (names, (), 10)
    assert [r.status for r in result.rows] == ["done", "done"]
    assert all(path.is_file() for path in result.files)
    assert lines[0].startswith("embedding: 40 steps in 1.0 min")
    assert lines[2].startswith("embedding: mask AP 0.250, 12 ms")
    conditions = json.loads(result.files[0].read_text())["conditions"]
    assert conditions["training"]["budget_seconds"] == 5
    assert conditions["data"]["val_images"] == 2
    assert conditions["machine"]["cores"] >= 1
    assert {"apiece", "torch"} <= set(conditions["versions"])


def test_what_is_finished_is_kept_and_what_failed_is_tried_again(played: Played, settings: dict[str, Any]) -> None:
    played.fails = {("train", "mask_rcnn"): "no memory"}
    result, _, lines = plans(settings)
    assert [(r.model, r.status, r.error) for r in result.rows] == [
        ("embedding", "done", ""), ("mask_rcnn", "failed", "no memory"),
    ]  # fmt: skip
    assert "mask_rcnn: training failed: no memory" in lines
    played.asked.clear()
    played.fails.clear()
    result, plan, _ = plans(settings)
    assert played.asked == [("train", "mask_rcnn"), ("judge", "mask_rcnn")]
    assert (plan.train, plan.kept, plan.measured) == (("mask_rcnn",), ("embedding",), 1)
    assert [r.status for r in result.rows] == ["done", "done"]
    played.asked.clear()
    assert plans(settings)[0] == result
    assert played.asked == []


def test_broken_off_it_goes_on(played: Played, settings: dict[str, Any]) -> None:
    played.ends_after = 3
    with pytest.raises(KeyboardInterrupt):
        plans(settings)
    rows = json.loads((settings["out"] / "benchmark.json").read_text())["models"]
    assert sorted(r["status"] for r in rows) == ["done", "waiting"]
    played.ends_after = 100
    played.asked.clear()
    plans(settings)
    assert played.asked == [("judge", "mask_rcnn")]


def test_a_new_model_of_the_name_is_measured_again(played: Played, settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    settings |= {"models": None, "trained": (tmp_path / "mine",)}
    (tmp_path / "mine" / "model.json").write_text('{"tensors": {"sha256": "aa"}}')
    result, plan, _ = plans(settings)
    assert (plan.train, plan.kept) == ((), ("mine",))
    assert result.conditions["training"] is None
    plans(settings)
    assert len(played.asked) == 1
    (tmp_path / "mine" / "model.json").write_text('{"tensors": {"sha256": "bb"}}')
    plans(settings)
    assert len(played.asked) == 2


def test_other_conditions_do_not_mix(played: Played, settings: dict[str, Any]) -> None:
    plans(settings)
    with pytest.raises(ConfigError, match=r"other conditions \(budget_seconds was 5.0, is 6.0, seed was 0, is 1\)"):
        plans({**settings, "budget": "6s", "seed": 1})
    with pytest.raises(ConfigError, match=r"otherwise \(dropout was None, is 0.5\).*\(embedding:NAME\)"):
        plans({**settings, "set": ("embedding.dropout=0.5",)})
    played.asked.clear()
    plans({**settings, "budget": "6s", "overwrite": True})
    assert len(played.asked) == 4


def test_what_will_fail_is_said_at_once(played: Played, settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="embedding: no setting of embedding named 'widht'"):
        plans({**settings, "set": ("embedding.widht=3",)})
    with pytest.raises(ModelFileError, match="does not exist"):
        plans({**settings, "trained": (tmp_path / "none",)})
    with pytest.raises(DataError, match="no such file"):
        plans({**settings, "data": tmp_path / "none"})
    (settings["out"]).mkdir()
    (settings["out"] / "conditions.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        plans(settings)
    assert played.asked == []
