"""What `convert`, `merge` and `split` share: how sets are written, and what is said of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from apiece.cli._output import note, print_json, print_table
from apiece.errors import on_command_line

if TYPE_CHECKING:
    from apiece.datasets.dataset import BadEntries
    from apiece.datasets.write import Written


Images = Literal["link", "copy", "leave"]
Droppable = Literal["classes", "ids", "scores", "crowd", "attributes"]
Drop = Annotated[tuple[Droppable, ...], Parameter(consume_multiple=True)]
_MOST = 20  # lines of one kind on a terminal


def without_numbers(read: Iterable[str], to: str, drop: tuple[Droppable, ...]) -> tuple[Droppable, ...]:
    """``drop``, and ids too where these only number the entries of what is read and the format ``to`` has none."""
    from apiece import formats

    if "ids" in drop or formats.load(to).holds.ids or not all(formats.load(name).numbers_entries for name in read):
        return drop
    note(f"ids, which only number the annotations, are left out: {to} has none")
    return (*drop, "ids")


@contextmanager
def next_steps(told: bool = False) -> Iterator[None]:
    """Add to the refusal of what a format cannot hold which options there are, unless somebody has used them."""
    from apiece.errors import LossyFormatError

    try:
        yield
    except LossyFormatError as error:
        if told:
            raise
        drop = f"--drop {error.field} goes without; " if error.field else ""
        options = f"{drop}--check lists all that would be lost; --allow-lossy writes what fits"
        raise LossyFormatError(error.path, f"{error.reason}. {options}") from None


def report_bad(bad: BadEntries | None, json: bool) -> list[dict[str, str]]:
    """Entries that were left out, for JSON; listed on standard error."""
    if bad is None:
        return []
    if bad.errors:
        note(f"{len(bad.errors):,} bad entries were left out:")
        _listed([on_command_line(error) for error in bad.errors], json)
    return [{"path": str(error.path), "reason": error.reason} for error in bad.errors]


def show_written(
    written: Mapping[str, Written],
    *,
    title: str,
    bad: list[dict[str, str]],
    facts: Mapping[str, Any],
    checked: bool = False,
    json: bool = False,
) -> None:
    """The sets that were written, as a table or as one JSON object with ``facts``; what was lost on standard error."""
    lost = [line for one in written.values() for line in one.lost]
    dropped = sorted({name for one in written.values() for name in one.dropped})
    if lost:
        note(f"{'would be lost' if checked else 'lost'}, since the format cannot hold it ({_kinds(lost)}):")
        _listed(lost, json)
    elif checked:
        note("nothing of the instances would be lost")
    if dropped:
        note(f"of images, the format does not keep: {', '.join(dropped)}")
    if not checked:
        _say_where_images_are(list(written.values()))
    if json:
        print_json({"sets": {split: _plain(one) for split, one in written.items()}, **facts, "bad": bad})
        return
    rows = [(split, one.images, one.instances, one.format, str(one.path)) for split, one in written.items()]
    first = 0 if any(written) else 1  # a single set has no name
    columns = ("set", "images", "instances", "format", "would be at" if checked else "written to")
    print_table(title, columns[first:], [row[first:] for row in rows])


def _plain(one: Written) -> dict[str, Any]:
    return {
        "path": one.path,
        "format": one.format,
        "images": one.images,
        "instances": one.instances,
        "lost": list(one.lost),
        "image_values_lost": list(one.dropped),
        "image_files": dict(one.placed),
        "image_folder": one.image_folder,
    }


def _say_where_images_are(written: Sequence[Written]) -> None:
    placed = Counter[str]()
    for one in written:
        placed.update(one.placed)
    if placed:
        note("image files: " + ", ".join(f"{count:,} {way}" for way, count in placed.items()))
    if placed["symbolic links"]:
        note("hard links are not possible here; symbolic ones break when the originals move (--images copy)")
    for folder in dict.fromkeys(one.image_folder for one in written if one.image_folder is not None):
        note(f"images were left where they are: read the labels with the image folder {folder}")


def _kinds(lost: Sequence[str]) -> str:
    """How many images each kind of loss concerns."""
    counts = Counter(line.rpartition(": ")[2] for line in lost)
    return "; ".join(f"{kind}: {count:,} image{'s' if count > 1 else ''}" for kind, count in counts.most_common())


def _listed(lines: Sequence[str], json: bool) -> None:
    for line in lines[:_MOST]:
        note(f"  {line}")
    if len(lines) > _MOST:
        note(f"  and {len(lines) - _MOST:,} more; " + ("all are in the JSON" if json else "--json lists all"))
