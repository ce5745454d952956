"""``apiece monitor``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from apiece.cli._output import check_writable, note, print_json, print_table, progress
from apiece.errors import ApieceError, ConfigError, on_command_line

if TYPE_CHECKING:
    from apiece.monitor import Drift, Profile
    from apiece.predict import Model, Source

__all__ = ["monitor"]

_COULD_NOT = 2
_PICTURES = 24


def monitor(
    sources: tuple[str, ...] = (),
    /,
    *,
    model: Path,
    baseline: Path,
    predictions: Path | None = None,
    images: Path | None = None,
    labels: Path | None = None,
    save_baseline: Path | None = None,
    alpha: float = 0.03,
    limit: int = 10,
    skip_bad: bool = False,
    html: Path | None = None,
    prometheus: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    json: bool = False,
) -> int:
    """Has a model in use begun to fail? Compare new photos with those of its good days, without labels.

    ```
    apiece monitor --model runs/bolts --baseline data/val.json --save-baseline good.json
    apiece monitor --model runs/bolts --baseline good.json today/ --html today.html
    apiece monitor --model runs/bolts --baseline good.json "line/*.png" --prometheus bolts.prom
    ```

    Exit codes: 0 no alarm, 1 an alarm, 2 it could not be told.

    Parameters
    ----------
    sources
        New photos: files, folders or patterns. Without any, only the baseline is made.
    model
        Model folder.
    baseline
        Its good days: images it did not learn from, with labels (a label file, or a folder, of which val is taken);
        predictions with scores; or what --save-baseline wrote.
    predictions
        Predictions on the baseline's labelled images; otherwise the model makes them.
    images
        Folder that the baseline's image names are relative to; found beside the labels if left out.
    labels
        Label file of some of the new photos: are the model's scores still as often right?
    save_baseline
        Write the baseline's signals to this JSON file, so that they need not be made again.
    alpha
        Greatest chance of a false alarm, all tests together.
    limit
        Images to look at that are listed.
    skip_bad
        Leave out photos that cannot be read, naming each.
    html
        Write a self-contained page: tests, how signals are distributed, the oddest images.
    prometheus
        Write gauges in Prometheus' text format, for its node exporter to collect.
    seed
        Of the permutations that tests make.
    device
        "auto", "cpu", "cuda" or "mps".
    json
        One JSON object instead of tables.
    """
    try:
        from apiece.monitor import detect
        from apiece.predict import find_sources, load

        check_writable(save_baseline, html, prometheus)
        known = load(model, device=device)
        before = _baseline(known, baseline, predictions, images)
        if save_baseline is not None:
            before.write(save_baseline)
            note(f"wrote {save_baseline}: {len(before):,} images")
        if not sources:
            return _only_baseline(before, save_baseline, json)
        photos = find_sources(sources)
        now = _photos(known, photos, labels, skip_bad)
        drift = detect(before, now, alpha=alpha, seed=seed)
        title = f"{model.name}: has it begun to fail?"
        _write(drift, before, now, known, photos, html, prometheus, title)
    except (ApieceError, OSError) as error:
        note(f"apiece: {on_command_line(error)}")
        return _COULD_NOT
    if json:
        print_json({**asdict(drift), "unlike": drift.unlike[:limit], "bad": _missing(photos, now)})
    else:
        _print(drift, limit)
    return int(drift.alarm)


def _only_baseline(before: Profile, saved: Path | None, json: bool) -> int:
    if saved is None:
        raise ConfigError("name the new photos, or say with --save-baseline where the baseline is to be written")
    if json:
        print_json({"baseline": saved, "images": len(before)})
    return 0


def _baseline(model: Model, baseline: Path, predictions: Path | None, images: Path | None) -> Profile:
    from apiece.evaluation.watch import baseline_profile

    with progress("baseline", None) as step:
        return baseline_profile(model, baseline, predictions=predictions, images=images, step=step)


def _photos(model: Model, photos: list[Source], labels: Path | None, skip_bad: bool) -> Profile:
    from apiece.evaluation.watch import photo_profile

    with progress("new photos", len(photos)) as step:
        return photo_profile(
            model,
            photos,
            labels=labels,
            skip_bad=skip_bad,
            on_bad=lambda error: note(f"apiece: {on_command_line(error)}"),
            step=step,
        )


def _missing(photos: list[Source], now: Profile) -> list[str]:
    """Photos that could not be read."""
    return sorted({photo.name for photo in photos} - set(now.names))


def _write(
    drift: Drift,
    before: Profile,
    now: Profile,
    model: Model,
    photos: list[Source],
    html: Path | None,
    prometheus: Path | None,
    title: str,
) -> None:
    from apiece._atomic import atomic
    from apiece.monitor import to_prometheus, write_page

    if prometheus is not None:
        with atomic(prometheus) as temporary:
            temporary.write_text(to_prometheus(drift, {"model": title.partition(":")[0]}), encoding="utf-8")
        note(f"wrote {prometheus}")
    if html is not None:
        by_name = {photo.name: photo for photo in photos}
        pictures = []
        for unlike in drift.unlike[:_PICTURES]:
            image = by_name[unlike.name].read()
            pictures.append((unlike, image, model.predict(image)))
        write_page(html, drift, before, now, pictures, title)
        note(f"wrote {html}")


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
