"""What the folder formats made of label images share.

A written folder has a file ``apiece.json`` beside the format's own files. It says what the layout cannot: class names
that the format has no number for, image names, ids that are no pixel values. A folder without it is read by the
format's own rules.

Pixels that belong to no object (VOC's void border, ignored regions, stuff) are kept on the image, as
``ImageRef.attributes[key] = {name: COCO RLE}``, and written back from there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image as Pillow

from apiece._arrays import Array
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import FormatError, InvalidInstancesError, LossyFormatError
from apiece.formats._kit.files import IMAGE_SUFFIXES, inside, is_file, visible_name
from apiece.formats._kit.json_files import load_json
from apiece.formats.contract import OnBad, Record, refuse

SIDECAR = "apiece.json"
_SMALL = 1 << 28  # a note longer than this is none of ours


@dataclass(frozen=True)
class RasterSet:
    """Label images of one folder, found but not read: a `LabelSet`."""

    files: tuple[Path, ...]
    """What each image's labels are read from."""
    refs: tuple[ImageRef, ...]
    classes: tuple[str, ...]
    metadata: Mapping[str, Any]
    decode: Callable[[RasterSet, int], tuple[Instances, dict[str, Any]]]
    """``(set, index)`` to the instances and further attributes of the image; `report` for what is wrong with one."""
    notes: tuple[Any, ...] = ()
    """What `decode` needs to know of each image besides."""
    on_bad: OnBad = None
    told: set[str] = field(default_factory=set)
    """What was reported, so that nothing is reported twice."""

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Record:
        i = range(len(self))[index]
        instances, attributes = self.decode(self, i)
        ref = self.refs[i]
        return (replace(ref, attributes={**ref.attributes, **attributes}) if attributes else ref), instances

    def __iter__(self) -> Iterator[Record]:
        for i in range(len(self)):
            try:
                record = self[i]
            except FormatError as error:
                self.report(error)
                continue
            yield record

    def report(self, error: FormatError) -> None:
        """Raise the error of a bad entry, or report it once."""
        if self.on_bad is None:
            raise error
        if str(error) not in self.told:
            self.told.add(str(error))
            refuse(error, self.on_bad)

    def fingerprint(self) -> str:
        """SHA-256 of names and label files' bytes."""
        digest = hashlib.sha256()
        for ref, file in zip(self.refs, self.files, strict=True):
            digest.update(ref.name.encode(errors="surrogatepass") + b"\0")
            if file.is_file():
                with file.open("rb") as opened:
                    digest.update(hashlib.file_digest(opened, "sha256").digest())
        return digest.hexdigest()


def sound(labels: RasterSet) -> RasterSet:
    """The set without the images that cannot be decoded, each reported, if there is somebody to tell.

    So ``refs`` names none that is broken; without ``on_bad`` nothing is decoded, and the first bad one is raised later.
    """
    if labels.on_bad is None:
        return labels
    good = []
    for i in range(len(labels)):
        try:
            labels.decode(labels, i)
            good.append(i)
        except FormatError as error:
            labels.report(error)
    files, refs = tuple(labels.files[i] for i in good), tuple(labels.refs[i] for i in good)
    return replace(labels, files=files, refs=refs, notes=tuple(labels.notes[i] for i in good) if labels.notes else ())


def sidecar_format(folder: Path) -> str | None:
    """Which format's folder this is, by its `SIDECAR`; never raises."""
    try:
        with (folder / SIDECAR).open("rb") as file:
            head = file.read(80).decode("utf-8", errors="replace")
        key, _, rest = head.partition(":")
        return rest.split('"')[1] if key.strip(' {"\n') == "apiece" else None
    except (OSError, IndexError, ValueError):
        return None


def load_sidecar(folder: Path, format: str) -> dict[str, Any]:
    """What `save_sidecar` wrote, checked: ``classes`` (list of names) and ``images`` (key to object), if it is there.

    Raises
    ------
    FormatError
        naming file, key and reason.
    """
    path = folder / SIDECAR
    if not path.exists():
        return {}
    if path.stat().st_size > _SMALL:
        raise FormatError(path, "is larger than any list of images")
    found = load_json(path)
    if type(found) is not dict or found.get("apiece") != format:
        raise FormatError(path, f"apiece: must be {format!r}; remove the file to read the folder by its layout alone")
    classes, images = found.setdefault("classes", []), found.setdefault("images", {})
    if type(classes) is not list or not all(type(c) is str for c in classes) or len(set(classes)) != len(classes):
        raise FormatError(path, "classes: must be a list of distinct names")
    if type(images) is not dict or not all(type(v) is dict for v in images.values()):
        raise FormatError(path, "images: must be an object of objects")
    for key, said in images.items():
        for name in (key, said.get("name", "a")):
            reason = inside(name) if type(name) is str else "must be a string"
            if reason:
                raise FormatError(path, f"images[{key!r}]: {reason}")
    return found


def save_sidecar(folder: Path, format: str, classes: tuple[str, ...], images: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the `SIDECAR`; the format comes first, for `sidecar_format`."""
    said = {"apiece": format, "classes": list(classes), "images": images}
    (folder / SIDECAR).write_text(json.dumps(said, ensure_ascii=False, indent=1), encoding="utf-8")


def safe_name(path: Path, ref: ImageRef, taken: dict[str, str]) -> str:
    """The image's name without ending, as files are called after it.

    Raises
    ------
    FormatError
        if it is hidden, or that of another image.
    """
    name = visible_name(path, ref.name)
    key = Path(name).with_suffix("").as_posix()
    if key in taken:
        raise FormatError(path, f"images {taken[key]!r} and {ref.name!r} would share their label files; rename one")
    taken[key] = ref.name
    return key


def find_image(folder: Path, key: str) -> Path | None:
    """The image ``key`` with any of the usual endings, if there is one."""
    for suffix in IMAGE_SUFFIXES:
        for ending in (suffix, suffix.upper()):
            if is_file(folder / (key + ending)):
                return folder / (key + ending)
    return None


def image_ref(folder: Path, key: str, name: str | None, ending: str = ".png") -> ImageRef:
    """The image that is called ``name``; or else ``key`` as it is found, with ``ending`` if it is nowhere."""
    if name is None:
        found = find_image(folder, key)
        name = key + ending if found is None else found.relative_to(folder).as_posix()
    return ImageRef(folder / name, name)


def find_images(folder: Path) -> dict[str, Path]:
    """All that `find_image` would find directly in a folder, by key."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES] if folder.is_dir() else []
    return {p.stem: p for p in sorted(found, key=lambda p: IMAGE_SUFFIXES.index(p.suffix.lower()), reverse=True)}


def save_label_png(array: Array, path: Path, palette: list[int] | None = None) -> None:
    """An 8 or 16 bit PNG, 8 bit ones with a palette if there is one; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Pillow.fromarray(array)
    if palette is not None:
        image.putpalette(palette)
    image.save(path, format="PNG", compress_level=1 if array.dtype.kind == "b" else 6)


def save_label_tiff(array: Array, path: Path) -> None:
    """A TIFF of one plane; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, compression="zlib", predictor=True, metadata=None)


def regions_of(array: Array, names: Mapping[int, str]) -> dict[str, Any]:
    """COCO RLE of the pixels of each value in ``names`` that occurs, by name."""
    chosen = np.where(np.isin(array, list(names)), array.astype(np.int64) + 1, 0)
    values = np.unique(chosen[chosen > 0]) - 1
    rles = Masks.from_label_map(chosen).to_coco()
    return {names[int(v)]: rle for v, rle in zip(values, rles, strict=True)}


def add_region(painted: Array, rle: object, value: int, path: Path, ref: ImageRef, what: str) -> None:
    """Paint a region from `regions_of` where nothing is.

    Raises
    ------
    FormatError
        if it is none for this image.
    LossyFormatError
        if it covers an instance: only one of them could be kept.
    """
    try:
        if not isinstance(rle, Mapping) or not {"size", "counts"} <= set(rle):
            raise InvalidInstancesError("is no COCO run-length encoding")
        region = Masks.from_coco([rle], (painted.shape[0], painted.shape[1])).to_dense()[0]
    except (InvalidInstancesError, TypeError, ValueError) as error:
        raise FormatError(path, f"image {ref.name!r}, attribute {what!r}: {error}") from None
    if painted[region].any():
        raise LossyFormatError(
            path,
            f"image {ref.name!r}: its {what!r} region covers instances, and a pixel has one value; "
            f"remove the attribute or cut the region",
        )
    painted[region] = value


def region_said(ref: ImageRef, key: str, name: str) -> object | None:
    """The region of this name that an image has; other formats may use the key for something else."""
    said = ref.attributes.get(key)
    return said.get(name) if isinstance(said, Mapping) else None
