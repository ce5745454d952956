"""Exported models predict as model folders do, without torch; what is wrong with one is told."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from tests.predict.known_graph import CARD, bright, picture, write

import apiece
from apiece.errors import ApieceError, ConfigError, DataError, ModelFileError
from apiece.models import ExportedModel, exported_model, load_model, save_thresholds, threads
from apiece.predict import predict_to

RUNTIMES = ["onnx", "openvino"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_it_predicts_like_a_model_folder(runtime: str, tmp_path: Path) -> None:
    model = apiece.load(write(tmp_path / "m", runtime=runtime))
    assert repr(model) == "Model(semantic, classes=('bolt',), device='cpu')"
    found = model.predict(picture())
    assert sorted(found.masks.area.tolist()) == [8, 12]
    assert found.masks.boxes[0].tolist() in ([2, 1, 6, 4], [10, 6, 12, 10])
    both = list(model.stream([picture(), picture()], batch=2))
    assert [one.masks == found.masks for _, one in both] == [True, True]
    tiles = list(model.predict_tiled(picture(), tile=64, halo=4))
    assert sum(len(part) for part in tiles) == 2


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_graph_for_one_size_and_one_image_takes_smaller_ones_in_batches(runtime: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "m", bright(1, (24, 32)), runtime=runtime, size=(24, 32), alone=True)
    model = apiece.load(folder)
    both = list(model.stream([picture(), picture()], batch=2))
    assert [sorted(found.masks.area.tolist()) for _, found in both] == [[8, 12]] * 2
    with pytest.raises(DataError, match="32 x 40 pixels is too large for this model, which was exported for 24 x 32"):
        model.predict(np.zeros((30, 40), np.uint8))


def test_thresholds_and_unequal_answers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write(tmp_path / "m", unequal="mean mask IoU is 0.9, below 0.999")
    save_thresholds(folder, [1.0])
    with caplog.at_level(logging.WARNING, "apiece"):
        model = apiece.load(folder)
    assert "does not answer as its original: mean mask IoU is 0.9" in caplog.text
    assert model.thresholds == (1.0,)
    assert len(model.predict(picture())) == 0
    assert len(model.predict(picture(), conf=0.5)) == 2


def test_a_process_without_torch(tmp_path: Path) -> None:
    write(tmp_path / "m")
    cv2.imwrite(str(tmp_path / "a.png"), picture())
    code = """
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "timm", "transformers", "safetensors", "onnx"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Without())
from apiece.cli import main
try:
    main("predict a.png --model m --save coco,csv,overlay --out made --json".split())
except SystemExit as left:
    assert not left.code, left.code
assert not [name for name in sys.modules if name.partition(".")[0] == "torch"]
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["instances"] == 2
    assert {"predictions.json", "predictions.csv"} <= {p.name for p in (tmp_path / "made").iterdir()}


def test_the_other_runtime_is_used_as_many_threads_as_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    for other in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", other)
        assert 1 <= threads() <= (os.cpu_count() or 1)


# --- what is wrong ----------------------------------------------------------------------------------------------------


def changed(folder: Path, **parts: Any) -> Path:
    """Change parts of the graph in ``model.json``."""
    content = json.loads((folder / "model.json").read_text())
    content["graph"].update(parts)
    (folder / "model.json").write_text(json.dumps(content))
    return folder


def test_a_folder_with_tensors_holds_no_graph(tmp_path: Path) -> None:
    assert exported_model("default") is None
    assert exported_model(tmp_path) is None
    assert isinstance(exported_model(write(tmp_path / "m")), ExportedModel)


def test_a_graph_that_was_swapped_or_is_absent(tmp_path: Path) -> None:
    folder = write(tmp_path / "m")
    (folder / "model.onnx").write_bytes(bright(1))
    with pytest.raises(ModelFileError, match=r"model\.onnx: is not the file that model\.json describes"):
        apiece.load(folder)
    (folder / "model.onnx").unlink()
    with pytest.raises(ModelFileError, match=r"model\.onnx: is missing; model\.json names it; copy the folder afresh"):
        apiece.load(folder)


def test_no_file_outside_the_folder_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "m")
    (tmp_path / "other.onnx").write_bytes((folder / "model.onnx").read_bytes())
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to(tmp_path / "other.onnx")
    with pytest.raises(ModelFileError, match="a link that leads out of the folder"):
        apiece.load(folder)
    digest = hashlib.sha256((tmp_path / "other.onnx").read_bytes()).hexdigest()
    with pytest.raises(ModelFileError, match=r"other\.onnx: is missing"):  # a path in the JSON is only a name
        apiece.load(changed(folder, files={"../other.onnx": digest}))


def test_weights_in_a_file_beside_the_graph_are_not_read(tmp_path: Path) -> None:
    model = onnx.load_from_string(bright())
    onnx.external_data_helper.convert_model_to_external_data(model, location="../weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").write_bytes(b"\0" * 64)
    with pytest.raises(ModelFileError, match="cannot be opened by onnx"):
        apiece.load(write(tmp_path / "m", model.SerializeToString()))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"runtime": "tensorrt"}, "for 'tensorrt'; runtimes are onnx, opencv, openvino"),
        ({"outputs": ["classes", "boxes"]}, "gives no boxes"),
        ({"stride": "8"}, "stride"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_model_json_says_is_checked(parts: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ApieceError, match=said):
        apiece.load(changed(write(tmp_path / "m"), **parts))


def test_a_graph_that_is_none_or_of_a_later_opset(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be opened by onnx"):
        apiece.load(write(tmp_path / "none", b"no graph"))
    model = onnx.load_from_string(bright())
    model.opset_import[0].version = 999
    with pytest.raises(ModelFileError, match="opset"):
        apiece.load(write(tmp_path / "later", model.SerializeToString()))


def test_a_device_that_its_runtime_has_not(tmp_path: Path) -> None:
    for runtime in RUNTIMES:
        with pytest.raises(ConfigError, match=f"exported to {runtime}, here it computes on cpu"):
            apiece.load(write(tmp_path / runtime, runtime=runtime), device="cuda")


def test_what_needs_weights_says_where_they_are(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="holds a graph for onnx, without weights: use the folder it came from"):
        load_model(write(tmp_path / "m"))


def test_opencv_says_what_it_cannot_open(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="its graph cannot be opened by opencv"):
        apiece.load(write(tmp_path / "m", b"no graph", runtime="opencv"))
    with pytest.raises(ConfigError, match="here it computes on cpu"):
        apiece.load(write(tmp_path / "n", runtime="opencv"), device="cuda")


@pytest.mark.parametrize("model", ["default", "exported"])
def test_a_process_can_have_all_modules_of_a_model_ready(model: str, tmp_path: Path) -> None:
    if model == "exported":
        model = str(write(tmp_path / "m"))
    code = """
import importlib, sys
import apiece
from apiece.predict.runtime import modules_of
for name in modules_of(sys.argv[1]):
    importlib.import_module(name)
before = set(sys.modules)
apiece.load(sys.argv[1], "cpu")
new = set(sys.modules) - before
print(sorted(name for name in new if name.startswith(("apiece.models", "timm", "torchvision"))))
"""
    done = subprocess.run([sys.executable, "-c", code, model], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_photo_that_the_model_sees_much_smaller_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = apiece.load(write(tmp_path / "m", card=replace(CARD, input=replace(CARD.input, imgsz=32))))
    caplog.set_level(logging.INFO, "apiece")
    shown = [apiece.Image(np.kron(picture(), np.ones((times, times), np.uint8))[:, :, None]) for times in (1, 7, 8)]
    predict_to(model, shown, tmp_path / "out")
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith("image_000001: the model sees it 4.4 times smaller")
    assert "tile=1024" in said
