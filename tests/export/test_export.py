"""A model is exported, answers as before in each runtime, and is refused where it does not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch

import apiece
from apiece import models
from apiece.cli import main
from apiece.datasets import AnythingConfig, any_scene
from apiece.errors import ConfigError
from apiece.export import Limits, Parity, compare_answers, load
from apiece.export._engine.needs import requirements
from apiece.export._engine.parity import outputs_apart
from apiece.export._engine.quantise import quantise
from apiece.export._engine.trace import trace
from apiece.models import Graph, LoadedModel, ModelInput, save_exported
from apiece.predict import Model
from apiece.transforms.fit import Fit


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four drawn scenes of two shapes."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(4):
        pixels = any_scene(AnythingConfig((320, 320)), seed)[0].pixels
        cv2.imwrite(str(folder / f"{seed}.png"), pixels[: 200 if seed % 2 else None, :, ::-1])
    return folder


def random_model(name: str, imgsz: int | None, **settings: object) -> LoadedModel:
    """Return a network with random weights."""
    torch.manual_seed(0)
    architecture, spec = models.load(name), ModelInput(3, imgsz=imgsz)
    config = architecture.config(**settings)
    return LoadedModel(
        module=architecture.build(config, spec, 2).eval(), architecture=architecture, name=name, config=config,
        input=spec, classes=("a", "b"), thresholds=None, one_piece=(False, False), provenance={}, metrics={},
    )  # fmt: skip


@pytest.mark.slow
def test_the_default_model_answers_as_before(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["export", "default", "--to", "onnx,openvino", "--fp16", "--photos", str(photos), "--out", str(tmp_path)]
    line.append("--json")
    with pytest.raises(SystemExit) as left:
        main(line)
    assert left.value.code == 0
    made = json.loads(capsys.readouterr().out)["exported"]
    assert [(one["target"], one["precision"], one["written"]) for one in made] == [
        ("onnx", "float32", True), ("openvino", "float32", True), ("openvino", "float16", True),
    ]  # fmt: skip
    assert all(one["iou"] > 0.9999 and one["alone"] == 0 for one in made[:2])
    assert made[2]["iou"] > 0.99
    whole, halved = ((Path(one["folder"]) / "model.bin").stat().st_size for one in made[1:])
    assert whole / 2.1 < halved < whole / 1.9
    original = apiece.load()
    for one in made:
        folder = Path(one["folder"])
        assert {"parity.json", "parity.html", "model.json"} <= {p.name for p in folder.iterdir()}
        found, wanted = (m.predict(photos / "1.png") for m in (apiece.load(folder), original))
        assert len(found) == len(wanted) > 0
        assert found.scores == pytest.approx(wanted.scores, abs=1e-3 if one["precision"] == "float16" else 1e-4)
    with pytest.raises(SystemExit) as left:  # nothing is replaced unasked
        main(line)
    assert left.value.code == 1


def test_what_torch_decodes_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match="upsnet cannot be exported: its answers are decoded by torch"):
        trace(random_model("upsnet", 64, width=16, hidden=16, proposals=10))


def test_the_list_for_a_line_pc_has_the_runtime_and_neither_torch_nor_scipy() -> None:
    files = requirements("onnxruntime")
    for_predict, for_serve = (
        {line.partition("==")[0] for line in files[name].splitlines() if "==" in line}
        for name in ("requirements.txt", "requirements-serve.txt")
    )
    assert {"apiece", "numpy", "onnxruntime", "protobuf", "imagecodecs", "attrs"} <= for_predict
    assert not {"scipy", "torch", "onnx"} & for_predict
    assert {"scipy", "starlette"} <= for_serve
    assert not for_serve & for_predict


def wake(module: torch.nn.Module) -> None:
    """Let masks of random weights be neither empty nor whole."""
    for name, values in module.named_parameters():
        if name.endswith("mask_fcn_logits.bias"):
            torch.nn.init.ones_(values)
        elif name.startswith("maps.") and values.shape == (512, 16, 3, 3):  # the last layer of `solo`
            torch.nn.init.normal_(values, std=0.5)


SMALL: dict[str, dict[str, Any]] = {
    "eomt": {"queries": 10}, "maskformer": {"queries": 10},
    "mask_rcnn": {"width": 16, "hidden": 32, "proposals": 60, "conf": 0.01},
    "panoptic_fpn": {"width": 16, "hidden": 32, "proposals": 60, "conf": 0.01, "stuff": (1,)},
    "semantic": {}, "solo": {"width": 16, "depth": 1},
    "solov2": {"width": 16, "depth": 1}, "yolact": {},
}  # fmt: skip


def exported(model: LoadedModel, folder: Path) -> list[Path]:
    """Return a model's folders for both runtimes: of graphs that take images of any size, but for `detr_mask`."""
    traced, made = trace(model), []
    assert traced.size == ((128, 128) if model.name == "detr_mask" else None), traced.why
    for target in ("onnx", "openvino"):
        each = (load(target).convert(part, data, "float32") for part, data in traced.graphs.items())
        files = {name: data for made_of in each for name, data in made_of.items()}
        parts = {part: outputs for part, outputs in traced.outputs.items() if part != "model"}
        graph = Graph(target, traced.outputs["model"], model.stride, size=traced.size, alone=traced.alone, parts=parts)
        made.append(folder / target)
        save_exported(made[-1], model, graph, files)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_every_architecture_answers_as_before(name: str, photos: Path, tmp_path: Path) -> None:
    """Random weights; thresholds that about 20 objects of the first image pass, so many lie near them."""
    model = random_model(name, 128, **SMALL[name])
    wake(model.module)
    images = [(path.name, path) for path in sorted(photos.iterdir())[:2]]
    scores = np.sort(Model(model, "cpu").predict(images[0][1], conf=0.0).scores)[::-1]
    least = 0.999 * float(scores[min(20, len(scores) - 1)])  # the last one is found by all, too
    model = replace(model, thresholds=(least,) * 2, edges=(9.0, 4.0))
    for folder in exported(model, tmp_path):
        found, _ = compare_answers(Model(model, "cpu"), apiece.load(folder), images)
        parity = Parity(found, (1.0, 1.0), {})
        assert sum(one.matched for one in found) > 0
        assert parity.excess(Limits.of("float32")) == ""
        both = Model(model, "cpu"), apiece.load(folder)
        one, other = (m.predict(images[0][1], edges=True) for m in both)
        soft = {"edge", "edge_mean"} if name != "semantic" else set()
        assert one.attributes.keys() == other.attributes.keys() == soft
        if len(one) == len(other):
            for key, values in one.attributes.items():
                assert other.attributes[key] == pytest.approx(values, rel=0.02, nan_ok=True)


GRAPHS: dict[str, dict[str, Any]] = {
    "detr_mask": {"queries": 10, "width": 32, "feedforward": 32, "encoder_layers": 1, "decoder_layers": 1},
    "embedding": {}, "mask2former": {"queries": 10}, "rf_detr": {"queries": 10},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", GRAPHS)
def test_the_graph_gives_what_the_network_gives(name: str, photos: Path, tmp_path: Path) -> None:
    """Outputs are compared: objects of random weights are too few or too rough.

    `apiece export` compares the objects of a trained model, on the images of whoever exports it.
    """
    model = random_model(name, 128, **GRAPHS[name])
    for folder in exported(model, tmp_path):
        for photo in ("0.png",) if name == "detr_mask" else ("0.png", "1.png"):  # square, and not
            apart = outputs_apart(Model(model, "cpu"), apiece.load(folder), photos / photo)
            assert apart
            assert max(apart.values()) < 1e-3


@pytest.mark.slow
def test_published_weights_that_are_not_padded_become_a_graph_of_any_size(photos: Path, tmp_path: Path) -> None:
    model = random_model("eomt", None, queries=10)
    model = replace(model, input=replace(model.input, fit=Fit(shorter=90, longer=150, pad=1)))
    for folder in exported(model, tmp_path):
        apart = outputs_apart(Model(model, "cpu"), apiece.load(folder), photos / "1.png")  # 90 x 144 pixels
        assert apart
        assert max(apart.values()) < 1e-3


def test_int8_leaves_the_first_and_the_last_layer_in_float() -> None:
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(a, b, 3, padding=1) for a, b in ((3, 8), (8, 8), (8, 2))]
    example = (torch.rand(1, 3, 16, 16),)
    made = torch.onnx.export(torch.nn.Sequential(*layers), example, dynamo=True, input_names=["images"], verbose=False)
    assert made is not None
    images = np.random.default_rng(0).random((4, 3, 16, 16), np.float32)
    nodes = onnx.load_from_string(quantise(made.model_proto.SerializeToString(), images)).graph.node
    scaled = {name for node in nodes if node.op_type == "DequantizeLinear" for name in node.output}
    convolutions = [node for node in nodes if node.op_type == "Conv"]
    assert [node.input[0] in scaled and node.input[1] in scaled for node in convolutions] == [False, True, False]
