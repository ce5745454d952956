"""SAM: points, boxes and earlier masks, and every object by a grid of points.

Paper: A. Kirillov et al., "Segment Anything" (arXiv 2304.02643). The network is transformers' SamModel (Apache-2.0),
weights such as ``hf:facebook/sam-vit-base`` (375 MB). Published weights: Apache-2.0, learned on SA-1B, whose images are
for research only.
"""

from __future__ import annotations

from typing import Any

from apiece.prompts.contract import Backend, Opening

__all__ = ["BACKEND"]


def _open(opening: Opening) -> Any:
    from transformers import SamConfig, SamImageProcessor, SamModel

    from apiece.prompts._kit.library import SamFamily, model_of, processor_of

    model = model_of(opening, SamModel, SamConfig)
    return SamFamily(model, processor_of(opening, SamImageProcessor), 4 * model.prompt_encoder.image_embedding_size[0])


BACKEND = Backend(
    "SAM: the first promptable network; robust, slow to embed an image without a GPU",
    _open,
    takes=frozenset({"points", "boxes", "masks"}),
    model_types=("sam",),
    files="a checkpoint of SAM, such as hf:facebook/sam-vit-base",
    licence="Apache-2.0",
    proposes=True,
)
