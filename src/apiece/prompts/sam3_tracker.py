"""SAM 3 asked with points, boxes and earlier masks: the part of SAM 3 that segments what is pointed at.

Paper: N. Carion et al., "SAM 3: Segment Anything with Concepts" (arXiv 2511.16719). The network is transformers'
Sam3TrackerModel (Apache-2.0), weights ``hf:facebook/sam3``. Their licence is Meta's SAM License, which forbids some
uses, and their repository is gated: whoever downloads them has to accept it there first. They are never bundled.
"""

from __future__ import annotations

from typing import Any

from apiece.prompts.contract import Backend, Opening

__all__ = ["BACKEND"]

_NAMES = {
    "detector_model.vision_encoder.backbone.": "vision_encoder.backbone.", "tracker_neck.": "vision_encoder.neck.",
    "tracker_model.": "",
}  # fmt: skip


def _open(opening: Opening) -> Any:
    from transformers import Sam3ImageProcessor, Sam3TrackerConfig, Sam3TrackerModel

    from apiece.prompts._kit.library import SamFamily, model_of, processor_of

    model = model_of(opening, Sam3TrackerModel, Sam3TrackerConfig, "tracker_config", _NAMES)
    return SamFamily(model, processor_of(opening, Sam3ImageProcessor), model.prompt_encoder.mask_input_size[0])


BACKEND = Backend(
    "SAM 3 asked with points and boxes; the largest of the family, wants a GPU",
    _open,
    takes=frozenset({"points", "boxes", "masks"}),
    model_types=("sam3_tracker", "sam3_tracker_video", "sam3_video"),
    files="a checkpoint of SAM 3: hf:facebook/sam3, gated",
    licence="SAM License, which forbids some uses; the download is gated",
    proposes=True,
)
