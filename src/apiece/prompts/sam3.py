"""SAM 3 asked with words: the masks of everything that a short noun phrase names.

Paper: N. Carion et al., "SAM 3: Segment Anything with Concepts" (arXiv 2511.16719). The network is transformers'
Sam3Model (Apache-2.0), weights ``hf:facebook/sam3``; for their licence see ``sam3_tracker``. Scores are the library's:
the chance of a query times the chance that the concept is there at all.
"""

from __future__ import annotations

from typing import Any

from apiece.prompts.contract import Backend, Opening

__all__ = ["BACKEND"]


def _open(opening: Opening) -> Any:
    from apiece.prompts._kit.concepts import open_sam3

    return open_sam3(opening)


BACKEND = Backend(
    "SAM 3 asked with words: masks of all that a noun phrase names; the best reader, wants a GPU",
    _open,
    takes=frozenset({"text"}),
    model_types=("sam3", "sam3_video"),
    files="a checkpoint of SAM 3: hf:facebook/sam3, gated",
    licence="SAM License, which forbids some uses; the download is gated",
    conf=0.5,
)
