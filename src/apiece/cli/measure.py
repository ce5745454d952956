"""``apiece measure``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from apiece.cli._options import GROUP, Data, Json, Reading, Split
from apiece.cli._output import check_writable, note, print_json, print_table, progress
from apiece.cli._sets import report_bad
from apiece.errors import ConfigError, Option

if TYPE_CHECKING:
    from apiece.measurements import Table


def measure(
    data: Data,
    *,
    split: Split = None,
    reading: Annotated[Reading, GROUP] = Reading(),
    pixel_size: str | None = None,
    intensities: Annotated[bool, Parameter(negative="--no-intensities")] = True,
    conf: float = 0.0,
    out: Path | None = None,
    json: Json = False,
) -> None:
    """Measure every instance of labels or predictions: one row for each, and a summary of each class.

    ```
    apiece measure predictions.json --pixel-size "0.5 um"
    apiece measure data/train.json --out sizes.csv --no-intensities
    ```

    Parameters
    ----------
    pixel_size
        Physical size of a pixel, such as "0.5 um" or "0.5 x 0.4 um" (width x height). By default the image file tells
        it, else lengths are in pixels.
    intensities
        Measure intensities too, where the images are at hand.
    conf
        Lowest score of an instance that is measured.
    out
        CSV file to write. By default measurements.csv beside the data; with `--json` none.
    """
    from apiece.core.image import PixelSize
    from apiece.images import read_image
    from apiece.measurements import Table, measure_many

    if not 0 <= conf <= 1:
        raise ConfigError(Option("conf") + f" must be from 0 to 1, got {conf:g}")
    target = out if out is not None or json else data.parent / "measurements.csv"
    check_writable(target)
    size = None if pixel_size is None else PixelSize.parse(pixel_size)
    bad = reading.bad()
    labels = reading.one(data, split, bad).labels
    absent = [ref.path for ref in labels.refs if not ref.path.is_file()]
    if intensities and absent:
        lacking = "no intensities" if size is not None else "no intensities, no pixel size"
        note(
            f"{len(absent):,} of {len(labels):,} images are not there, such as {absent[0]}: measuring masks only, "
            f"{lacking} (name the folder of the images with --images)"
        )
    read = (lambda ref: read_image(ref.path, page=ref.page)) if intensities and not absent else None
    records = ((ref, found if found.scores is None else found[found.scores >= conf]) for ref, found in labels)
    tables = []
    with progress("measuring", len(labels)) as step:
        for table in measure_many(records, read=read, pixel_size=size, on_bad=bad):
            tables.append(table)
            step()
    if not tables and bad is not None and bad.errors:
        raise bad.errors[0]  # nothing is left to be measured
    table = Table.concatenate(tables)
    summary = table.summary()
    if target is not None:
        table.to_csv(target)
        note(f"{len(table):,} row{'s' * (len(table) != 1)} in {target}")
    left_out = report_bad(bad, json)
    if json:
        print_json({"rows": list(table.rows()), "summary": list(summary.rows()), "units": table.units, **left_out})
    else:
        print_summary(summary)


def print_summary(summary: Table, title: str = "") -> None:
    """Print a table for each quantity, a row per class; it fits a terminal."""
    rows = list(summary.rows())
    for quantity in [name.removesuffix("_mean") for name in summary.columns if name.endswith("_mean")]:
        keys = [name for name in summary.columns if name.startswith(f"{quantity}_")]
        numbers = [[math.nan if row[key] is None else row[key] for key in keys] for row in rows]
        print_table(
            f"{title}{quantity.replace('_', ' ')} in {summary.units[f'{quantity}_mean']}",
            ("class", "count", *(key.removeprefix(f"{quantity}_") for key in keys)),
            [(row["class"], row["count"], *values) for row, values in zip(rows, numbers, strict=True)],
        )
