"""What the backends share that are networks of transformers: their models, and answers of the SAM family.

A checkpoint is a folder as transformers writes it (`config.json`, `model.safetensors`, `preprocessor_config.json`).
Images are prepared by the library's own image processors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoTokenizer, BaseImageProcessor, PretrainedConfig, PreTrainedModel

from apiece._arrays import Float, Int
from apiece.core.image import Image
from apiece.core.masks import Masks
from apiece.core.prompts import Prompts
from apiece.draw import to_display
from apiece.errors import ModelFileError, PromptError
from apiece.models import checkpoint_model
from apiece.prompts.contract import Answer, Embedding, Opening, Proposals

__all__ = ["SamFamily", "device_of", "model_of", "processor_of", "resized", "tokenizer_of"]

Model = TypeVar("Model", bound=PreTrainedModel)

_AT_ONCE = 8  # objects that go through the decoder together
_DECODED = 4  # masks that are brought to the size of the network's input together
_MOST_POINTS = 1000  # of one object: each is a token that attends to the whole image
_SURE = 6.9  # logit of a pixel that is certain in an earlier mask: a chance of 0.999
_OFFSET = 1.0  # of the logits, at which a mask has to be stable


def device_of(opening: Opening) -> torch.device:
    """Return the device; ``"auto"`` is a GPU if there is one."""
    if opening.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(opening.device)


def model_of(
    opening: Opening,
    kind: type[Model],
    config: type[PretrainedConfig],
    part: str = "",
    names: Mapping[str, str] = MappingProxyType({}),
) -> Model:
    """Return the library's model of these weights, ready to answer.

    Parameters
    ----------
    kind, config : the library's classes of the model and of its configuration.
    part : the entry of ``config.json`` that describes the model, where the weights are of more than it.
    names : what the names of the model's tensors begin with in such weights, and what instead in the model.
    """
    checkpoint = opening.checkpoint
    assert checkpoint is not None
    settings: Mapping[str, Any] = checkpoint.settings.get(part, checkpoint.settings)
    tensors = checkpoint.tensors
    if part in checkpoint.settings:
        prefixes = {name: next((p for p in names if name.startswith(p)), None) for name in tensors}
        tensors = {names[p] + n.removeprefix(p): tensors[n] for n, p in prefixes.items() if p is not None}
    mine = replace(checkpoint, tensors=tensors, settings={**settings, "model_type": config.model_type})
    model = checkpoint_model(kind, config, mine)
    return model.to(device_of(opening)).eval().requires_grad_(False)


def processor_of(opening: Opening, kind: type[BaseImageProcessor]) -> BaseImageProcessor:
    """Return the image processor that the weights come with; where they have none, the library's defaults."""
    assert opening.checkpoint is not None
    # checkpoints name the class that made them, which may be an older or another one
    known = {k: v for k, v in opening.checkpoint.preprocess.items() if not k.endswith("_type") and k != "auto_map"}
    return kind.from_dict(known)


def tokenizer_of(opening: Opening) -> Any:
    """Return the tokenizer that lies beside the weights; it runs no code of theirs.

    Raises
    ------
    ModelFileError
        If there is none.
    """
    checkpoint = opening.checkpoint
    assert checkpoint is not None
    if checkpoint.folder is None or not (checkpoint.folder / "tokenizer.json").is_file():
        raise ModelFileError(
            opening.weights, "has no tokenizer.json, without which it reads no words; put it beside its config.json"
        )
    return AutoTokenizer.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)


def resized(processor: BaseImageProcessor, image: Image, device: torch.device) -> Tensor:
    """Return an image as the network takes it: float32 (1, 3, h, w)."""
    pixels = processor(images=to_display(image), input_data_format="channels_last", return_tensors="pt")
    found: Tensor = pixels["pixel_values"].to(device)
    return found


@dataclass(frozen=True)
class Geometry:
    """Say where an image lies on the square input of a network.

    Attributes
    ----------
    scale : input pixels per image pixel, across and down.
    filled : (height, width) of the input that the image fills; None: all of it, stretched.
    side : of the input.
    """

    scale: tuple[float, float]
    filled: tuple[int, int] | None
    side: int

    @classmethod
    def of(cls, size: tuple[int, int], processor: BaseImageProcessor) -> Geometry:
        """Return where an image of ``size`` (height, width) lies on the input that a processor makes."""
        rule = dict(processor.size)
        longest, (height, width) = rule.get("longest_edge"), size
        if longest is None:
            side = int(rule["height"])
            return cls((side / width, side / height), None, side)
        scale = longest / max(size)
        filled = int(height * scale + 0.5), int(width * scale + 0.5)
        return cls((filled[1] / width, filled[0] / height), filled, int(longest))


class SamFamily:
    """Answer with a network that has SAM's prompt encoder and mask decoder.

    A single point means an object, a part of it or more than it: of the three masks for it, the mask with the highest
    guessed IoU is the answer. Everything else has one answer.

    Parameters
    ----------
    model : of the library, with ``get_image_embeddings`` and ``prompt_encoder``.
    processor : its image processor.
    mask_side : side of the maps that the prompt encoder takes as earlier masks.
    """

    def __init__(self, model: Any, processor: Any, mask_side: int) -> None:
        self.model, self.processor, self.mask_side = model, processor, mask_side
        self.device: torch.device = model.device

    def embed(self, image: Image) -> Embedding:
        """Return the features of an image, the coarsest last."""
        with torch.inference_mode():
            features = self.model.get_image_embeddings(resized(self.processor, image, self.device))
        levels = [features] if isinstance(features, Tensor) else features
        return Embedding(image.size, {f"level_{k}": level.float().cpu().numpy() for k, level in enumerate(levels)})

    def answer(self, embedding: Embedding, prompts: Prompts) -> Answer:
        """Return one mask per object, and the guessed IoU."""
        counts = prompts.counts
        if counts.max(initial=0) > _MOST_POINTS:
            first = int(np.argmax(counts > _MOST_POINTS))
            raise PromptError(
                f"{counts[first]:,} points are too many for one object, of which this network takes {_MOST_POINTS:,} "
                "points; number the objects if there are several, or leave points out",
                first,
            )
        geometry, levels = Geometry.of(embedding.size, self.processor), self._levels(embedding)
        found, place, scores = [Masks.empty(embedding.size)], np.zeros(len(prompts), np.int64), np.zeros(len(prompts))
        done = 0
        for which in _alike(prompts):
            logits, guesses = self._run(levels, geometry, prompts[which])
            best = guesses.argmax(1)
            rows = torch.arange(len(which), device=best.device)
            found.append(self._decode(logits[rows, best], geometry, embedding.size))
            scores[which] = guesses[rows, best].cpu().numpy().clip(0, 1)
            place[which] = np.arange(done, done + len(which))
            done += len(which)
        return Answer(Masks.concatenate(found)[place], scores)

    def propose(self, embedding: Embedding, points: Float, least: float) -> Iterator[Proposals]:
        """Yield the three masks of each point, of a guessed IoU of ``least`` or more."""
        geometry, levels = Geometry.of(embedding.size, self.processor), self._levels(embedding)
        for first in range(0, len(points), _AT_ONCE):
            some = points[first : first + _AT_ONCE]
            logits, guesses = self._run(levels, geometry, Prompts.of(some, objects=np.arange(len(some))))
            good = guesses >= least
            kept = logits[good]
            yield Proposals(
                self._decode(kept, geometry, embedding.size), guesses[good].cpu().numpy().astype(np.float64).clip(0, 1),
                _stability(kept).cpu().numpy().astype(np.float64), len(some),
            )  # fmt: skip

    def _levels(self, embedding: Embedding) -> list[Tensor]:
        names = sorted(embedding.arrays)
        return [torch.from_numpy(np.array(embedding.arrays[name])).to(self.device) for name in names]

    def _run(self, levels: list[Tensor], geometry: Geometry, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Return logits (N, M, h, w) and guessed IoU (N, M) for prompts that all have as many points."""
        count, per = len(prompts), len(prompts.owner) // max(len(prompts), 1)
        given: dict[str, Any] = {}

        def tensor(values: Any, *shape: int) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(values)).reshape(count, *shape).to(self.device)

        scale = np.array(geometry.scale)
        if per:
            given["input_points"] = tensor((prompts.points * scale).astype(np.float32), 1, per, 2)
            given["input_labels"] = tensor(prompts.positive.astype(np.int64), 1, per)
        if prompts.boxed.any():
            given["input_boxes"] = tensor((prompts.boxes * np.tile(scale, 2)).astype(np.float32), 1, 4)
        masked = prompts.masked.any()
        if masked:
            assert prompts.masks is not None
            given["input_masks"] = self._earlier(prompts.masks, geometry)
        several = per == 1 and len(given) == 2
        features = [level.expand(count, -1, -1, -1) for level in levels]
        with torch.inference_mode():
            out = self.model(
                image_embeddings=features if len(features) > 1 else features[0], multimask_output=several, **given
            )
        return out.pred_masks[:, 0].float(), out.iou_scores[:, 0].float()

    def _earlier(self, masks: Masks, geometry: Geometry) -> Tensor:
        """Return earlier masks as the logits that the prompt encoder takes: (N, 1, side, side)."""
        side, cell = self.mask_side, geometry.side / self.mask_side
        height, width = geometry.filled or (geometry.side, geometry.side)
        shape = max(round(height / cell), 1), max(round(width / cell), 1)
        maps = torch.full((len(masks), 1, side, side), -_SURE)
        for k, mask in enumerate(masks):
            share = torch.from_numpy(mask.to_dense()[None]).float()
            share = functional.interpolate(share, shape, mode="area")[0, 0].clamp(0.001, 0.999)
            maps[k, 0, : shape[0], : shape[1]] = torch.logit(share)
        return maps.to(self.device)

    def _decode(self, logits: Tensor, geometry: Geometry, size: tuple[int, int]) -> Masks:
        """Return the masks (N, h, w) at the size of the image, as the library's processor resamples them.

        SAM's maps are brought to the size of the network's input, cut where padding begins, and brought to the size of
        the image; the later networks' maps straight to the size of the image.
        """
        found = [Masks.empty(size)]
        for first in range(0, len(logits), _DECODED):
            some = logits[first : first + _DECODED]
            boxes = _extents(some, size, geometry)
            if geometry.filled is not None:
                rows, columns = geometry.filled
                some = functional.interpolate(
                    some[:, None], (geometry.side, geometry.side), mode="bilinear", align_corners=False
                )[:, 0, :rows, :columns]
            found.append(Masks.from_logits(some.cpu().numpy(), boxes, size, whole=True))
        return Masks.concatenate(found)


def _alike(prompts: Prompts) -> Iterator[Int]:
    """Yield objects that can be asked together: as many points, and a box and a mask or none; at most so many."""
    keys = np.stack([prompts.counts, prompts.boxed, prompts.masked], axis=1)
    _, group = np.unique(keys, axis=0, return_inverse=True)
    for k in range(int(group.max(initial=-1)) + 1):
        which = np.flatnonzero(group.ravel() == k)
        for first in range(0, len(which), _AT_ONCE):
            yield which[first : first + _AT_ONCE]


def _extents(logits: Tensor, size: tuple[int, int], geometry: Geometry) -> Float:
    """Return boxes in the image beyond which no mask reaches: (N, 4)."""
    inside = functional.max_pool2d((logits > 0).float()[:, None], 5, 1, 2)[:, 0] > 0  # resampling reaches two cells
    boxes = np.zeros((len(logits), 4))
    cell = geometry.side / logits.shape[-1]
    for axis, ratio, most in ((0, geometry.scale[0], size[1]), (1, geometry.scale[1], size[0])):
        line = inside.any(1 + axis).cpu().numpy()
        boxes[:, axis] = line.argmax(1) * cell / ratio
        boxes[:, axis + 2] = np.where(line.any(1), (line.shape[1] - line[:, ::-1].argmax(1)) * cell / ratio, 0)
        boxes[:, [axis, axis + 2]] = boxes[:, [axis, axis + 2]].clip(0, most)
    return boxes


def _stability(logits: Tensor) -> Tensor:
    """Return the share of each mask that stays when the threshold rises, of what it is when the threshold falls."""
    inner, outer = ((logits > offset).sum((1, 2)).double() for offset in (_OFFSET, -_OFFSET))
    return inner / outer.clamp(min=1)
