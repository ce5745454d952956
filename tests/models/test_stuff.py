"""Stuff beside objects: the fast class map against a plain one, targets, and each model that can learn it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from apiece import models
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.models._kit.class_pixels import grid_classes
from apiece.models._kit.stuff import StuffSettings, encode_stuff, things_of
from apiece.models._kit.stuff_segments import as_segments, joined, with_stuff
from apiece.models.contract import DecodeOptions, Frame
from apiece.ops import flattened
from apiece.testing._architectures import make

CLASSES = ("disc", "sky", "bar")
SMALL: dict[str, dict[str, Any]] = {
    "swift": {"size": "s"},
    "mask_rcnn": {"width": 16, "hidden": 16, "proposals": 40},
    "panoptic_fpn": {"width": 16, "hidden": 16, "proposals": 40},
    "eomt": {"queries": 8, "size": 64, "width": 48},
    "upsnet": {"width": 16, "hidden": 16, "proposals": 40},
    "mask2former": {"queries": 8},
    "maskformer": {"queries": 8},
}
WITH_STUFF = [name for name in models.names() if hasattr(models.load(name).config(), "stuff")]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(16, 24), (13, 21), (40, 60), (7, 9)]), st.integers(1, 4))
def test_the_class_map_equals_interpolating_everything(seed: int, size: tuple[int, int], smooth: int) -> None:
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.normal(size=(1, 3, 8 // smooth + 1, 8 // smooth + 1)).astype(np.float32))
    logits = functional.interpolate(coarse, size=(6, 8), mode="bilinear")
    input_size = (16, 24)  # the grid has cells of 4; two rows and columns lie on the padding
    best, likely = grid_classes(logits[0].numpy(), Frame(size, input_size), 4)
    grid = logits[..., :4, :6]
    plain = functional.interpolate(grid, size=size, mode="bilinear", align_corners=False)[0]
    top = plain.topk(2, 0).values
    sure = (top[0] - top[1] > 1e-4).numpy()  # elsewhere rounding decides
    assert (best == plain.argmax(0).numpy())[sure].all()
    chance, won = grid[0].softmax(0), grid[0].argmax(0)
    expected = [float(chance[k][won == k].mean()) if (won == k).any() else 0.0 for k in range(3)]
    assert likely == pytest.approx(expected, abs=1e-5)


def truth() -> Instances:
    """A disc on the sky, which is in two parts of the labels; a bar; a crowd of the sky's class."""
    boxes = [[0, 0, 32, 16], [4, 8, 12, 24], [32, 0, 64, 12], [20, 40, 60, 48], [0, 56, 64, 64]]
    crowd = [False, False, False, False, True]
    return Instances(Masks.from_boxes(np.array(boxes), (64, 64)), [1, 0, 1, 2, 1], CLASSES, crowd=crowd)


def test_targets() -> None:
    assert things_of(truth(), (1,)).labels.tolist() == [0, 2, 1]  # nothing is learned where the crowd lies
    semantic = encode_stuff(truth(), (1,))["semantic"]
    assert [int(semantic[y, x]) for y, x in ((0, 0), (10, 6), (2, 40), (44, 30), (60, 3), (30, 30))] == [
        1, 0, 1, 0, -1, 0,
    ]  # fmt: skip
    one = joined(truth(), (1,))
    assert one.labels.tolist() == [1, 0, 2, 1]
    assert one.masks.area.tolist() == [32 * 16 + 32 * 12, 128, 320, 512]
    assert joined(truth(), ()) is not None
    assert joined(truth(), ()).masks == truth().masks


def test_queries_of_one_class_of_stuff_are_one_segment() -> None:
    found = truth()[~truth().crowd].replace(scores=[0.9, 0.8, 0.7, 0.6])
    out = {"stuff": torch.tensor([1]), "smallest": torch.tensor(100)}
    one = as_segments(found, out)
    assert (one.labels.tolist(), one.scores.tolist()) == ([1, 0, 2], [0.9, 0.8, 0.6])  # type: ignore[union-attr]
    assert as_segments(found, out | {"smallest": torch.tensor(1000)}).labels.tolist() == [0, 2]
    assert as_segments(found, {}) is found


def test_segments_have_the_size_score_and_threshold_of_their_class() -> None:
    found = Instances(Masks.from_boxes(np.array([[0, 0, 8, 8]]), (16, 16)), [0], CLASSES, [0.5])
    logits = torch.full((2, 4, 4), -3.0)
    logits[1, :, :2] = 3
    logits[0, :, 2:] = 3
    out = {"semantic": logits, "stuff": torch.tensor([1]), "smallest": torch.tensor(1)}
    frame = Frame((16, 16), (16, 16))
    both = with_stuff(found, out, frame, DecodeOptions())
    assert both.labels.tolist() == [1, 0]
    assert both.masks.area.tolist() == [16 * 8, 64]  # above each other
    assert both.scores.tolist() == pytest.approx([1 / (1 + np.exp(-6)), 0.5])  # type: ignore[union-attr]
    assert with_stuff(found, out, frame, DecodeOptions(), alone=True).masks.area.tolist() == [16 * 8 - 64, 64]
    assert len(with_stuff(found, out, frame, DecodeOptions(conf=(0.0, 0.999, 0.0)))) == 1
    assert len(with_stuff(found, out | {"smallest": torch.tensor(129)}, frame, DecodeOptions())) == 1
    whole = found.replace(full=found.masks)
    assert with_stuff(whole, out, frame, DecodeOptions()).full is not None


@pytest.mark.parametrize("name", WITH_STUFF)
def test_it_learns_and_finds_both(name: str) -> None:
    architecture, settings = models.load(name), SMALL.get(name, {}) | {"stuff": (1,), "smallest": 1}
    config = architecture.config(**settings)
    torch.manual_seed(0)
    spec = models.contract.ModelInput(channels=1, mean=(0.0,), std=(1.0,))
    module = architecture.build(config, spec, 3).train()
    images = torch.rand(2, 1, 64, 64)
    losses = architecture.loss(module, images, [architecture.encode(truth(), config)] * 2)
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert [n for n, p in module.named_parameters() if p.grad is None] == []
    with torch.inference_mode():
        raw = module.eval()(images)
        frames = [Frame((50, 60), (64, 60)), Frame((64, 64), (64, 64))]
        found = architecture.decode(raw, frames, CLASSES, DecodeOptions(conf=0.0))
        again = architecture.decode(raw, frames, CLASSES, DecodeOptions(conf=0.0))
    for one, other in zip(found, again, strict=True):
        assert (one.labels == 1).sum() <= 1
        assert (np.diff(one.scores) <= 0).all()  # type: ignore[arg-type]
        assert one.masks == other.masks  # decoding leaves the outputs as they are
        flat = flattened(one, 0.5, ("sky",))
        assert int(flat.masks.union().area[0]) == flat.masks.area.sum()


@pytest.mark.parametrize("name", WITH_STUFF)
@pytest.mark.parametrize("stuff", [(2,), (0, 1)])
def test_stuff_beyond_the_classes_and_stuff_alone_are_refused(name: str, stuff: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="stuff"):
        make(models.load(name), **SMALL.get(name, {}), stuff=stuff)


@pytest.mark.parametrize(("setting", "value"), [("stuff", (1, 1)), ("stuff", (-1,)), ("smallest", 0)])
def test_the_settings_name_what_is_wrong(setting: str, value: object) -> None:
    with pytest.raises(ConfigError, match=setting):
        StuffSettings(**{setting: value})  # type: ignore[arg-type]


def test_the_models_that_can() -> None:
    assert {"swift", "mask_rcnn", "panoptic_fpn", "mask2former", "maskformer", "eomt", "upsnet"} <= set(WITH_STUFF)
