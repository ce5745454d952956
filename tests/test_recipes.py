"""The recipes of the weights that come with apiece still run: some steps of each, on a set drawn here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from apiece.datasets.synthetic import SceneConfig, write_dataset
from apiece.prompts.click.weights import SHIPPED

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder, train=8, val=1, config=SceneConfig(size=(128, 128), seed=3))
    return folder


def run(recipe: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"recipes.{recipe}", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_default_weights_learn_and_go_on(data: Path, tmp_path: Path) -> None:
    for hours in ("0.001", "0.002"):
        run("default_weights.train", "--run", str(tmp_path), "--hours", hours, "--size", "s", "--data", f"{data}=1")
    assert len(list((tmp_path / "models").iterdir())) == 2


@pytest.mark.slow
def test_the_click_weights_learn_and_go_on(data: Path, tmp_path: Path) -> None:
    for hours in ("0.001", "0.002"):
        begin = ["--begin", str(SHIPPED)] if hours == "0.001" else []
        run("click_weights.train", "--run", str(tmp_path), "--hours", hours, "--data", f"{data}=1", *begin)
    made, shipped = load_file(tmp_path / "head.safetensors"), load_file(SHIPPED)
    assert {name: (v.dtype, v.shape) for name, v in made.items()} == {
        name: (v.dtype, v.shape) for name, v in shipped.items()
    }
