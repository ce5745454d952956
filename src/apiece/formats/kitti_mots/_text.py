"""The text form of MOTS: a line ``frame id class height width run-lengths`` for each object of a sequence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import FormatError, LossyFormatError
from apiece.formats._kit.checks import LONGEST, BadEntryError, Size, skip_bad
from apiece.formats._kit.entries import Entry, assemble, nobody
from apiece.formats._kit.label_images import region_mask, region_said
from apiece.formats.contract import OnBad, Record, refuse

_LINE = re.compile(rb"\d+ \d+ \d+ \d+ \d+ \S+")
_MOST_FRAMES = 1 << 18
_LONGEST_GAP = 1 << 14  # frames without a line that are filled in: nine minutes of video; more is a slip
IGNORE_CLASS, IGNORE_ID = 10, 10000


@dataclass(frozen=True, slots=True)
class Line:
    """One object in one frame, not decoded."""

    number: int
    id: int
    label: int
    rle: str


@dataclass(frozen=True)
class Frame:
    """The lines of one frame."""

    size: tuple[int, int]
    lines: list[Line]
    ignore: Line | None = None


def is_mots_text(path: Path) -> bool:
    """Return whether the first line is one of MOTS; never raises."""
    try:
        with path.open("rb") as file:
            return _LINE.match(file.read(1 << 12)) is not None
    except OSError:
        return False


def read_lines(path: Path, numbers: dict[int, int], on_bad: OnBad) -> dict[int, Frame]:
    """Return every frame from the first to the last; frames without a line have no object."""
    frames: dict[int, Frame] = {}
    seen: set[tuple[int, int]] = set()
    try:
        with path.open("rb") as file:
            for k, raw in enumerate(file, 1):
                if not raw.strip():
                    continue
                with skip_bad(on_bad, path, f"line {k}"):
                    _add(frames, seen, raw, k, numbers)
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror}") from None
    if not frames:
        raise FormatError(path, "holds no line of MOTS: frame id class height width run-lengths")
    _check_gaps(path, frames, on_bad)
    first, last = min(frames), max(frames)
    empty = Frame(frames[first].size, [])
    return {k: frames.get(k, empty) for k in range(first, last + 1)}


def _check_gaps(path: Path, frames: dict[int, Frame], on_bad: OnBad) -> None:
    last = min(frames)
    for number in sorted(frames):
        if number - last <= _LONGEST_GAP:
            last = number
            continue
        frame = frames.pop(number)
        for line in [*frame.lines, *([frame.ignore] if frame.ignore else [])]:
            gap = f"frame {number} is {number - last} frames after any other, which looks like a slip"
            refuse(FormatError(path, f"line {line.number}: {gap}; up to {_LONGEST_GAP} pass"), on_bad)


def _add(frames: dict[int, Frame], seen: set[tuple[int, int]], raw: bytes, k: int, numbers: dict[int, int]) -> None:
    parts = raw.decode("ascii", errors="replace").split()
    if len(parts) != 6:
        raise BadEntryError(f"has {len(parts)} fields instead of frame, id, class, height, width and run-lengths")
    if not all(p.isascii() and p.isdecimal() and len(p) <= 18 for p in parts[:5]):
        raise BadEntryError(f"frame, id, class, height and width must be integers, got {' '.join(parts[:5])[:80]!r}")
    frame, own, number, height, width = map(int, parts[:5])
    if frame > _MOST_FRAMES:
        raise BadEntryError(f"frame {frame} is beyond any sequence")
    if not (0 < height <= LONGEST and 0 < width <= LONGEST):
        raise BadEntryError(f"height and width must be from 1 to {LONGEST}, got {height} and {width}")
    size = next(iter(frames.values())).size if frames else (height, width)
    if (height, width) != size:
        raise BadEntryError(f"is of {height} x {width} pixels, others are of {size[0]} x {size[1]}")
    if number not in numbers and number != IGNORE_CLASS:
        raise BadEntryError(f"there is no class {number}; 1 is car, 2 pedestrian, {IGNORE_CLASS} an ignored region")
    if (frame, own) in seen:
        raise BadEntryError(f"id {own} is in frame {frame} twice")
    seen.add((frame, own))
    line = Line(k, own, numbers.get(number, -1), parts[5])
    known = frames.get(frame, Frame(size, []))
    if number == IGNORE_CLASS:
        if known.ignore is not None:
            raise BadEntryError(f"frame {frame} has two ignored regions; unite them")
        frames[frame] = Frame(size, known.lines, line)
    else:
        frames[frame] = Frame(size, [*known.lines, line], known.ignore)


def decode_lines(
    path: Path, frame: Frame, classes: tuple[str, ...], on_bad: OnBad
) -> tuple[Instances, dict[str, object] | None]:
    """Return the objects of a frame, and its ignored region."""
    found, ignored = (
        assemble([_entry(line, frame.size) for line in lines], frame.size, classes, path, on_bad)
        for lines in (frame.lines, [] if frame.ignore is None else [frame.ignore])
    )
    found = found if len(found) else nobody(frame.size, classes, ids=True)
    return found, {"ignore": ignored.masks.to_coco()[0]} if ignored.masks.area.any() else None


def _entry(line: Line, size: Size) -> Entry:
    return Entry(f"line {line.number}", max(line.label, 0), {"size": list(size), "counts": line.rle}, line.id)


def write_lines(
    records: Iterable[Record], path: Path, target: Path, numbers: list[int], values: Callable[[Record], Iterable[int]]
) -> None:
    """Write a sequence, a frame after the other, to ``target``; ``path`` is what the file will be called.

    A first or last frame without an object gets an ignored region without a pixel, so that there is a line for it.
    Images of different sizes are refused as a loss, and a sequence without images.
    """
    seen = set[int]()
    size: tuple[int, int] | None = None
    pending = ""  # what says that a frame has no object, for the last one
    with target.open("w", encoding="ascii", newline="\n") as file:
        for ref, instances in records:
            frame = _frame(path, ref.name)
            if frame in seen:
                raise FormatError(path, f"frame {frame} comes twice, the second time as {ref.name!r}")
            if seen and frame < max(seen):
                raise FormatError(path, f"image {ref.name!r} comes after a later frame; sort the images by number")
            if instances.size != (size or instances.size):
                raise LossyFormatError(path, f"image {ref.name!r} is of another size than the frames before it")
            size = instances.size
            rows = zip(values((ref, instances)), instances.labels.tolist(), instances.masks.to_coco(), strict=True)
            lines = [
                f"{frame} {own} {numbers[label]} {size[0]} {size[1]} {rle['counts']}\n" for own, label, rle in rows
            ]
            rle = region_said(ref, "regions", "ignore")
            ignored = Masks.empty(size, 1) if rle is None else region_mask(rle, size, path, ref, "regions")
            counts = ignored.to_coco()[0]["counts"]
            region = f"{frame} {IGNORE_ID} {IGNORE_CLASS} {size[0]} {size[1]} {counts}\n"
            if rle is not None or not (lines or seen):
                lines.append(region)
            pending = "" if lines else region
            seen.add(frame)
            file.writelines(lines)
        file.write(pending)
    if not seen:
        raise LossyFormatError(path, "a sequence as text has a frame at least")


def _frame(path: Path, name: str) -> int:
    match = re.fullmatch(r"(?:(.*)/)?(\d{1,18})\.\w+", name.replace("\\", "/"), re.ASCII)
    if match is None or match[1] != path.stem or f"{int(match[2]):06d}" != match[2]:
        raise FormatError(
            path,
            f"image {name!r} must be called {path.stem}/000000.png, with its own number, to be a frame of this file",
        )
    return int(match[2])
