"""The photos of `find` and `scene`, with what a model finds on them or what labels say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from apiece.cli._inspected import Picture, open_pictures
from apiece.cli._options import Reading
from apiece.cli._output import DEFAULT_MODEL, note
from apiece.errors import DataError, Option

if TYPE_CHECKING:
    from apiece.core.instances import Instances

_ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")


def open_seen(data: Path, model: str | None, split: str | None, reading: Reading, device: str) -> Iterator[Picture]:
    """Return photos with their objects; of photos without labels the model that comes with apiece finds some."""
    if model is None and data.suffix.lower() in _ENDINGS:
        note(DEFAULT_MODEL)
        model = "default"
    return open_pictures(data, model, None, split, reading, device).each(None)


def save_overlays(out: Path, drawn: Iterator[tuple[Picture, Instances]], overwrite: bool) -> list[Path]:
    """Write each photo with some of its objects into a folder, all or none; return the files."""
    from apiece._atomic import staged, take_place
    from apiece.draw import overlay
    from apiece.images import write_image

    if out.exists() and not overwrite:
        raise DataError(f"{out} is there already; name another folder, or " + Option("overwrite", True))
    written = []
    with staged(out.parent, "apiece") as stage:
        folder = stage / out.name
        folder.mkdir()
        for one, found in drawn:
            if one.read is None:
                continue
            path = (folder / one.name).with_suffix(".png")
            if not path.resolve().is_relative_to(folder.resolve()):
                raise DataError(f"the image name {one.name!r} leads out of the folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, overlay(one.read(), found))
            written.append(out / path.relative_to(folder))
        take_place(folder, out, stage)
    return written
