"""The classes of Cityscapes and their numbers, and datumaro's list of other ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from apiece.errors import FormatError
from apiece.formats._kit.files import is_file, read_text

THINGS = {
    "person": 24, "rider": 25, "car": 26, "truck": 27, "bus": 28, "caravan": 29, "trailer": 30, "train": 31,
    "motorcycle": 32, "bicycle": 33,
}  # fmt: skip
STUFF = {
    "ego vehicle": 1, "rectification border": 2, "out of roi": 3, "static": 4, "dynamic": 5, "ground": 6, "road": 7,
    "sidewalk": 8, "parking": 9, "rail track": 10, "building": 11, "wall": 12, "fence": 13, "guard rail": 14,
    "bridge": 15, "tunnel": 16, "pole": 17, "polegroup": 18, "traffic light": 19, "traffic sign": 20, "vegetation": 21,
    "terrain": 22, "sky": 23,
}  # fmt: skip
JUDGED = [
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky",
]  # fmt: skip
UNDRAWN = {"unlabeled": 0, "license plate": -1}
LIST = "label_colors.txt"
_ABOVE = 3  # folders above the one that was named in which the list may lie


class Listed(NamedTuple):
    """What a list says."""

    names: list[str]
    ground: str
    """The name of the background."""


def listed_classes(root: Path) -> Listed | None:
    """Return datumaro's list of classes in a folder or above it; None where there is none."""
    near = [root, *root.resolve().parents[:_ABOVE]]
    file = next((folder / LIST for folder in near if is_file(folder / LIST)), None)
    if file is None:
        return None
    names: list[str] = []
    ground = None
    for k, line in enumerate(read_text(file).splitlines(), 1):
        *colour, name = line.split() or ("#",)
        if name.startswith("#") or line.startswith("#"):
            continue
        if len(colour) not in (0, 3) or not all(c.isascii() and c.isdecimal() for c in colour) or name in names:
            raise FormatError(file, f"line {k}: must be a new class, or a colour r g b and a class; got {line[:60]!r}")
        ground = name if colour == ["0"] * 3 and ground is None else ground
        names.append(name)
    return Listed(names, "background" if ground is None else ground)


def own_classes(names: Sequence[str]) -> dict[str, int]:
    """Return listed classes and their numbers, which are places in the list; none where they are Cityscapes' own."""
    numbers = {name: k for k, name in enumerate(names)}
    known = {name.replace(" ", ""): number for name, number in (UNDRAWN | STUFF | THINGS).items()}
    return {} if all(known.get(name) in (number, -1) for name, number in numbers.items()) else numbers
