"""``apiece split``."""

from __future__ import annotations

from pathlib import Path

from apiece.cli._output import note, print_json, print_table
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
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Divide a labelled set into train, val and test: by image or by group, every class in its share, by seed.

    ```
    apiece split data/all.json
    apiece split data/all.json --fractions train=0.7,val=0.15,test=0.15 --group source_photo
    ```

    Parameters
    ----------
    data
        Label file.
    out
        Folder for train.json, val.json ...; default: beside the label file, so that image names still hold.
    fractions
        Name and share of each part.
    group
        Image attribute whose images stay together, so that no photo is on both sides.
    stratify
        "classes", the name of an image attribute, or "none".
    seed
        The same seed gives the same split.
    overwrite
        Replace files that are there.
    json
        One JSON object instead of a table.
    """
    from apiece import formats
    from apiece.datasets.split import split as divide
    from apiece.datasets.split import write_split

    labels = formats.read(data)
    parts = divide(
        labels, _shares(fractions), group=group, stratify=None if stratify == "none" else stratify, seed=seed
    )
    folder = data.parent if out is None else out
    taken = [path for name in parts if (path := folder / f"{name}.json").exists()]
    if taken and not overwrite:
        raise ConfigError(f"{taken[0]} is there already; choose another --out, or --overwrite")
    paths = write_split(parts, folder)
    rows = [(name, len(part), str(paths[name])) for name, part in parts.items()]
    if json:
        print_json({name: {"images": count, "path": path} for name, count, path in rows})
        return
    print_table(f"{len(labels):,} images", ("part", "images", "file"), rows)
    if folder != data.parent:
        note(f"image names are unchanged: read these files with --images {data.parent}")


def _shares(text: str) -> dict[str, float]:
    try:
        return {name.strip(): float(share) for name, share in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise ConfigError(f"cannot read fractions {text!r}; write them as train=0.8,val=0.2") from None
