"""``apiece measure``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeAlias

import numpy as np
from cyclopts import Parameter

from apiece.cli._inspected import labels_of
from apiece.cli._options import GROUP, LIST, Data, Json, ModelName, Reading, Split
from apiece.cli._output import check_writable, note, print_json, print_table, progress
from apiece.cli._sets import report_bad
from apiece.cli._world import World
from apiece.errors import ConfigError, DataError, ImageError, Option, UnknownNameError

if TYPE_CHECKING:
    from apiece.calibration import Calibration
    from apiece.core.image import Image, ImageRef
    from apiece.core.instances import Instances
    from apiece.datasets import BadEntries
    from apiece.formats import LabelSet
    from apiece.images import Pyramid
    from apiece.measurements import Table


Records: TypeAlias = "Iterator[tuple[ImageRef | Image, Instances]]"

_KINDS = ("csv", "xlsx", "parquet", "html", "png")


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
    uncertainty: Annotated[bool, Parameter(negative="")] = False,
    conf: float = 0.0,
    against: Path | None = None,
    of: str = "equivalent_diameter",
    by: str | None = None,
    save: Annotated[tuple[str, ...], LIST] = ("csv",),
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
    apiece measure data/train.json --by image --save csv,xlsx,html
    apiece measure data/train.json --against data/val.json --of area
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
    uncertainty
        Add a column NAME_u95 behind lengths and areas: half the width of the 95% interval, from what pixels lose and
        how well the calibration is known.
    conf
        Lowest score of an instance that is measured; 0 leaves it to the model.
    against
        Labels, predictions or, with `--model`, photos of a second group. The sizes of both are compared, with the image
        as the unit.
    of
        Column whose distribution `measure` describes: D10, D50 and D90 by number, area and volume.
    by
        Column to group the distribution by: `class`, `image`, or `group` with `--against`. Asks for the distribution on
        the terminal too; files have it by class otherwise.
    save
        Files to write: `csv`, `xlsx` (Excel), `parquet`, `html` (a page with distributions and plots), `png` (plots).
    out
        File to write; `--save` gives it an ending for each kind. By default measurements.csv beside the data; with
        `--json` none.
    """
    from apiece.cli._sizes import quantiles
    from apiece.core.image import PixelSize
    from apiece.measurements import compare_groups, distribution

    if not 0 <= conf <= 1:
        raise ConfigError(Option("conf") + f" must be from 0 to 1, got {conf:g}")
    files = _files(data, out, save, json)
    for path in files.values():
        check_writable(path)
    bad = reading.bad()

    camera = _calibration(calibration, pixel_size)
    size = None if pixel_size is None else PixelSize.parse(pixel_size)

    def one(source: Path) -> Table:
        if model is not None:
            pictures = _found(source, model, intensities, conf, bad, uncertainty)
        else:
            labels = labels_of(reading, source, split, bad)
            pictures = _labelled(labels, intensities, size is not None or camera is not None, conf)
        return _measured(pictures, world, bad, pixel_size=size, calibration=camera, uncertainty=uncertainty)

    table, differences = one(data), None
    if against is not None:
        table = _joined(data, table, against, one(against))
        differences = compare_groups(table, of)
    summary = table.summary()
    groups = by or ("class" if against is None else "group")
    sizes = distribution(table, of, groups)
    for kind, path in files.items():
        _write(kind, path, table, of, groups, differences)
        note(f"wrote {path}" if kind in ("html", "png") else f"{len(table):,} row{'s' * (len(table) != 1)} in {path}")
    left_out = report_bad(bad, json)
    if json:
        told = {"rows": table.rows(), "summary": summary.rows(), "distribution": sizes.rows()}
        told |= {} if differences is None else {"comparison": differences.rows()}
        print_json({**told, "units": table.units, **left_out})
        return
    print_summary(summary)
    unit = table.units.get(of) or "no unit"
    if by is not None or against is not None:
        for weight in ("number", "area", "volume"):
            rows = quantiles(sizes, groups, weight)
            print_table(f"{of} in {unit}, by {weight}", (groups, "count", "D10", "D50", "D90", "span"), rows)
    if differences is not None:
        rows = list(zip(*(differences[name] for name in differences.columns), strict=True))
        title = f"mean {of} of images in {unit}: difference with its 95% interval"
        print_table(title, ("a", "b", *(name.replace("_", " ") for name in list(differences.columns)[2:])), rows)


def _files(data: Path, out: Path | None, save: Sequence[str], json: bool) -> dict[str, Path]:
    """Return the file of each kind; of one kind alone, ``out`` as it is."""
    for kind in save:
        if kind not in _KINDS:
            raise UnknownNameError("kind of file", kind, _KINDS)
    if out is None and json and tuple(save) == ("csv",):
        return {}
    target = data.parent / "measurements.csv" if out is None else out
    if len(save) == 1 and out is not None and out.suffix:
        return {save[0]: target}
    return {kind: target.with_suffix(f".{kind}") for kind in save}


def _write(kind: str, path: Path, table: Table, of: str, by: str, differences: Table | None) -> None:
    from apiece.cli._sizes import write_page, write_plots

    if kind == "html":
        write_page(path, table, of, by, differences)
    elif kind == "png":
        write_plots(path, table, of, by)
    else:
        {"csv": table.to_csv, "xlsx": table.to_xlsx, "parquet": table.to_parquet}[kind](path)


def _joined(data: Path, table: Table, against: Path, other: Table) -> Table:
    """Return the rows of both groups, each image under the name of its group."""
    from apiece.measurements import Table

    names = (data.stem, against.stem) if data.stem != against.stem else (str(data), str(against))
    if names[0] == names[1]:
        raise ConfigError(Option("against") + f" names the same data, {data}; name another batch")
    parts = []
    for name, part in zip(names, (table, other), strict=True):
        images = np.array([f"{name}/{image}" for image in part["image"].tolist()], np.str_)
        parts.append(part.with_column("image", images).with_column("group", np.full(len(part), name)))
    joined = Table.concatenate(parts)
    return Table.of_own(joined.columns, joined.units, {**joined.levels, "group": names})


class _Pictures(NamedTuple):
    """Images with their instances: how many, each of them, and what opens an image, if it is not open yet."""

    number: int
    records: Records
    read: Callable[[ImageRef], Image | Pyramid] | None


def _measured(pictures: _Pictures, world: World, bad: BadEntries | None, **options: Any) -> Table:
    """Return one row for each instance; ``options`` are those of `measure_many`."""
    from apiece.measurements import Table, measure_many

    tables: list[Table] = []
    add_depth = _depth_columns(world, pictures.number)
    with progress("measuring", pictures.number) as step:
        now: list[Instances] = []
        for table in measure_many(_noted(pictures.records, now), read=pictures.read, on_bad=bad, **options):
            tables.append(add_depth(table, now[0]))
            step()
    if not tables and bad is not None and bad.errors:
        raise bad.errors[0]  # nothing is left to be measured
    return Table.concatenate(tables)


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
        return Table.of_own({**table.columns, **more.columns}, {**table.units, **more.units}, table.levels)

    return add


def _calibration(path: Path | None, pixel_size: str | None) -> Calibration | None:
    if path is None:
        return None
    if pixel_size is not None:
        raise ConfigError(Option("calibration") + " says how large pixels are; leave out " + Option("pixel_size"))
    from apiece.calibration import Calibration

    return Calibration.load(path)


def _labelled(labels: LabelSet, intensities: bool, sized: bool, conf: float) -> _Pictures:
    """Return labelled images, to be opened if all are at hand."""
    absent = [ref.path for ref in labels.refs if not ref.path.exists()]
    if intensities and absent:
        lacking = "no intensities" if sized else "no intensities, no pixel size"
        note(
            f"{len(absent):,} of {len(labels):,} images are not there, such as {absent[0]}: measuring masks only, "
            f"{lacking} (name the folder of the images with --images)"
        )
    records = ((ref, found if found.scores is None else found[found.scores >= conf]) for ref, found in labels)
    return _Pictures(len(labels), records, _Images() if intensities and not absent else None)


class _Images:
    """Open the images of records one after another, those that are too large for memory to be read in windows."""

    def __init__(self) -> None:
        self._opened = ExitStack()

    def __call__(self, ref: ImageRef) -> Image | Pyramid:
        from apiece.images import LARGE, image_size, open_pyramid, read_image

        self._opened.close()
        height, width = image_size(ref.path, page=ref.page)
        if height * width >= LARGE:
            return self._opened.enter_context(open_pyramid(ref.path, page=ref.page))
        return read_image(ref.path, page=ref.page)


def _found(data: Path, model: str, intensities: bool, conf: float, bad: BadEntries | None, edges: bool) -> _Pictures:
    """Return photos, each with what the model finds on it."""
    from apiece.core.image import ImageRef
    from apiece.predict import find_sources, load

    def leave(error: ImageError | DataError) -> None:
        if bad is None or not isinstance(error, ImageError):
            raise error
        bad(error)

    paths = [source.path for source in find_sources(str(data)) if source.path is not None]
    opened = load(model)
    if edges and opened.loaded.edges is None:
        note(
            "the model does not know how far its outlines are off, so intervals tell only what pixels and the "
            f"calibration leave open; labelled images tell it: apiece thresholds LABELS --model {model}"
        )
    found = opened.stream(paths, skip_bad=bad is not None, on_bad=leave, conf=conf or None, edges=edges)
    if intensities:
        return _Pictures(len(paths), found, None)
    masks_only = ((ImageRef(path, path.name, image.size), one) for image, one in found if (path := image.path))
    return _Pictures(len(paths), masks_only, None)


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
