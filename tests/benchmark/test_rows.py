"""Rows, the Pareto line, throughput from a log, and the three files."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apiece.benchmark._child import throughput
from apiece.benchmark._processes import Outcome
from apiece.benchmark.config import Entry
from apiece.benchmark.page import disturbance, table_of_scores, words_of_time, write_page
from apiece.benchmark.rows import Row, pareto, row, write_csv, write_json

TRAINED: dict[str, Any] = {
    "steps": 40, "best_step": 30, "train_seconds": 61.0, "batch": 8, "train_images_per_second": 7.5,
    "val_mask_ap": 0.2, "train_memory_mb": 500.0, "train_gpu_memory_mb": None, "imgsz": None, "precision": "32-true",
}  # fmt: skip
JUDGED: dict[str, Any] = {
    "architecture": "embedding", "kind": "bottom-up", "parameters": 2_500_000, "imgsz": 320, "latency_ms": 12.5,
    "latency_p90_ms": 20.0, "timings": 24, "others_cores": 1.25, "predict_memory_mb": 80.0,
    "predict_gpu_memory_mb": None, "mask_ap": 0.25, "mask_ap50": 0.5, "mask_ap_large": None, "ap_tau50": 0.4,
    "ap_tau": 0.3,
    "per_class": {"nut": {"mask_ap": 0.25}},
}  # fmt: skip
CONDITIONS: dict[str, Any] = {
    "data": {
        "name": "parts", "classes": ["nut", "<b>"], "val_images": 9, "val_fingerprint": "ab" * 32,
        "train_images": 30, "train_fingerprint": "cd" * 32,
    },
    "training": {
        "budget_seconds": 1200.0, "seed": 3, "jobs": 2, "threads": 1, "workers": 0, "device": "cpu",
        "precision": "32-true",
    },
    "prediction": {"threads": 2, "device": "cpu", "precision": "32-true", "images_timed": 9},
    "machine": {"cores": 2, "processor": "a processor", "system": "Linux", "gpu": None},
    "versions": {"python": "3.11.7", "apiece": "0.1.0"},
}  # fmt: skip


def measured(name: str, ap: float, ms: float) -> Row:
    return Row(name, status="done", mask_ap=ap, latency_ms=ms, parameters=3_000_000)


def test_the_pareto_line_goes_from_the_fastest_to_the_best() -> None:
    rows = [
        measured("best", 0.5, 300), measured("slow", 0.4, 400), measured("fast", 0.2, 20), measured("tie", 0.2, 25),
        measured("same time, worse", 0.1, 20), measured("middle", 0.3, 100), Row("failed", status="failed"),
    ]  # fmt: skip
    assert [r.model for r in pareto(rows)] == ["fast", "middle", "best"]
    assert pareto([]) == []


def test_a_row_from_its_outcomes(tmp_path: Path) -> None:
    entry = Entry("embedding:a", "embedding")
    done = row(entry, tmp_path, Outcome(TRAINED), Outcome(JUDGED))
    assert (done.status, done.mask_ap, done.mask_ap_large, done.ap_tau50) == ("done", 0.25, None, 0.4)
    assert (done.train_seconds, done.train_memory_mb, done.predict_memory_mb) == (61, 500, 80)
    assert (done.train_images_per_second, done.latency_p90_ms, done.parameters) == (7.5, 20, 2_500_000)
    assert row(entry, tmp_path, Outcome(TRAINED), None).status == "waiting"
    failed = row(entry, tmp_path, Outcome(None, "no"), None)
    assert (failed.status, failed.error, failed.mask_ap) == ("failed", "no", None)
    half = row(entry, tmp_path, Outcome(TRAINED), Outcome(None, "out of memory"))
    assert (half.status, half.steps) == ("failed", 40)
    given = row(Entry("a", trained=tmp_path), tmp_path, None, Outcome(JUDGED))
    assert (given.status, given.architecture, given.train_seconds) == ("done", "embedding", None)


def test_throughput_leaves_validation_out(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    rows = ["10,8,1.0,", "20,18,1.0,", "20,25,,7", "30,35,1.0,", "30,40,,5"]
    log.write_text("step,seconds,loss,val_seconds\n" + "\n".join(rows) + "\n")
    assert throughput(log) == pytest.approx(20 / 20)
    log.write_text("step,seconds,loss,val_seconds\n10,8,1.0,\n10,9,,1\n")
    assert throughput(log) is None


def test_the_files_hold_every_row(tmp_path: Path) -> None:
    rows = [row(Entry("a", "embedding"), tmp_path, Outcome(TRAINED), Outcome(JUDGED)), Row("b", status="waiting")]
    write_json(tmp_path / "b.json", rows, CONDITIONS)
    content = json.loads((tmp_path / "b.json").read_text())
    assert content["conditions"] == CONDITIONS
    assert [Row(**m) for m in content["models"]] == rows
    write_csv(tmp_path / "b.csv", rows)
    with (tmp_path / "b.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["model"], float(first["mask_ap"]), first["mask_ap_large"]) == ("a", 0.25, "")
    assert second["latency_ms"] == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.csv", "b.json"]


def test_the_page_shows_all_and_loads_nothing(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "log.csv").write_text("step,seconds,val_mask_ap\n10,60,0.1\n11,65,\n20,120,0.3\n")
    rows = [
        replace(measured("embedding", 0.25, 12.5), pareto=True, train_seconds=60.0, folder=str(model)),
        measured("mask_rcnn", 0.2, 100.0),
        Row("later"),
        Row("broken", status="failed", error="<out> of memory"),
    ]
    write_page(tmp_path / "b.html", rows, CONDITIONS)
    html = (tmp_path / "b.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(|<script|<link|<img", html)
    shown = (
        "embedding", "0.250", "12.5", "&lt;out&gt; of memory", "Not measured yet: later", "&lt;b&gt;",
        "20 min each, 2 at a time", "a processor, 2 cores", "cdcdcdcdcdcdcdcd", "but for those given",
    )  # fmt: skip
    for words in shown:
        assert words in html
    assert html.count("<svg") == 2
    assert html.count("<circle") == 2 + 2


def test_a_page_without_any_number(tmp_path: Path) -> None:
    write_page(tmp_path / "b.html", [Row("a", status="failed", error="no")], {**CONDITIONS, "training": None})
    html = (tmp_path / "b.html").read_text(encoding="utf-8")
    assert "<svg" not in html
    assert "a failed: no" in html


def test_memory_on_a_gpu_has_columns_of_its_own() -> None:
    assert not any("GPU" in c for c in table_of_scores([Row("a")])[0])
    columns, ((*cells,),) = table_of_scores([Row("a", predict_gpu_memory_mb=512.4)])
    assert cells[columns.index("GPU MB")] == 512


def test_a_busy_machine_is_told_of() -> None:
    assert disturbance({"a": None, "b": 0.1}) == ""
    assert "(cores in use): c (1.2)." in disturbance({"a": None, "c": 1.2})


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "5 s"), (89.5, "89.5 s"), (1200, "20 min"), (3600, "1 h"), (4800, "1 h 20 min")]
)
def test_times_as_people_say_them(seconds: float, words: str) -> None:
    assert words_of_time(seconds) == words
