"""Labels drawn on a photo as it is stored, before the rotation or mirroring that its EXIF entry asks for.

A rotation by 90 degrees exchanges the sides of an image that is not square; the family ``file`` finds it by the size.
All other turns leave the size as it is. Here the edges of the image decide: along the outlines of right labels they are
stronger in the image as seen than in the image as stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from apiece.check._kit.edges import OFFSETS, edges, outlines
from apiece.check.contract import Check, Finding, Kind, Labelled, Place, SetFacts, Settings
from apiece.errors import ImageError
from apiece.images import as_stored, image_orientation

__all__ = ["CHECK"]

LEAST = 30  # fewest pixels of a mask whose outline is compared
CLEAR = 4.0  # least difference in mean edge strength, in standard errors, that decides
WORDS = {
    2: "a mirroring",
    3: "a rotation by 180 degrees",
    4: "a mirroring upside down",
    5: "a mirroring and a rotation by 90 degrees",
    6: "a rotation by 90 degrees",
    7: "a mirroring and a rotation by 90 degrees",
    8: "a rotation by 90 degrees",
}


@dataclass(frozen=True)
class _Compared:
    """The mean edge strength along the outlines of an image, as seen and as stored."""

    place: Place
    words: str
    seen: float
    stored: float
    error: float  # standard error of the difference


def _remember(labelled: Labelled, settings: Settings) -> _Compared | None:
    image, instances = labelled.image, labelled.instances
    chosen = np.flatnonzero((instances.masks.area >= LEAST) & ~instances.crowd)
    if image is None or not len(chosen):
        return None
    try:
        orientation = image_orientation(labelled.ref.path, page=labelled.ref.page)
    except ImageError:  # pixels that are not from this file
        return None
    pixels = as_stored(image.pixels, orientation)
    if orientation == 1 or pixels.shape != image.pixels.shape:
        return None
    found = outlines(instances.masks[chosen])
    around = slice(len(OFFSETS) // 2 - 1, len(OFFSETS) // 2 + 2)  # a pixel more or less does not count
    seen, stored = (edges(p, found)[:, around].max(1, initial=0.0) for p in (image.pixels, pixels))
    if len(seen) < 2:
        return None
    error = float((stored - seen).std() / np.sqrt(len(seen) / 3))  # about three neighbours see the same piece of edge
    return _Compared(labelled.place(), WORDS[orientation], float(seen.mean()), float(stored.mean()), max(error, 1e-3))


def _conclude(compared: Sequence[_Compared], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    unclear: dict[str, list[_Compared]] = {}
    for one in compared:
        z = (one.stored - one.seen) / one.error
        if z >= CLEAR:
            message = (
                f"the outlines fit the image as stored, before {one.words} by its EXIF entry: edge strength "
                f"{one.stored:.2f}, as seen {one.seen:.2f}"
            )
            yield Finding("exif_ignored", message, 1 - CLEAR / z / 2, one.place)
        elif z > -CLEAR:
            unclear.setdefault(one.place.split, []).append(one)
    for some in unclear.values():
        message = (
            f"{len(some):,} images have an EXIF entry for {some[0].words} or the like, and edges do not tell whether "
            "their labels were drawn before or after it; this is the first"
        )
        yield Finding("exif_unclear", message, 0.1, some[0].place)


CHECK = Check(
    "Labels drawn on photos as they are stored, before the rotation or mirroring by their EXIF entry.",
    (
        Kind(
            "exif_ignored",
            "error",
            "Outlines that lie on edges of the photo as stored, not of the photo as its EXIF entry turns it.",
            "Turn the labels as the entry says, or remove the entry from the photo.",
        ),
        Kind(
            "exif_unclear",
            "note",
            "Photos that an EXIF entry turns or mirrors, and whose edges do not tell which pixels were labelled.",
            "Look at one of them: if its labels are wrong, turn the labels, or remove the entry from the photos.",
        ),
    ),
    remember=_remember,
    conclude=_conclude,
    needs="image",
)
