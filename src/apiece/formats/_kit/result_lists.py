"""Lists of results as the evaluations of Cityscapes and KITTI read them: a text an image, a line an object."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from apiece.formats._kit.files import head_of, never_raises

_LINE = re.compile(r"\s*\S+\.png[ \t]+[+-]?\d+(\.\d*)?[ \t]+\S+[ \t]*(\r?\n|$)", re.IGNORECASE)
_DEPTH = ("*.txt", "*/*.txt", "*/*/*.txt")
_LOOKED_AT = 20  # texts in a folder; those of images without results are empty


@never_raises
def is_result_list(path: Path) -> bool:
    """Return whether a text begins with a line ``relative/mask.png 26 0.97``; never raises."""
    return path.suffix.lower() == ".txt" and _LINE.match(head_of(path)) is not None


@never_raises
def has_result_lists(folder: Path) -> bool:
    """Return whether lists of results lie in a folder, at most two folders deep; never raises."""
    texts = itertools.chain.from_iterable(folder.glob(pattern) for pattern in _DEPTH)
    return any(is_result_list(text) for text in itertools.islice(texts, _LOOKED_AT))
