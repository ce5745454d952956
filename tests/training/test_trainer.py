"""Training on tiny scenes: what it leaves behind, the same seed, resuming, memory, numbers that are none."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from apiece import evaluate, models
from apiece.errors import ConfigError, DataError, ModelFileError, TrainingError, UnknownNameError
from apiece.models._engine.folder import load_model
from apiece.training import TrainConfig, train
from apiece.training._validate import Validator
from apiece.training.checkpoint import read_state

Settings = dict[str, Any]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def change_loss(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Put a function around the loss of ``embedding``."""
    module = importlib.import_module("apiece.models.embedding")
    original = module.ARCHITECTURE

    def change(around: Callable[..., Any]) -> None:
        def loss(net: Any, images: Any, targets: Any) -> Any:
            return around(original.loss, net, images, targets)

        monkeypatch.setattr(module, "ARCHITECTURE", dataclasses.replace(original, loss=loss))

    return change


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Everything in the state to resume from."""
    return load_file(folder / "last" / "state.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_what_a_run_leaves_behind(tiny: Settings) -> None:
    result = train(**tiny)
    out = tiny["out"]
    assert result.folder == out
    assert result.steps == 4
    assert set(result.metrics) >= {"mask_ap", "mask_ap50", "box_ap"}
    assert {p.name for p in out.iterdir()} == {
        "model.json", "model.safetensors", "config.yaml", "log.csv", "losses.png", "ap.png", "tensorboard", "last",
    }  # fmt: skip
    model = load_model(out)
    assert model.classes == ("washer", "pill")
    assert model.thresholds is not None
    assert all(0 <= t <= 1 for t in model.thresholds)
    assert model.provenance["seed"] == 0
    assert model.provenance["data_fingerprint"]
    assert model.provenance["versions"]["torch"] == torch.__version__.partition("+")[0]
    rows = list(csv.DictReader((out / "log.csv").open()))
    assert int(rows[-1]["step"]) == 4
    assert any(r["mask"] for r in rows)
    assert any(r["val_mask_ap"] for r in rows)
    settings = TrainConfig.from_yaml(out / "config.yaml")
    assert (settings.crop, settings.model) == (64, "embedding")
    assert settings.lr == models.load("embedding").defaults["lr"]


def test_same_seed_same_weights(tiny: Settings, tmp_path: Path) -> None:
    runs = [
        weights(train(**{**tiny, "out": tmp_path / n, "seed": s}).folder) for n, s in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_loader_processes_change_nothing(tiny: Settings, tmp_path: Path) -> None:
    here = weights(train(**tiny).folder)
    there = weights(train(**{**tiny, "out": tmp_path / "two", "workers": 2}).folder)
    assert same(here, there)


def test_going_on_is_the_same_as_never_stopping(
    tiny: Settings, tmp_path: Path, change_loss: Callable[[Callable[..., Any]], None]
) -> None:
    at_once = weights(train(**{**tiny, "save_every": 0}).folder)
    calls = []

    def stop(loss: Any, *rest: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyError("the lights go out")
        return loss(*rest)

    change_loss(stop)
    settings = {**tiny, "out": tmp_path / "cut", "save_every": 0}
    with pytest.raises(KeyError):
        train(**settings)
    assert read_state(settings["out"] / "last" / "state.safetensors")[0].step == 2
    resumed = train(**settings, resume=True)
    assert same(weights(resumed.folder), at_once)
    assert [r["step"] for r in csv.DictReader((resumed.folder / "log.csv").open())][-1] == "4"
    # nothing is left to do, and that is not an error
    assert train(**settings, resume=True).steps == 4


def test_resume_needs_the_same_settings_and_data(tiny: Settings) -> None:
    with pytest.raises(ModelFileError, match="resume"):
        train(**tiny, resume=True)
    train(**{**tiny, "epochs": 0.4})
    with pytest.raises(ConfigError, match="lr was"):
        train(**tiny, resume=True, lr=0.5)
    with pytest.raises(ConfigError, match="overwrite"):
        train(**tiny)
    assert train(**tiny, resume=True).steps == 4
    assert train(**{**tiny, "epochs": 0.4}, overwrite=True).steps == 1


@pytest.mark.parametrize("wrong", [{"data": "nowhere"}, {"device": "cuda:99"}, {"model_settings": {"width": 3}}])
def test_a_mistake_does_not_cost_the_model_that_was_to_be_overwritten(tiny: Settings, wrong: Settings) -> None:
    train(**{**tiny, "epochs": 0.4})
    with pytest.raises((ConfigError, DataError, UnknownNameError)):
        train(**{**tiny, **wrong}, overwrite=True)
    assert load_model(tiny["out"]).classes == ("washer", "pill")
    assert TrainConfig.from_yaml(tiny["out"] / "config.yaml").device == "cpu"
    assert (tiny["out"] / "last" / "state.safetensors").is_file()


def test_changed_labels_are_noticed(tiny: Settings, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "images").symlink_to(tiny["data"] / "images")
    text = (tiny["data"] / "train.json").read_text()
    (data / "train.json").write_text(text)
    (data / "val.json").write_text((tiny["data"] / "val.json").read_text())
    train(**{**tiny, "data": data, "epochs": 0.4})
    labels = json.loads(text)
    labels["annotations"].pop()
    (data / "train.json").write_text(json.dumps(labels))
    with pytest.raises(DataError, match="changed"):
        train(**{**tiny, "data": data}, resume=True)


def test_memory_that_runs_out_halves_the_batch(
    tiny: Settings, tmp_path: Path, change_loss: Callable[[Callable[..., Any]], None]
) -> None:
    sizes = []

    def small(loss: Any, net: Any, images: Any, targets: Any) -> Any:
        sizes.append(len(images))
        if len(images) > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return loss(net, images, targets)

    change_loss(small)
    result = train(**{**tiny, "epochs": 0.8})
    assert sizes == [4, 2, 1, 1, 1, 1, 1, 1, 1, 1]  # two steps of four crops
    assert result.steps == 2
    assert read_state(result.folder / "last" / "state.safetensors")[0].micro == 1


def test_accumulation_sees_as_many_crops_a_step(tiny: Settings, tmp_path: Path) -> None:
    group = {"model_settings": {"widths": [8, 16], "norm": "group"}}  # batch norm sees parts apart
    losses = []
    for name, batch, accumulate in (("a", 4, 1), ("b", 2, 2)):
        out = tmp_path / name
        train(**{**tiny, **group, "out": out, "batch": batch, "accumulate": accumulate, "epochs": 0.4})
        losses.append([float(r["loss"]) for r in csv.DictReader((out / "log.csv").open()) if r["loss"]])
    # each image weighs alike only where the loss is a mean over images; it is one over instances too
    assert np.allclose(losses[0], losses[1], rtol=0.35)


def test_no_memory_for_a_single_crop(tiny: Settings, change_loss: Callable[[Callable[..., Any]], None]) -> None:
    def never(*_: Any) -> Any:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    change_loss(never)
    with pytest.raises(TrainingError, match="single crop"):
        train(**tiny)


def test_an_interrupt_reaches_the_caller(tiny: Settings, change_loss: Callable[[Callable[..., Any]], None]) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    change_loss(interrupted)
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(**tiny)
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning turns it off


def test_a_loss_that_is_no_number_stops(tiny: Settings, change_loss: Callable[[Callable[..., Any]], None]) -> None:
    def nan(loss: Any, *rest: Any) -> Any:
        return {k: v * float("nan") if k.startswith("mask") else v for k, v in loss(*rest).items()}

    change_loss(nan)
    with pytest.raises(TrainingError, match=r"(?s)step 0.*nan.*train_0000.*learning rate"):
        train(**tiny)
    assert not (tiny["out"] / "model.json").exists()


def test_gradients_that_overflow_stop(tiny: Settings, change_loss: Callable[[Callable[..., Any]], None]) -> None:
    class Overflow(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, value: torch.Tensor) -> torch.Tensor:
            return value.clone()

        @staticmethod
        def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return gradient * float("inf")

    change_loss(lambda loss, *rest: {k: Overflow.apply(v) for k, v in loss(*rest).items()})
    with pytest.raises(TrainingError, match="overflowed"):
        train(**{**tiny, "epochs": 20})


def test_time_budget_anneals_and_ends(tiny: Settings) -> None:
    begin = time.monotonic()
    result = train(**{**tiny, "epochs": None, "max_time": "4s"})
    assert time.monotonic() - begin < 60  # generous: this machine may be busy
    assert result.steps >= 1
    assert (result.folder / "model.json").exists()


def test_a_time_budget_that_is_too_short_leaves_a_model_all_the_same(
    tiny: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {**tiny, "epochs": None, "max_time": "0.01s"}
    result = train(**settings)
    assert result.steps == 5
    assert (result.folder / "model.json").exists()
    assert "too few to learn much; give at least max_time=" in caplog.text
    # resumed, its time is over; a model that was lost is made from the saved state
    (result.folder / "model.safetensors").unlink()
    again = train(**settings, resume=True)
    assert again.steps == 5
    assert load_model(again.folder).metrics == dict(result.metrics)
    longer = train(**{**settings, "max_time": result.seconds + 0.3}, resume=True)  # what is left of the budget
    assert longer.steps > 5


def test_what_is_refused_stands_alone(tiny: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = json.loads((tiny["data"] / "train.json").read_text())
    (tmp_path / "images").symlink_to(tiny["data"] / "images")
    one = {**labels, "images": labels["images"][:1]}
    one["annotations"] = [a for a in labels["annotations"] if a["image_id"] == one["images"][0]["id"]]
    (tmp_path / "train.json").write_text(json.dumps(one))
    with caplog.at_level("INFO", "apiece"), pytest.raises(DataError, match="label a second image, or put labels to"):
        train(**{**tiny, "data": tmp_path})
    assert not caplog.records
    (tmp_path / "train.json").rename(tmp_path / "val.json")
    with pytest.raises(DataError, match="no 'train' here, only val; to learn from these, name the label file itself"):
        train(**{**tiny, "data": tmp_path})


def test_settings_are_told_in_a_line(tiny: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "apiece"):
        train(**{**tiny, "epochs": 0.4})
    (line,) = (r.getMessage() for r in caplog.records if r.getMessage().startswith("settings: "))
    assert line.startswith(
        "settings: model embedding, epochs 0.4, crop 64, batch 4, precision 32, workers 0, device cpu"
    )
    assert line.endswith(f"all are in {tiny['out'] / 'config.yaml'}")
    assert "training on 10 images, validation on 3, for 1 step" in caplog.text


def test_classes_that_only_one_split_has_are_named(
    tiny: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for split, gone in (("train", "washer"), ("val", "pill")):
        labels = json.loads((tiny["data"] / f"{split}.json").read_text())
        without = next(c["id"] for c in labels["categories"] if c["name"] == gone)
        labels["annotations"] = [a for a in labels["annotations"] if a["category_id"] != without]
        (tmp_path / f"{split}.json").write_text(json.dumps(labels))
    (tmp_path / "images").symlink_to(tiny["data"] / "images")
    train(**{**tiny, "data": tmp_path, "epochs": 0.4})
    assert re.search(r"objects of washer \(\d+\) are in val, but not in train", caplog.text)
    assert re.search(r"objects of pill \(\d+\) are in train, but not in val", caplog.text)


def test_early_stopping(tiny: Settings) -> None:
    result = train(**{**tiny, "epochs": 40, "val_every": 0.4, "patience": 2, "lr": 1e-9})
    assert result.steps < 100


def test_edges_are_learned_once_by_the_model_that_stays(tiny: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.Tensor] = []

    def edges(self: Validator, module: torch.nn.Module, thresholds: tuple[float, ...]) -> tuple[float, float]:
        assert not module.training
        assert len(thresholds) == 2
        asked.append(next(module.parameters()).clone())
        return (1.5, 2.5)

    monkeypatch.setattr(Validator, "edges", edges)
    run = train(**{**tiny, "val_every": 0.4})
    best = load_model(run.folder)
    assert best.edges == (1.5, 2.5)
    assert len(asked) == 1
    assert torch.equal(asked[0], next(best.module.parameters()))
    train(**{**tiny, "val_every": 0.4}, resume=True)  # it has ended, and lacks nothing
    assert len(asked) == 1
    described = json.loads((run.folder / "model.json").read_text())
    del described["edges"]  # as if it had been killed before the last thing that it does
    (run.folder / "model.json").write_text(json.dumps(described))
    train(**{**tiny, "val_every": 0.4}, resume=True)
    assert load_model(run.folder).edges == (1.5, 2.5)


def test_without_val_a_part_is_held_back(tiny: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "apiece"):
        train(**{**tiny, "data": tiny["data"] / "train.json", "epochs": 0.5})
    assert "held back" in caplog.text


def test_balance_reaches_sampling_and_loss(tiny: Settings) -> None:
    model = load_model(train(**{**tiny, "epochs": 0.4, "balance": "both"}).folder)
    assert len(model.config.class_weights) == 2


def test_wrong_names(tiny: Settings) -> None:
    with pytest.raises(UnknownNameError, match="embedding"):
        train(**{**tiny, "model": "embeding"})
    with pytest.raises(TypeError, match="lrr"):
        train(**tiny, lrr=1)
    with pytest.raises(UnknownNameError, match="widths"):
        train(**{**tiny, "model_settings": {"width": 3}})
    with pytest.raises(UnknownNameError, match="widths"):  # before the images are looked for
        train(**{**tiny, "data": "nowhere", "model_settings": {"width": 3}})


def test_images_without_labels(tiny: Settings, tmp_path: Path) -> None:
    labels = json.loads((tiny["data"] / "train.json").read_text())
    (tmp_path / "train.json").write_text(json.dumps({**labels, "annotations": []}))
    (tmp_path / "images").symlink_to(tiny["data"] / "images")
    with pytest.raises(DataError, match="has an instance"):
        train(**{**tiny, "data": tmp_path})


@pytest.mark.slow
def test_killed_and_resumed_is_bit_identical(tiny: Settings, tmp_path: Path) -> None:
    settings = {**tiny, "epochs": 12, "save_every": 0, "workers": 1}
    at_once = weights(train(**settings).folder)
    out = tmp_path / "killed"
    plain = {k: str(v) if isinstance(v, Path) else v for k, v in {**settings, "out": out}.items()}
    code = f"import torch; torch.set_num_threads(1); from apiece.training import train; train(**{plain!r})"
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    state = out / "last" / "state.safetensors"
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        if state.is_file() and read_state(state)[0].step >= 5:
            break
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 5 <= read_state(state)[0].step < 30
    assert same(weights(train(**{**settings, "out": out}, resume=True).folder), at_once)


@pytest.mark.slow
def test_it_learns(tiny: Settings) -> None:
    settings = {"epochs": 120, "augment": 0.3, "precision": "bf16", "model_settings": {"widths": [16, 32, 64]}}
    result = train(**{**tiny, **settings})
    losses = [float(r["loss"]) for r in csv.DictReader((result.folder / "log.csv").open()) if r["loss"]]
    assert losses[-1] < 0.6 * losses[0]
    assert result.metrics["mask_ap50"] > 0.2
    # validated as it is judged later, not in the precision that it was trained in
    judged = evaluate(result.folder, tiny["data"])
    assert judged["mask_ap"] == pytest.approx(result.metrics["mask_ap"], abs=1e-4)


@pytest.mark.parametrize("precision", ["bf16", "auto"])
def test_mixed_precision(tiny: Settings, precision: str) -> None:
    result = train(**{**tiny, "precision": precision, "epochs": 0.8})
    assert result.steps == 2
    # weights stay float32, whatever was computed in
    assert {v.dtype for v in load_model(result.folder).module.state_dict().values()} <= {torch.float32, torch.int64}
