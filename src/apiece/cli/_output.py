"""What commands print: a table for people, or one JSON object for programs; everything else goes to standard error."""

from __future__ import annotations

import json as _json
import logging
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from apiece.errors import ApieceError, ConfigError, DataError, Message, Option, on_command_line


def plain(value: Any) -> Any:
    """Return a value as JSON knows it; NaN and infinities, which JSON lacks, become null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, Message | ApieceError):
        return on_command_line(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str):
        return [plain(v) for v in value]
    return value


_facts: list[dict[str, Any]] = []  # what the log told of label files in this run: shapes passed over, outlines cut


def remember(record: logging.LogRecord) -> bool:
    """Keep the facts of a line of the log for `print_json`; return False if it came before, or `tell_cut` says it."""
    facts = getattr(record, "facts", None)
    if facts is None:
        return True
    new = not any(facts is known or ("shapes" in facts and facts == known) for known in _facts)
    if new:
        _facts.append(facts)
    return new and "cut" not in facts


def forget() -> None:
    """Begin a run: nothing has been told."""
    _facts.clear()


def tell_cut() -> None:
    """Say how many outlines were cut at the border, once all have been read."""
    counts: dict[str, list[int]] = {}
    for path, cut in ((facts["path"], facts["cut"]) for facts in _facts if "cut" in facts):
        counts.setdefault(str(path), []).append(cut["outlines"])
    for path, outlines in counts.items():
        count = max(outlines)
        which = "outline that reaches" if count == 1 else "outlines that reach"
        note(f"{path}: cut {count:,} {which} beyond the border of the image; check lists them")


def print_json(value: Any) -> None:
    """Print one JSON object on standard output, with what the readers of labels passed over and cut.

    A member that is an iterator is printed as a list, item by item.
    """
    found = plain(value)
    for key, name in (("passed_over", "shapes"), ("cut_at_border", "cut")):
        told = [facts for facts in _facts if name in facts]
        found |= {key: plain(told)} if told else {}
    for k, (key, member) in enumerate(found.items()):
        sys.stdout.write(f"{',' if k else '{'}\n  {_dumped(key, 2)}: ")
        sys.stdout.writelines(_listed(member) if isinstance(member, Iterator) else [_dumped(member, 2)])
    sys.stdout.write("\n}\n" if found else "{}\n")


def _listed(items: Iterator[Any]) -> Iterator[str]:
    opening = "["
    for item in items:
        yield f"{opening}\n    {_dumped(plain(item), 4)}"
        opening = ","
    yield "\n  ]" if opening == "," else "[]"


def _dumped(value: Any, spaces: int) -> str:
    """Return JSON, of which all lines but the first stand further to the right; texts in it have no line breaks."""
    return _json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n" + " " * spaces)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table on standard output, numbers to the right, and text as it is, brackets of a file's name included."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False)
    if title:
        console.print(Text(title, style="bold"), soft_wrap=True)  # as wide as it needs, not as its table is
    table = Table(box=None, pad_edge=False, show_header=any(columns))
    needed = 2 * (len(columns) - 1)
    width = [max((len(shown(row[k])) for row in rows), default=0) for k in range(len(columns))]
    broken = needed + sum(map(max, map(len, columns), width)) > console.width
    for k, (column, widest) in enumerate(zip(columns, width, strict=True)):
        numeric = all(isinstance(row[k], int | float | np.number) or row[k] in ("", "-") for row in rows)
        head = column.replace(" ", "\n") if broken and numeric and len(column) > widest else column
        justify: Literal["left", "right"] = "right" if numeric and rows else "left"
        # text goes on in the next line, and a number stands in one
        table.add_column(Text(head), justify=justify, overflow="fold", no_wrap=numeric)
        needed += max(widest, *map(len, head.split("\n"))) if numeric else min(widest, _TEXT)
    for row in rows:
        table.add_row(*(Text(shown(value)) for value in row))
    console.width = max(console.width, needed)
    console.print(table)


_TEXT = 8  # characters that a column of text has at least


def shown(value: Any) -> str:
    """Return a number as people read it: thousands apart, three digits behind the point."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        number = float(value)
        if not math.isfinite(number):
            return "-"
        return f"{number:,.1f}" if abs(number) >= 100 else f"{number:.3f}"
    return on_command_line(value)


def say(text: str) -> None:
    """Print a line on standard output."""
    sys.stdout.write(text + "\n")


DEFAULT_MODEL = "model: default, which comes with apiece and finds objects of any kind, all of the class object"


def note(said: str | ApieceError) -> None:
    """Print a line on standard error."""
    sys.stderr.write(on_command_line(said) + "\n")


def check_writable(*paths: Path | None) -> None:
    """Refuse files that cannot be written, before any work is done for them."""
    for path in paths:
        if path is None:
            continue
        if path.is_dir():
            raise ConfigError(f"{path} is a folder; name a file")
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            what = "may not be written to" if folder.is_dir() else "is a file, not a folder"
            raise ConfigError(f"{path} cannot be written: {folder} {what}; name another place")


def check_new(out: Path, overwrite: bool) -> None:
    """Refuse a folder that is there already, before any work is done for it."""
    if out.exists() and not overwrite:
        raise DataError(f"{out} is there already; name another folder, or " + Option("overwrite", True))


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[..., None]]:
    """Show a progress bar on standard error, for people only.

    Yields what to call after each step: with nothing, or with (steps done, steps in all).
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task(what, total=total)

        def step(done: int | None = None, of: int | None = None) -> None:
            if done is None:
                bar.advance(task)
            else:
                bar.update(task, completed=done, total=of)

        yield step
