"""SAM 3's network for words: an image and a phrase to masks with scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import Sam3Config, Sam3ImageProcessor, Sam3Model
from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.prompts import Words
from apiece.prompts._kit.library import model_of, processor_of, resized, tokenizer_of
from apiece.prompts.contract import Embedding, Opening

__all__ = ["open_sam3"]

_WORDS = 32  # tokens that the published text encoder takes


def open_sam3(opening: Opening) -> Concepts:
    """Return SAM 3's detector of these weights."""
    model = model_of(opening, Sam3Model, Sam3Config, "detector_config", {"detector_model.": ""})
    return Concepts(model, processor_of(opening, Sam3ImageProcessor), tokenizer_of(opening))


class Concepts:
    """Find what words name (`MaskReader`)."""

    def __init__(self, model: Any, processor: Any, tokenizer: Any) -> None:
        self.model, self.processor, self.tokenizer = model, processor, tokenizer
        self.tokens = min(_WORDS, model.config.text_config.max_position_embeddings)

    def embed(self, image: Image) -> Embedding:
        """Return features and their places at every level."""
        with torch.inference_mode():
            out = self.model.get_vision_features(resized(self.processor, image, self.model.device))
        levels = {"feature": out.fpn_hidden_states, "place": out.fpn_position_encoding}
        arrays = {f"{name}_{k}": a.float().cpu().numpy() for name, each in levels.items() for k, a in enumerate(each)}
        return Embedding(image.size, arrays)

    def read(self, embedding: Embedding, words: Words, conf: float) -> Instances:
        """Return the instances of each word, one word after the other."""
        vision = self._vision(embedding)
        found = [Instances.empty(embedding.size, words.texts, scored=True)]
        for label, text in enumerate(words.texts):
            tokens = self.tokenizer(
                text, return_tensors="pt", padding="max_length", max_length=self.tokens, truncation=True
            )
            with torch.inference_mode():
                out = self.model(
                    vision_embeds=vision, input_ids=tokens["input_ids"].to(self.model.device),
                    attention_mask=tokens["attention_mask"].to(self.model.device),
                )  # fmt: skip
            scores = out.pred_logits[0].sigmoid() * out.presence_logits[0].sigmoid()
            kept = scores >= conf
            maps = out.pred_masks[0][kept].sigmoid().float().cpu().numpy()  # the library resamples chances, not logits
            whole = np.tile([0, 0, embedding.size[1], embedding.size[0]], (len(maps), 1))
            masks = Masks.from_logits(maps, whole, embedding.size, whole=True, threshold=0.5)
            one = Instances(masks, np.full(len(masks), label), words.texts, scores[kept].double().cpu().numpy())
            found.append(one[masks.area > 0])
        return Instances.concatenate(found)

    def _vision(self, embedding: Embedding) -> Any:
        count = len(embedding.arrays) // 2
        features, places = (
            tuple(
                torch.from_numpy(np.array(embedding.arrays[f"{name}_{k}"])).to(self.model.device) for k in range(count)
            )
            for name in ("feature", "place")
        )
        return Sam3VisionEncoderOutput(fpn_hidden_states=features, fpn_position_encoding=places)
