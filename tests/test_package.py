"""The public names, what importing them loads, and the plugin rule."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import apiece
from apiece.errors import ApieceError, ImageError, LossyFormatError, MissingExtraError, UnknownNameError

NAMES = {
    *("Image", "ImageRef", "Instances", "Masks", "PixelSize"),
    *("evaluate", "iou", "load", "measure", "prompt", "read", "read_image", "train", "write"),
}
ROOMS = {
    *(
        "benchmark",
        "calibration",
        "check",
        "core",
        "datasets",
        "draw",
        "errors",
        "evaluation",
        "export",
        "formats",
        "images",
        "grasps",
        "language",
        "measurements",
    ),
    *(
        "metrics",
        "models",
        "monitor",
        "ops",
        "predict",
        "prompts",
        "rules",
        "serve",
        "testing",
        "track",
        "training",
        "transforms",
    ),
}


def test_the_front_door_shows_names_and_rooms_and_nothing_else() -> None:
    assert set(apiece.__all__) == set(dir(apiece)) == NAMES | ROOMS
    assert all(callable(getattr(apiece, name)) for name in NAMES)
    assert all(getattr(apiece, room).__name__ == f"apiece.{room}" for room in ROOMS)
    with pytest.raises(AttributeError, match="no attribute 'masks'"):
        _ = apiece.masks


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(out.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import apiece; apiece.Masks, apiece.Instances, apiece.iou",
        "import apiece; apiece.read, apiece.write, apiece.read_image, apiece.measurements",
        "import apiece.cli",
    ],
)
def test_torch_is_loaded_only_where_it_is_needed(code: str) -> None:
    assert not {"torch", "torchvision", "lightning", "timm", "matplotlib"} & loaded_by(code)


def test_the_default_model_imports_nothing_of_torch_but_torch() -> None:
    loaded = loaded_by("import apiece; assert apiece.load('default').predict")
    assert "apiece.models.swift" in loaded
    assert not {"torchvision", "timm", "transformers", "lightning", "torch._dynamo", "sympy"} & loaded


def test_a_plugin_is_a_file_and_only_the_one_asked_for_is_imported() -> None:
    assert "coco" in apiece.formats.names()
    assert not [n for n in apiece.formats.names() if n.startswith("_")]
    loaded = loaded_by("import apiece; apiece.formats.load('labelmap')")
    assert "apiece.formats.labelmap" in loaded
    assert "apiece.formats.coco" not in loaded


def test_an_unknown_plugin_names_the_nearest_right_one() -> None:
    with pytest.raises(UnknownNameError, match=r"no format named 'cocoo'. Did you mean 'coco'\? There are: .*labelmap"):
        apiece.formats.load("cocoo")


def test_a_missing_extra_names_its_install_command() -> None:
    error = MissingExtraError("av", "video")
    assert "pip install 'apiece[video]'" in str(error)
    assert isinstance(error, ApieceError)
    assert isinstance(error, ImportError)


@pytest.mark.parametrize(
    "error",
    [
        UnknownNameError("model", "swif", ["swift", "yolact"]),
        MissingExtraError("onnx", "export"),
        ImageError("a.png", "is empty"),
        LossyFormatError(Path("a.json"), "holds no overlap"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_come_back_whole_from_another_process(error: ApieceError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
