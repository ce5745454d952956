"""EfficientSAM in ONNX: points and boxes on a CPU, without torch.

Paper: Y. Xiong et al., "EfficientSAM: Leveraged Masked Image Pretraining for Efficient Segment Anything" (arXiv
2312.00863). A person brings the two files of its authors' export (Apache-2.0): an encoder (``batched_images`` to
``image_embeddings``) and a decoder (with ``batched_point_coords``, ``batched_point_labels`` and ``orig_im_size`` to
masks, guessed IoU and low-resolution masks). The decoder looks at six points, two of which a box takes; the export
drops further ones without a word, so they are refused here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import Float, Float32, Int
from apiece.core.image import Image
from apiece.core.masks import Masks
from apiece.core.prompts import Prompts
from apiece.draw import to_display
from apiece.errors import ModelFileError, PromptError
from apiece.prompts.contract import Answer, Backend, Embedding, Opening, Proposals

__all__ = ["BACKEND", "EfficientSam"]

_SLOTS = 6
_AT_ONCE = 16  # objects that the decoder is asked together
_OFFSET = 1.0  # of the logits, at which a mask has to be stable
_CORNERS = (2, 3)  # labels of a box's first and last corner


class EfficientSam:
    """Answer with an encoder and a decoder (`Proposer`)."""

    def __init__(self, encoder: Any, decoder: Any) -> None:
        self.encoder, self.decoder = encoder, decoder
        outputs = [out.name for out in decoder.get_outputs()]
        # the export names the first two; low-resolution masks have a number for a name, and older exports lack them
        self.wanted = [outputs[-1] if len(outputs) > 2 else outputs[0], "iou_predictions"]
        self.coarse = len(outputs) > 2

    def embed(self, image: Image) -> Embedding:
        """Return the encoder's features."""
        pixels = to_display(image).transpose(2, 0, 1)[None].astype(np.float32) / 255
        (features,) = self.encoder.run(["image_embeddings"], {"batched_images": pixels})
        return Embedding(image.size, {"features": features})

    def answer(self, embedding: Embedding, prompts: Prompts) -> Answer:
        """Return the mask of each object with the highest guessed IoU of three."""
        masks, scores = [Masks.empty(embedding.size)], np.zeros(0)
        for maps, guesses in self._run(embedding, *_slots(prompts)):
            best = guesses.argmax(1)
            rows = np.arange(len(best))
            masks.append(_masks(maps[rows, best], embedding.size))
            scores = np.append(scores, guesses[rows, best])
        return Answer(Masks.concatenate(masks), scores.clip(0, 1))

    def propose(self, embedding: Embedding, points: Float, least: float) -> Iterator[Proposals]:
        """Yield the three masks of each point, of a guessed IoU of ``least`` or more."""
        for maps, guesses in self._run(embedding, *_slots(Prompts.of(points, objects=np.arange(len(points))))):
            good = guesses >= least
            kept = maps[good]
            inner, outer = ((kept > offset).sum((1, 2)) for offset in (_OFFSET, -_OFFSET))
            stability = inner / np.maximum(outer, 1)
            yield Proposals(
                _masks(kept, embedding.size), guesses[good].astype(np.float64).clip(0, 1), stability, len(maps)
            )

    def _run(self, embedding: Embedding, points: Float32, labels: Float32) -> Iterator[tuple[Float32, Float32]]:
        """Yield maps (N, 3, h, w) and guessed IoU (N, 3) of some objects at a time."""
        step = _AT_ONCE if self.coarse else 1
        size = np.array(embedding.size, np.int64)
        for first in range(0, len(points), step):
            some = slice(first, first + step)
            given = {
                "image_embeddings": embedding.arrays["features"], "orig_im_size": size,
                "batched_point_coords": points[None, some], "batched_point_labels": labels[None, some],
            }  # fmt: skip
            maps, guesses = self.decoder.run(self.wanted, given)
            count = len(points[some])
            yield maps.reshape(count, -1, *maps.shape[-2:]), guesses.reshape(count, -1)


def _slots(prompts: Prompts) -> tuple[Float32, Float32]:
    """Return points (N, 6, 2) and labels (N, 6) as the decoder takes them; the rest is -1."""
    used = prompts.counts + 2 * prompts.boxed
    if used.max(initial=0) > _SLOTS:
        first = int(np.argmax(used > _SLOTS))
        raise PromptError(
            f"EfficientSAM looks at {_SLOTS} points of an object, two of which a box takes; this one has {used[first]}",
            first,
        )
    points, labels = np.full((len(prompts), _SLOTS, 2), -1.0), np.full((len(prompts), _SLOTS), -1.0)
    boxed = np.flatnonzero(prompts.boxed)
    points[boxed, :2] = prompts.boxes[boxed].reshape(-1, 2, 2)
    labels[boxed, :2] = _CORNERS
    starts = np.cumsum(prompts.counts) - prompts.counts
    slot: Int = np.arange(len(prompts.owner)) - starts[prompts.owner] + 2 * prompts.boxed[prompts.owner]
    points[prompts.owner, slot] = prompts.points
    labels[prompts.owner, slot] = prompts.positive
    return points.astype(np.float32), labels.astype(np.float32)


def _masks(maps: Float32, size: tuple[int, int]) -> Masks:
    whole = np.tile([0, 0, size[1], size[0]], (len(maps), 1))
    return Masks.from_logits(maps, whole, size, whole=True)


def _open(opening: Opening) -> EfficientSam:
    import onnxruntime

    folder = Path(opening.weights)
    folder = folder if folder.is_dir() else folder.parent
    sessions = {}
    for part in ("encoder", "decoder"):
        files = sorted(folder.glob(f"*{part}*.onnx"))
        if len(files) != 1:
            raise ModelFileError(
                folder, f"needs one file *{part}*.onnx, such as efficient_sam_vitt_{part}.onnx; it has {len(files)}"
            )
        try:
            sessions[part] = onnxruntime.InferenceSession(str(files[0]), providers=["CPUExecutionProvider"])
        except Exception as error:  # of its own types
            reason = " ".join(str(error).split())[:200]
            raise ModelFileError(files[0], f"is no ONNX file that can be run: {reason}") from error
        _check(files[0], part, sessions[part])
    return EfficientSam(sessions["encoder"], sessions["decoder"])


_INPUTS = {
    "encoder": {"batched_images"},
    "decoder": {"image_embeddings", "batched_point_coords", "batched_point_labels", "orig_im_size"},
}


def _check(path: Path, part: str, session: Any) -> None:
    inputs = {given.name for given in session.get_inputs()}
    if inputs != _INPUTS[part]:
        raise ModelFileError(
            path, f"is no {part} of EfficientSAM: it takes {', '.join(sorted(inputs))}, "
            f"and such a file takes {', '.join(sorted(_INPUTS[part]))}",
        )  # fmt: skip


BACKEND = Backend(
    "EfficientSAM in ONNX files: points and boxes, quick on a CPU, needs no torch",
    _open,
    takes=frozenset({"points", "boxes"}),
    model_types=("onnx",),
    files="a folder with EfficientSAM's encoder and decoder as ONNX files",
    licence="Apache-2.0",
    proposes=True,
)
