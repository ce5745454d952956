"""``apiece info``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from apiece.cli._options import GROUP, Data, Json, Reading
from apiece.cli._output import print_json, print_table, progress, shown
from apiece.cli._sets import report_bad

if TYPE_CHECKING:
    from apiece.datasets import Summary


def info(data: Data, *, reading: Annotated[Reading, GROUP] = Reading(), json: Json = False) -> None:
    """Show what is in a data set: format, images, instances, classes, sizes, overlaps, attributes, ids and tracks.

    Of an image without labels it shows size, channels, levels, pixel size, and where a GeoTIFF lies in the world.

    ```
    apiece info data/train.json
    apiece info data/ --json
    apiece info yolo-set/ --skip-bad
    apiece info photo.jpg
    ```
    """
    from apiece.cli._image_facts import is_plain_image, show_image
    from apiece.datasets import summarise

    if reading.format is None and is_plain_image(data):
        show_image(data, json)
        return
    bad = reading.bad()
    opened = reading.open(data, bad)
    sources = {split or "train": source for split, source in opened.items()}
    found = {}
    for split, source in sources.items():
        with progress(f"reading {split}", len(source.labels)) as step:
            found[split] = summarise(source.labels, step)
    left_out = report_bad(bad, json)
    if json:
        splits = {
            split: {"format": sources[split].format, "path": sources[split].path, **summary.to_dict()}
            for split, summary in found.items()
        }
        print_json(splits | left_out)
        return
    for split, summary in found.items():
        title = f"{data} [{split}]" if any(opened) else str(data)
        print_table(title, ("", ""), [("format", sources[split].format), *_rows(summary)])
        print_table(
            "",
            ("class", "instances", "images", "median area"),
            [(c.name, c.instances, c.images, _pixels(c.median_area)) for c in summary.classes],
        )


def _pixels(area: float | None) -> float | str:
    """Return an area as people write it: nothing behind the point where it is whole."""
    if area is None:
        return "-"
    return int(area) if area == int(area) else area


def _rows(summary: Summary) -> list[tuple[str, object]]:
    from apiece.formats.contract import in_words

    per, areas = summary.per_image, summary.areas
    sizes = ", ".join(f"{h} x {w} ({n})" for h, w, n in summary.image_sizes[:5])
    more = len(summary.image_sizes) - 5
    rows: list[tuple[str, object]] = [
        ("images", f"{summary.images:,}" + (f" ({summary.missing_images} missing)" if summary.missing_images else "")),
        ("without instances", summary.empty_images),
        ("height x width", sizes + (f" and {more} more" if more > 0 else "")),
        ("instances", summary.instances),
    ]
    if per:
        rows.append(("per image", f"{per['min']:g} to {per['max']:g}, median {per['median']:g}"))
    if areas:
        least, most, median = (shown(_pixels(areas[key])) for key in ("p0", "p100", "p50"))
        rows.append(("area in pixels", f"{least} to {most}, median {median}"))
    rows += [
        ("overlapping", f"{summary.overlapping_instances:,} instances on {summary.overlapping_images:,} images"),
        ("with holes / in parts", f"{summary.with_holes:,} / {summary.several_parts:,}"),
        ("crowd / empty masks", f"{summary.crowd:,} / {summary.empty_masks:,}"),
        ("scores", summary.scored),
    ]
    ids = "none" if not summary.ids else f"{summary.ids:,} instances have one"
    if summary.tracks:
        ids += f"; {summary.tracks:,} are on several images of {summary.sequences:,} folders"
    if summary.full_masks:
        rows.append(("full masks", f"{summary.full_masks:,}; of {summary.partly_hidden:,} something is hidden"))
    if summary.annotators:
        who = ", ".join(f"{name}: {count:,} images" for name, count in summary.annotators.items())
        several = summary.several_annotators
        rows.append(("annotators", who + (f"; several drew on {several:,} images" if several else "")))
    rows += [("no masks", in_words(summary.shapes))] if summary.shapes else []
    rows += [("ids", ids), ("attributes of instances", ", ".join(summary.attributes) or "none")]
    return [*rows, ("attributes of images", ", ".join(summary.image_attributes) or "none")]
