"""Settings: ranges, conflicts, YAML, defaults."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pytest

from apiece import models
from apiece.errors import ConfigError, UnknownNameError
from apiece.models.contract import Architecture
from apiece.training import TrainConfig, parse_settings, parse_time, train
from apiece.training.config import build_model_config


def architecture(name: str = "embedding") -> Architecture:
    return models.load(name)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("1h30m", 5400), ("90s", 90), (" 2 d ", 172800), ("0.5h", 1800), (12, 12), (1.5, 1.5), ("45", 45)],
)
def test_times(text: str | float, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "30x", "m", "-5", "0", "1m30", "nan", "1.2.3s"])
def test_no_times(text: str) -> None:
    with pytest.raises(ConfigError, match="30m"):
        parse_time(text)


def test_settings_of_the_command_line() -> None:
    assert parse_settings(["window=900", "norm=group", "widths=[8, 16]"]) == {
        "window": 900, "norm": "group", "widths": [8, 16]
    }  # fmt: skip
    for wrong in ("window", "=3", "a={"):
        with pytest.raises(ConfigError):
            parse_settings([wrong])


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 0}, {"lr": -1}, {"lr": float("nan")}, {"batch": 0}, {"batch": 2.5}, {"batch": "big"}, {"crop": 100},
        {"crop": 32}, {"imgsz": 16}, {"imgsz": "large"}, {"ema": 1.0}, {"dropout": 1}, {"clip": -1}, {"patience": 0},
        {"seed": -1}, {"workers": -1}, {"device": "tpu"}, {"max_time": "soon"}, {"warmup": True}, {"cache": -1},
        {"resume": True, "overwrite": True}, {"imgsz": 128, "crop": 256},
        {"dropout": 0.1, "model_settings": {"dropout": 0.1}},
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        TrainConfig(**settings)


@pytest.mark.parametrize("settings", [{"precision": "8"}, {"balance": "all"}])
def test_unknown_choices_name_the_right_ones(settings: dict[str, Any]) -> None:
    with pytest.raises(UnknownNameError):
        TrainConfig(**settings)


def test_yaml_and_back(tmp_path: Path) -> None:
    config = TrainConfig(max_time="30m", imgsz="native", batch="auto", model_settings={"widths": [8, 16]}, save_every=0)
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert TrainConfig.from_yaml(path) == config
    assert TrainConfig.from_yaml(path, lr=0.5, epochs=None) == dataclasses.replace(config, lr=0.5)


def test_bad_yaml(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("learning_rate: 1")
    with pytest.raises(UnknownNameError, match="learning_rate"):
        TrainConfig.from_yaml(path)
    for text in ("- 1", "a: [", ""):
        path.write_text(text)
        with pytest.raises(ConfigError):
            TrainConfig.from_yaml(path)
    with pytest.raises(ConfigError):
        TrainConfig.from_yaml(tmp_path / "absent.yaml")


def test_architecture_fills_what_is_left_open() -> None:
    model = architecture()
    filled = TrainConfig(model="embedding").with_defaults(model)
    assert filled.lr == model.defaults["lr"]
    assert filled.clip == 5.0
    assert filled.epochs == 100
    assert filled.crop == model.defaults.get("crop")
    mine = TrainConfig(model="embedding", lr=0.25, batch=3).with_defaults(model)
    assert (mine.lr, mine.batch) == (0.25, 3)
    assert TrainConfig(max_time="1m").with_defaults(model).epochs is None  # the time decides
    assert filled.with_defaults(model) == filled
    assert TrainConfig(model="embedding", imgsz=128).with_defaults(model).crop == 128  # a default crop gives way


def test_settings_that_the_architecture_lacks() -> None:
    @dataclasses.dataclass(frozen=True)
    class Bare:
        width: int = 1

    bare = dataclasses.replace(architecture(), config=Bare, defaults={})
    with pytest.raises(ConfigError, match="no dropout"):
        TrainConfig(dropout=0.1).with_defaults(bare)
    with pytest.raises(ConfigError, match="class weights"):
        TrainConfig(balance="both").with_defaults(bare)
    with pytest.raises(UnknownNameError, match="width"):
        build_model_config(bare, "bare", {"widht": 2})


def test_every_field_is_explained() -> None:
    source = Path(_source_of()).read_text()
    for field in dataclasses.fields(TrainConfig):
        after = source.split(f"\n    {field.name}: ", 1)[1].split("\n", 1)[1]
        assert after.lstrip().startswith('"""'), field.name


def _source_of() -> str:
    import inspect

    return str(inspect.getsourcefile(TrainConfig))


def test_train_takes_every_setting_by_name() -> None:
    parameters = inspect.signature(train).parameters.values()
    assert [p.name for p in parameters] == [f.name for f in dataclasses.fields(TrainConfig)]
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters)
    given = {p.name: p.default for p in parameters}
    assert TrainConfig(**{**given, "model_settings": {}}) == TrainConfig()
