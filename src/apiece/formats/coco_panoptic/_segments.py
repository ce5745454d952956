"""Releases of Segments.ai (https://docs.segments.ai, "structure of the release file"): JSON, and a bitmap an image.

The JSON names bitmaps by address, and its SDK saves them as ``NAME_label_LABELSET.png`` in
``segments/OWNER_DATASET/RELEASE/``. Either name is looked for below the folder of the JSON; nothing is downloaded.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from apiece._arrays import Array
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError
from apiece.formats._kit.checks import BadEntryError, an_object, refuse_repeated, skip_bad
from apiece.formats._kit.columns import table, taken
from apiece.formats._kit.files import files_below
from apiece.formats._kit.image_names import spelled
from apiece.formats._kit.image_places import placed
from apiece.formats._kit.json_files import load_object
from apiece.formats._kit.json_keys import peek_json
from apiece.formats._kit.label_images import colour_numbers, read_colours, read_raster
from apiece.formats._kit.label_sets import LabelImageSet
from apiece.formats.contract import OnBad, refuse

_log = logging.getLogger("apiece")
_RELEASE = frozenset(["samples", "task_type"])
_BITMAPS = ("segmentation-bitmap", "segmentation-bitmap-highres")
_USUAL = "ground-truth"  # the labelset that every dataset begins with
_OWN = ("id", "category_id", "attributes")


class _Label(NamedTuple):
    """The label of an image."""

    where: str
    objects: list[Any]


def is_release(path: Path) -> bool:
    """Return whether a file is a release of Segments.ai; never raises."""
    seen = peek_json(path)
    return seen is not None and "dataset" in seen.keys and (seen.inner("dataset") or frozenset()) >= _RELEASE


def read_release(path: Path, images: Path | None, on_bad: OnBad) -> LabelImageSet:
    """Open a release; leave out samples without a label, and count them in the log."""
    dataset = load_object(path)[0]["dataset"]
    if (
        type(dataset) is not dict
        or dataset.get("task_type") not in _BITMAPS
        or type(dataset.get("samples")) is not list
    ):
        raise FormatError(
            path, f"dataset: must have samples, and the task type {_BITMAPS[0]}; of other types write COCO"
        )
    categories = _categories(path, dataset)
    labelset = _labelset(path, dataset)
    pngs = {file.name: file for file in reversed(files_below(path.absolute().parent, (".png",)))}
    refs, files, labels = [], [], []
    bare = 0
    for k, sample in enumerate(dataset["samples"]):
        with skip_bad(on_bad, path, f"dataset.samples[{k}]"):
            label = an_object(an_object(sample).get("labels"), "labels").get(labelset)
            if label is None:
                bare += 1
                continue
            said = an_object(an_object(label, labelset).get("attributes"), "attributes")
            bitmap = _bitmap(sample, said, labelset, pngs)
            if type(said.get("annotations")) is not list:
                raise BadEntryError("annotations must be a list")
            refs.append(_ref(sample))
            files.append(bitmap)
            labels.append(_Label(f"dataset.samples[{k}].labels.{labelset}.attributes.annotations", said["annotations"]))
    if bare:
        _log.warning("%s: %d samples have no label in %s and are left out", path, bare, labelset)
    refuse_repeated((ref.name for ref in refs), path, "sample ")
    home = list(dict.fromkeys(file.parent for file in files))
    found = placed(path, refs, images, home, on_bad)
    classes = tuple(category["name"] for category in categories)
    numbers = {category["id"]: label for label, category in enumerate(categories)}
    metadata = {"coco_panoptic": {"categories": categories}}
    context = path, numbers
    return LabelImageSet(found, tuple(files), classes, _decode, tuple(labels), metadata, context, on_bad).sound()


def _categories(path: Path, dataset: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the classes as a panoptic file has them: those without instances are stuff."""
    tasks = dataset.get("task_attributes")
    listed = tasks.get("categories") if type(tasks) is dict else None
    where = "dataset.task_attributes.categories"
    if type(listed) is not list:
        raise FormatError(path, f"{where}: must be a list")
    for k, one in enumerate(listed):
        if type(one) is not dict or type(one.get("id")) is not int or type(one.get("name")) is not str:
            raise FormatError(path, f"{where}[{k}]: must be an object with an id (a number) and a name")
    refuse_repeated((one["name"] for one in listed), path, f"{where}: ")
    refuse_repeated((str(one["id"]) for one in listed), path, f"{where}: id ")
    return [
        {"id": one["id"], "name": one["name"], "isthing": int(one.get("has_instances") is not False)} for one in listed
    ]


def _labelset(path: Path, dataset: dict[str, Any]) -> str:
    listed = dataset.get("labelsets")
    names = [one.get("name") for one in listed if type(one) is dict] if type(listed) is list else []
    found = _USUAL if _USUAL in names or not names else names[0]
    if type(found) is not str or (found != _USUAL and len(names) > 1):
        raise FormatError(path, f"dataset.labelsets: has several, and none is {_USUAL!r}: {', '.join(map(str, names))}")
    return found


def _address(value: Any, name: str) -> str:
    """Return the last part of the address of a file, which the JSON has as an object with ``url``."""
    url = an_object(value, name).get("url")
    if type(url) is not str:
        raise BadEntryError(f"{name}.url must be an address")
    try:
        return PurePosixPath(urlsplit(url).path).name
    except ValueError:
        raise BadEntryError(f"{name}.url: {url[:60]!r} is no address") from None


def _stem(sample: dict[str, Any]) -> str:
    name = sample.get("name")
    if type(name) is not str or not name:
        raise BadEntryError("name must be a text")
    return str(PurePosixPath(spelled(name).lstrip("/")).with_suffix(""))


def _bitmap(sample: dict[str, Any], said: dict[str, Any], labelset: str, pngs: dict[str, Path]) -> Path:
    saved = f"{PurePosixPath(_stem(sample)).name}_label_{labelset}.png"
    address = _address(said.get("segmentation_bitmap"), "segmentation_bitmap")
    found = pngs.get(saved) or pngs.get(address)
    if found is None:
        raise BadEntryError(f"segmentation_bitmap: neither {saved} nor {address} lies below the folder of the file")
    return found


def _ref(sample: dict[str, Any]) -> ImageRef:
    """Return the image of a sample, called as the SDK saves it: by the sample's name and the address's ending."""
    attributes = an_object(sample.get("attributes"), "attributes")
    ending = PurePosixPath(_address(attributes.get("image"), "attributes.image")).suffix
    name = _stem(sample) + ending
    metadata = sample.get("metadata")
    return ImageRef(Path(name), name, id=sample.get("uuid"), attributes=metadata if type(metadata) is dict else {})


def _decode(labels: LabelImageSet, i: int) -> tuple[Instances, dict[str, Any]]:
    path, numbers = labels.context
    label = labels.rows[i]
    found = Instances.from_label_map(_ids(labels.files[i]))
    values = [] if found.ids is None else found.ids.tolist()
    objects: dict[int, tuple[int, dict[str, Any]]] = {}
    for k, said in enumerate(label.objects):
        with skip_bad(labels.on_bad, path, f"{label.where}[{k}]"):
            objects.update(_object(said, numbers, values, objects))
    for value in values:
        if value not in objects:
            refuse(FormatError(labels.files[i], f"id {value} has no annotation in {label.where}"), labels.on_bad)
    kept = [k for k, value in enumerate(values) if value in objects]
    own = [objects[values[k]] for k in kept]
    attributes = taken(table([extras for _, extras in own], ()), np.arange(len(own)))
    classes = np.array([place for place, _ in own], np.int64)
    ids = np.array([values[k] for k in kept], np.int64)
    return Instances(found.masks[kept], classes, labels.classes, ids=ids, attributes=attributes), {}


def _ids(file: Path) -> Array:
    """Return the ids of a bitmap: R + 256 G + 65536 B as it is served, or the numbers as the SDK saves them."""
    colours = read_colours(file)
    return read_raster(file) if colours is None else colour_numbers(colours)


def _object(said: Any, numbers: dict[int, int], values: list[int], known: Any) -> Iterator[tuple[int, Any]]:
    """Yield the id of an object, with its class and further values."""
    own, category = an_object(said).get("id"), said.get("category_id")
    if type(own) is not int or own not in values:
        raise BadEntryError(f"id {str(own)[:40]} has no pixel in the bitmap")
    if own in known:
        raise BadEntryError(f"id {own} is another annotation's already")
    if type(category) is not int or category not in numbers:
        raise BadEntryError(f"category_id {str(category)[:40]} is none of the categories")
    extras = {key: value for key, value in said.items() if key not in _OWN and value is not None}
    yield own, (numbers[category], extras | an_object(said.get("attributes") or {}, "attributes"))
