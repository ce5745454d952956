"""What is compared, under which names, with which settings; and what is refused before any time is spent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apiece import models
from apiece.benchmark import config as module
from apiece.benchmark.config import BenchmarkConfig
from apiece.errors import ConfigError, UnknownNameError


def names(**settings: Any) -> list[str]:
    return [e.name for e in BenchmarkConfig(**settings).entries]


def test_all_is_every_architecture_there_is() -> None:
    assert names() == names(models="all") == list(models.names())


def test_trained_models_alone_train_nothing(tmp_path: Path) -> None:
    assert names(trained=(tmp_path / "a", tmp_path / "b")) == ["a", "b"]
    assert names(trained=(tmp_path / "a",), models="embedding") == ["embedding", "a"]
    assert names(trained=(tmp_path / "a",), models="none") == ["a"]
    assert len(names(trained=(tmp_path / "a",), models="all")) == 1 + len(models.names())


def test_models_of_one_name_take_their_folder_s(tmp_path: Path) -> None:
    folders = (tmp_path / "x" / "model", tmp_path / "y" / "model", tmp_path / "embedding")
    config = BenchmarkConfig(trained=folders, models="embedding")
    assert [e.name for e in config.entries] == ["embedding", "x/model", "y/model", f"{tmp_path.name}/embedding"]
    assert [e.folder for e in config.entries][1] == "x-model"
    with pytest.raises(ConfigError, match="a name of its own"):
        BenchmarkConfig(trained=(tmp_path / "a", tmp_path / "a"))


def test_settings_and_sizes_go_to_their_model() -> None:
    config = BenchmarkConfig(
        models=("embedding:v1.2", "mask_rcnn", "embedding"),
        set=("embedding:v1.2.widths=[8, 16]", "mask_rcnn.dropout=0.5"),
        imgsz=("640", "mask_rcnn=native", "embedding=320"),
    )
    first, second, third = config.entries
    assert (first.name, first.architecture, first.folder) == ("embedding:v1.2", "embedding", "embedding-v1.2")
    assert (dict(first.settings), first.imgsz) == ({"widths": [8, 16]}, 640)
    assert (dict(second.settings), second.imgsz) == ({"dropout": 0.5}, "native")
    assert (dict(third.settings), third.imgsz) == ({}, 320)
    training = config.training(first)
    assert training.out == Path("runs/benchmark/embedding-v1.2/model")
    assert training.model_settings == {"widths": [8, 16]}
    assert (training.max_time, training.imgsz, training.seed) == (1200, 640, 0)


def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: 8)
    shared = BenchmarkConfig(jobs=2)
    assert (shared.train_threads, shared.workers, shared.predict_threads) == (4, 3, 8)
    assert BenchmarkConfig(jobs=20).train_threads == 1
    fixed = BenchmarkConfig(jobs=2, threads=1)
    assert (fixed.train_threads, fixed.workers, fixed.predict_threads) == (1, 0, 1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"models": ("none",)}, "nothing to compare"),
        ({"models": "none"}, "nothing to compare"),
        ({"models": ("embedding", "embedding")}, "a name of its own"),
        ({"models": "embedding:a/b"}, "behind the colon"),
        ({"models": "embedding:"}, "behind the colon"),
        ({"budget": "soon"}, "cannot read the time"),
        ({"jobs": 0}, "jobs must be"),
        ({"timed": 0}, "timed must be"),
        ({"threads": True}, "threads must be"),
        ({"seed": -1}, "seed must be"),
        ({"set": ("widths=3",)}, "MODEL.key=value"),
        ({"imgsz": ("embedding=big",)}, "cannot read imgsz 'embedding=big'"),
        ({"imgsz": ("=512",)}, "cannot read imgsz"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        BenchmarkConfig(**settings)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'mask_rcnn'"):
        BenchmarkConfig(models="mask_rnn")
    with pytest.raises(UnknownNameError, match="to be trained in this benchmark"):
        BenchmarkConfig(models="embedding", set=("mask_rcnn.dropout=0.5",))
    with pytest.raises(UnknownNameError, match="Did you mean 'embedding'"):
        BenchmarkConfig(models="embedding", imgsz=("embeding=512",))
