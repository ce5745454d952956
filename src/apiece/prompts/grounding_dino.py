"""Grounding DINO: boxes of what words name, which a backend that takes boxes turns into masks.

Paper: S. Liu et al., "Grounding DINO: Marrying DINO with Grounded Pre-Training for Open-Set Object Detection" (arXiv
2303.05499). The network is transformers' GroundingDinoForObjectDetection (Apache-2.0), weights such as
``hf:IDEA-Research/grounding-dino-tiny`` (Apache-2.0). Scores are the library's, the highest chance of any token. What
differs: a box belongs to the one of the words that its likeliest token lies in, where the library joins all tokens
above a threshold, which may mix two words.
"""

from __future__ import annotations

from typing import Any

from apiece.prompts.contract import Backend, Opening

__all__ = ["BACKEND"]


def _open(opening: Opening) -> Any:
    from apiece.prompts._kit.grounding import open_grounding_dino

    return open_grounding_dino(opening)


BACKEND = Backend(
    "Grounding DINO: boxes of what words name, for any backend that takes boxes; the open choice for words",
    _open,
    takes=frozenset({"text"}),
    gives="boxes",
    model_types=("grounding-dino",),
    files="a checkpoint of Grounding DINO, such as hf:IDEA-Research/grounding-dino-tiny",
    licence="Apache-2.0",
    conf=0.25,
)
