"""``apiece split``."""

from __future__ import annotations

from pathlib import Path

from apiece.cli._output import progress
from apiece.cli._sets import Drop, Images, next_steps, report_bad, show_written, without_numbers
from apiece.errors import ConfigError

__all__ = ["split"]


def split(
    data: Path,
    /,
    *,
    out: Path | None = None,
    fractions: str = "train=0.8,val=0.2",
    group: str | None = None,
    stratify: str = "classes",
    seed: int = 0,
    to: str | None = None,
    images: Images = "link",
    image_folder: Path | None = None,
    drop: Drop = (),
    allow_lossy: bool = False,
    skip_bad: bool = False,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Divide a labelled set into train, val and test: by image or by group, every class in its share, by seed.

    ```
    apiece split data/all.json
    apiece split data/all.json --fractions train=0.7,val=0.15,test=0.15 --group source_photo
    apiece split cells/ --out cells-split
    apiece split data/all.json --out yolo-set --to yolo
    ```

    Parameters
    ----------
    data
        Label file or folder; its format is found by content and kept.
    out
        Folder for train, val ...; default for a label file: beside it, so that image names still hold.
    fractions
        Name and share of each part.
    group
        Image attribute whose images stay together, so that no photo is on both sides.
    stratify
        "classes", the name of an image attribute, or "none".
    seed
        The same seed gives the same split.
    to
        Format to write; the one that was read if left out.
    images
        "link" images to where the format expects them (hard links, else symbolic ones, else copies), "copy" or
        "leave" them. Those that are there already stay.
    image_folder
        Folder that image names are relative to; found beside the labels if left out.
    drop
        What to go without: classes, ids, scores, crowd (flags), attributes.
    allow_lossy
        Write what the format can hold, and say what was lost, instead of refusing.
    skip_bad
        Leave out entries that are broken, and list them, instead of stopping at the first.
    overwrite
        Replace files that are there.
    json
        One JSON object instead of a table.
    """
    from apiece import formats
    from apiece.datasets import split as divide
    from apiece.datasets import write_split
    from apiece.datasets.classes import Dropped
    from apiece.datasets.dataset import BadEntries, open_sources, sound
    from apiece.datasets.write import WriteOptions, check_apart
    from apiece.formats import LabelSet

    bad = BadEntries() if skip_bad else None
    sources = open_sources(data, image_folder, on_bad=bad)
    first = next(iter(sources.values()))
    if len(sources) > 1 and not formats.load(first.format).splits:
        raise ConfigError(f"{data} is split already, into {', '.join(sources)}; name one of them")
    wanted = first.format if to is None else to
    beside = bool(formats.load(wanted).ending)
    if out is None and not (beside and data.is_file()):
        raise ConfigError(f"a split of {data} as {wanted} needs a folder of its own; say --out FOLDER")
    folder = data.parent if out is None else out
    if not beside:
        check_apart((source.path for source in sources.values()), folder)
    # a set that is divided already, as YOLO's are, is divided anew
    whole = first.labels if len(sources) == 1 else formats.read(first.path, first.format, image_folder, bad)
    labels = sound(whole, bad)
    parts: dict[str, LabelSet] = dict(
        divide(labels, _shares(fractions), group=group, stratify=None if stratify == "none" else stratify, seed=seed)
    )
    drop = without_numbers([first.format], wanted, drop)
    if drop:
        parts = {name: Dropped(part, drop) for name, part in parts.items()}
    options = WriteOptions(images, allow_lossy, overwrite)
    with next_steps(allow_lossy), progress("splitting", len(labels) * (1 if images == "leave" else 2)) as step:
        written = write_split(parts, folder, wanted, options, step)
    sizes = {name: len(part) for name, part in parts.items()}
    facts = {"seed": seed, "parts": sizes}
    title = f"{len(labels):,} images: " + ", ".join(f"{name} {size:,}" for name, size in sizes.items())
    show_written(written, title=title, bad=report_bad(bad, json), facts=facts, json=json)


def _shares(text: str) -> dict[str, float]:
    try:
        return {name.strip(): float(share) for name, share in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise ConfigError(f"cannot read fractions {text!r}; write them as train=0.8,val=0.2") from None
