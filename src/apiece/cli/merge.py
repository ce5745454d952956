"""``apiece merge``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from apiece.cli._options import GROUP, LIST, Json, Reading
from apiece.cli._output import note
from apiece.cli._sets import Writing, show_written
from apiece.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from apiece.datasets import BadEntries, FoundLabels, SameImage
    from apiece.formats import LabelSet


def merge(
    data: Annotated[tuple[Path, ...], LIST, Parameter(help="Label files or folders, two or more.")],
    *,
    reading: Annotated[Reading, GROUP] = Reading(),
    out: Path,
    map: Annotated[tuple[str, ...], LIST] = (),
    same: Literal["refuse", "first", "unite"] = "refuse",
    ids: Literal["distinct", "keep"] = "distinct",
    writing: Annotated[Writing, GROUP] = Writing(),
    json: Json = False,
) -> None:
    """Join labelled sets of any formats: classes go by name, and no photo comes in twice.

    Sets that are divided into train, val and test are joined split by split. An image whose name is taken gets its
    set's name as a folder. What OUT cannot hold is an error, unless an option says otherwise.

    ```
    apiece merge monday/ tuesday/ --out both --to coco
    apiece merge a.json b.json --out all.json --map b:car=vehicle
    apiece merge a.json cvat.xml --out all/ --to yolo --drop ids,attributes --same first
    ```

    Parameters
    ----------
    out
        Label file, or folder that gets the labels and their images.
    map
        New names of classes: `car=vehicle` in every set, `b:car=vehicle` in the set b. A set is called as its file or
        folder without ending, or by its number from 1.
    same
        What to do where two sets label one image file differently: `refuse`, keep the labels of the `first` set, or
        `unite` the labels on one image. Equal labels are kept once.
    ids
        `distinct` adds a constant to ids that an earlier set has too; `keep` leaves ids as they are.
    """
    from apiece import formats
    from apiece.datasets import check_apart, convert

    if len(data) < 2:
        raise ConfigError("merge needs two sets or more: apiece merge A B --out OUT")
    bad = reading.bad()
    found = dict(zip(_names(data), (reading.open(path, bad) for path in data), strict=True))
    every = [source for sources in found.values() for source in sources.values()]
    if not writing.check:
        check_apart((source.path for source in every), out)
    to = formats.format_for(out) if writing.to is None else writing.to
    drop = writing.dropped((source.format for source in every), to)
    distinct = ids == "distinct" and formats.load(to).holds.ids and "ids" not in drop
    sets, notes = _joined(found, map, same, distinct, bad)
    written = writing.write(
        "merging", sets, drop, bad, lambda sets, options, step: convert(sets, out, to, options=options, step=step)
    )
    for line in notes:
        note(line)
    facts = {"from": dict(zip(found, data, strict=True)), "notes": notes}
    show_written(written, writing, title=" + ".join(found), bad=bad, facts=facts, json=json)


def _joined(
    found: Mapping[str, Mapping[str, FoundLabels]],
    map: Sequence[str],
    same: SameImage,
    distinct_ids: bool,
    bad: BadEntries | None,
) -> tuple[dict[str, LabelSet], list[str]]:
    """Join the sets split by split; return them, and notes on what was done."""
    from apiece.datasets import map_classes, merge, sound

    maps = _maps(map, {name: {c for s in of.values() for c in s.labels.classes} for name, of in found.items()})
    sets: dict[str, LabelSet] = {}
    notes: list[str] = []
    for split in _splits({name: list(sources) for name, sources in found.items()}):
        of = {}
        for name, sources in found.items():
            if split in sources:
                labels = sound(sources[split].labels, bad)
                known = [text for text in maps[name] if text.partition("=")[0] in labels.classes]
                of[name] = map_classes(labels, known, keep_others=True)
        alone = _not_everywhere({name: one.classes for name, one in of.items()})
        sets[split], said = merge(of, same, distinct_ids=distinct_ids)
        notes += [f"{split}: {line}" if split else line for line in (*alone, *said)]
    return sets, notes


def _not_everywhere(classes: Mapping[str, Sequence[str]]) -> list[str]:
    """Name classes that only some sets have: their names may differ by accident."""
    held = {c: [name for name, own in classes.items() if c in own] for own in classes.values() for c in own}
    alone = [f"{c} ({', '.join(sets)})" for c, sets in held.items() if len(sets) < len(classes)]
    return [f"classes that not all sets have: {', '.join(alone)}; --map gives them one name"] if alone else []


def _names(data: Sequence[Path]) -> list[str]:
    """Name each set after its file or folder; where two are alike, add the parent's name, and at last a number."""
    paths = [path.absolute() for path in data]
    names = [path.stem if path.is_file() else path.name for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path.parent.name}-{name}" for path, name in zip(paths, names, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{name}-{k}" for k, name in enumerate(names, 1)]
    return names


def _splits(found: dict[str, list[str]]) -> list[str]:
    """Return every split of every set; refuse sets with splits beside sets without."""
    divided = {name: any(splits) for name, splits in found.items()}
    if len(set(divided.values())) > 1:
        with_splits = next(name for name, one in divided.items() if one)
        without = next(name for name, one in divided.items() if not one)
        raise ConfigError(
            f"{with_splits} is divided into {', '.join(found[with_splits])}, {without} is not; name the files to "
            f"merge, or divide {without} with apiece split"
        )
    return list(dict.fromkeys(split for splits in found.values() for split in splits))


def _maps(given: Sequence[str], classes: Mapping[str, set[str]]) -> dict[str, list[str]]:
    """Return the arguments of `map_classes` for each set; ``classes`` are the classes of each."""
    names = list(classes)
    maps: dict[str, list[str]] = {name: [] for name in names}
    for text in given:
        place, colon, pair = text.partition(":")
        number = place.isdecimal() and 1 <= int(place) <= len(names)
        if colon and (place in classes or number):
            having, text = [place if place in classes else names[int(place) - 1]], pair
        else:
            having = [name for name in names if text.partition("=")[0] in classes[name]]
        old = text.partition("=")[0]
        if not having or not any(old in classes[name] for name in having):
            raise UnknownNameError("class", old, set().union(*(classes[name] for name in having or names)))
        for name in having:
            maps[name].append(text)
    return maps
