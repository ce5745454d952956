"""The table of tracks of the Cell Tracking Challenge: a line ``L B E P`` for each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from apiece._arrays import Int
from apiece.errors import FormatError, LossyFormatError
from apiece.formats._kit.files import read_text
from apiece.formats.contract import OnBad, refuse


def read_tracks(path: Path, on_bad: OnBad) -> dict[int, tuple[int, int, int]]:
    """Return label to first frame, last frame and parent (0: none); a bad line is reported."""
    text = read_text(path)
    found: dict[int, tuple[int, int, int]] = {}
    lines: dict[int, int] = {}
    for k, line in enumerate(text.splitlines(), 1):
        parts = line.split()
        if not parts:
            continue
        reason = _fault(parts, found)
        if reason:
            refuse(FormatError(path, f"line {k}: {reason}"), on_bad)
            continue
        label, first, last, parent = map(int, parts)
        found[label], lines[label] = (first, last, parent), k
    for label, (first, last, parent) in list(found.items()):
        if parent and (parent not in found or found[parent][1] >= first):
            why = "is not in the table" if parent not in found else f"still lives in frame {first}"
            refuse(FormatError(path, f"line {lines[label]}: the parent {parent} of {label} {why}"), on_bad)
            found[label] = (first, last, 0)
    return found


def _fault(parts: list[str], found: Mapping[int, object]) -> str:
    if len(parts) != 4 or not all(p.isascii() and p.isdecimal() and len(p) <= 9 for p in parts):
        return f"must be four integers, label, first frame, last frame and parent; got {' '.join(parts)[:60]!r}"
    label, first, last, parent = map(int, parts)
    if not 0 < label <= 0xFFFF:
        return f"label {label} must be from 1 to 65535"
    if label in found:
        return f"label {label} is in the table twice"
    if first > last:
        return f"track {label} ends in frame {last}, before its first, {first}"
    if parent == label:
        return f"track {label} is its own parent"
    return ""


class Tracks:
    """Gather the first and last frame of each id while frames are written."""

    def __init__(self) -> None:
        self._first: dict[int, int] = {}
        self._last: dict[int, int] = {}

    def add(self, frame: int, ids: Int) -> None:
        """Note the ids of one frame."""
        for own in ids.tolist():
            self._first[own] = min(self._first.get(own, frame), frame)
            self._last[own] = max(self._last.get(own, frame), frame)

    def text(self, path: Path, parents: Mapping[int, int]) -> str:
        """Return the table; ``parents`` maps a child's id to its parent's.

        A parent without a track that ends before its child's begins is refused as a loss.
        """
        lines = []
        for own in sorted(self._first):
            parent = parents.get(own, 0)
            if parent and not self._last.get(parent, self._first[own]) < self._first[own]:
                raise LossyFormatError(
                    path, f"the parent {parent} of track {own} has no frame here that lies before the track's first"
                )
            lines.append(f"{own} {self._first[own]} {self._last[own]} {parent}")
        return "".join(f"{line}\n" for line in lines)
