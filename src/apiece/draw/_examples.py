"""Pictures of images with their objects: truth and predictions side by side, each object marked for what it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from apiece._arrays import UInt8
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.draw._labels import place
from apiece.draw._overlay import overlay
from apiece.draw._text import draw_text
from apiece.draw.page import picture, scaled
from apiece.errors import ConfigError, UnknownNameError

COLOURS = {
    "found": (42, 157, 255),
    "missed": (255, 150, 0),
    "false": (255, 50, 140),
    "loose": (255, 240, 60),
    "merged": (0, 205, 110),
    "split": (170, 110, 255),
    "class": (255, 255, 255),
    "double": (214, 72, 30),
}
"""Outline colour of each mark; what is wrong is named in the picture, too: nobody has to tell eight apart."""

_TEXT, _SMALL_TEXT = 13, 10  # where marks are dense, or have no room at all, the colour alone tells them


@dataclass(frozen=True, eq=False)
class Panel:
    """Objects on an image.

    Attributes
    ----------
    name : such as "truth".
    instances : of the image's size.
    marks : what each of them is, keys of `COLOURS`.
    """

    name: str
    instances: Instances
    marks: Sequence[str]

    def __post_init__(self) -> None:
        if len(self.marks) != len(self.instances):
            raise ConfigError(
                f"panel {self.name!r} needs one mark for each of {len(self.instances)} instances, got {len(self.marks)}"
            )
        for unknown in set(self.marks) - set(COLOURS):
            raise UnknownNameError("mark", unknown, COLOURS)


@dataclass(frozen=True, eq=False)
class Example:
    """An image in several panels, usually what is there and what was found.

    Attributes
    ----------
    title : usually the image's name and its score.
    image : the pixels; any dtype and number of channels.
    panels : from left to right.
    """

    title: str
    image: Image
    panels: Sequence[Panel]


def examples_html(groups: Sequence[tuple[str, Sequence[Example]]], side: int) -> str:
    """Return groups of examples below a legend; ``side`` is the longer one of each picture in pixels."""
    there = {mark for _, group in groups for example in group for panel in example.panels for mark in panel.marks}
    keys = [f'<i style="background:rgb{rgb}"></i>{mark}' for mark, rgb in COLOURS.items() if mark in there]
    legend = "".join(f'<span class="key">{key}</span>' for key in keys)
    parts = [f'<p class="legend">{legend}</p>']
    for name, examples in groups:
        if examples:
            shown = "".join(_example(example, side) for example in examples)
            parts.append(f'<h3 class="group">{escape(name)}</h3><div class="examples">{shown}</div>')
    return "".join(parts)


def _example(example: Example, side: int) -> str:
    pictures = []
    for panel in example.panels:
        words, drawn = _counted(panel), _drawn(example.image, panel, side)
        caption = f"<b>{escape(panel.name)}</b> {escape(words)}"
        pictures.append(picture(drawn, f"{example.title}, {panel.name}: {words}", caption))
    kind = "example wide" if len(pictures) > 2 else "example"
    return (
        f'<article class="{kind}" style="--panels:{len(pictures)}"><h3>{escape(example.title)}</h3>'
        f'<div class="pair">{"".join(pictures)}</div></article>'
    )


def _counted(panel: Panel) -> str:
    count = Counter(panel.marks)
    parts = [f"{count[mark]} {mark}" for mark in COLOURS if count[mark]]
    return f"{len(panel.instances)}: {', '.join(parts)}" if parts else "0"


def _drawn(image: Image, panel: Panel, side: int) -> UInt8:
    shown, grown = scaled(image, panel.instances, side / max(image.size))
    colours = np.array([COLOURS[mark] for mark in panel.marks], np.uint8).reshape(-1, 3)
    drawn = overlay(shown, grown, colours=colours, names=False, alpha=0.22, thickness=2)
    texts = ["" if mark == "found" else mark for mark in panel.marks]
    if any(texts):
        labels = place(grown.masks, texts, (_TEXT, _SMALL_TEXT))
        for i, (x, y) in zip(labels.which.tolist(), labels.corners.tolist(), strict=True):
            draw_text(drawn, texts[i], (x, y), labels.size)
    return drawn
