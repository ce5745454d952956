"""What ``apiece train`` makes of a settings file and the options beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apiece import Instances, Masks, cli, formats
from apiece.images import write_image
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


def test_an_image_that_cannot_be_read_says_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = []
    for k in range(3):
        path = tmp_path / "data" / f"{k}.png"
        write_image(path, np.full((32, 40, 3), 40 * k, np.uint8))
        records.append((path, Instances(Masks.from_boxes([[2, 2, 12, 12]], (32, 40)))))
    formats.write(records, tmp_path / "data" / "labels.json")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SystemExit) as end:
        cli.main(["train", str(tmp_path / "data"), "--out", str(tmp_path / "run"), "--epochs", "1", "--workers", "0"])
    assert end.value.code == 1
    said = " ".join(capsys.readouterr().err.split())
    assert f"{path.name}: is truncated" in said
    assert said.endswith("mend or remove it, or leave such images out with --skip-bad")
