"""A drawn board: parts of known place, size and colour, for tests of rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from apiece import Image, Instances, Masks
from apiece.rules import RuleSet, Verdicts, judge, read_rules

CLASSES = ("chip", "resistor", "screw", "scratch", "fiducial")
SIZE = (120, 160)

Box = tuple[float, float, float, float]


def found(parts: Sequence[tuple[str, Box]], scores: Sequence[float] | None = None) -> Instances:
    """Return rectangles, each a class and a box x0, y0, x1, y1."""
    boxes = np.array([box for _, box in parts], np.float64).reshape(-1, 4)
    labels = [CLASSES.index(name) for name, _ in parts]
    return Instances(Masks.from_boxes(boxes, SIZE), np.array(labels, np.int64), CLASSES, scores)


def rules(folder: Path, text: str, head: str = "") -> RuleSet:
    """Return the rules of a text, which begins behind ``rules:``."""
    path = folder / "rules.yaml"
    lines = "\n".join(f"  {line}" if line.strip() else "" for line in text.strip("\n").splitlines())
    path.write_text(f"{head}\nrules:\n{lines}\n", encoding="utf-8")
    return read_rules(path, CLASSES)


def verdict(folder: Path, text: str, parts: Sequence[tuple[str, Box]], head: str = "", **more: Any) -> Verdicts:
    """Return the verdicts of rules on rectangles."""
    scores = more.pop("scores", None)
    return judge(rules(folder, text, head), found(parts, scores), name="a.png", **more)


def painted(parts: Sequence[tuple[str, Box]], colours: Mapping[str, tuple[int, int, int]]) -> Image:
    """Return the picture of rectangles in the colours of their classes."""
    pixels = np.full((*SIZE, 3), 20, np.uint8)
    for name, (x0, y0, x1, y1) in parts:
        pixels[int(y0) : int(y1), int(x0) : int(x1)] = colours.get(name, (128, 128, 128))
    return Image(pixels)
