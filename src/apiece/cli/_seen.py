"""The photos of `find`, `scene` and `pick`, with what a model finds on them or what labels say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal  # noqa: F401  # cyclopts reads inherited annotations from here

from cyclopts import Parameter

from apiece.cli._inspected import PHOTOS, Picture, Pictures, open_pictures
from apiece.cli._options import IMAGES, Device, ModelName, Overwrite, Reading, Split  # noqa: F401
from apiece.cli._output import DEFAULT_MODEL, check_new, note
from apiece.errors import ConfigError, DataError, Option

if TYPE_CHECKING:
    from apiece.core.instances import Instances


@dataclass(frozen=True)
class Seen(Reading):
    """Photos with their objects: what a model finds, or what labels say."""

    model: ModelName | None = None
    conf: Annotated[
        float | None,
        Parameter(
            help="Lowest score of an object. By default each class of a model has its threshold; of labels all count."
        ),
    ] = None
    split: Split = None
    device: Device = "auto"

    def pictures(self, data: Path) -> Pictures:
        """Return the photos; of photos without labels the model that comes with apiece finds the objects."""
        if self.conf is not None and not 0 <= self.conf <= 1:
            raise ConfigError(Option("conf") + f" must be from 0 to 1, got {self.conf:g}")
        model = self.model
        if model is None and data.suffix.lower() in PHOTOS:
            note(DEFAULT_MODEL)
            model = "default"
        return open_pictures(data, model, None, self.split, self, self.device)


@dataclass(frozen=True)
class Drawn(Seen):
    """Photos with their objects, and a folder for pictures of them."""

    out: Annotated[Path | None, Parameter(help="Folder for a picture of each photo with what was found.")] = None
    overwrite: Overwrite = False

    def draw(self, drawn: Iterator[tuple[Picture, Instances]]) -> None:
        """Go through photos and objects, and write a picture of each where a folder is named."""
        if self.out is None:
            for _ in drawn:
                pass
            return
        for path in _save_overlays(self.out, drawn, self.overwrite):
            note(f"wrote {path}")


def _save_overlays(out: Path, drawn: Iterator[tuple[Picture, Instances]], overwrite: bool) -> list[Path]:
    """Write each photo with some of its objects into a folder, all or none; return the files."""
    from apiece._atomic import staged, take_place
    from apiece.draw import overlay
    from apiece.images import write_image

    check_new(out, overwrite)
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
