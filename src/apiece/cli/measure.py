"""``apiece measure``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

from apiece.cli._inspected import labels_of
from apiece.cli._options import GROUP, Data, Json, ModelName, Reading, Split
from apiece.cli._output import check_writable, note, print_json, print_table, progress
from apiece.cli._sets import report_bad
from apiece.cli._world import World
from apiece.errors import ConfigError, DataError, ImageError, Option

if TYPE_CHECKING:
    from apiece.calibration import Calibration
    from apiece.core.image import Image, ImageRef
    from apiece.core.instances import Instances
    from apiece.datasets import BadEntries
    from apiece.formats import LabelSet
    from apiece.images import Pyramid
    from apiece.measurements import Table


def measure(
    data: Data,
    *,
    model: ModelName | None = None,
    split: Split = None,
    reading: Annotated[Reading, GROUP] = Reading(),
    pixel_size: str | None = None,
    calibration: Path | None = None,
    world: Annotated[World, GROUP] = World(),
    intensities: Annotated[bool, Parameter(negative="--no-intensities")] = True,
    conf: float = 0.0,
    out: Path | None = None,
    json: Json = False,
) -> None:
    """Measure every instance of labels or predictions: one row for each, and a summary of each class.

    With `--model`, it measures what the model finds on a photo, or on the photos in a folder, which need no labels.

    ```
    apiece measure photo.jpg --model default
    apiece measure predictions.json --pixel-size "0.5 um"
    apiece measure data/train.json --out sizes.csv --no-intensities
    apiece measure photos/ --model runs/bolts --calibration cam.json
    apiece measure bin.png --model runs/parts --depth bin-depth.tif --intrinsics camera.json
    ```

    Parameters
    ----------
    pixel_size
        Physical size of a pixel, such as "0.5 um" or "0.5 x 0.4 um" (width x height). By default the image file tells
        it, else lengths are in pixels.
    calibration
        File of `apiece calibrate`, in place of a pixel size: sizes on the plane that it was made for.
    intensities
        Measure intensities too, where the images are at hand.
    conf
        Lowest score of an instance that is measured; 0 leaves it to the model.
    out
        CSV file to write. By default measurements.csv beside the data; with `--json` none.
    """
    from apiece.core.image import PixelSize
    from apiece.measurements import Table, measure_many

    if not 0 <= conf <= 1:
        raise ConfigError(Option("conf") + f" must be from 0 to 1, got {conf:g}")
    target = out if out is not None or json else data.parent / "measurements.csv"
    check_writable(target)
    camera = _calibration(calibration, pixel_size)
    size = None if pixel_size is None else PixelSize.parse(pixel_size)
    bad = reading.bad()
    if model is not None:
        count, records = _found(data, model, intensities, conf, bad)
        read = None
    else:
        count, records, read = _labelled(
            labels_of(reading, data, split, bad), intensities, size is not None or camera is not None, conf
        )
    tables: list[Table] = []
    add_depth = _depth_columns(world, count)
    with progress("measuring", count) as step:
        now: list[Instances] = []
        for table in measure_many(_noted(records, now), read=read, pixel_size=size, calibration=camera, on_bad=bad):
            tables.append(add_depth(table, now[0]))
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


def _noted(records: Records, now: list[Instances]) -> Records:
    """Yield records, and keep the instances of the latest."""
    for source, found in records:
        now[:] = [found]
        yield source, found


def _depth_columns(world: World, count: int) -> Callable[[Table, Instances], Table]:
    """Return what adds depth and volume to the table of an image, where there is a depth image."""
    from apiece.measurements import Table, measure_depth

    camera, read = world.camera(), world.depths(count)

    def add(table: Table, found: Instances) -> Table:
        depth = read(table.levels["image"][0], found.size)
        if depth is None:
            return table
        more = measure_depth(found, depth, camera)
        return Table({**table.columns, **more.columns}, {**table.units, **more.units}, table.levels)

    return add


def _calibration(path: Path | None, pixel_size: str | None) -> Calibration | None:
    if path is None:
        return None
    if pixel_size is not None:
        raise ConfigError(Option("calibration") + " says how large pixels are; leave out " + Option("pixel_size"))
    from apiece.calibration import Calibration

    return Calibration.load(path)


Records: TypeAlias = "Iterator[tuple[ImageRef | Image, Instances]]"


def _labelled(
    labels: LabelSet, intensities: bool, sized: bool, conf: float
) -> tuple[int, Records, Callable[[ImageRef], Image | Pyramid] | None]:
    """Return the number of labelled images, their records, and what reads the images, if all are at hand."""
    absent = [ref.path for ref in labels.refs if not ref.path.exists()]
    if intensities and absent:
        lacking = "no intensities" if sized else "no intensities, no pixel size"
        note(
            f"{len(absent):,} of {len(labels):,} images are not there, such as {absent[0]}: measuring masks only, "
            f"{lacking} (name the folder of the images with --images)"
        )
    records = ((ref, found if found.scores is None else found[found.scores >= conf]) for ref, found in labels)
    return len(labels), records, _Images() if intensities and not absent else None


class _Images:
    """Open the images of records one after another, those that are too large for memory to be read in windows."""

    def __init__(self) -> None:
        self._opened = ExitStack()

    def __call__(self, ref: ImageRef) -> Image | Pyramid:
        from apiece.images import LARGE, image_size, open_pyramid, read_image

        self._opened.close()
        height, width = image_size(ref.path, page=ref.page)
        if height * width > LARGE:
            return self._opened.enter_context(open_pyramid(ref.path, page=ref.page))
        return read_image(ref.path, page=ref.page)


def _found(data: Path, model: str, intensities: bool, conf: float, bad: BadEntries | None) -> tuple[int, Records]:
    """Return the number of photos, and each with what the model finds on it."""
    from apiece.core.image import ImageRef
    from apiece.predict import find_sources, load

    def leave(error: ImageError | DataError) -> None:
        if bad is None or not isinstance(error, ImageError):
            raise error
        bad(error)

    paths = [source.path for source in find_sources(str(data)) if source.path is not None]
    found = load(model).stream(paths, skip_bad=bad is not None, on_bad=leave, conf=conf or None)
    if intensities:
        return len(paths), found
    return len(paths), ((ImageRef(path, path.name, image.size), one) for image, one in found if (path := image.path))


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
