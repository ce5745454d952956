"""``apiece benchmark`` as a person types it: two models, one that fails, a kill, and the files."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from apiece.cli import main
from apiece.datasets.synthetic import SceneConfig, write_dataset

TWO = ("--models", "embedding:a,embedding:b", "--set", "embedding:a.widths=[8, 16]", "embedding:b.widths=[8, 24]")
ONE = ("--models", "embedding", "--set", "embedding.widths=[8, 16]")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    config = SceneConfig(size=(64, 64), objects=(2, 4), classes=("washer", "pill"), radius=(8.0, 14.0))
    write_dataset(folder, train=10, val=3, config=config)
    return folder


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    return ["benchmark", "--data", str(data), "--out", str(out), "--device", "cpu", "--threads", "1", *more]


def run(*given: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(given)
    return int(end.value.code or 0)


def test_a_wrong_command_line_says_what_is_wrong(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("benchmark", "--data", str(data), "--models", "embeding") == 1
    assert "Did you mean 'embedding'" in capsys.readouterr().err
    assert run("benchmark", "--data", str(tmp_path / "none"), "--models", "embedding") == 1
    assert "no such file" in capsys.readouterr().err
    capsys.readouterr()
    assert run("benchmark", "--model", "embedding") == 1
    assert "--model goes with --runtimes; architectures to train are named by --models" in capsys.readouterr().err
    assert run("benchmark", "--runtimes", "torch") == 1
    assert "name a runtime beside torch with --runtimes" in capsys.readouterr().err


@pytest.mark.slow
def test_one_model_on_two_runtimes(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("benchmark", "--data", str(data), "--runtimes", "torch,onnx", "--json") == 0
    rows = {row["runtime"]: row for row in json.loads(capsys.readouterr().out)["runtimes"]}
    assert set(rows) == {"torch", "onnx"}
    for row in rows.values():
        assert row["error"] == ""
        assert 0 < row["milliseconds"] <= row["p90"]
        assert 0 <= row["mask_ap"] <= 1
        assert row["others_cores"] >= 0
    assert rows["onnx"]["iou"] > 0.999
    assert rows["onnx"]["memory_mb"] < 0.8 * rows["torch"]["memory_mb"]  # a process without torch


@pytest.mark.slow
def test_two_models_and_one_that_fails(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken, out = tmp_path / "broken", tmp_path / "out"
    broken.mkdir()
    (broken / "model.json").write_text("{}")
    given = arguments(data, out, *TWO, "--trained", str(broken), "--budget", "6s")
    assert run(*given, "--jobs", "2", "--json") == 0
    said, told = capsys.readouterr()
    shown = json.loads(said)
    rows = {r["model"]: r for r in shown["models"]}
    assert [r["model"] for r in shown["models"]][-1] == "broken"
    assert rows["broken"]["status"] == "failed"
    assert "model.json" in rows["broken"]["error"]
    assert "broken failed: " in told
    for name in ("embedding:a", "embedding:b"):
        row = rows[name]
        assert row["status"] == "done"
        assert 0 <= row["mask_ap"] <= row["mask_ap50"] <= 1
        assert 0 < row["latency_ms"] <= row["latency_p90_ms"]
        assert row["steps"] >= 1
        assert row["train_memory_mb"] > 0
        assert set(row["per_class"]) == {"washer", "pill"}
    assert rows["embedding:a"]["parameters"] < rows["embedding:b"]["parameters"]
    assert any(r["pareto"] for r in rows.values())
    training = shown["conditions"]["training"]
    assert (training["budget_seconds"], training["jobs"], training["threads"]) == (6, 2, 1)
    with (out / "benchmark.csv").open(newline="") as file:
        assert [r["model"] for r in csv.DictReader(file)] == [r["model"] for r in shown["models"]]
    assert (out / "benchmark.html").read_text(encoding="utf-8").count("<circle") >= 2
    assert json.loads((out / "benchmark.json").read_text())["models"] == shown["models"]
    # trained and measured already: nothing is done again but what failed
    times = [(out / "embedding-a" / f"{stage}.json").stat().st_mtime_ns for stage in ("training", "measured")]
    assert run(*given, "--jobs", "2") == 0
    assert "embedding:a" in capsys.readouterr().out
    assert times == [(out / "embedding-a" / f"{stage}.json").stat().st_mtime_ns for stage in ("training", "measured")]


@pytest.mark.slow
def test_killed_and_started_again_it_goes_on(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = arguments(data, out, *ONE, "--budget", "20s")
    state, log = out / "embedding" / "model" / "last" / "state.safetensors", out / "embedding" / "training.log"
    code = f"import sys; from apiece.cli import main; main({given!r})"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        end = time.monotonic() + 120
        while not state.exists() and time.monotonic() < end:
            time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
    assert state.exists()
    assert not (out / "embedding" / "training.json").exists()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "resuming after step" in log.read_text()
    result = json.loads((out / "embedding" / "training.json").read_text())["result"]
    assert result["train_seconds"] >= 18
    rows = json.loads((out / "benchmark.json").read_text())["models"]
    assert [r["status"] for r in rows] == ["done"]
