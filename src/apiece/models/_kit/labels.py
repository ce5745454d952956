"""The labels of a published checkpoint: which of its classifier's outputs have a name, and their order here."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from apiece.errors import ModelFileError
from apiece.models.contract import Checkpoint

_NAMELESS = re.compile(r"(n/?a|_*background_*|)", re.IGNORECASE)
_NUMBERED = re.compile(r"LABEL_\d+")


@dataclass(frozen=True)
class Labels:
    """Hold the labels of a classifier with one output per label.

    Attributes
    ----------
    names : of the labels that stand for a class, in the order of the outputs.
    rows : outputs: of the named labels, then of the ``unnamed`` ones, which published lists have as gaps.
    """

    names: tuple[str, ...]
    rows: tuple[int, ...]

    @property
    def unnamed(self) -> int:
        """Number of outputs without a name."""
        return len(self.rows) - len(self.names)

    def arranged(self, tensor: Tensor, before: int = 0, after: int = 0, each: int = 1) -> Tensor:
        """Return a classifier's weight or bias with its outputs in the order of ``rows``.

        ``before`` and ``after`` are outputs that stand for no label, such as "no object", and ``each`` the values of an
        output. A tensor of another number of outputs is returned as it is.
        """
        count = len(self.rows)
        if len(tensor) != each * (before + count + after):
            return tensor
        order = [*range(before), *(before + row for row in self.rows), *range(before + count, before + count + after)]
        return tensor.reshape(-1, each, *tensor.shape[1:])[torch.tensor(order)].flatten(0, 1)


def labels_of(checkpoint: Checkpoint, *, gaps: bool = True) -> Labels:
    """Read the labels of a checkpoint.

    Labels such as "N/A", "LABEL_7" among others with names, or a name that occurs a second time, stand for nothing.
    Without ``gaps`` they keep a name: their number.

    Raises
    ------
    ModelFileError
        if there are no labels, or they are not numbered from 0.
    """
    given = checkpoint.settings.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}  # what transformers leaves out
    try:
        by_row = {int(key): " ".join(str(name).split()) for key, name in given.items()}
    except (AttributeError, ValueError):
        by_row = {}
    if not by_row or sorted(by_row) != list(range(len(by_row))):
        raise ModelFileError(checkpoint.source, "its config.json numbers no labels from 0 (id2label); fetch it afresh")
    texts = [by_row[row] for row in range(len(by_row))]
    numbered = [bool(_NUMBERED.fullmatch(text)) for text in texts]
    named: list[int] = []
    unnamed: list[int] = []
    for row, text in enumerate(texts):
        empty = _NAMELESS.fullmatch(text) or text in texts[:row] or (numbered[row] and not all(numbered))
        (unnamed if empty and gaps else named).append(row)
        if empty and not gaps:
            texts[row] = f"label {row}"
    return Labels(tuple(texts[row] for row in named), (*named, *unnamed))
