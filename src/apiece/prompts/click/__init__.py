"""Clicks by the default model: points, boxes and earlier masks answered offline, by weights that come with apiece.

The default model's encoder sees the image; a small head turns its features and the clicks into a mask.
As in FocalClick (X. Chen et al., arXiv 2204.02574) it looks twice: from afar at the whole image, then close at the
object, at the image's own resolution. What the default model finds by itself is a first guess where a person points at
it, and the answer to "everything". Weights: Apache-2.0, learned from what the default weights learned from
(`recipes/click_weights`).
"""

from __future__ import annotations

from typing import Any

from apiece.prompts.contract import Backend, Opening

__all__ = ["BACKEND"]


def _open(opening: Opening) -> Any:
    from apiece.prompts.click.networks import Networks
    from apiece.prompts.click.segmenter import ClickSegmenter

    return ClickSegmenter(Networks())


def _own() -> str:
    from apiece.prompts.click.weights import fingerprint

    return fingerprint()


BACKEND = Backend(
    "clicks by the default model: any object, offline, quick on a CPU; its weights come with apiece",
    _open,
    takes=frozenset({"points", "boxes", "masks"}),
    licence="Apache-2.0",
    finds=True,
    own=_own,
)
