"""What answers prompts: one file in this package that defines ``BACKEND = Backend(...)``.

The road through a backend::

    Image ── embed ──▶ Embedding, once ─┬─ answer(embedding, prompts) ──▶ one mask per object
                                        ├─ propose(embedding, points) ──▶ all masks of each point, for "everything"
                                        └─ find_all(embedding) ─────────▶ every object at once

A backend that reads words does it in one of three ways (`Backend.gives`): it finds masks itself, it finds boxes that
another backend turns into masks, or it scores masks that another backend has found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np

from apiece._arrays import Array, Float, Float32, Int
from apiece._plugins import Room
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.prompts import Prompts, Words

if TYPE_CHECKING:  # classical backends need no torch
    from apiece.models import Checkpoint

__all__ = [
    "ROOM", "Answer", "Backend", "BoxReader", "Embedding", "Finder", "Gives", "MaskReader", "MaskScorer", "Opening",
    "Proposals", "Proposer", "Segmenter", "Takes",
]  # fmt: skip

Takes: TypeAlias = Literal["points", "boxes", "masks", "text"]
Gives: TypeAlias = Literal["masks", "boxes", "scores"]


@dataclass(frozen=True, eq=False)
class Embedding:
    """Hold what a backend keeps of an image, so that it is computed once and can be saved.

    Attributes
    ----------
    size : (height, width) of the image.
    arrays : the backend's own arrays, by name.
    """

    size: tuple[int, int]
    arrays: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Answer:
    """Hold one mask per object, in the order of the prompts.

    Attributes
    ----------
    masks : N masks at the size of the image; empty where a backend finds nothing.
    scores : the backend's own guess of each mask's IoU, float64 (N,), 0 to 1; None where it makes none.
    """

    masks: Masks
    scores: Float | None = None


@dataclass(frozen=True, eq=False)
class Proposals:
    """Hold every mask that a backend proposes for some points.

    Attributes
    ----------
    masks : M masks at the size of the image.
    scores : guessed IoU of each: float64 (M,).
    stability : share of each mask, 0 to 1, that stays when the threshold moves: float64 (M,).
    points : how many points they are for.
    """

    masks: Masks
    scores: Float
    stability: Float
    points: int


class Segmenter(Protocol):
    """Answer points, boxes and earlier masks. The answer to one object does not depend on the others."""

    def embed(self, image: Image) -> Embedding:
        """Return what `answer` needs of an image."""

    def answer(self, embedding: Embedding, prompts: Prompts) -> Answer:
        """Return one mask per object; ``prompts`` fit the image (`Prompts.on`) and what the backend takes."""


class Proposer(Segmenter, Protocol):
    """Propose masks for points alone, which "everything" is made of."""

    def propose(self, embedding: Embedding, points: Float, least: float) -> Iterator[Proposals]:
        """Yield the masks of each point of (P, 2) whose guessed IoU is ``least`` or more, some points at a time."""


class Finder(Segmenter, Protocol):
    """Find every object without being pointed at."""

    def find_all(self, embedding: Embedding) -> Instances:
        """Return every object, of the class "object", best first."""


class MaskReader(Protocol):
    """Find the masks of what words name."""

    def embed(self, image: Image) -> Embedding:
        """Return what `read` needs of an image."""

    def read(self, embedding: Embedding, words: Words, conf: float) -> Instances:
        """Return the instances of each word with a score of at least ``conf``; words are the classes."""


class BoxReader(Protocol):
    """Find the boxes of what words name."""

    def boxes(self, image: Image, words: Words, conf: float) -> tuple[Float32, Int, Float]:
        """Return half-open xyxy boxes (N, 4), the word of each (N,) and its score (N,), at least ``conf``."""


class MaskScorer(Protocol):
    """Say how well words fit masks."""

    def score(self, image: Image, masks: Masks, words: Words) -> Float:
        """Return the chance of each word for each mask: float64 (N, K), 0 to 1."""


@dataclass(frozen=True)
class Opening:
    """Say how a backend is opened.

    Attributes
    ----------
    weights : what names its weights: a folder, ``hf:org/name``, a file; empty if it needs none.
    checkpoint : these weights, read; None where it needs none, or reads files of its own.
    device : where it computes, as in `apiece.load`.
    """

    weights: str = ""
    checkpoint: Checkpoint | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class Backend:
    """Describe one way to answer prompts."""

    summary: str
    """One line: what it is, and when it serves."""
    open: Callable[[Opening], Any]
    """Return what answers: a `Segmenter`; of words a `MaskReader`, `BoxReader` or `MaskScorer`, as ``gives`` says."""
    takes: frozenset[Takes]
    """What it can be asked with."""
    gives: Gives = "masks"
    """What it answers words with; a backend that takes points, boxes or masks gives masks."""
    model_types: tuple[str, ...] = ()
    """``model_type`` of the checkpoints of transformers that it opens, or ``"onnx"``; empty if it needs no weights."""
    files: str = ""
    """What its weights are, for messages; empty if it needs none."""
    licence: str = ""
    """Licence of published weights, and what it asks for; empty if there are none."""
    proposes: bool = False
    """Whether it is a `Proposer`."""
    finds: bool = False
    """Whether it is a `Finder`."""
    own: Callable[[], str] | None = None
    """Return what tells the weights that come with apiece from others; None if it has none of these."""
    conf: float = 0.5
    """Lowest score of what it finds for words, where nobody says another."""

    def unable(self, prompts: Prompts) -> str:
        """Return what of the prompts it does not take: ``"boxes"``; empty if it takes all of them."""
        asked: dict[Takes, bool] = {
            "points": len(prompts.owner) > 0,
            "boxes": bool(prompts.boxed.any()),
            "masks": bool(np.any(prompts.masked)),
        }
        return next((name for name, there in asked.items() if there and name not in self.takes), "")


ROOM: Room[Backend] = Room("apiece.prompts", "BACKEND", Backend, noun="backend")
"""The backends."""
