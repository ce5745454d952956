"""``apiece measure``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from apiece.cli._output import check_writable, note, print_json, print_table, progress
from apiece.cli._sets import report_bad
from apiece.errors import ConfigError

if TYPE_CHECKING:
    from apiece.measurements import Table

__all__ = ["measure", "print_summary"]


def measure(
    predictions: Path,
    /,
    *,
    pixel_size: str | None = None,
    images: Path | None = None,
    intensities: Annotated[bool, Parameter(negative="--no-intensities")] = True,
    conf: float = 0.0,
    out: Path | None = None,
    skip_bad: bool = False,
    json: bool = False,
) -> None:
    """Measure every instance: one row each, and a summary per class.

    ```
    apiece measure predictions.json --pixel-size "0.5 um"
    apiece measure data/train.json --out sizes.csv --no-intensities
    ```

    Parameters
    ----------
    predictions
        Label file or folder: predictions or truth.
    pixel_size
        Physical size of a pixel, such as "0.5 um" or "0.5 x 0.4 um"; by default the image file's own, else pixels.
    images
        Folder that image names are relative to; found beside the labels if left out.
    intensities
        Measure intensities too, where the images are at hand.
    conf
        Lowest score measured.
    out
        CSV file to write; default: measurements.csv beside the predictions.
    skip_bad
        Leave out entries that are broken, and list them, instead of stopping at the first.
    json
        One JSON object with rows and summary on standard output instead; no file unless --out.
    """
    from apiece.core.image import PixelSize
    from apiece.datasets.dataset import BadEntries, open_sources
    from apiece.images import read_image
    from apiece.measurements import Table, measure_many

    if not 0 <= conf <= 1:
        raise ConfigError(f"conf must be from 0 to 1, got {conf:g}")
    target = out if out is not None or json else predictions.parent / "measurements.csv"
    check_writable(target)
    size = None if pixel_size is None else PixelSize.parse(pixel_size)
    bad = BadEntries() if skip_bad else None
    sources = list(open_sources(predictions, images, on_bad=bad).values())
    if len(sources) > 1:
        raise ConfigError(f"{predictions} is divided; name one of its parts, such as {sources[0].path}")
    labels = sources[0].labels
    absent = [ref.path for ref in labels.refs if not ref.path.is_file()]
    at_hand = intensities and not absent
    if intensities and absent:
        lacking = "no intensities" if size is not None else "no intensities, no pixel size"
        note(
            f"{len(absent):,} of {len(labels):,} images are not there, such as {absent[0]}: measuring masks only, "
            f"{lacking} (say where images are with --images)"
        )
    read = (lambda ref: read_image(ref.path, page=ref.page)) if at_hand else None
    records = ((ref, found if found.scores is None else found[found.scores >= conf]) for ref, found in labels)
    tables = []
    with progress("measuring", len(labels)) as step:
        for table in measure_many(records, read=read, pixel_size=size):
            tables.append(table)
            step()
    table = Table.concatenate(tables)
    summary = table.summary()
    if target is not None:
        table.to_csv(target)
        note(f"{len(table):,} rows in {target}")
    left_out = report_bad(bad, json)
    if json:
        shown = {"rows": list(table.rows()), "summary": list(summary.rows()), "units": dict(table.units)}
        print_json(shown | ({"bad": left_out} if skip_bad else {}))
    else:
        print_summary(summary)


def print_summary(summary: Table, title: str = "") -> None:
    """A table for each quantity, one row per class, on standard output; it fits a terminal."""
    rows = list(summary.rows())
    for quantity in [name.removesuffix("_mean") for name in summary.columns if name.endswith("_mean")]:
        keys = [name for name in summary.columns if name.startswith(f"{quantity}_")]
        numbers = [[math.nan if row[key] is None else row[key] for key in keys] for row in rows]
        print_table(
            f"{title}{quantity.replace('_', ' ')} in {summary.units[f'{quantity}_mean']}",
            ("class", "count", *(key.removeprefix(f"{quantity}_") for key in keys)),
            [(row["class"], row["count"], *values) for row, values in zip(rows, numbers, strict=True)],
        )
