"""``apiece convert``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from apiece.cli._output import note, progress
from apiece.cli._sets import Drop, Images, next_steps, report_bad, show_written, without_numbers

__all__ = ["convert"]


def convert(
    data: Path,
    out: Path,
    /,
    *,
    to: str | None = None,
    format: str | None = None,
    images: Images = "link",
    image_folder: Path | None = None,
    classes: tuple[str, ...] = (),
    drop: Drop = (),
    allow_lossy: bool = False,
    skip_bad: bool = False,
    check: bool = False,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Labels of any format as another; nothing is lost without being asked for and said.

    ```
    apiece convert data/train.json yolo-set --to yolo
    apiece convert yolo-set/data.yaml labels.json
    apiece convert data/ out/ --to voc --images copy
    apiece convert data/ out/ --to yolo --check
    apiece convert data.json cars.json --classes car=vehicle,truck=vehicle
    ```

    A folder with train, val and test is converted split by split. OUT is written whole or not at all.

    Parameters
    ----------
    data
        Label file, or a folder: of labels, or with train, val and test. Its format is found by content.
    out
        Label file, or folder that gets the labels and their images.
    to
        Format to write; by the ending of OUT if left out. docs/formats.md lists them.
    format
        Format to read, if its content leaves a doubt.
    images
        "link" images to where the format expects them (hard links, else symbolic ones, else copies), "copy" or
        "leave" them.
    image_folder
        Folder that image names are relative to; found beside the labels if left out.
    classes
        Classes to keep, in this order: car, or car=vehicle to rename; "*" stands for all others.
    drop
        What to go without: classes, ids, scores, crowd (flags), attributes. Ids that only number the annotations, as
        COCO's do, go by themselves where the format has none.
    allow_lossy
        Write what the format can hold, and say what was lost, instead of refusing.
    skip_bad
        Leave out entries that are broken, and list them, instead of stopping at the first.
    check
        Write nothing; say what would be lost.
    overwrite
        Replace what is there.
    json
        One JSON object instead of a table.
    """
    from apiece import formats
    from apiece.datasets import convert as write
    from apiece.datasets.classes import Dropped, map_classes
    from apiece.datasets.dataset import BadEntries, open_sources
    from apiece.datasets.write import WriteOptions, check_apart
    from apiece.formats import LabelSet

    bad = BadEntries() if skip_bad else None
    sources = open_sources(data, image_folder, format, bad)
    if not check:
        check_apart((source.path for source in sources.values()), out)
    mapped = {split: map_classes(source.labels, classes) for split, source in sources.items()} if classes else {}
    sets: dict[str, LabelSet] = {split: mapped.get(split, source.labels) for split, source in sources.items()}
    read = sorted({source.format for source in sources.values()})
    drop = without_numbers(read, formats.format_for(out) if to is None else to, drop)
    if drop:
        sets = {split: Dropped(labels, drop) for split, labels in sets.items()}
    options = WriteOptions(images, allow_lossy, overwrite, check)
    steps = sum(map(len, sets.values())) * (1 if check or images == "leave" else 2)
    with next_steps(allow_lossy or check), progress("checking" if check else "converting", steps) as step:
        written = write(sets, out, to, options=options, step=step)
    left_out = sum((labels.left_out for labels in mapped.values()), Counter())
    for name, count in left_out.items():
        note(f"{count:,} instances of class {name!r} left out")
    facts = {"read": read, "left_out": list(drop), "classes_left_out": left_out}
    title = f"{data} ({', '.join(read)})"
    show_written(written, title=title, bad=report_bad(bad, json), facts=facts, checked=check, json=json)
