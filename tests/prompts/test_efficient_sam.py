"""EfficientSAM: a small graph with the same inputs and outputs as the published files, and what else a folder holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.prompts.scenes import IMAGE

import apiece
from apiece import Masks
from apiece.errors import ConfigError, ModelFileError, PromptError
from apiece.prompts import Opening
from apiece.testing import check_backend

SIDE = 16


def _save(path: Path, nodes: list[onnx.NodeProto], inputs: dict, outputs: dict, constants: dict) -> None:
    graph = helper.make_graph(
        nodes, "graph",
        [helper.make_tensor_value_info(name, *about) for name, about in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def write(folder: Path, *, coarse: bool = True) -> Path:
    """Write an encoder that averages, and a decoder whose maps fall with the distance from the first point.

    Map k of a point is ``1 + k - 8 |cell - point / size|``; the second map has the highest guessed IoU.
    """
    image = {"batched_images": (TensorProto.FLOAT, [1, 3, "h", "w"])}
    nodes = [helper.make_node("ReduceMean", ["batched_images"], ["image_embeddings"], axes=[2, 3], keepdims=1)]
    _save(folder / "small_encoder.onnx", nodes, image, {"image_embeddings": [1, 3, 1, 1]}, {})
    cells = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE
    constants = {
        "x": np.tile(cells, (SIDE, 1))[None, None], "y": np.tile(cells[:, None], (1, SIDE))[None, None],
        "zero": np.array([0]), "one": np.array([1]), "two": np.array([2]), "minus8": np.array(-8, np.float32),
        "lift": np.array([0.5, 1.5, 2.5], np.float32).reshape(1, 3, 1, 1),
        "guess": np.array([0.2, 0.9, 0.4], np.float32).reshape(1, 1, 3), "last": np.array([-1]),
        "many": np.array([-1, 1, 1, 1]), "axis2": np.array([2]), "axis3": np.array([3]),
        "nothing": np.array(0.0, np.float32),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node("Slice", ["batched_point_coords", "zero", "one", "axis2"], ["first"]),  # (1, Q, 1, 2)
        node("Slice", ["first", "zero", "one", "axis3"], ["px0"]),
        node("Slice", ["first", "one", "two", "axis3"], ["py0"]),
        node("Reshape", ["px0", "many"], ["px"]),
        node("Reshape", ["py0", "many"], ["py"]),
        node("Cast", ["orig_im_size"], ["size"], to=TensorProto.FLOAT),
        node("Slice", ["size", "zero", "one", "zero"], ["height"]),
        node("Slice", ["size", "one", "two", "zero"], ["width"]),
        node("Div", ["px", "width"], ["u"]),
        node("Div", ["py", "height"], ["v"]),
        node("Sub", ["x", "u"], ["dx"]),
        node("Sub", ["y", "v"], ["dy"]),
        node("Mul", ["dx", "dx"], ["dx2"]),
        node("Mul", ["dy", "dy"], ["dy2"]),
        node("Add", ["dx2", "dy2"], ["d2"]),
        node("Sqrt", ["d2"], ["d"]),
        node("Mul", ["d", "minus8"], ["fall"]),
        node("ReduceSum", ["image_embeddings"], ["bright"], keepdims=1),
        node("Mul", ["bright", "nothing"], ["dark"]),
        node("Add", ["lift", "dark"], ["lifted"]),
        node("Add", ["fall", "lifted"], ["low"]),  # (Q, 3, s, s)
        node("Unsqueeze", ["low", "zero"], ["output_masks"]),
        node("ReduceMean", ["batched_point_labels"], ["label"], axes=[2], keepdims=1),
        node("Mul", ["label", "nothing"], ["level"]),
        node("Add", ["guess", "level"], ["iou_predictions"]),
    ]
    inputs = {
        "image_embeddings": (TensorProto.FLOAT, [1, 3, 1, 1]),
        "batched_point_coords": (TensorProto.FLOAT, [1, "q", 6, 2]),
        "batched_point_labels": (TensorProto.FLOAT, [1, "q", 6]),
        "orig_im_size": (TensorProto.INT64, [2]),
    }
    outputs = {"output_masks": [1, "q", 3, SIDE, SIDE], "iou_predictions": [1, "q", 3]}
    if coarse:
        nodes.append(node("Identity", ["low"], ["1852"]))
        outputs["1852"] = ["q", 3, SIDE, SIDE]
    _save(folder / "small_decoder.onnx", nodes, inputs, outputs, constants)
    return folder


@pytest.mark.parametrize("coarse", [True, False])
def test_the_backend_keeps_its_contract(tmp_path: Path, coarse: bool) -> None:
    check_backend("efficient_sam", Opening(str(write(tmp_path, coarse=coarse))))


@pytest.mark.parametrize("coarse", [True, False])
def test_the_map_with_the_best_guess_is_resampled_to_the_image(tmp_path: Path, coarse: bool) -> None:
    session = apiece.prompt(IMAGE, weights=write(tmp_path, coarse=coarse))
    found = session.points([(40, 40), (90, 70)], objects=[0, 1])
    cells = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE
    height, width = IMAGE.size
    maps = [1.5 - 8 * np.hypot(cells[None] - x / width, cells[:, None] - y / height) for x, y in ((40, 40), (90, 70))]
    wanted = Masks.from_logits(np.stack(maps).astype(np.float32), [[0, 0, width, height]] * 2, IMAGE.size, whole=True)
    assert (found.masks.to_dense() == wanted.to_dense()).mean() > 0.999
    assert found.scores.tolist() == pytest.approx([0.9, 0.9])


def test_more_points_than_it_looks_at_are_refused(tmp_path: Path) -> None:
    session = apiece.prompt(IMAGE, weights=write(tmp_path))
    six = [(k + 10, 20) for k in range(6)]
    assert len(session.points(six)) == 1
    with pytest.raises(PromptError, match=r"object 1: EfficientSAM looks at 6 points .* this one has 8"):
        session.points(six, boxes=[0, 0, 50, 50])
    with pytest.raises(PromptError, match="efficient_sam takes no masks, but boxes, points; choose with backend="):
        session.points(six, masks=Masks.from_boxes([[0, 0, 9, 9]], IMAGE.size))


def test_folders_that_hold_something_else(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "other_encoder.onnx").write_bytes(b"")
    with pytest.raises(ModelFileError, match=r"needs one file \*encoder\*.onnx, .* it has 2"):
        apiece.prompt(IMAGE, weights=tmp_path).embed()
    (tmp_path / "small_encoder.onnx").unlink()
    with pytest.raises(ModelFileError, match=r"other_encoder.onnx: is no ONNX file that can be run"):
        apiece.prompt(IMAGE, weights=tmp_path).embed()
    (tmp_path / "other_encoder.onnx").write_bytes((tmp_path / "small_decoder.onnx").read_bytes())
    with pytest.raises(ModelFileError, match="is no encoder of EfficientSAM: it takes batched_point_coords"):
        apiece.prompt(IMAGE, weights=tmp_path).embed()
    with pytest.raises(ConfigError, match="are for efficient_sam, not for sam"):
        apiece.prompt(IMAGE, backend="sam", weights=tmp_path).embed()
