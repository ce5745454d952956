"""Softness of masks' edges, on rendered logits of known slope, and through decoders of crops and of prototypes."""

from __future__ import annotations

import numpy as np
import pytest

from apiece import Instances, Masks
from apiece.models._decode import decoder
from apiece.models._kit.arrays import Arrays
from apiece.models._kit.soft_edges import logit, with_edges
from apiece.models.contract import DecodeOptions, Frame

SIZE = (160, 200)
LEVEL = logit(0.6)  # the logit half way between the two outlines and the outline is 0


def signed(kind: str, turn: float, cell: int) -> np.ndarray:
    """Return the distance to a shape's outline at the middles of cells, positive inside."""
    y, x = (np.mgrid[: SIZE[0] // cell, : SIZE[1] // cell] + 0.5) * cell
    u, v = (x - 97.3) * np.cos(turn) + (y - 81.6) * np.sin(turn), (y - 81.6) * np.cos(turn) - (x - 97.3) * np.sin(turn)
    if kind == "disc":
        return 45 - np.hypot(u, v)
    du, dv = abs(u) - 60, abs(v) - 25
    return -np.where((du > 0) & (dv > 0), np.hypot(du, dv), np.maximum(du, dv))


@pytest.mark.parametrize("kind", ["disc", "rectangle"])
@pytest.mark.parametrize("turn", [0.0, 0.4, np.pi / 2])
@pytest.mark.parametrize("wide", [0.5, 1.0, 3.0])
def test_it_is_half_the_distance_of_the_two_outlines(kind: str, turn: float, wide: float) -> None:
    maps = (LEVEL / wide * signed(kind, turn, 4))[None].astype(np.float32)
    whole = [[0, 0, SIZE[1], SIZE[0]]]

    def draw(chance: float) -> Masks:
        return Masks.from_logits(maps, whole, SIZE, threshold=logit(chance), whole=True)

    found = with_edges(Instances(draw(0.5)), draw, DecodeOptions(edges=(1.0, 0.5)))
    # the Crofton length of a rectangle along rows and columns is 5% too short
    assert found.attributes["edge"] == pytest.approx([wide], rel=0.1)
    assert found.attributes["edge_mean"] == pytest.approx(found.attributes["edge"] / 2)
    assert with_edges(found.replace(attributes={}), draw, DecodeOptions()).attributes == {}


def crops(wide: float) -> Arrays:
    """Return answers of `mask_rcnn`: one disc of radius 45 in its box."""
    side = (np.arange(28) + 0.5) / 28 * 100 - 50
    logits = LEVEL / wide * (45 - np.hypot(*np.meshgrid(side, side)))
    return {
        "boxes": np.array([[47.3, 31.6, 147.3, 131.6]], np.float32), "scores": np.array([0.9], np.float32),
        "labels": np.array([0]), "masks": logits[None].astype(np.float32),
    }  # fmt: skip


def prototypes(wide: float) -> Arrays:
    """Return answers of `yolact`: a disc of radius 45 as one map."""
    return {
        "boxes": np.array([[52.3, 36.6, 142.3, 126.6]], np.float32), "logits": np.array([[3.0]], np.float32),
        "prototypes": signed("disc", 0, 4)[None].astype(np.float32),
        "coefficients": np.array([[LEVEL / wide]], np.float32),
    }  # fmt: skip


@pytest.mark.parametrize(("name", "answers"), [("mask_rcnn", crops), ("yolact", prototypes)])
@pytest.mark.parametrize("zoom", [1, 2])
def test_decoders_give_it_in_pixels_of_the_image(name: str, answers: object, zoom: int) -> None:
    assert callable(answers)
    batch = {key: value[None] for key, value in answers(1.5).items()}
    frame = Frame((zoom * SIZE[0], zoom * SIZE[1]), SIZE)
    (found,) = decoder(name)(batch, [frame], ("disc",), DecodeOptions(edges=(2.0, 1.0)))
    assert found.attributes["edge"] == pytest.approx([2 * 1.5 * zoom], rel=0.1)
    (plain,) = decoder(name)(batch, [frame], ("disc",), DecodeOptions())
    assert plain == found.replace(attributes={})
