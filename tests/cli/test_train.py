"""What ``apiece train`` makes of a settings file and the options beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from apiece import cli
from apiece.training import TrainConfig, trainer


def settings(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> TrainConfig:
    """What the training would be asked for."""
    asked: list[TrainConfig] = []

    def train(config: TrainConfig) -> None:
        asked.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "fit", train)
    with pytest.raises(SystemExit):
        cli.main(["train", *map(str, arguments)])
    return asked[0]


def test_options_win_over_the_file_even_where_they_are_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("model: embedding\nseed: 3\nlr: 0.01\nupright: true\n")
    found = settings(monkeypatch, "--config", file)
    assert (found.model, found.seed, found.lr, found.upright) == ("embedding", 3, 0.01, True)
    found = settings(monkeypatch, "--config", file, "--model", "swift", "--seed", 0, "--no-upright")
    assert (found.model, found.seed, found.lr, found.upright) == ("swift", 0, 0.01, False)


def test_options_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings(monkeypatch, "--data", "cells", "--set", "size=s", "--skip-bad")
    assert found == TrainConfig(data=Path("cells"), model_settings={"size": "s"}, skip_bad=True)


def test_a_run_that_replaced_another_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text(TrainConfig(out=tmp_path, seed=3, overwrite=True).to_yaml())
    found = settings(monkeypatch, "--out", tmp_path, "--resume")
    assert (found.seed, found.resume, found.overwrite) == (3, True, False)


def test_without_data_it_says_what_to_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        cli.main(["train", "--model", "embedding"])
    assert "say what to learn from: apiece train DATA, a label file" in capsys.readouterr().err
    (tmp_path / "data").mkdir()
    assert settings(monkeypatch, "--model", "embedding").data == Path("data")
