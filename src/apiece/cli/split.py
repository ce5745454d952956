"""``apiece split``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from apiece.cli._options import GROUP, LIST, Data, Json, Reading, Seed
from apiece.cli._sets import Writing, show_written
from apiece.errors import ConfigError


def split(
    data: Data,
    *,
    reading: Annotated[Reading, GROUP] = Reading(),
    out: Path | None = None,
    fractions: Annotated[tuple[str, ...], LIST] = ("train=0.8", "val=0.2"),
    group: str | None = None,
    stratify: str = "classes",
    seed: Seed = 0,
    writing: Annotated[Writing, GROUP] = Writing(),
    json: Json = False,
) -> None:
    """Divide a labelled set into train, val and test, each with its share of every class.

    The format that is read is written, unless `--to` names another. What that format cannot hold is an error, unless
    an option says otherwise.

    ```
    apiece split data/all.json
    apiece split data/all.json --fractions train=0.7,val=0.15,test=0.15 --group source_photo
    apiece split cells/ --out cells-split
    apiece split data/all.json --out yolo-set --to yolo
    ```

    Parameters
    ----------
    out
        Folder for the parts. By default the parts of a label file lie beside it, so that its image names still hold.
    fractions
        Name and share of each part.
    group
        Image attribute: images with the same value of it come into the same part.
    stratify
        What each part gets its share of: `classes`, the values of an image attribute, or `none`.
    """
    from apiece import formats
    from apiece.datasets import check_apart, sound, write_split
    from apiece.datasets import split as divide

    bad = reading.bad()
    sources = reading.open(data, bad)
    first = next(iter(sources.values()))
    if len(sources) > 1 and not formats.load(first.format).splits:
        raise ConfigError(f"{data} is split already, into {', '.join(sources)}; name one of them")
    to = first.format if writing.to is None else writing.to
    beside = bool(formats.load(to).ending)
    if out is None and not (beside and data.is_file()):
        raise ConfigError(f"a split of {data} as {to} needs a folder of its own; name one with --out")
    folder = data.parent if out is None else out
    if not beside:
        check_apart((source.path for source in sources.values()), folder)
    # a set that is divided already, as YOLO's are, is divided anew
    whole = (
        first.labels
        if len(sources) == 1
        else formats.read(first.path, first.format, reading.folder, bad, reading.clip_outlines)
    )
    chosen = None if stratify == "none" else stratify
    parts = divide(sound(whole, bad), _shares(fractions), group=group, stratify=chosen, seed=seed)
    written = writing.write(
        "splitting",
        parts,
        writing.dropped([first.format], to),
        bad,
        lambda parts, options, step: write_split(parts, folder, to, options, step),
    )
    sizes = {name: len(part) for name, part in parts.items()}
    title = f"{sum(sizes.values()):,} images: " + ", ".join(f"{name} {size:,}" for name, size in sizes.items())
    facts = {"seed": seed, "parts": sizes}
    show_written(written, writing, title=title, bad=bad, facts=facts, json=json)


def _shares(pairs: tuple[str, ...]) -> dict[str, float]:
    try:
        return {name.strip(): float(share) for name, share in (pair.split("=") for pair in pairs)}
    except ValueError:
        raise ConfigError(f"cannot read --fractions {','.join(pairs)}; write them as train=0.8,val=0.2") from None
