"""`write_sets`: labels and their images as one data set on disk, whole or not at all.

Labels are built in a hidden folder beside their place and read back: where the format's own reader looks for an image
is where the image goes. A folder then gets its name in one step; files that join an existing folder come last, after
their images.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath, PurePosixPath

from apiece import formats
from apiece.core.image import ImageRef
from apiece.datasets._place import ImageMode, Placer
from apiece.datasets.dataset import open_sources
from apiece.errors import ApieceError, ConfigError, DataError, FormatError, Option
from apiece.formats import LabelFormat, LabelSet, Record

__all__ = ["DEFAULTS", "WriteOptions", "Written", "check_apart", "write_sets"]


@dataclass(frozen=True)
class WriteOptions:
    """How sets are written."""

    images: ImageMode = "link"
    """``"link"`` the images to where the format expects them, ``"copy"`` them there, or ``"leave"`` them."""
    allow_lossy: bool = False
    """Write what the format can hold instead of refusing."""
    overwrite: bool = False
    """Replace what is there."""
    check: bool = False
    """Write to a temporary folder only, lossy and without images, to say what would be lost."""


_PART = ".part"
DEFAULTS = WriteOptions()


@dataclass(frozen=True)
class Written:
    """One set that was written."""

    path: Path
    """Label file or folder."""
    format: str
    """Its format."""
    images: int
    """How many images it has."""
    instances: int
    """How many instances."""
    lost: tuple[str, ...] = ()
    """What the format could not hold, a line per image and kind of loss."""
    dropped: tuple[str, ...] = ()
    """Values that images had (``"modality"``) and the format has no place for."""
    placed: Mapping[str, int] = field(default_factory=dict)
    """How many images were hard linked, copied, there already, missing ..."""
    image_folder: Path | None = None
    """Where the images are that were left, if that is one folder and not where the format looks by itself."""


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
    sets : label sets by their path within ``out``; ``"."`` is ``out`` itself. What they are read from must not lie
        in an ``out`` that is replaced as a whole.
    out : folder or label file that appears as a whole, or with ``join`` a folder that label files are added to.
    format : name of the format.
    step : called after each image's labels, and after each image that is put in its place.

    Raises
    ------
    ConfigError
        if there is something already, or it would be replaced and is no label set, or holds what is to be written; or
        if a set would not lie within ``out``.
    LossyFormatError
        naming image and instances that the format cannot hold.
    DataError
        if an image would take the place of another.
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
    try:
        with _stage(parent, out.name) as stage:
            root = stage if join else stage / out.name
            with Placer(options.images, stage, step) as placer:
                job = _Job(root, out, join, format, options, placer, step)
                found = {key: _write_one(labels, key, job) for key, labels in sets.items()}
                for made in [p for p in stage.iterdir() if not p.name.startswith(".")]:
                    _move(made, parent / made.name, stage, options.overwrite)
    except FormatError as error:
        raise error.at(_final(error.path, parent)) from None
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error}") from error
    return found


def _checked(
    sets: Mapping[str, LabelSet], out: Path, format: str, join: bool, step: Callable[[], None]
) -> dict[str, Written]:
    """What `write_sets` would have lost at ``out``, written elsewhere and thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / out.name
        try:
            found = write_sets(sets, place, format, WriteOptions("leave", allow_lossy=True), join=join, step=step)
        except FormatError as error:
            inside = error.path.is_relative_to(folder)
            path = out.parent / error.path.relative_to(folder) if inside else error.path
            raise error.at(path) from None
        return {
            key: replace(one, path=out / one.path.relative_to(place), placed={}, image_folder=None)
            for key, one in found.items()
        }


@dataclass(frozen=True)
class _Job:
    """What all sets that are written together share."""

    root: Path
    """Where sets are built."""
    out: Path
    """Where they will be."""
    join: bool
    """Whether label files are added to ``out``."""
    format: str
    options: WriteOptions
    placer: Placer
    step: Callable[[], None]


def _write_one(labels: LabelSet, key: str, job: _Job) -> Written:
    chosen, path = formats.load(job.format), job.root / key
    counts, had, refs = Counter[str](), dict[str, str](), dict[str, ImageRef]()

    def records() -> Iterator[Record]:
        for ref, instances in labels:
            counts["images"] += 1
            counts["instances"] += len(instances)
            for name in ref.attributes:
                had.setdefault(name, _plain(ref.name))
            refs[_plain(ref.name)] = ref
            yield ref, instances
            job.step()

    target = path / chosen.folders[0] if chosen.folders and not _is_file(path, chosen) else path
    lost = formats.write(records(), target, job.format, labels.classes, job.options.allow_lossy, labels.metadata)
    again = formats.read(path, job.format) if counts["images"] else None
    new = {} if again is None else {_plain(ref.name): ref for ref in again.refs}
    pairs = [(refs[name], ref.path) for name, ref in new.items() if name in refs]
    has = {key for ref in new.values() for key in ref.attributes}
    if again is not None:
        places = {name: i for i, name in enumerate(new)}
        # some say a thing of an image only when its labels are decoded
        has |= {key for key, name in had.items() if key not in has and key in again[places[name]][0].attributes}
    # a label file joins a folder, and so do its images; those of a folder come with it
    final = job.out if job.join else job.out.parent if path == job.root and path.is_file() else None
    placed, left = job.placer.put(pairs, final), None
    if job.options.images == "leave" and not all(_will_be(place, job).is_file() for _, place in pairs[:32]):
        left = _common_folder([ref for ref, _ in pairs])
    return Written(
        job.out if key == "." else job.out / key,
        job.format,
        counts["images"],
        counts["instances"],
        tuple(lost),
        tuple(sorted(set(had) - has)),
        placed,
        left,
    )


def _final(path: Path, parent: Path) -> Path:
    """A path in a stage in ``parent``, as people know it."""
    parts = path.relative_to(parent).parts if path.is_relative_to(parent) else ()
    staged = parts and parts[0].startswith(".") and parts[0].endswith(_PART)
    return parent.joinpath(*parts[1:]) if staged else path


def _will_be(place: Path, job: _Job) -> Path:
    """Where a path in the stage will be when all is done."""
    stage, parent = job.placer.stage, job.out if job.join else job.out.parent
    return parent / place.relative_to(stage) if place.is_relative_to(stage) else place


def _plain(name: str) -> str:
    return name.replace("\\", "/")


def _is_file(path: Path, chosen: LabelFormat) -> bool:
    """Whether a format that writes folders would make a file of this name: one label map, one sequence as text."""
    return path.suffix.lower() in (*chosen.suffixes, ".txt")


def _common_folder(refs: list[ImageRef]) -> Path | None:
    """The folder that all names are relative to."""
    found = set()
    for ref in refs:
        name = PurePosixPath(_plain(ref.name)).parts
        if ref.path.parts[-len(name) :] != name:
            return None
        found.add(Path(*ref.path.parts[: -len(name)]))
    return found.pop() if len(found) == 1 else None


def check_apart(sources: Iterable[Path], out: Path) -> None:
    """Refuse to write a folder that holds what is read; a label file may take the place of the one it was read from.

    Raises
    ------
    ConfigError
        naming both.
    """
    place = out.resolve()
    for source in sources:
        whole = source.resolve()
        if whole.is_relative_to(place) and (whole != place or whole.is_dir()):
            raise ConfigError(f"{out} holds what is read ({source}); name another place")


def _check_free(paths: list[Path], overwrite: bool) -> None:
    for path in paths:
        if path.exists() and not overwrite and (path.is_file() or any(path.iterdir())):
            raise ConfigError(f"{path} is there already; choose another place, or " + Option("overwrite", True))


def _check_replaceable(out: Path, sets: Iterable[LabelSet]) -> None:
    """Refuse to replace a folder that holds no labels, or the very images and labels to be written."""
    if out.is_file() or not any(out.iterdir()):
        return
    try:
        open_sources(out)
    except ApieceError as error:
        raise ConfigError(
            f"{out} is no label set that could be read, so it is not replaced; remove it yourself, or name another "
            f"place ({error})"
        ) from None
    whole = out.resolve()
    folders = {ref.path.parent for labels in sets for ref in labels.refs}
    if Path.cwd().is_relative_to(whole) or any(folder.resolve().is_relative_to(whole) for folder in folders):
        raise ConfigError(f"{out} holds the images of these labels, or is where you are; name another place")


@contextlib.contextmanager
def _stage(parent: Path, name: str) -> Iterator[Path]:
    """A hidden folder in ``parent`` that vanishes; so do folders that were made for it if nothing came of it."""
    made = [p for p in (parent, *parent.parents) if not p.exists()]
    parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{name[:60]}.", suffix=_PART, dir=parent))
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()  # goes only if it is empty


def _move(made: Path, place: Path, stage: Path, overwrite: bool) -> None:
    """Give what was made its name; what had it before goes to the stage, which vanishes."""
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()
    _check_free([place], overwrite)
    if not place.exists():
        made.rename(place)
        return
    old = Path(tempfile.mkdtemp(prefix=".old.", dir=stage)) / place.name
    place.rename(old)
    try:
        made.rename(place)
    except OSError:
        old.rename(place)
        raise
