"""``apiece merge``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from apiece.cli._output import note, progress
from apiece.cli._sets import Drop, Images, next_steps, report_bad, show_written, without_numbers
from apiece.errors import ConfigError, UnknownNameError

__all__ = ["merge"]


def merge(
    data: tuple[Path, ...],
    /,
    *,
    out: Path,
    to: str | None = None,
    map: tuple[str, ...] = (),
    same: Literal["refuse", "first", "unite"] = "refuse",
    ids: Literal["distinct", "keep"] = "distinct",
    images: Images = "link",
    drop: Drop = (),
    allow_lossy: bool = False,
    skip_bad: bool = False,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Several labelled sets, of any formats, as one: classes joined by name or mapped, no photo twice by accident.

    ```
    apiece merge monday/ tuesday/ --out both --to coco
    apiece merge a.json b.json --out all.json --map b:car=vehicle
    apiece merge a.json cvat.xml --out all/ --to yolo --drop ids attributes --same first
    ```

    Sets that are divided into train, val and test are joined split by split. An image whose name is taken gets its
    set's name as a folder.

    Parameters
    ----------
    data
        Label files or folders, at least two.
    out
        Label file, or folder that gets the labels and their images.
    to
        Format to write; by the ending of OUT if left out.
    map
        New class names: car=vehicle for all sets that have a car, b:car=vehicle for the set b (its file's or folder's
        name without ending, or its number from 1).
    same
        What to do with an image file that two sets label differently: "refuse", keep the labels of the "first", or
        "unite" both on one image. Equal labels are kept once.
    ids
        "distinct" adds a constant to ids that an earlier set has too; "keep" leaves them.
    images
        "link" images to where the format expects them (hard links, else symbolic ones, else copies), "copy" or
        "leave" them.
    drop
        What to go without: classes, ids, scores, crowd (flags), attributes.
    allow_lossy
        Write what the format can hold, and say what was lost, instead of refusing.
    skip_bad
        Leave out entries that are broken, and list them, instead of stopping at the first.
    overwrite
        Replace what is there.
    json
        One JSON object instead of a table.
    """
    from apiece import formats
    from apiece.datasets import convert
    from apiece.datasets import merge as join
    from apiece.datasets.classes import Dropped, map_classes
    from apiece.datasets.dataset import BadEntries, open_sources, sound
    from apiece.datasets.write import WriteOptions, check_apart
    from apiece.formats import LabelSet

    if len(data) < 2:
        raise ConfigError("merge needs two sets at least: apiece merge A B --out OUT")
    bad = BadEntries() if skip_bad else None
    labels_of = dict(zip(_names(data), (open_sources(path, on_bad=bad) for path in data), strict=True))
    check_apart((s.path for sources in labels_of.values() for s in sources.values()), out)
    classes = {name: {c for s in of.values() for c in s.labels.classes} for name, of in labels_of.items()}
    maps = _maps(map, classes)
    wanted = formats.format_for(out) if to is None else to
    drop = without_numbers((s.format for of in labels_of.values() for s in of.values()), wanted, drop)
    holds_ids = formats.load(wanted).holds.ids and "ids" not in drop
    sets: dict[str, LabelSet] = {}
    notes: list[str] = []
    for split in _splits({name: list(sources) for name, sources in labels_of.items()}):
        of = {
            name: map_classes(
                sound(sources[split].labels, bad), _known(maps[name], sources[split].labels.classes), True
            )
            for name, sources in labels_of.items()
            if split in sources
        }
        alone = _not_everywhere({name: one.classes for name, one in of.items()})
        if alone:
            notes.append(f"{split}: {alone}" if split else alone)
        joined, said = join(of, same, distinct_ids=ids == "distinct" and holds_ids)
        sets[split] = Dropped(joined, drop) if drop else joined
        notes += [f"{split}: {line}" if split else line for line in said]
    options = WriteOptions(images, allow_lossy, overwrite)
    with (
        next_steps(allow_lossy),
        progress("merging", sum(len(s) for s in sets.values()) * (1 if images == "leave" else 2)) as step,
    ):
        written = convert(sets, out, to, options=options, step=step)
    for line in notes:
        note(line)
    facts = {"from": dict(zip(labels_of, data, strict=True)), "notes": notes}
    show_written(written, title=" + ".join(labels_of), bad=report_bad(bad, json), facts=facts, json=json)


def _not_everywhere(classes: Mapping[str, Sequence[str]]) -> str:
    """What to say of classes that some sets have and others have not: their names may differ by accident."""
    held = {c: [name for name, own in classes.items() if c in own] for own in classes.values() for c in own}
    alone = [f"{c} ({', '.join(sets)})" for c, sets in held.items() if len(sets) < len(classes)]
    return f"classes that not all sets have: {', '.join(alone)}; --map gives them one name" if alone else ""


def _names(data: Sequence[Path]) -> list[str]:
    """What each set is called: its name without ending, with its folder's where two are alike, numbered at last."""
    paths = [path.absolute() for path in data]
    names = [path.stem if path.is_file() else path.name for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path.parent.name}-{name}" for path, name in zip(paths, names, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{name}-{k}" for k, name in enumerate(names, 1)]
    return names


def _splits(found: dict[str, list[str]]) -> list[str]:
    """Every split of every set; sets with and without splits do not go together."""
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
    """What `map_classes` is told of each set; ``classes`` are theirs."""
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


def _known(maps: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Those that speak of classes which this split has."""
    return [text for text in maps if text.partition("=")[0] in classes]
