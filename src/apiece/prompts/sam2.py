"""SAM 2: points, boxes and earlier masks, and every object by a grid of points; four sizes, the smallest of 39 M.

Paper: N. Ravi et al., "SAM 2: Segment Anything in Images and Videos" (arXiv 2408.00714). The network is transformers'
Sam2Model (Apache-2.0), weights such as ``hf:facebook/sam2.1-hiera-tiny``. Published weights: Apache-2.0. What they hold
for video is left out.
"""

from __future__ import annotations

from typing import Any

from apiece.prompts.contract import Backend, Opening

__all__ = ["BACKEND"]


def _open(opening: Opening) -> Any:
    from transformers import Sam2Config, Sam2ImageProcessor, Sam2Model

    from apiece.prompts._kit.library import SamFamily, model_of, processor_of

    model = model_of(opening, Sam2Model, Sam2Config)
    return SamFamily(model, processor_of(opening, Sam2ImageProcessor), model.prompt_encoder.mask_input_size[0])


BACKEND = Backend(
    "SAM 2: promptable network in four sizes; better and quicker than SAM",
    _open,
    takes=frozenset({"points", "boxes", "masks"}),
    model_types=("sam2", "sam2_video"),
    files="a checkpoint of SAM 2, such as hf:facebook/sam2.1-hiera-tiny",
    licence="Apache-2.0",
    proposes=True,
)
