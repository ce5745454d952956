"""Every backend keeps its contract (`apiece.testing.check_backend`), and answers what a person expects."""

from __future__ import annotations

import numpy as np
import pytest
from tests.prompts.scenes import IMAGE, SIZE, TRUTH

from apiece import Masks, iou, prompts
from apiece.core.prompts import Prompts
from apiece.prompts import Opening
from apiece.testing import check_backend

CLASSICAL = sorted(name for name in prompts.names() if not prompts.load(name).files)


def answer(name: str, asked: Prompts) -> Masks:
    segmenter = prompts.load(name).open(Opening())
    return segmenter.answer(segmenter.embed(IMAGE), asked.on(SIZE)).masks


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_backend_keeps_its_contract(name: str) -> None:
    check_backend(name)


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize(
    "asked",
    [
        Prompts.of([(40, 40), (90, 70)], objects=[0, 1]),
        Prompts.of([(40, 40), (90, 70), (10, 90)], [1, 1, 0], [0, 1, 0]),
        Prompts.of(boxes=[[18, 18, 62, 62], [70, 50, 110, 90]]),
        Prompts.of([(40, 40), (90, 70)], objects=[0, 1], boxes=[[18, 18, 62, 62], [70, 50, 110, 90]]),
    ],
    ids=["points", "negative", "boxes", "both"],
)
def test_discs_are_found(name: str, asked: Prompts) -> None:
    found = answer(name, asked)
    assert iou(found, TRUTH).toarray().diagonal().min() > 0.9


@pytest.mark.parametrize("name", ["grabcut", "watershed"])
def test_an_earlier_mask_is_corrected(name: str) -> None:
    shifted = TRUTH[:1].shift(3, 2)
    found = answer(name, Prompts.of(masks=shifted))
    assert iou(found, TRUTH[:1]).toarray()[0, 0] > max(0.93, iou(shifted, TRUTH[:1]).toarray()[0, 0])


def test_the_wand_adds_to_an_earlier_mask_and_takes_away() -> None:
    both = answer("wand", Prompts.of([(90, 70)], masks=TRUTH[:1]))
    assert iou(both, TRUTH.union()).toarray()[0, 0] > 0.95
    one = answer("wand", Prompts.of([(90, 70)], [0], masks=TRUTH.union()))
    assert iou(one, TRUTH[:1]).toarray()[0, 0] > 0.9


def test_a_negative_point_keeps_the_wand_out() -> None:
    ramp = np.tile(np.arange(128, dtype=np.uint8) + 60, (96, 1))
    from apiece import Image

    segmenter = prompts.load("wand").open(Opening())
    embedding = segmenter.embed(Image(ramp))
    free, held = (
        segmenter.answer(embedding, Prompts.of(points, signs)).masks.boxes[0].tolist()
        for points, signs in (([(64, 40)], [1]), ([(64, 40), (80, 40)], [1, 0]))
    )
    assert free == [32, 0, 97, 96]
    assert held[2] <= 80 < free[2]


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 2), (5, 40)])
def test_tiny_images(name: str, shape: tuple[int, int]) -> None:
    from apiece import Image

    segmenter = prompts.load(name).open(Opening())
    embedding = segmenter.embed(Image(np.arange(shape[0] * shape[1], dtype=np.uint8).reshape(shape)))
    asked = Prompts.of([(0, 0)], boxes=[[np.nan] * 4, [0, 0, shape[1], shape[0]]])
    assert len(segmenter.answer(embedding, asked).masks) == 2


def test_a_large_image_is_seen_smaller_and_answered_at_full_size() -> None:
    rows, columns = np.mgrid[:1500, :2000]
    disc = np.hypot(columns - 900, rows - 700) < 400
    from apiece import Image

    for name in ("grabcut", "watershed"):
        segmenter = prompts.load(name).open(Opening())
        embedding = segmenter.embed(Image(np.where(disc, 200, 50).astype(np.uint8)))
        found = segmenter.answer(embedding, Prompts.of([(900, 700)])).masks
        assert iou(found, Masks.from_dense(disc[None])).toarray()[0, 0] > 0.97
