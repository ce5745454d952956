"""How answers are held against each other: two graphs written by hand, one of which finds something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.predict.known_graph import bright, picture, write

import apiece
from apiece import export
from apiece.errors import ConfigError
from apiece.export import Limits, Parity, compare_answers, export_to
from apiece.export._engine.parity import outputs_apart
from apiece.export._engine.quantise import _last


def dimmer() -> bytes:
    """Return the graph of `bright`, for which only pixels above 0.95 are a bolt."""
    model = onnx.load_from_string(bright())
    (bias,) = [t for t in model.graph.initializer if t.name == "bias"]
    bias.CopyFrom(numpy_helper.from_array(np.array([19.0, -19.0], np.float32), "bias"))
    return model.SerializeToString()


@pytest.fixture
def scene() -> apiece.Image:
    """One rectangle of 250, which both see, one of 230 and a dim part of the first, which only `bright` sees."""
    pixels = picture()
    pixels[1:4, 2:5] = 250
    return apiece.Image(pixels[:, :, None])


def test_answers_are_held_against_each_other(tmp_path: Path, scene: apiece.Image) -> None:
    first, second = apiece.load(write(tmp_path / "a")), apiece.load(write(tmp_path / "b", dimmer()))
    (same,), _ = compare_answers(first, first, [("a", scene)])
    assert (same.original, same.exported, same.matched, same.alone, same.iou, same.box) == (2, 2, 2, 0, 1.0, 0.0)
    (one,), (before, after) = compare_answers(first, second, [("a", scene)])
    assert (one.original, one.exported, one.matched, one.alone) == (2, 1, 1, 1)
    assert one.iou == pytest.approx(9 / 12)
    assert one.box == 1.0
    assert before > 0
    assert after > 0
    apart = outputs_apart(first, second, scene)
    assert apart["classes"] > 0.1
    assert apart["smallest"] == 0
    parity = Parity((one, same), (1.0, 1.0), {})
    assert parity.iou == pytest.approx((9 / 12 + 2) / 3)
    assert parity.alone == pytest.approx(1 / 4)
    assert "below 0.999; 25.0% of the objects" in parity.excess(Limits.of("float32"))
    assert parity.excess(Limits(0.9, 0.3)) == ""
    labelled = replace(parity, mask_ap=(0.51, 0.5))
    assert "mask AP falls from 0.5100 to 0.5000" in labelled.excess(Limits(0.9, 0.3, drop=0.005))
    assert labelled.excess(Limits(0.9, 0.3, drop=0.02)) == ""


def test_nothing_found_by_both_is_equal() -> None:
    assert Parity((), (0.0, 0.0), {}).excess(Limits.of("float32")) == ""


def test_the_last_convolutions_stay_in_float() -> None:
    """Of a chain that ends in two outputs, one of them from the middle."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Conv", ["b", "w"], ["c"], "second"),
        helper.make_node("Conv", ["b", "w"], ["d"], "third"),
        helper.make_node("Sigmoid", ["c"], ["e"], "sigmoid"),
    ]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    assert _last(helper.make_graph(nodes, "g", [value], [])) == ["second", "third"]


def test_targets_are_listed() -> None:
    assert set(export.names()) >= {"onnx", "openvino"}
    assert all(export.describe().values())


def test_what_cannot_be_exported_says_why(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"real images; give labelled ones with data=\.\.\., or others with photos=\.\.\."
    ):
        export_to("default", tmp_path / "out")
    with pytest.raises(ConfigError, match="name a target"):
        export_to("default", tmp_path / "out", ())
    assert not (tmp_path / "out").exists()
