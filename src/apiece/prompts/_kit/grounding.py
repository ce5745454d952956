"""Grounding DINO's network: an image and words to boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection, GroundingDinoImageProcessor

from apiece._arrays import Float, Float32, Int
from apiece.core.image import Image
from apiece.core.prompts import Words
from apiece.draw import to_display
from apiece.errors import PromptError
from apiece.prompts._kit.library import model_of, processor_of, tokenizer_of
from apiece.prompts.contract import Opening

__all__ = ["open_grounding_dino"]


def open_grounding_dino(opening: Opening) -> Grounding:
    """Return the network of these weights."""
    model = model_of(opening, GroundingDinoForObjectDetection, GroundingDinoConfig)
    return Grounding(model, processor_of(opening, GroundingDinoImageProcessor), tokenizer_of(opening))


class Grounding:
    """Find boxes of words (`BoxReader`)."""

    def __init__(self, model: Any, processor: Any, tokenizer: Any) -> None:
        self.model, self.processor, self.tokenizer = model, processor, tokenizer

    def boxes(self, image: Image, words: Words, conf: float) -> tuple[Float32, Int, Float]:
        """Return boxes, words and scores; see `BoxReader`."""
        tokens, spans = self._tokens(words)
        inputs = self.processor(images=to_display(image), input_data_format="channels_last", return_tensors="pt")
        device = self.model.device
        with torch.inference_mode():
            out = self.model(
                pixel_values=inputs["pixel_values"].to(device), pixel_mask=inputs["pixel_mask"].to(device),
                **{name: values.to(device) for name, values in tokens.items()},
            )  # fmt: skip
        chances = out.logits[0].sigmoid().double().cpu().numpy()
        of_words = np.stack([chances[:, span].max(1) for span in spans], axis=1)
        labels, scores = of_words.argmax(1), of_words.max(1)
        height, width = image.size
        x, y, w, h = out.pred_boxes[0].double().cpu().numpy().T * np.array([width, height, width, height])[:, None]
        boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1).clip(0, [width, height, width, height])
        kept = (scores >= conf) & (boxes[:, 2:] - boxes[:, :2] >= 1).all(1)
        return boxes[kept].astype(np.float32), labels[kept], scores[kept]

    def _tokens(self, words: Words) -> tuple[dict[str, Any], list[Int]]:
        """Return the tokens of all words in one text, each ended by a dot, and the places of each word's tokens."""
        texts = [text.lower().replace(".", " ") for text in words.texts]
        ends = np.cumsum([len(text) + 2 for text in texts])
        found = self.tokenizer(" ".join(f"{text}." for text in texts), return_tensors="pt", return_offsets_mapping=True)
        first, last = found.pop("offset_mapping")[0].numpy().T
        most = self.model.config.max_text_len
        if len(first) > most:
            raise PromptError(f"these words are {len(first)} tokens, and it reads {most}; ask for fewer at once")
        spans = [
            np.flatnonzero((first >= end - len(text) - 2) & (last <= end - 2) & (last > first))
            for text, end in zip(texts, ends.tolist(), strict=True)
        ]
        return dict(found), spans
