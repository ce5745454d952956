"""What ``apiece info`` says of an image that is no label file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apiece.cli._output import note, print_json, print_table
from apiece.errors import FormatError, ImageError, MissingExtraError


def is_plain_image(data: Path) -> bool:
    """Return whether a path is an image, and of no label format."""
    from apiece.formats import detect
    from apiece.images import image_size, is_image_folder, page_count

    if not (data.is_file() or (data.is_dir() and is_image_folder(data))):
        return False
    try:
        detect(data)
        return False
    except FormatError:
        pass
    try:
        image_size(data, page=0 if page_count(data) > 1 else None)
    except ImageError:
        return False
    return True


def show_image(data: Path, json: bool) -> None:
    """Print size, channels, levels, pixel size and place of an image; of several pages the first."""
    facts = _facts(data)
    if json:
        print_json(facts)
        return
    world, size = facts["world"], facts["pixel_size"]
    rows = [
        ("height x width", f"{facts['height']} x {facts['width']}"),
        ("channels", f"{facts['channels']} of {facts['dtype']}"),
        ("pixel size", "not stated" if size is None else size["text"]),
        ("levels", ", ".join(f"{height} x {width}" for height, width in facts["levels"])),
    ]
    rows += [("pages", facts["pages"])] if facts["pages"] > 1 else []
    if world is not None:
        x0, _, _, y0, _, _ = world["geotransform"]
        rows += [("coordinate reference system", world["crs"]), ("upper left corner", f"{x0:.10g}, {y0:.10g}")]
    print_table(str(data), ("", ""), rows)


def _facts(data: Path) -> dict[str, Any]:
    from apiece.images import open_pyramid, page_count, place_of

    pages = page_count(data)
    with open_pyramid(data, page=0 if pages > 1 else None) as pyramid:
        size = pyramid.pixel_size
        facts: dict[str, Any] = {
            "path": data,
            "height": pyramid.size[0],
            "width": pyramid.size[1],
            "channels": pyramid.channels,
            "dtype": str(pyramid.dtype),
            "levels": [list(level) for level in pyramid.levels],
            "pages": pages,
            "pixel_size": None if size is None else {"x": size.x, "y": size.y, "unit": size.unit, "text": str(size)},
        }
    try:
        place = place_of(data) if data.is_file() else None
    except MissingExtraError as error:
        note(str(error))
        place = None
    facts["world"] = None if place is None else {"crs": place.crs, "geotransform": list(place.transform)}
    return facts
