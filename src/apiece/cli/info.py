"""``apiece info``."""

from __future__ import annotations

from pathlib import Path

from apiece.cli._output import print_json, print_table, progress

__all__ = ["info"]


def info(data: Path, /, *, images: Path | None = None, json: bool = False) -> None:
    """What is in a data set: images, instances, classes, sizes, overlaps, counts per image.

    ```
    apiece info data/train.json
    apiece info data/ --json
    ```

    Parameters
    ----------
    data
        Label file, or folder with train and val.
    images
        Folder that image names are relative to; found beside the labels if left out.
    json
        One JSON object instead of tables.
    """
    from apiece.datasets.dataset import open_data
    from apiece.datasets.summary import summarise

    found = {}
    for split, dataset in open_data(data, images).items():
        with progress(f"reading {split}", len(dataset)) as step:
            found[split] = summarise(dataset, step)
    if json:
        print_json({split: summary.to_dict() for split, summary in found.items()})
        return
    for split, summary in found.items():
        per, areas = summary.per_image, summary.areas
        sizes = ", ".join(f"{h} x {w} ({n})" for h, w, n in summary.image_sizes[:5])
        more = len(summary.image_sizes) - 5
        rows: list[tuple[str, object]] = [
            (
                "images",
                f"{summary.images:,}" + (f" ({summary.missing_images} missing)" if summary.missing_images else ""),
            ),
            ("without instances", summary.empty_images),
            ("height x width", sizes + (f" and {more} more" if more > 0 else "")),
            ("instances", summary.instances),
            ("per image", f"{per['min']:g} to {per['max']:g}, median {per['median']:g}"),
        ]
        if areas:
            rows.append(("area in pixels", f"{areas['p0']:g} to {areas['p100']:g}, median {areas['p50']:g}"))
        rows += [
            ("overlapping", f"{summary.overlapping_instances:,} instances on {summary.overlapping_images:,} images"),
            ("with holes / in parts", f"{summary.with_holes:,} / {summary.several_parts:,}"),
            ("crowd / empty masks", f"{summary.crowd:,} / {summary.empty_masks:,}"),
        ]
        print_table(f"{data} [{split}]", ("", ""), rows)
        print_table(
            "",
            ("class", "instances", "images", "median area"),
            [(c.name, c.instances, c.images, "-" if c.median_area is None else c.median_area) for c in summary.classes],
        )
