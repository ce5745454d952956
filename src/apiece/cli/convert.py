"""``apiece convert``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

from apiece.cli._options import GROUP, LIST, Data, Json, Reading
from apiece.cli._output import note
from apiece.cli._sets import Writing, show_written


def convert(
    data: Data,
    out: Path,
    *,
    reading: Annotated[Reading, GROUP] = Reading(),
    classes: Annotated[tuple[str, ...], LIST] = (),
    writing: Annotated[Writing, GROUP] = Writing(),
    json: Json = False,
) -> None:
    """Write labels of any format as another format, without loss.

    A folder with train, val and test is converted split by split. What OUT cannot hold is an error, unless an option
    says otherwise. OUT is written as a whole or not at all.

    ```
    apiece convert data/train.json yolo-set --to yolo
    apiece convert yolo-set/data.yaml labels.json
    apiece convert data/ out/ --to voc --image-files copy
    apiece convert data/ out/ --to yolo --check
    apiece convert data.json vehicles.json --classes car=vehicle,truck=vehicle
    ```

    Parameters
    ----------
    out
        Label file, or folder that gets the labels and their images.
    classes
        Classes to keep, in this order: `car`, or `car=vehicle` to rename it; `*` stands for all others. By default all.
    """
    from apiece import formats
    from apiece.datasets import check_apart, map_classes
    from apiece.datasets import convert as write
    from apiece.formats import LabelSet
    from apiece.formats.contract import in_words, shape_counts

    bad = reading.bad()
    sources = reading.open(data, bad)
    if not writing.check:
        check_apart((source.path for source in sources.values()), out)
    mapped = {split: map_classes(source.labels, classes) for split, source in sources.items()} if classes else {}
    sets: dict[str, LabelSet] = {split: mapped.get(split, source.labels) for split, source in sources.items()}
    read = sorted({source.format for source in sources.values()})
    to = formats.format_for(out) if writing.to is None else writing.to
    drop = writing.dropped(read, to)
    written = writing.write(
        "converting", sets, drop, bad, lambda sets, options, step: write(sets, out, to, options=options, step=step)
    )
    left_out = sum((labels.left_out for labels in mapped.values()), Counter())
    for name, count in left_out.items():
        note(f"{count:,} instances of class {name!r} left out")
    gone = sum((shape_counts(v.labels.refs) - shape_counts(v.refs) for v in mapped.values()), Counter[str]())
    if gone:
        note(f"of what is no mask, left out with its class: {in_words(gone)}")
    facts = {"read": read, "left_out": drop, "classes_left_out": left_out, "shapes_left_out": gone}
    title = f"{data} ({', '.join(read)})"
    show_written(written, writing, title=title, bad=bad, facts=facts, json=json)
