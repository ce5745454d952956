"""Writing label sets, which `convert`, `merge` and `split` share: options, what is lost, what is printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from apiece.cli._options import LIST, Overwrite
from apiece.cli._output import note, print_json, print_table
from apiece.errors import DataError, LossyFormatError, on_command_line

if TYPE_CHECKING:
    from apiece.datasets import BadEntries, WriteOptions, Written
    from apiece.formats import LabelSet

Droppable = Literal["classes", "ids", "scores", "crowd", "attributes", "full", "shapes"]
_MOST = 20  # lines of one kind on a terminal


@dataclass(frozen=True)
class Writing:
    """How label sets are written."""

    to: Annotated[
        str | None,
        Parameter(help="Format to write; docs/formats.md lists them. By default the ending of OUT tells it."),
    ] = None
    image_files: Annotated[
        Literal["link", "copy", "leave"],
        Parameter(
            help="`link` images to where the format expects them (hard links, else symbolic links, else copies), "
            "`copy` them there, or `leave` them."
        ),
    ] = "link"
    drop: Annotated[
        tuple[Droppable, ...],
        LIST,
        Parameter(
            help="Fields to leave out; `shapes` are points, lines and whatever else is no mask. Ids that only number "
            "the annotations, as COCO's do, are left out by themselves where the format has none."
        ),
    ] = ()
    allow_lossy: Annotated[
        bool, Parameter(help="Write what the format can hold and list what is lost. By default any loss is an error.")
    ] = False
    check: Annotated[bool, Parameter(help="Write nothing; list what would be lost.")] = False
    overwrite: Overwrite = False

    def dropped(self, read: Iterable[str], to: str) -> tuple[Droppable, ...]:
        """Return ``drop``, and ids if they only number the entries of ``read`` and the format ``to`` has none."""
        from apiece import formats

        numbers = all(formats.load(name).numbers_entries for name in read)
        if "ids" in self.drop or formats.load(to).holds.ids or not numbers:
            return self.drop
        note(f"ids, which only number the annotations, are left out: {to} has none")
        return (*self.drop, "ids")

    def write(
        self,
        what: str,
        sets: Mapping[str, LabelSet],
        drop: tuple[Droppable, ...],
        bad: BadEntries | None,
        write: Callable[[Mapping[str, LabelSet], WriteOptions, Callable[[], None]], dict[str, Written]],
    ) -> dict[str, Written]:
        """Call ``write`` with the sets without the fields ``drop``; ``what`` names the work beside its progress.

        Where all instances are among the ``bad``, nothing is written.
        """
        from apiece.cli._output import progress
        from apiece.datasets import Dropped, WriteOptions

        sets = {name: Dropped(labels, drop) for name, labels in sets.items()} if drop else sets

        def enough(instances: int) -> None:
            if bad is not None and bad.errors and not instances:
                said = f"nothing is left of the labels without their {len(bad.errors):,} bad entries; the first: "
                raise DataError(said + bad.errors[0].message)

        options = WriteOptions(self.image_files, self.allow_lossy, self.overwrite, self.check, enough)
        steps = sum(map(len, sets.values())) * (1 if self.check or self.image_files == "leave" else 2)
        with self._next_steps(), progress("checking" if self.check else what, steps) as step:
            return write(sets, options, step)

    @contextmanager
    def _next_steps(self) -> Iterator[None]:
        """Add the options that there are to the refusal of what a format cannot hold, unless one of them is used."""
        try:
            yield
        except LossyFormatError as error:
            if self.allow_lossy or self.check:
                raise
            drop = f"--drop {error.field} goes without them; " if error.field else ""
            options = f"{drop}--check lists all that would be lost; --allow-lossy writes what fits"
            raise LossyFormatError(error.path, error.reason + f". {options}") from None


def report_bad(bad: BadEntries | None, json: bool) -> dict[str, Any]:
    """List entries that were left out on standard error, and return what a command's JSON says of them."""
    if bad is None:
        return {}
    if bad.errors:
        note(f"{len(bad.errors):,} bad {'entry was' if len(bad.errors) == 1 else 'entries were'} left out:")
        _listed([on_command_line(error) for error in bad.errors], json)
        far = sum(any(option.name == "clip_outlines" for option in error.options) for error in bad.errors)
        if far:
            note(f"{far:,} of these reach beyond the border of their image; --clip-outlines cuts them there instead")
    return {"bad": [{"path": error.path, "reason": error.reason} for error in bad.errors]}


def show_written(
    written: Mapping[str, Written],
    writing: Writing,
    *,
    title: str,
    bad: BadEntries | None,
    facts: Mapping[str, Any],
    json: bool,
) -> None:
    """Print the sets that were written, with ``facts`` in JSON; list on standard error what was lost."""
    from apiece.formats.contract import in_words

    left_out = report_bad(bad, json)
    shapes = sum((Counter(one.shapes) for one in written.values()), Counter[str]())
    lost = [line for one in written.values() for line in one.lost]
    dropped = sorted({name for one in written.values() for name in one.dropped})
    if lost:
        note(f"{'would be lost' if writing.check else 'lost'}, since the format cannot hold it ({_kinds(lost)}):")
        _listed(lost, json)
    elif writing.check:
        note("nothing of the instances would be lost")
    if shapes:
        note(f"{'would be written' if writing.check else 'written'} as they were, though no masks: {in_words(shapes)}")
    if dropped:
        note(f"of images, the format does not keep: {', '.join(dropped)}")
    stuff = dict.fromkeys(name for one in written.values() for name in one.stuff)
    if stuff:
        said = "stuff that would become" if writing.check else "stuff that became"
        note(f"{said} objects: {', '.join(stuff)}; apiece convert --classes chooses classes")
    if not writing.check:
        _say_where_images_are(list(written.values()))
    if json:
        print_json({"sets": {split: _plain(one) for split, one in written.items()}, **facts, "bad": [], **left_out})
        return
    rows = [(split, one.images, one.instances, one.format, str(one.path)) for split, one in written.items()]
    first = 0 if any(written) else 1  # a single set has no name
    columns = ("set", "images", "instances", "format", "would be at" if writing.check else "written to")
    print_table(title, columns[first:], [row[first:] for row in rows])


def _plain(one: Written) -> dict[str, Any]:
    return {
        "path": one.path,
        "format": one.format,
        "images": one.images,
        "instances": one.instances,
        "shapes": one.shapes,
        "lost": one.lost,
        "image_values_lost": one.dropped,
        "stuff_as_objects": one.stuff,
        "image_files": one.placed,
        "image_folder": one.image_folder,
    }


def _say_where_images_are(written: Sequence[Written]) -> None:
    placed = Counter[str]()
    for one in written:
        placed.update(one.placed)
    if placed:
        note("image files: " + ", ".join(f"{count:,} {way}" for way, count in placed.items()))
    if placed["symbolic links"]:
        note("hard links are not possible here; symbolic ones break when the originals move (use --image-files copy)")
    for folder in dict.fromkeys(one.image_folder for one in written if one.image_folder is not None):
        note(f"images stay where they are: read these labels with --images {folder}")


def _kinds(lost: Sequence[str]) -> str:
    """Count the images of each kind of loss."""
    counts = Counter(line.rpartition(": ")[2] for line in lost)
    return "; ".join(f"{kind}: {count:,} image{'s' if count > 1 else ''}" for kind, count in counts.most_common())


def _listed(lines: Sequence[str], json: bool) -> None:
    for line in lines[:_MOST]:
        note(f"  {line}")
    if len(lines) > _MOST:
        note(f"  and {len(lines) - _MOST:,} more; " + ("all are in the JSON" if json else "--json lists all"))
