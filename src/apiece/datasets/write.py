"""`write_sets`: labels and their images as one data set on disk, whole or not at all.

Labels are built in a hidden folder beside their place and read back: an image goes to where the format's own reader
looks for it. A folder then gets its name in one step; files that join an existing folder come last, after their images.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath, PurePosixPath

from apiece import formats
from apiece._atomic import relocated, staged, take_place
from apiece.core.image import ImageRef
from apiece.datasets._place import ImageMode, Placer
from apiece.datasets.dataset import open_sources
from apiece.errors import ApieceError, ConfigError, DataError, FormatError, Option
from apiece.formats import LabelFormat, LabelSet, Record
from apiece.formats.contract import by_image, in_pieces, shape_counts

__all__ = ["DEFAULTS", "WriteOptions", "Written", "check_apart", "write_sets"]


@dataclass(frozen=True)
class WriteOptions:
    """How `write_sets` writes."""

    images: ImageMode = "link"
    """``"link"`` the images to where the format expects them, ``"copy"`` them there, or ``"leave"`` them."""
    allow_lossy: bool = False
    """Write what the format can hold, instead of refusing labels that it cannot hold whole."""
    overwrite: bool = False
    """Replace what is there already."""
    check: bool = False
    """Write to a temporary folder only, lossy and without images, to find out what would be lost."""
    enough: Callable[[int], None] = lambda instances: None
    """Called with the number of all instances before anything is put in its place; raises where they are too few."""


DEFAULTS = WriteOptions()


@dataclass(frozen=True)
class Written:
    """A written set."""

    path: Path
    """Label file or folder."""
    format: str
    """Name of the format."""
    images: int
    """Number of images."""
    instances: int
    """Number of instances."""
    shapes: Mapping[str, int] = field(default_factory=dict)
    """Shapes of each kind that are no masks, and were written as they were."""
    lost: tuple[str, ...] = ()
    """Losses: what the format could not hold, a line for each image and kind of loss."""
    dropped: tuple[str, ...] = ()
    """Image attributes (``"modality"``) that the format has no place for."""
    stuff: tuple[str, ...] = ()
    """Classes of stuff that became objects: the format does not say which these are, or its readers seldom look."""
    placed: Mapping[str, int] = field(default_factory=dict)
    """The number of images that were hard linked, copied, there already, missing ..."""
    image_folder: Path | None = None
    """The folder of images that were left, if it is one, and not the one that the format expects."""


def write_sets(
    sets: Mapping[str, LabelSet],
    out: Path,
    format: str,
    options: WriteOptions = DEFAULTS,
    *,
    join: bool = False,
    step: Callable[[], None] = lambda: None,
) -> dict[str, Written]:
    """Write sets together: all of them, or nothing.

    Parameters
    ----------
    sets : label sets by their path within ``out``; ``"."`` is ``out`` itself. Their label files and images must not lie
        in an ``out`` that is replaced as a whole.
    out : folder or label file that appears as a whole, or with ``join`` a folder that label files are added to.
    format : name of the format.
    options : images, loss and overwriting.
    join : add label files to the folder ``out`` instead of making it.
    step : called after the labels of each image, and after each image that is put in its place.

    Returns
    -------
    What was written, by path within ``out``.

    Raises
    ------
    ConfigError
        If something is there already; if what would be replaced is no label set, or holds the labels to write; or if a
        set would not lie within ``out``.
    LossyFormatError
        If the format cannot hold an instance; names it and its image.
    DataError
        If an image would take the place of another.
    """
    outside = next((key for key in sets if PurePath(key).is_absolute() or ".." in PurePath(key).parts), None)
    if outside is not None:
        raise ConfigError(f"{outside} does not lie within {out}; name sets without '..' and a leading slash")
    if options.check:
        return _checked(sets, out, format, join, step)
    _check_free([out / key for key in sets] if join else [out], options.overwrite)
    if not join and out.exists() and options.overwrite:
        _check_replaceable(out, sets.values())
    parent = out if join else out.parent
    top = _set_folder(parent)
    try:
        with staged(top, out.name) as stage, Placer(options.images, stage, step) as placer:
            built = stage if top == parent else stage / "annotations"
            job = _Job(built if join else built / out.name, out, join, top, format, options, placer, step)
            try:
                found = {key: _write_one(labels, key, job) for key, labels in sets.items()}
                options.enough(sum(one.instances for one in found.values()))
            except FormatError as error:
                raise error.at(relocated(error.path, stage, top)) from None
            parent.mkdir(parents=True, exist_ok=True)
            for made in [p for p in built.iterdir() if not p.name.startswith(".")]:
                _check_free([parent / made.name], options.overwrite)
                take_place(made, parent / made.name, stage)
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error}") from error
    return found


def _checked(
    sets: Mapping[str, LabelSet], out: Path, format: str, join: bool, step: Callable[[], None]
) -> dict[str, Written]:
    """Return what `write_sets` would lose at ``out``; writes elsewhere, and throws the result away."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / out.name
        try:
            found = write_sets(sets, place, format, WriteOptions("leave", allow_lossy=True), join=join, step=step)
        except FormatError as error:
            raise error.at(relocated(error.path, Path(folder), out.parent)) from None
        return {
            key: replace(one, path=out / one.path.relative_to(place), placed={}, image_folder=None)
            for key, one in found.items()
        }


def _set_folder(parent: Path) -> Path:
    """Return the folder of the whole set: the one around ``annotations``, beside which readers look for images."""
    whole = parent if parent.name else parent.absolute()
    return whole.parent if whole.name == "annotations" else parent


@dataclass(frozen=True)
class _Job:
    """What all sets that are written together share."""

    root: Path  # where sets are built
    out: Path  # where they will be
    join: bool
    top: Path  # the folder that the stage stands for
    format: str
    options: WriteOptions
    placer: Placer
    step: Callable[[], None]


def _write_one(labels: LabelSet, key: str, job: _Job) -> Written:
    chosen, path = formats.load(job.format), job.root / key
    counts, had, refs = Counter[str](), dict[str, str](), dict[str, ImageRef]()

    def records() -> Iterator[Record]:
        for ref, pieces in by_image(in_pieces(labels)):
            counts["images"] += 1
            for name in ref.attributes:
                had.setdefault(name, _plain(ref.name))
            refs[_plain(ref.name)] = ref
            for instances in pieces:
                counts["instances"] += len(instances)
                yield ref, instances
            job.step()

    target = path / chosen.folders[0] if chosen.folders and not _is_file(path, chosen) else path
    lost = formats.write(records(), target, job.format, labels.classes, job.options.allow_lossy, labels.metadata)
    again = chosen.read(path, None, None) if counts["images"] else None
    new = {} if again is None else {_plain(ref.name): ref for ref in again.refs}
    pairs = [(refs[name], ref.path) for name, ref in new.items() if name in refs]
    has = {key for ref in new.values() for key in ref.attributes}
    if again is not None:
        places = {name: i for i, name in enumerate(new)}
        # some formats state an attribute only once the labels of the image are decoded
        has |= {key for key, name in had.items() if key not in has and key in again[places[name]][0].attributes}
    # a label file joins a folder, and so do its images; the images of a folder come with it
    final = job.top if job.join or (path == job.root and path.is_file()) else None
    placed, left, stage = job.placer.put(pairs, final), None, job.placer.stage
    if job.options.images == "leave" and not all(relocated(p, stage, job.top).is_file() for _, p in pairs[:32]):
        left = _common_folder([ref for ref, _ in pairs])
    return Written(
        job.out if key == "." else job.out / key,
        job.format,
        counts["images"],
        counts["instances"],
        {} if again is None else shape_counts(again.refs),
        tuple(lost),
        tuple(sorted(set(had) - has)),
        () if again is None else _stuff_as_objects(labels, again, chosen, job.format),
        placed,
        left,
    )


def _stuff_as_objects(labels: LabelSet, again: LabelSet, chosen: LabelFormat, format: str) -> tuple[str, ...]:
    """Return the stuff among the written classes that became objects.

    A format in which masks overlap is one of objects, even where it notes which classes are stuff: so, what named them
    tells whether they are new to it.
    """
    new = chosen.holds.overlap and format not in labels.metadata
    kept = () if new else formats.stuff_classes(again)
    return tuple(name for name in formats.stuff_classes(labels) if name not in kept)


def _plain(name: str) -> str:
    return name.replace("\\", "/")


def _is_file(path: Path, chosen: LabelFormat) -> bool:
    """Return whether a format of folders would write a file of this name: one label map, one sequence as text."""
    return path.suffix.lower() in (*chosen.suffixes, ".txt")


def _common_folder(refs: list[ImageRef]) -> Path | None:
    """Return the folder that all image names are relative to."""
    found = set()
    for ref in refs:
        name = PurePosixPath(_plain(ref.name)).parts
        if ref.path.parts[-len(name) :] != name:
            return None
        found.add(Path(*ref.path.parts[: -len(name)]))
    return found.pop() if len(found) == 1 else None


def check_apart(sources: Iterable[Path], out: Path) -> None:
    """Refuse to write a folder that contains the sources; a label file may replace its own source.

    Raises
    ------
    ConfigError
        If ``out`` contains a source; names both.
    """
    place = out.resolve()
    for source in sources:
        whole = source.resolve()
        if whole.is_relative_to(place) and (whole != place or whole.is_dir()):
            raise ConfigError(f"{out} contains the labels to read ({source}); name another place")


def _check_free(paths: list[Path], overwrite: bool) -> None:
    for path in paths:
        if path.exists() and not overwrite and (path.is_file() or any(path.iterdir())):
            raise ConfigError(f"{path} is there already; choose another place, or " + Option("overwrite", True))


def _check_replaceable(out: Path, sets: Iterable[LabelSet]) -> None:
    """Refuse to replace a folder that holds no labels, or the images and labels to write."""
    if out.is_file() or not any(out.iterdir()):
        return
    try:
        open_sources(out)
    except ApieceError as error:
        raise ConfigError(
            f"{out} is no readable label set and is not replaced; remove it, or name another place ({error})"
        ) from None
    whole = out.resolve()
    folders = {ref.path.parent for labels in sets for ref in labels.refs}
    if Path.cwd().is_relative_to(whole) or any(folder.resolve().is_relative_to(whole) for folder in folders):
        raise ConfigError(f"{out} holds the images of these labels, or is the current folder; name another place")
