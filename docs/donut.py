"""Write the table and the picture of docs/donut.md: what every format does to a ring and to an object in two parts.

``python docs/donut.py`` writes both anew. Each format writes the three objects of `scene` and reads them back.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from apiece import Image, Instances, Masks, formats
from apiece.draw import overlay
from apiece.errors import LossyFormatError
from apiece.images import write_image

PAGE = Path(__file__).with_name("donut.md")
PICTURE = Path(__file__).parent / "pictures" / "donut.png"
BEGIN, END = "<!-- table: python docs/donut.py -->", "<!-- end -->"
CLASSES = ("washer", "pill", "cable")


def scene() -> tuple[np.ndarray, Instances]:
    """Return an image and its objects: a washer, a pill inside its hole, and a cable whose middle a clamp hides."""
    y, x = np.mgrid[:80, :120]
    distance = np.hypot(y - 40, x - 30)
    washer = (distance < 24) & (distance > 10)
    pill = distance < 6
    clamp = (abs(x - 82) < 5) & (abs(y - 40) < 20)
    cable = (abs(y - 40) < 7) & (x > 62) & (x < 114) & ~clamp
    pixels = np.full((80, 120, 3), 235, np.uint8)
    colours = ((washer, (120, 130, 140)), (pill, (200, 60, 50)), (cable, (40, 110, 160)), (clamp, (70, 70, 70)))
    for area, colour in colours:
        pixels[area] = colour
    return pixels, Instances(Masks.from_dense(np.stack([washer, pill, cable])), [0, 1, 2], CLASSES)


# ---------------------------------------------------------------- the table


def table() -> str:
    """Return one row for each format: what comes back of the ring, of the cable and of the pill, as Markdown."""
    lines = ["| format | ring | two parts | object inside the ring |", "| --- | --- | --- | --- |"]
    lines += [f"| `{name}` | {' | '.join(_row(name))} |" for name in written()]
    return "\n".join(lines)


def written() -> list[str]:
    """Return the formats that are not only read."""
    return [name for name in formats.names() if formats.load(name).write is not None]


def _row(name: str) -> list[str]:
    _, found = scene()
    return [_outcome(name, found[chosen]) for chosen in ([0], [2], [0, 1])]


def _outcome(name: str, found: Instances) -> str:
    """Return what a format keeps of these objects when it is written and read again."""
    if not formats.load(name).holds.classes:
        found = found.replace(labels=np.zeros(len(found), np.int64), classes=("object",))
    try:
        back = round_trip(name, found, allow_lossy=False)
    except LossyFormatError:
        back = round_trip(name, found, allow_lossy=True)
        return f"refused; `--allow-lossy`: {_change(found.masks, back)}"
    if _change(found.masks, back) != "the same":
        raise AssertionError(f"{name} says that it keeps this, and does not")
    return "kept"


def _change(masks: Masks, back: Masks) -> str:
    if back.area.sum() == masks.area.sum() and back.holes.sum() == masks.holes.sum():
        return "the same"
    if masks.holes.sum() and not back.holes.sum():
        return "the hole is filled" if len(masks) == 1 else "the hole is filled, the objects overlap"
    if masks.parts.max() == 2 and back.parts.max() == 1:
        return "the largest part stays"
    raise AssertionError("something else was lost")


def round_trip(name: str, found: Instances, allow_lossy: bool) -> Masks:
    """Write the objects in a format, read them again, and return their masks."""
    chosen = formats.load(name)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / ("labels" + chosen.ending if chosen.ending else "out")
        formats.write(
            [("a.png", found)], out / chosen.folders[0] if chosen.folders else out, name, allow_lossy=allow_lossy
        )
        ((_, back),) = formats.read(out, name)
        return back.masks


# ---------------------------------------------------------------- the picture


def picture() -> np.ndarray:
    """Return three panels: the labels, what a YOLO file keeps, and a ring drawn as two COCO polygons."""
    pixels, found = scene()
    rings = [[part.ravel() for part in outlines[0]] for outlines in found.masks.to_polygons()]
    cable = [[part[0].ravel() for part in outlines] for outlines in found.masks[[2]].to_polygons()]
    united = Masks.from_polygons([rings[0], rings[1], cable[0]], found.size)
    panels = [found.masks, round_trip("yolo", found, allow_lossy=True), united]
    return np.concatenate([_panel(pixels, masks) for masks in panels], 1)


def _panel(pixels: np.ndarray, masks: Masks, scale: int = 5) -> np.ndarray:
    large = pixels.repeat(scale, 0).repeat(scale, 1)
    dense = masks.to_dense().repeat(scale, 1).repeat(scale, 2)
    found = Instances(Masks.from_dense(dense), np.arange(len(masks)), CLASSES)
    shown = overlay(Image(large), found, names=False, alpha=0.55)
    return np.pad(shown, ((0, 0), (0, 12), (0, 0)), constant_values=255)


def page(text: str) -> str:
    """Return the page with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    write_image(PICTURE, picture())
