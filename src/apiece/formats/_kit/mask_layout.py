"""Whether the files in ``masks/`` are label maps, one per image, or masks, one per instance."""

from __future__ import annotations

import logging
import re
from pathlib import Path, PurePosixPath

from apiece.core.image import ImageRef
from apiece.errors import FormatError
from apiece.formats._kit.files import IMAGE_SUFFIXES, files_in
from apiece.formats._kit.label_images import RASTER_SUFFIXES

_log = logging.getLogger("apiece")
_MARK = re.compile(
    r"(?<=.)[-_. ](cp_masks?|masks?|label|labels|label_?maps?|labell?ed|lbl|seg|segm|segmentation|instances?"
    r"|object[-_ ]identities)$",
    re.IGNORECASE,
)
"""What tools put behind an image's name for its label map: Cellpose, CellProfiler, ilastik, MorphoLibJ, QuPath."""
_OF_IMAGES = ("", "_img", "_image", "_raw")
"""What an image may have behind the name that it shares with its label map, as Cellpose's training images do."""
_NUMBERED = re.compile(r"(.+)_(\d{1,18})", re.ASCII)


def bare_stem(stem: str) -> str:
    """Return a file's name without what marks a label map.

    >>> [bare_stem(stem) for stem in ("a_cp_masks", "a-labels", "a_Object Identities", "masks")]
    ['a', 'a', 'a', 'masks']
    """
    return _MARK.sub("", stem)


def image_keys(key: str) -> list[str]:
    """Return the names without ending that the image of a label map may have: ``a``, ``a_img``; ``a`` of ``a.jpg``."""
    whole = PurePosixPath(key)
    named = [str(whole.with_suffix(""))] if whole.suffix.lower() in IMAGE_SUFFIXES else []
    return [key + ending for ending in _OF_IMAGES] + named


def _stems(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    return {p.stem: p for p in files_in(folder, suffixes)}


def is_mask_folder(folder: Path) -> bool:
    """Return whether a folder holds one image and its masks, or several and masks ``NAME_0`` ...; never raises.

    A mask named as its image, or as its image with ``_mask`` behind, is a label map instead.
    """
    try:
        images, masks = _stems(folder / "images", IMAGE_SUFFIXES), _stems(folder / "masks", RASTER_SUFFIXES)
        if not images or not masks:
            return False
        if len(images) > 1:
            return all((found := _NUMBERED.fullmatch(m)) is not None and found[1] in images for m in masks) and not (
                set(images) & set(masks)
            )
        (image,) = images
        marked = (f"{image}_mask", f"{image}_label")
        return not any(m == image or m.startswith(marked) or image in image_keys(bare_stem(m)) for m in masks)
    except OSError:
        return False


def flat_masks(
    folder: Path, images: Path | None
) -> list[tuple[ImageRef, tuple[Path, ...], tuple[int, ...] | None]] | None:
    """Return each image with its masks ``NAME_0, NAME_1 ...`` and their numbers; None if it is a folder of one image.

    A mask that belongs to no image, or to two, or comes twice, is refused.
    """
    pictures = _stems(images or folder / "images", IMAGE_SUFFIXES)
    masks = _stems(folder / "masks", RASTER_SUFFIXES)
    matches = {stem: _NUMBERED.fullmatch(stem) for stem in masks}
    if len(pictures) <= 1 and not all(m is not None and m[1] in pictures for m in matches.values()):
        return None
    found: dict[str, dict[int, Path]] = {}
    for file in files_in(folder / "masks", RASTER_SUFFIXES):
        stem = file.stem
        match = matches[stem]
        if stem in pictures:
            raise FormatError(file, f"could be a mask of {match[1] if match else stem!r} or the label map of {stem!r}")
        if match is None or match[1] not in pictures:
            raise FormatError(file, "is the mask of no image: NAME_0.png belongs to images/NAME.png")
        own = found.setdefault(match[1], {})
        if int(match[2]) in own:
            raise FormatError(file, f"and {own[int(match[2])].name} have the same number")
        own[int(match[2])] = file
    bare = sorted(set(pictures) - set(found))
    if bare:
        _log.warning(
            "%s: %d images have no masks and are left out, such as %s", folder, len(bare), pictures[bare[0]].name
        )
    return [
        (ImageRef(pictures[stem], pictures[stem].name), tuple(own[k] for k in sorted(own)), tuple(sorted(own)))
        for stem, own in sorted(found.items())
    ]
