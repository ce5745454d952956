"""Networks that compare pictures with texts: how well words fit what a mask shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from apiece._arrays import Float, UInt8
from apiece.core.image import Image
from apiece.core.masks import Masks
from apiece.core.prompts import Words
from apiece.draw import to_display

__all__ = ["Contrast"]

TEMPLATES = ("a photo of a {}", "a close up of a {}", "the {} in a photo", "{}")
OTHERS = ("thing", "object", "background")
_CONTEXT = 0.2  # of the longer side, around a mask's box
_AT_ONCE = 16  # masks whose crops go through the network together


class Contrast:
    """Say how well words fit masks (`MaskScorer`).

    A mask is seen twice: its box with some context, and the same without what is not the mask. The features of the two
    are averaged, and so are those of a word in several templates.

    Parameters
    ----------
    model, processor, tokenizer : of the library.
    others : whether the chance is a share among the words and `OTHERS` (CLIP); else each word has its own (SigLIP).
    temperature : divides the logits: above 1 for chances that are less sure.
    """

    def __init__(self, model: Any, processor: Any, tokenizer: Any, *, others: bool, temperature: float = 1.0) -> None:
        self.model, self.processor, self.tokenizer = model, processor, tokenizer
        self.others, self.temperature = others, temperature
        self.tokens = int(model.config.text_config.max_position_embeddings)

    def score(self, image: Image, masks: Masks, words: Words) -> Float:
        """Return the chance of each word for each mask; see `MaskScorer`."""
        texts = self._of_texts((*words.texts, *(OTHERS if self.others else ())))
        pixels = to_display(image)
        found = [np.zeros((0, len(words.texts)))]
        for first in range(0, len(masks), _AT_ONCE):
            views = [view for mask in masks[first : first + _AT_ONCE] for view in _views(pixels, mask)]
            logits = self._of_views(views) @ texts.T * self.model.logit_scale.exp()
            if self.others:
                chances = (logits / self.temperature).softmax(1)[:, : len(words.texts)]
            else:
                chances = ((logits + self.model.logit_bias) / self.temperature).sigmoid()
            found.append(chances.double().cpu().numpy())
        return np.concatenate(found)

    def _of_texts(self, texts: tuple[str, ...]) -> Tensor:
        """Return a feature of unit length for each text: (K, D)."""
        filled = [template.format(text) for text in texts for template in TEMPLATES]
        tokens = self.tokenizer(
            filled, return_tensors="pt", padding="max_length", max_length=self.tokens, truncation=True
        )
        given = {name: tokens[name].to(self.model.device) for name in self._inputs(tokens)}
        with torch.inference_mode():
            features = _features(self.model.get_text_features(**given))
        return _mean(features, len(TEMPLATES))

    def _inputs(self, tokens: Any) -> tuple[str, ...]:
        # SigLIP learned with all tokens, padding among them, in its sight
        return ("input_ids", "attention_mask") if self.others and "attention_mask" in tokens else ("input_ids",)

    def _of_views(self, views: list[UInt8]) -> Tensor:
        """Return a feature of unit length for each two views: (N, D)."""
        inputs = self.processor(images=views, input_data_format="channels_last", return_tensors="pt")
        with torch.inference_mode():
            out = self.model.get_image_features(pixel_values=inputs["pixel_values"].to(self.model.device))
        return _mean(_features(out), 2)


def _features(out: Any) -> Tensor:
    found: Tensor = out if isinstance(out, Tensor) else out.pooler_output
    return found.float()


def _mean(features: Tensor, per: int) -> Tensor:
    """Return the mean direction of each ``per`` features."""
    unit = functional.normalize(features, dim=-1).reshape(-1, per, features.shape[-1])
    return functional.normalize(unit.mean(1), dim=-1)


def _views(pixels: UInt8, mask: Masks) -> Iterator[UInt8]:
    """Yield the square around a mask, and the same with everything else blurred and grey."""
    x0, y0, x1, y1 = mask.boxes[0].astype(int).tolist()
    half = max(x1 - x0, y1 - y0, 1) * (0.5 + _CONTEXT)
    left, top = int((x0 + x1) / 2 - half), int((y0 + y1) / 2 - half)
    side = max(int(2 * half), 1)
    inside = mask.crop(left, top, left + side, top + side).to_dense()[0]
    rows, columns = (np.arange(a, a + side).clip(0, pixels.shape[k] - 1) for k, a in enumerate((top, left)))
    crop = pixels[np.ix_(rows, columns)]
    yield crop
    grey = cv2.GaussianBlur(crop, (0, 0), max(side / 16, 1)) // 4 + 96
    yield np.where(inside[:, :, None], crop, grey).astype(np.uint8)
