"""``apiece check``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from apiece.check import FailOn, OpenLabels, Report, Settings
from apiece.check.contract import Place
from apiece.cli._judges import Judges
from apiece.cli._options import GROUP, LIST, Data, Html, Json, Where
from apiece.cli._output import check_writable, note, print_json, print_table, progress, say
from apiece.errors import ConfigError, FormatError, Option

if TYPE_CHECKING:
    from apiece.check import Fixed

FAILED = 2  # the exit code of an error: 1 is a finding
_ROWS = 40  # findings in the terminal
_MOST = 10  # labels that all findings together speak against
_EACH = 16  # images from which a process of its own is faster
_NAME = 34  # characters of an image's name there


def check(
    data: Data,
    *,
    where: Annotated[Where, GROUP] = Where(),
    no_images: bool = False,
    only: Annotated[tuple[str, ...], LIST] = (),
    skip: Annotated[tuple[str, ...], LIST] = (),
    settings: Annotated[Settings, GROUP] = Settings(),
    judges: Annotated[Judges, GROUP] = Judges(),
    fail_on: FailOn = "error",
    limit: int | None = None,
    workers: int | None = None,
    html: Html = None,
    pictures: int | None = None,
    fix: Path | None = None,
    json: Json = False,
) -> int:
    """Find the mistakes in labels, the surest first, with pictures; and repair a copy where that is safe.

    Exit codes: 0 no finding of the level `--fail-on`, 1 one or more, 2 failed.

    ```
    apiece check data/
    apiece check data/train.json --html check.html --fail-on warning
    apiece check data/ --no-images --only file,duplicate
    apiece check data/ --fix repaired
    apiece check data/ --model runs/bolts --only model
    apiece check data/ --folds 5 --config runs/bolts/config.yaml
    ```

    Parameters
    ----------
    no_images
        Look at the labels alone.
    only
        Kinds to look for, or families of kinds (file, overlaps, parts ...). By default all.
    skip
        Kinds, or families of kinds, not to look for.
    fail_on
        Least grave level that makes the exit code 1.
    limit
        Most findings in the terminal (default 40) and of each kind on the page (default 200); 0 shows all.
    workers
        Processes that read images. By default one for each core, fewer for few images.
    pictures
        Findings of each kind with a picture on the page, the surest. By default as many as keep the page below 20 MB.
    fix
        New folder for a repaired copy of the labels: without dust, exact copies and empty masks, outlines cut at the
        border, and with areas and boxes computed from the masks.
    """
    from apiece.check import PER_KIND, check_target, write_page
    from apiece.check import check as look
    from apiece.check import fix as repair

    for name, number in (("limit", limit), ("pictures", pictures)):
        if number is not None and number < 0:
            raise ConfigError(Option(name) + f" must be 0 or more, got {number}")
    check_writable(html)
    sources = _open(data, where)
    if fix is not None:
        check_target(sources, fix)
    predicted = judges.of(sources)
    with progress("checking", sum(len(s.labels) for s in sources.values())) as step:
        report = look(
            sources,
            settings=settings,
            images=not no_images,
            predicted=predicted,
            only=only or None,
            skip=skip,
            workers=_processes(sources) if workers is None else workers,
            step=step,
        )
    if html is not None:
        most, title = PER_KIND if limit is None else limit or None, f"Label check of {data.name}"
        with progress("drawing", None) as step:
            write_page(html, report, sources, title=title, limit=most, pictures=pictures, step=step)
    root = data if data.is_dir() else None
    fixed = None if fix is None else repair(sources, report, fix, root=root, settings=settings)
    if json:
        print_json(report.to_dict() | ({} if fixed is None else {"fixed": fixed}))
    else:
        rows = _ROWS if limit is None else limit or None
        _print(report, rows)
        if fixed is not None:
            _print_changes(fixed, rows)
    if html is not None:
        note(f"wrote {html}")
    if fixed is not None:
        note(
            f"wrote a repaired copy: {', '.join(map(str, fixed.files.values()))}; {fix}/changes.json lists the repairs"
        )
        note(f"images stay where they are: read the copy with --images {' '.join(where.images) or _folder(sources)}")
    return int(report.fails(fail_on))


def _open(data: Path, where: Where) -> dict[str, OpenLabels]:
    """Open the labels of each split, with its bad entries."""
    early: list[FormatError] = []
    sources: dict[str, OpenLabels] = {}

    def told(error: FormatError) -> None:
        whose = (s for s in sources.values() if s.path is not None and error.path.is_relative_to(s.path))
        next(whose, next(iter(sources.values()))).refused.append(error) if sources else early.append(error)

    for split, source in where.open(data, told).items():
        sources[split or "train"] = OpenLabels(source.labels, [], source.path, source.format)
    for error in early:
        told(error)
    return sources


def _folder(sources: Mapping[str, OpenLabels]) -> Path:
    """Return the folder that image names are relative to."""
    ref = next((ref for source in sources.values() for ref in source.labels.refs), None)
    if ref is None:
        return Path()
    path = ref.path.as_posix()
    return Path(path.removesuffix(ref.name)) if path.endswith(f"/{ref.name}") else ref.path.parent


def _processes(sources: Mapping[str, OpenLabels]) -> int:
    """Return one process for each core, fewer where a process's start costs more than it spares."""
    from apiece._limits import cores

    return max(1, min(cores(), sum(len(s.labels) for s in sources.values()) // _EACH))


def _print(report: Report, limit: int | None) -> None:
    found = report.findings[:limit]
    rows = [(report.level(f), f.kind, f"{f.sure:.2f}", _where(report, f.place), f.message) for f in found]
    images, instances = sum(report.images.values()), sum(report.instances.values())
    if rows:
        print_table("", ("level", "kind", "sure", "where", "what"), rows)
        left = len(report.findings) - len(found)
        if left:
            note(f"and {left:,} more; --limit 0 shows all, --html FILE shows them with pictures")
        kinds = [(report.kinds[name], count) for name, count in report.counts.items()]
        summary = [(kind.level, kind.name, count, kind.fix) for kind, count in kinds]
        print_table("", ("level", "kind", "found", "what to do"), summary)
    suspects = [(f"{x.sure:.2f}", _where(report, x.place), ", ".join(x.kinds)) for x in report.suspects[:_MOST]]
    if suspects:
        print_table("most suspect labels, by all findings together", ("sure", "where", "kinds"), suspects)
    words = ", ".join(f"{count:,} {level}{'s' * (count != 1)}" for level, count in report.levels.items())
    say(f"{images:,} images, {instances:,} instances: {words}")
    for need in dict.fromkeys(report.unasked.values()):
        names = [name for name, what in report.unasked.items() if what == need]
        note(f"not looked for, since it needs {need}: {', '.join(names)}")


def _where(report: Report, place: Place) -> str:
    return report.where(replace(place, image=_short(place.image)))


def _short(name: str | None) -> str | None:
    """Return an image's name, without its middle if it is long."""
    if name is None or len(name) <= _NAME:
        return name
    return f"{name[: _NAME // 2 - 1]}…{name[-(_NAME // 2) :]}"


def _print_changes(fixed: Fixed, limit: int | None) -> None:
    rows = []
    for c in fixed.changes[:limit]:
        numbers = [f"id {i}" for i in c.ids] or [f"#{i}" for i in c.instances]
        which = ", ".join(numbers[:5]) + (f" and {len(numbers) - 5} more" if len(numbers) > 5 else "")
        rows.append((c.split, _short(c.image) or "", which, c.done, ", ".join(c.kinds)))
    if rows:
        print_table("repaired in the copy", ("split", "image", "instances", "repair", "because of"), rows)
        if len(fixed.changes) > len(rows):
            note(f"and {len(fixed.changes) - len(rows):,} more changes; changes.json lists all")
    else:
        note("nothing to repair safely: the copy is what was read")
