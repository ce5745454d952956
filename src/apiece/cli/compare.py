"""``apiece compare``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from apiece.cli._options import GROUP, Device, Html, Json, Judged, MaxDets, Metrics, Reading, Seed, Split, metric_names
from apiece.cli._output import check_writable, note, print_json, print_table, progress, say
from apiece.cli._sets import report_bad

if TYPE_CHECKING:
    from apiece.evaluation import Comparison, Difference

_SHOWN = 5  # images that changed most, each way
_CLASSES = 30


def compare(
    a: Path,
    b: Path,
    /,
    data: Judged,
    *,
    predictions_format: str | None = None,
    split: Split = None,
    reading: Annotated[Reading, GROUP] = Reading(),
    by: str | None = None,
    metrics: Metrics = ("coco", "ap_tau"),
    max_dets: MaxDets = (1, 10, 100),
    bootstrap: int = 200,
    seed: Seed = 0,
    device: Device = "auto",
    html: Html = None,
    json: Json = False,
) -> None:
    """Tell whether B is better than A: both judged by the same images, with 95% intervals of the difference.

    The page shows the verdict, every difference and the images that changed most.

    ```
    apiece compare runs/old runs/new data/val.json
    apiece compare old.json new.json --data data/val.json --by mask_ap75 --html compare.html
    ```

    Parameters
    ----------
    a
        Model folder, label file with scores, or bare list of COCO results.
    b
        The same; the side that may be better.
    predictions_format
        Format of files or folders of predictions, such as `class_map`. By default their content tells it.
    by
        The number that decides. By default mask_ap, or box_ap where a side has boxes without masks.
    bootstrap
        Half-samples of the images, at most, the same for both sides; 100 or more.
    """
    from apiece.evaluation import compare as hold
    from apiece.evaluation import join

    check_writable(html)
    bad = reading.bad()
    truth = reading.judged(data, split, bad, images=any((side / "model.json").is_file() for side in (a, b)))
    first, second = (join(side, truth, device=device, on_bad=bad, format=predictions_format) for side in (a, b))
    options: dict[str, Any] = {"by": by, "metrics": metric_names(metrics), "max_dets": max_dets}
    with progress("evaluating", 2 * len(truth)) as step:
        found = hold(first, second, truth, bootstrap=bootstrap, seed=seed, watch=lambda *_: step(), **options)
    if html is not None:
        from apiece.evaluation.page import write_comparison

        write_comparison(html, first, second, found, facts=[("A", str(a)), ("B", str(b)), ("data", str(data))])
        note(f"wrote {html}")
    left_out = report_bad(bad, json)
    if json:
        print_json(_plain(found) | left_out)
    else:
        _print(found)


def _plain(found: Comparison) -> dict[str, Any]:
    def each(numbers: Any) -> dict[str, Any]:
        return {key: asdict(d) | {"difference": d.difference, "verdict": d.verdict} for key, d in numbers.items()}

    return {
        "verdict": found.verdict,
        "by": found.by,
        "numbers": each(found.numbers),
        "per_class": {name: each(numbers) for name, numbers in found.per_class.items()},
        "changed_images": [asdict(c) | {"difference": c.difference} for c in found.images],
        "images": found.a.images,
        "bootstrap": found.draws,
        "notes": found.notes,
    }


def _print(found: Comparison) -> None:
    from apiece.evaluation.tables import DIFFERENCE_COLUMNS, difference_row, known, main_differences

    def rows(numbers: list[tuple[str, Difference]]) -> list[tuple[str, ...]]:
        return [(name, *difference_row(d)) for name, d in numbers]

    print_table(f"{found.a.images:,} images", ("", *DIFFERENCE_COLUMNS), rows(main_differences(found)))
    classes = [(name, by_key[found.by]) for name, by_key in found.per_class.items() if found.by in by_key]
    if len(classes) > 1:
        classes = known(dict(classes))
        title = f"{found.by} per class"
        if len(classes) > _CLASSES:
            classes = sorted(classes, key=lambda entry: -abs(entry[1].difference))[:_CLASSES]
            title += f", the {_CLASSES} that changed most; --json has all"
        print_table(title, ("class", *DIFFERENCE_COLUMNS), rows(classes))
    gained = [c for c in found.images if c.difference > 0][:_SHOWN]
    lost = [c for c in found.images if c.difference < 0][:_SHOWN]
    if gained or lost:
        changes = [(c.name, c.a, c.b, f"{c.difference:+.3f}") for c in (*gained, *lost)]
        heading = "images that changed most: TP / (TP + FP + FN), mean over IoU 0.50 to 0.95"
        print_table(heading, ("image", "A", "B", "B - A"), changes)
    say(found.verdict)
