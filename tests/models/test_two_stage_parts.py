"""A two-stage network in parts, with NumPy between them, gives what the whole network gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from apiece import models
from apiece._strict_json import dataclass_to
from apiece.models import ModelInput
from apiece.models._decode import decoder, stages_of
from apiece.models._kit.arrays import as_array, images_of
from apiece.models.contract import DecodeOptions, Frame

SMALL = {"width": 16, "hidden": 32, "proposals": 60, "conf": 0.01}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "amodal with stuff": {"amodal": True, "stuff": (1,), "smallest": 16},
    "four convolutions, five levels": {
        "box_layers": 2, "unnamed": 1, "anchors": ((8,), (16,), (32,), (64,), (128,)), "aspects": (0.5, 2.0),
    },
}  # fmt: skip
SIZES = [(96, 128), (80, 100)]


def whole_and_parts(name: str, settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    torch.manual_seed(0)
    architecture = models.load(name)
    config = architecture.config(**{**SMALL, **settings})
    module = architecture.build(config, ModelInput(), 3).eval()
    masks = getattr(module, "things", module).mask_predictor.mask_fcn_logits
    torch.nn.init.ones_(masks.bias)  # masks that are something
    images = torch.rand(2, 3, 96, 128) * 4
    assert architecture.parts is not None
    parts = architecture.parts(module)

    def compute(part: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        found = parts[part].module(*(torch.from_numpy(np.ascontiguousarray(values)) for values in inputs.values()))
        return {key: as_array(values) for key, values in found.items()}

    stages = stages_of(name)
    assert stages is not None
    with torch.inference_mode():
        whole = module(images, SIZES) if architecture.sized else module(images)
        between = stages(
            compute, images.numpy(), SIZES if architecture.sized else [SIZES[0]] * 2, dataclass_to(config), 3
        )
    return whole, between


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("name", ["mask_rcnn", "panoptic_fpn"])
def test_parts_give_what_the_whole_gives(name: str, settings: dict[str, Any]) -> None:
    if name == "panoptic_fpn":
        settings = {key: value for key, value in settings.items() if key != "amodal"}
    whole, between = whole_and_parts(name, settings)
    assert set(whole) == set(between)
    for key, values in whole.items():
        for i in range(2):
            a, b = (np.asarray(images_of(v)[i]) for v in (values, between[key]))
            assert a.shape == b.shape, key
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3, err_msg=key)
    assert len(between["boxes"][0]) > 5
    frames = [Frame(size, (2 * size[0], 2 * size[1])) for size in SIZES]
    found = [decoder(name)(out, frames, ("a", "b", "c"), DecodeOptions(0.01)) for out in (whole, between)]
    assert [len(one) for one in found[0]] == [len(one) for one in found[1]]
    assert len(found[0][0]) > 0
    for a, b in zip(*found, strict=True):
        assert a.masks.area == pytest.approx(b.masks.area, rel=0.02, abs=4)


def test_where_nothing_is_found_there_are_no_boxes() -> None:
    whole, between = whole_and_parts("mask_rcnn", {"conf": 0.99})
    assert [len(v) for v in whole["boxes"]] == [len(v) for v in between["boxes"]] == [0, 0]
    assert between["masks"][0].shape == (0, 28, 28)
