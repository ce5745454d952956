"""CLIP: says which of the words fits a mask best; another backend finds the masks.

Paper: A. Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (arXiv 2103.00020).
The network is transformers' CLIPModel (Apache-2.0), weights such as ``hf:openai/clip-vit-base-patch32`` (MIT). The
chance of a word is its share among the words and three texts for everything else, so that a single word can be refused.
"""

from __future__ import annotations

from typing import Any

from apiece.prompts.contract import Backend, Opening

__all__ = ["BACKEND"]


def _open(opening: Opening) -> Any:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    from apiece.prompts._kit.contrast import Contrast
    from apiece.prompts._kit.library import model_of, processor_of, tokenizer_of

    model = model_of(opening, CLIPModel, CLIPConfig)
    return Contrast(model, processor_of(opening, CLIPImageProcessor), tokenizer_of(opening), others=True)


BACKEND = Backend(
    "CLIP: names masks that another backend has found; for kinds of things, not for where they end",
    _open,
    takes=frozenset({"text"}),
    gives="scores",
    model_types=("clip",),
    files="a checkpoint of CLIP, such as hf:openai/clip-vit-base-patch32",
    licence="MIT",
    conf=0.5,
)
