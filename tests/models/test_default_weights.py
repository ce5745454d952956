"""The model that comes with apiece: its files, and what it finds on photos and drawings of any kind."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

import apiece
from apiece.cli import main
from apiece.errors import ModelFileError
from apiece.images import write_image
from apiece.models import model_folder
from apiece.models._engine import card
from apiece.models._engine.card import shipped_graph
from apiece.predict import Model

_FOLDER = model_folder("default")
_LARGEST = 10_000_000  # bytes


@pytest.fixture(scope="module")
def model() -> Model:
    """The model, loaded where any call to the network would fail."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", _no_network)
        patch.setattr(socket, "create_connection", _no_network)
        return apiece.load(device="cpu")


def _no_network(*_: object, **__: object) -> None:
    raise AssertionError("the weights that come with apiece need no network")


@pytest.fixture
def discs() -> np.ndarray:
    """Eight discs on a plain ground, two of them touching: uint8 (240, 320)."""
    photo = np.full((240, 320), 60, np.uint8)
    for x, y in ((50, 60), (120, 60), (190, 60), (260, 60), (50, 170), (120, 170), (211, 170), (260, 170)):
        cv2.circle(photo, (x, y), 25, 190, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(photo, (0, 0), 1.0)


def test_the_files_are_few_small_and_say_what_they_learned_from() -> None:
    names = {path.name for path in _FOLDER.iterdir()}
    assert names == {"model.json", "model.safetensors", "graph.json", "graph.onnx", "NOTICE.md"}
    assert sum(path.stat().st_size for path in _FOLDER.iterdir()) <= _LARGEST
    notice = (_FOLDER / "NOTICE.md").read_text(encoding="utf-8")
    for said in ("CC0", "CC BY 4.0", "Apache-2.0", "MIT", "ImageNet"):
        assert said in notice
    assert json.loads((_FOLDER / "model.json").read_text())["provenance"]["weights"]["source"] == "random"


def test_it_loads_by_default_without_network(model: Model) -> None:
    assert model.classes == ("object",)
    assert model.loaded.input.any_channels
    assert model.thresholds is not None


def test_a_package_holds_the_files() -> None:
    assert _FOLDER.is_relative_to(Path(apiece.__file__).parent)


def test_discs_that_touch_are_two(model: Model, discs: np.ndarray) -> None:
    found = model.predict(discs)
    share = found.masks.area / (np.pi * 25**2)
    assert np.count_nonzero(np.abs(share - 1) < 0.15) == 8
    assert len(found) <= 9  # two that touch are found together, too, and less surely than those that stand alone
    assert found.scores is not None
    assert found.scores[share > 1.5].max(initial=0) < np.sort(found.scores)[-6]


@pytest.mark.parametrize("kind", ["colour", "16 bits", "transparent", "five channels", "floats"])
def test_images_of_other_kinds_show_the_same_discs(model: Model, discs: np.ndarray, kind: str) -> None:
    wanted = model.predict(discs)
    grey = discs[:, :, None]
    opaque = np.full_like(grey, 255)
    image = {
        "colour": apiece.Image(np.repeat(grey, 3, axis=2)),
        "16 bits": apiece.Image(grey.astype(np.uint16) * 12),
        "transparent": apiece.Image(np.concatenate([grey, grey, grey, opaque], axis=2), alpha="unassociated"),
        "five channels": apiece.Image(np.repeat(grey, 5, axis=2)),
        "floats": apiece.Image(grey.astype(np.float32) / 3000),
    }[kind]
    found = model.predict(image)
    assert len(found) == len(wanted)
    assert np.abs(np.sort(found.masks.area) / np.sort(wanted.masks.area) - 1).max() < 0.1


def test_coins_are_found_one_by_one(model: Model) -> None:
    found = model.predict(skimage.data.coins())
    centres = found.masks.centroids
    rows = np.sort(np.rint((centres[:, 1] - 50) / 75).astype(int))
    assert len(found) == 24
    assert np.bincount(rows).tolist() == [6, 6, 6, 6]


def test_nothing_is_found_on_empty_ground(model: Model) -> None:
    assert len(model.predict(np.full((200, 200, 3), 127, np.uint8))) == 0


def test_the_command_line_needs_no_model(tmp_path: Path, discs: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "photo.png", discs)
    with pytest.raises(SystemExit) as end:
        main(["predict", str(tmp_path / "photo.png"), "--out", str(tmp_path / "found"), "--save", "coco,overlay"])
    assert not end.value.code
    assert "model: default" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        main(["measure", str(tmp_path / "photo.png"), "--model", "default", "--json"])
    assert not end.value.code
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert len(rows) in (8, 9)
    assert {row["class"] for row in rows} == {"object"}


@pytest.mark.parametrize("runtime", ["onnx", "opencv"])
def test_without_torch_a_graph_answers_alike(runtime: str, model: Model, discs: np.ndarray) -> None:
    graph = Model(shipped_graph(runtime))
    assert graph.runtime.name == runtime
    for photo in (discs, np.dstack([discs, discs[::-1], discs])[:130]):
        wanted, found = model.predict(photo), graph.predict(photo)
        assert len(found) == len(wanted) > 0
        np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-4)
        assert apiece.iou(found, wanted).toarray().diagonal().min() > 0.999
    both = graph.predict_batch([apiece.Image(discs), apiece.Image(discs[::-1].copy())], graph.options())
    assert [len(found) for found in both] == [len(model.predict(discs)), len(model.predict(discs[::-1].copy()))]


@pytest.mark.parametrize(("absent", "runtime"), [("torch", "onnx"), ("torch onnxruntime", "opencv")])
def test_a_process_without_torch_predicts(absent: str, runtime: str, tmp_path: Path, discs: np.ndarray) -> None:
    write_image(tmp_path / "photo.png", discs)
    code = f"""
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in "{absent} safetensors torchvision timm transformers".split():
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Without())
import apiece
assert apiece.load().runtime.name == "{runtime}"
from apiece.cli import main
main("predict photo.png --save coco,overlay --out found".split())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert ("pip install 'apiece[onnx]'" in done.stderr) == (runtime == "opencv")
    assert (tmp_path / "found" / "predictions.json").is_file()


def test_a_graph_of_other_tensors_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in _FOLDER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    tensors = bytearray((tmp_path / "model.safetensors").read_bytes())
    tensors[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(tensors)
    monkeypatch.setattr(card, "_SHIPPED", tmp_path)
    with pytest.raises(ModelFileError, match="checksum differs"):
        shipped_graph("opencv")
