"""``apiece monitor``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from apiece.cli._options import GROUP, Device, Html, Json, ModelName, Seed, Where
from apiece.cli._output import check_writable, note, print_json, print_table, progress
from apiece.errors import ConfigError

if TYPE_CHECKING:
    from apiece.monitor import Drift

FAILED = 2  # the exit code of an error: 1 is an alarm
_PICTURES = 24


def monitor(
    sources: tuple[str, ...] = (),
    /,
    *,
    model: ModelName,
    baseline: Path,
    predictions: Path | None = None,
    labels: Path | None = None,
    where: Annotated[Where, GROUP] = Where(),
    skip_bad: bool = False,
    alpha: float = 0.03,
    limit: int = 10,
    seed: Seed = 0,
    device: Device = "auto",
    save_baseline: Path | None = None,
    html: Html = None,
    prometheus: Path | None = None,
    json: Json = False,
) -> int:
    """Test whether a model in use has begun to fail: compare new photos, which need no labels, with a baseline.

    Exit codes: 0 no alarm, 1 alarm, 2 failed.

    ```
    apiece monitor --model runs/bolts --baseline data/val.json --save-baseline good.json
    apiece monitor today/ --model runs/bolts --baseline good.json --html today.html
    apiece monitor "line/*.png" --model runs/bolts --baseline good.json --prometheus bolts.prom
    ```

    Parameters
    ----------
    sources
        New photos: files, folders or patterns. Without photos, monitor only makes the baseline.
    baseline
        What to compare with: labelled images that the model did not learn from (of a folder, ``val``), predictions with
        scores, or what `--save-baseline` wrote. `--images` and `--format` are about these labels.
    predictions
        Predictions on the labelled images of the baseline. By default the model makes them.
    labels
        Label file of some of the new photos: it tells whether scores are right as often as before.
    skip_bad
        Leave out and list photos that cannot be read. By default the first one ends the run.
    alpha
        Greatest chance of a false alarm, all tests taken together.
    limit
        Most images listed to look at.
    save_baseline
        JSON file that gets the baseline, for the next time.
    prometheus
        File that gets gauges in Prometheus' text format, for its node exporter.
    """
    from apiece._atomic import write_text
    from apiece.evaluation.watch import baseline_profile, photo_profile
    from apiece.monitor import detect, to_prometheus, write_page
    from apiece.predict import find_sources, load

    check_writable(save_baseline, html, prometheus)
    if not sources and save_baseline is None:
        raise ConfigError("name the new photos, or a file for the baseline with --save-baseline")
    known = load(model, device=device)
    with progress("baseline", None) as step:
        before = baseline_profile(
            known,
            baseline,
            predictions=predictions,
            images=where.images,
            format=where.format,
            clip_outlines=where.clip_outlines,
            annotator=where.annotator,
            step=step,
        )
    if save_baseline is not None:
        before.write(save_baseline)
        note(f"wrote {save_baseline}: {len(before):,} images")
    if not sources:
        if json:
            print_json({"baseline": save_baseline, "images": len(before)})
        return 0
    photos = find_sources(sources)
    with progress("new photos", len(photos)) as step:
        now = photo_profile(known, photos, labels=labels, skip_bad=skip_bad, on_bad=note, step=step)
    drift = detect(before, now, alpha=alpha, seed=seed)
    if prometheus is not None:
        write_text(prometheus, to_prometheus(drift, {"model": Path(model).name}))
        note(f"wrote {prometheus}")
    if html is not None:
        by_name = {photo.name: photo for photo in photos}
        odd = [(unlike, by_name[unlike.name].read()) for unlike in drift.unlike[:_PICTURES]]
        pictures = [(unlike, image, known.predict(image)) for unlike, image in odd]
        write_page(html, drift, before, now, pictures, f"{Path(model).name}: has it begun to fail?")
        note(f"wrote {html}")
    if json:
        missing = sorted({photo.name for photo in photos} - set(now.names))
        print_json({**asdict(drift), "unlike": drift.unlike[:limit], "bad": missing})
    else:
        _print(drift, limit)
    return int(drift.alarm)


def _print(drift: Drift, limit: int) -> None:
    from apiece.monitor import table_of_tests, why

    verdict = "ALARM" if drift.alarm else "no alarm"
    columns, rows = table_of_tests(drift)
    print_table(f"{verdict}: {drift.images[1]:,} new images against {drift.images[0]:,} of the baseline", columns, rows)
    odd = [(u.name, f"{u.rank:.1%}", why(u)) for u in drift.unlike[:limit]]
    if odd:
        columns = ["image", "as odd in the baseline", "apart by, in standard deviations"]
        print_table("\nimages to look at", columns, odd)
    for line in drift.notes:
        note(f"note: {line}")
