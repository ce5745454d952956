"""Exported models of the smallest kind: a graph written by hand whose answers are known beforehand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from apiece.models import Card, Graph, ModelInput, save_exported

CARD = Card(
    name="semantic", config={"stuff": []}, input=ModelInput(1, "range", mean=(0,), std=(1,)), classes=("bolt",),
    thresholds=(0.5,), one_piece=(False,), provenance={}, metrics={},
)  # fmt: skip
GRAPH = Graph("onnx", ("classes", "smallest"), stride=8)


def bright(batch: int | str = "batch", size: tuple[Any, Any] = ("height", "width")) -> bytes:
    """Return a graph for the decoder of `semantic`: pixels above 0.5 are a bolt, from 3 pixels on."""
    weight, bias = np.array([[[[-20.0]]], [[[20.0]]]], np.float32), np.array([10.0, -10.0], np.float32)
    nodes = [
        helper.make_node("Conv", ["images", "weight", "bias"], ["classes"], kernel_shape=[1, 1]),
        helper.make_node("Shape", ["images"], ["rows"], start=0, end=1),
        helper.make_node("ConstantOfShape", ["rows"], ["smallest"], value=numpy_helper.from_array(np.array([3]))),
    ]
    graph = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 1, *size])],
        [
            helper.make_tensor_value_info("classes", TensorProto.FLOAT, [batch, 2, *size]),
            helper.make_tensor_value_info("smallest", TensorProto.INT64, [batch]),
        ],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def write(folder: Path, data: bytes | None = None, card: Card = CARD, **graph: Any) -> Path:
    """Write an exported model, for ONNX Runtime or, with ``runtime="openvino"``, for OpenVINO."""
    data = bright() if data is None else data
    files = {"model.onnx": data}
    if graph.get("runtime") == "openvino":
        from apiece.export.openvino import convert

        files = dict(convert("model", data, "float32"))
    save_exported(folder, card, replace(GRAPH, **graph), files)
    return folder


def picture() -> np.ndarray:
    """Return a 12 x 20 image with two bright rectangles of 12 and 8 pixels, and a speck of two."""
    pixels = np.full((12, 20), 20, np.uint8)
    pixels[1:4, 2:6] = pixels[6:10, 10:12] = pixels[11:, 18:] = 230
    return pixels
