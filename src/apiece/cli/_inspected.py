"""Where `inspect` takes pictures, their objects and the truth from."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apiece.cli._options import Reading
from apiece.errors import ApieceError, ConfigError, DataError, FormatError, ImageError, Option

if TYPE_CHECKING:
    from apiece.core.conf import Conf
    from apiece.core.image import Image
    from apiece.core.instances import Instances
    from apiece.datasets import BadEntries
    from apiece.formats import LabelSet
    from apiece.rules import RuleSet
    from apiece.rules.contract import Outcome

PHOTOS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
"""Endings of photos, which a model is needed for unless they are label images."""
_GOOD, _BAD = ("pass", "good", "ok", "1", "true"), ("fail", "bad", "ng", "0", "false")


@dataclass(frozen=True)
class Picture:
    """A picture, its objects and what reads its pixels, if they are at hand; or the error in their place."""

    name: str
    found: Instances | None
    read: Callable[[], Image] | None
    error: ApieceError | None = None

    @property
    def seen(self) -> Instances | ApieceError:
        """The objects, or the error."""
        return self.error or DataError("nothing was found") if self.found is None else self.found


@dataclass(frozen=True)
class Pictures:
    """Pictures of labels, of predictions or of a model.

    Attributes
    ----------
    classes : of all objects.
    score : the model's thresholds; None for labels, all of which count.
    each : makes the pictures, with objects down to some lowest scores; None for the model's thresholds, and all labels.
    """

    classes: tuple[str, ...]
    count: int
    score: Any
    each: Callable[[Conf | None], Iterator[Picture]]


def open_pictures(
    data: Path, model: str | None, predictions: Path | None, split: str | None, reading: Reading, device: str
) -> Pictures:
    """Return the pictures of `inspect`'s arguments."""
    if model is not None:
        if predictions is not None:
            raise ConfigError("--model and --predictions both find objects; give one of them")
        return _of_model(data, model, device, reading.skip_bad)
    if predictions is not None:
        reading = _with_images(reading, data)
        data = predictions
    labels = labels_of(reading, data, split)

    def each(lowest: Conf | None) -> Iterator[Picture]:
        from apiece.core.conf import thresholds
        from apiece.images import read_image

        for ref, found in labels:
            if lowest is not None and found.scores is not None:
                found = found[found.scores >= thresholds(lowest, found.classes)[found.labels]]
            read = partial(read_image, ref.path, page=ref.page)
            yield Picture(ref.name, found, read if ref.path.is_file() else None)

    return Pictures(labels.classes, len(labels), None, each)


def labels_of(reading: Reading, data: Path, split: str | None, bad: BadEntries | None = None) -> LabelSet:
    """Return labels; of photos that have none, say that a model finds objects on them."""
    try:
        return reading.one(data, split, reading.bad() if bad is None else bad).labels
    except (FormatError, DataError):
        files = [data] if data.is_file() else data.iterdir() if data.is_dir() else []
        if reading.format is not None or not any(path.suffix.lower() in PHOTOS for path in files):
            raise
        what = "is a photo" if data.is_file() else "holds photos"
        raise DataError(
            f"{data} {what} without labels; name what finds objects on it with "
            + Option("model", "default")
            + ", or the format of its labels with "
            + Option("format", ...)
        ) from None


def _with_images(reading: Reading, photos: Path) -> Reading:
    from dataclasses import replace

    if reading.images:
        raise ConfigError("the photos stand first; give no " + Option("images") + " beside " + Option("predictions"))
    return replace(reading, images=(str(photos),))


def _of_model(data: Path, name: str, device: str, skip_bad: bool) -> Pictures:
    from apiece.core.conf import thresholds
    from apiece.predict import find_sources, load

    model = load(name, device=device)
    own = dict(zip(model.classes, thresholds(model.options().conf, model.classes).tolist(), strict=True))
    sources = find_sources(str(data))

    def each(lowest: Conf | None) -> Iterator[Picture]:
        for source in sources:
            try:
                image = source.read()
                found = model.predict(image, conf=lowest, edges=True)
            except ImageError as error:
                if not skip_bad:
                    raise
                yield Picture(source.name, None, source.read, error)
                continue
            yield Picture(source.name, found, partial(_same, image))

    return Pictures(model.classes, len(sources), own, each)


def _same(image: Image) -> Image:
    return image


def open_truth(path: Path, rules: RuleSet, reading: Reading) -> Callable[[str], Any]:
    """Return what gives the truth on a picture by its name: ``pass`` or ``fail``, or true labels.

    Parameters
    ----------
    path : a CSV file with the columns image and verdict, or labels.
    """
    if path.suffix.lower() == ".csv":
        return _by_name(path, _outcomes(path))
    labels = reading.one(path, None, None).labels
    index = {ref.name: k for k, ref in enumerate(labels.refs)}
    lookup = _by_name(path, index)
    return lambda name: labels[lookup(name)][1]


def _outcomes(path: Path) -> Mapping[str, Outcome]:
    found: dict[str, Outcome] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            for row in rows:
                if row.get("image") is None or row.get("verdict") is None:
                    raise FormatError(path, f"line {rows.line_num}: a row has the columns image and verdict")
                said = row["verdict"].strip().lower()
                if said not in (*_GOOD, *_BAD):
                    raise FormatError(path, f"line {rows.line_num}: a verdict is pass or fail, not {said!r}")
                outcome: Outcome = "pass" if said in _GOOD else "fail"
                if found.setdefault(row["image"], outcome) != outcome:
                    raise FormatError(path, f"line {rows.line_num}: {row['image']!r} is said to pass and to fail")
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(path, f"is no CSV in UTF-8: {error}") from None
    return found


def _by_name(path: Path, table: Mapping[str, Any]) -> Callable[[str], Any]:
    """Return the look-up of a picture's name, or of its file name where that is one picture's alone."""
    short: dict[str, list[str]] = {}
    for name in table:
        short.setdefault(name.rpartition("/")[2], []).append(name)

    def lookup(name: str) -> Any:
        near = short.get(name.rpartition("/")[2], [])
        known = name if name in table else near[0] if len(near) == 1 else None
        if known is None:
            raise DataError(f"{path} does not say what is true of the picture {name!r}")
        return table[known]

    return lookup
