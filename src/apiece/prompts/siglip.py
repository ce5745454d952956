"""SigLIP: says of each word how well it fits a mask; another backend finds the masks.

Paper: X. Zhai et al., "Sigmoid Loss for Language Image Pre-Training" (arXiv 2303.15343). The network is transformers'
SiglipModel (Apache-2.0), weights such as ``hf:google/siglip-base-patch16-224`` (Apache-2.0). Each word has a chance of
its own, which is low even for what is there (0.1 is much), as the network learned among many thousand texts.
"""

from __future__ import annotations

from typing import Any

from apiece.prompts.contract import Backend, Opening

__all__ = ["BACKEND"]


def _open(opening: Opening) -> Any:
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    from apiece.prompts._kit.contrast import Contrast
    from apiece.prompts._kit.library import model_of, processor_of, tokenizer_of

    model = model_of(opening, SiglipModel, SiglipConfig)
    return Contrast(model, processor_of(opening, SiglipImageProcessor), tokenizer_of(opening), others=False)


BACKEND = Backend(
    "SigLIP: names masks that another backend has found; each word by itself",
    _open,
    takes=frozenset({"text"}),
    gives="scores",
    model_types=("siglip",),
    files="a checkpoint of SigLIP, such as hf:google/siglip-base-patch16-224",
    licence="Apache-2.0",
    conf=0.05,
)
