"""A base install, without torch and its kin: what it imports, and what the rest says.

Here the optional dependencies are hidden; ``.ci/base_install.py`` makes an environment that has none.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import apiece
from apiece._extras import extras
from apiece.errors import MissingExtraError

HEAVY = (
    *("av", "huggingface_hub", "lightning", "matplotlib", "onnxruntime", "openvino", "safetensors", "tensorboard"),
    *("fastapi", "pydantic", "starlette", "timm", "torch", "torchvision", "transformers", "uvicorn"),
)
WITHOUT = f"""
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {HEAVY} else self.finder.find_spec(name, path, target)
sys.meta_path[:] = map(Without, sys.meta_path)
"""
NEED_TORCH = (
    *("apiece.models.", "apiece.predict._runtimes.", "apiece.prompts._kit.", "apiece.benchmark._runtimes"),
    *("apiece.export._engine.", "apiece.export.openvino", "apiece.serve.", "apiece.testing._architectures"),
    "apiece.training.",
)


def without(code: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter that has no optional dependency."""
    return subprocess.run([sys.executable, "-c", WITHOUT + code], capture_output=True, text=True, cwd=folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one labelled image, and what could be a model folder."""
    folder = tmp_path_factory.mktemp("data")
    cv2.imwrite(str(folder / "a.png"), np.zeros((32, 32, 3), np.uint8))
    labels = np.zeros((32, 32), np.int32)
    labels[4:12, 4:12] = 1
    ref = apiece.ImageRef(folder / "a.png", "a.png", size=(32, 32))
    apiece.write([(ref, apiece.Instances.from_label_map(labels))], folder / "labels.json", format="coco")
    (folder / "model").mkdir()
    (folder / "model" / "model.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def failed() -> dict[str, str]:
    """Modules that cannot be imported without the optional dependencies, and what each misses first."""
    found = without(
        """
import importlib, json, pkgutil, apiece
failed = {}
for module in pkgutil.walk_packages(apiece.__path__, "apiece."):
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        failed[module.name] = error.name
print(json.dumps(failed))
"""
    )
    assert not found.stderr
    modules: dict[str, str] = json.loads(found.stdout)
    return modules


def test_every_module_but_those_of_networks_imports_without_an_extra(failed: dict[str, str]) -> None:
    assert {"apiece.predict._runtimes.pytorch", "apiece.training.trainer", "apiece.models.swift"} <= set(failed)
    assert set(failed.values()) <= set(HEAVY)
    assert not [name for name in failed if not name.startswith(NEED_TORCH)]


def test_the_others_import_what_needs_an_extra_through_a_front(failed: dict[str, str]) -> None:
    """Commands and backends are exempt: the command line, and whoever opens a backend, says what is missing."""
    root = Path(apiece.__file__).parent
    for path in root.rglob("*.py"):
        module = ".".join(("apiece", *path.relative_to(root).with_suffix("").parts))
        if (
            module in failed
            or module.startswith(("apiece.cli.", "apiece.prompts."))
            or module == "apiece.benchmark._child"
        ):
            continue
        inner = [
            node
            for part in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(part, ast.FunctionDef)
            for node in ast.walk(part)
            if isinstance(node, ast.ImportFrom)
        ]
        assert not [node.module for node in inner if node.module in {*failed, *HEAVY}], module


COMMANDS = {
    "predict a.png --model model": ("models", 1),
    "predict a.png --model model --json": ("models", 1),
    "evaluate --model model --data labels.json": ("models", 1),
    "compare model model --data labels.json": ("models", 1),
    "thresholds --model model --data labels.json": ("models", 1),
    "segment a.png --weights model --point 5,5": ("models", 1),
    "models": ("models", 1),
    "models swift --json": ("models", 1),
    "monitor a.png --model model --baseline labels.json": ("models", 2),
    "check labels.json --model model": ("models", 2),
    "check labels.json --folds 2 --json": ("train", 2),
    "studio labels.json": ("serve", 1),
    "train --data labels.json --model swift": ("train", 1),
    "train --data labels.json --model swift --json": ("train", 1),
    "benchmark --data labels.json --models swift": ("train", 1),
    "demo --out made": ("train", 1),
    "export model --photos a.png": ("export", 1),
    "serve model": ("serve", 1),
}


def test_a_command_that_needs_an_extra_names_the_line_that_installs_it(data: Path) -> None:
    before = sorted(data.iterdir())
    found = without(
        f"""
import contextlib, io, json
from apiece.cli import main
told = dict()
for line in {list(COMMANDS)}:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main(line.split())
        except SystemExit as left:
            told[line] = left.code, out.getvalue(), err.getvalue()
print(json.dumps(told))
""",
        data,
    )
    told = json.loads(found.stdout)
    assert list(told) == list(COMMANDS)
    for line, (extra, code) in COMMANDS.items():
        left, out, err = told[line]
        assert (left, out) == (code, ""), line
        install = rf"apiece: \w+ is not installed\. Install it with: pip install 'apiece\[{extra}\]'\n"
        assert re.fullmatch(install, err), (line, err)
    assert sorted(data.iterdir()) == before


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("none", "none: does not exist; a model is a folder with model.json and model.safetensors"),
        ("a.png", "a.png: is a file without weights; a model is a folder with model.json and model.safetensors"),
        (".", ".: holds no model.json; did you mean model?"),
    ],
)
def test_what_is_no_model_is_told_before_what_is_not_installed(data: Path, model: str, said: str) -> None:
    found = without(f"from apiece.cli import main; main('predict a.png --model {model}'.split())", data)
    assert (found.returncode, found.stdout, found.stderr) == (1, "", f"apiece: {said}\n")


def test_prompts_without_weights_need_no_extra(data: Path) -> None:
    found = without("from apiece.cli import main; main('segment a.png --point 5,5 --out made --json'.split())", data)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["images"] == 1


FUNCTIONS = {
    "apiece.load('model')": "models",
    "apiece.evaluate('model', 'labels.json')": "models",
    "apiece.models.load('swift')": "models",
    "apiece.train(data='labels.json', model='swift')": "train",
    "apiece.training.predict_out_of_fold": "train",
}


def test_a_function_that_needs_an_extra_does_too(data: Path) -> None:
    found = without(
        f"""
import apiece, json
told = []
for code in {list(FUNCTIONS)}:
    try:
        eval(code)
    except apiece.errors.MissingExtraError as error:
        told.append(error.extra)
print(json.dumps(told))
""",
        data,
    )
    assert not found.stderr
    assert json.loads(found.stdout) == list(FUNCTIONS.values())


def test_what_is_installed_and_broken_keeps_its_own_error() -> None:
    with pytest.raises(ImportError, match="cannot import name 'nothing'") as broken, extras():
        from torch import nothing  # type: ignore[attr-defined]  # noqa: F401
    assert not isinstance(broken.value, MissingExtraError)
    with pytest.raises(ModuleNotFoundError, match=r"torch\.nothing") as absent, extras():
        import torch.nothing  # type: ignore[import-not-found]  # noqa: F401
    assert not isinstance(absent.value, MissingExtraError)
    with pytest.raises(ModuleNotFoundError, match="sympy") as inner, extras():
        raise ModuleNotFoundError("No module named 'sympy'", name="sympy")
    assert not isinstance(inner.value, MissingExtraError)
