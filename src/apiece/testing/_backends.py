"""What every backend of prompts promises."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from apiece.core.image import Image
from apiece.core.masks import Masks
from apiece.core.prompts import Prompts
from apiece.prompts.contract import Answer, Backend, Embedding, Opening, Segmenter
from apiece.testing._promises import expect

_SIZE = (60, 80)
_TAKES = {"points", "boxes", "masks", "text"}


@cache
def _scene() -> tuple[Image, Masks]:
    """A bright disc and a dark one on noise, and where they are."""
    y, x = np.mgrid[: _SIZE[0], : _SIZE[1]]
    masks = Masks.from_dense(np.stack([np.hypot(x - 22, y - 24) < 13, np.hypot(x - 58, y - 36) < 11]))
    pixels = np.random.default_rng(0).normal(110, 4, (*_SIZE, 3))
    for disc, colour in zip(masks.to_dense(), ((230, 200, 40), (20, 40, 90)), strict=True):
        pixels[disc] = colour
    return Image(pixels.clip(0, 255).astype(np.uint8)), masks


def _asked(backend: Backend) -> Prompts:
    """Return prompts for four objects, of every kind that the backend takes."""
    masks, boxes = _scene()[1], np.full((4, 4), np.nan)
    if "boxes" in backend.takes:
        boxes[1] = (44, 22, 72, 50)
    earlier = None
    if "masks" in backend.takes:
        earlier = Masks.concatenate([Masks.empty(_SIZE, 2), masks[:1], Masks.empty(_SIZE, 1)])
    points = [(22, 24), (58, 36), (5, 5), (22, 24), (58, 36), (3, 56)]
    return Prompts.of(points, [1, 1, 0, 1, 1, 0], [0, 1, 1, 2, 3, 3], boxes, earlier)


def _same(one: Answer, other: Answer) -> bool:
    scores = one.scores is other.scores or np.allclose(one.scores, other.scores, atol=1e-4)  # type: ignore[arg-type]
    return scores and all(
        a == b or (a.area[0] and np.asarray(_iou(a, b)) > 0.99) for a, b in zip(one.masks, other.masks, strict=True)
    )


def _iou(a: Masks, b: Masks) -> float:
    one, two = a.to_dense()[0], b.to_dense()[0]
    return float((one & two).sum() / max((one | two).sum(), 1))


def _open(backend: Backend, opening: Opening) -> tuple[Segmenter, Embedding]:
    segmenter: Segmenter = backend.open(opening)
    return segmenter, segmenter.embed(_scene()[0])


def description(backend: Backend, folder: Path, opening: Opening) -> None:
    """It is described in one line, and says what it takes and which weights it needs."""
    expect(backend.summary and "\n" not in backend.summary, f"no description in one line: {backend.summary!r}")
    expect(backend.takes and backend.takes <= _TAKES, f"takes {sorted(backend.takes)}, out of {sorted(_TAKES)}")
    expect(bool(backend.files) == bool(backend.model_types), "files and model_types say whether it needs weights")
    expect(not backend.model_types or backend.licence, "weights have no licence")


def one_mask_each(backend: Backend, folder: Path, opening: Opening) -> None:
    """Each object gets one mask at the size of the image, and a score from 0 to 1 where there are scores."""
    segmenter, embedding = _open(backend, opening)
    prompts = _asked(backend)
    for asked in (prompts, prompts[:0]):
        answer = segmenter.answer(embedding, asked)
        expect(len(answer.masks) == len(asked), f"{len(answer.masks)} masks for {len(asked)} objects")
        expect(answer.masks.size == _SIZE, f"masks of {answer.masks.size} on an image of {_SIZE}")
        scores = answer.scores
        fit = scores is None or (scores.shape == (len(asked),) and ((scores >= 0) & (scores <= 1)).all())
        expect(fit, f"scores {scores}")


def alone(backend: Backend, folder: Path, opening: Opening) -> None:
    """The answer to an object does not depend on the others: the same alone, and in another order."""
    segmenter, embedding = _open(backend, opening)
    prompts = _asked(backend)
    together = segmenter.answer(embedding, prompts)
    turned = segmenter.answer(embedding, prompts[::-1])
    back = Answer(turned.masks[::-1], None if turned.scores is None else turned.scores[::-1])
    expect(_same(together, back), "another order gives other masks")
    for k in range(len(prompts)):
        part = Answer(together.masks[k], None if together.scores is None else together.scores[k : k + 1])
        expect(_same(segmenter.answer(embedding, prompts[k]), part), f"object {k + 1} alone has another mask")


def kept(backend: Backend, folder: Path, opening: Opening) -> None:
    """An embedding is NumPy arrays that can be saved, no answer changes it, and the same question has one answer."""
    segmenter, embedding = _open(backend, opening)
    arrays = {name: np.ascontiguousarray(array).copy() for name, array in embedding.arrays.items()}
    first = segmenter.answer(embedding, _asked(backend))
    unchanged = all(np.array_equal(arrays[name], array) for name, array in embedding.arrays.items())
    expect(unchanged, "an answer changed the embedding")
    again = segmenter.answer(Embedding(embedding.size, arrays), _asked(backend))
    expect(_same(first, again), "the embedding, saved and read, has another answer")


def proposals(backend: Backend, folder: Path, opening: Opening) -> None:
    """It proposes masks for every point, if it proposes any, each with its score and stability."""
    segmenter, embedding = _open(backend, opening)
    expect(hasattr(segmenter, "propose") == backend.proposes, f"proposes is {backend.proposes}")
    if backend.proposes:
        points = np.array([(22.0, 24.0), (58.0, 36.0), (4.0, 4.0)])
        found = list(segmenter.propose(embedding, points, 0.0))  # type: ignore[attr-defined]
        expect(sum(part.points for part in found) == 3, "some points were passed over")
        for part in found:
            fit = len(part.masks) == len(part.scores) == len(part.stability) and part.masks.size == _SIZE
            expect(fit and ((part.stability >= 0) & (part.stability <= 1)).all(), "masks, scores and stability differ")


def everything(backend: Backend, folder: Path, opening: Opening) -> None:
    """It finds every object by itself, if it says so, best first."""
    segmenter, embedding = _open(backend, opening)
    expect(hasattr(segmenter, "find_all") == backend.finds, f"finds is {backend.finds}")
    if backend.finds:
        found = segmenter.find_all(embedding)  # type: ignore[attr-defined]
        expect(found.masks.size == _SIZE, f"masks of {found.masks.size} on an image of {_SIZE}")
        expect(found.scores is not None and (np.diff(found.scores) <= 0).all(), f"scores {found.scores} do not fall")


SEGMENTS = (description, one_mask_each, alone, kept, proposals, everything)
READS = (description,)
