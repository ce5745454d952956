"""``apiece check``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from apiece.check import FailOn, Report
from apiece.check.contract import Place, Settings
from apiece.cli._output import check_writable, note, print_json, print_table, progress
from apiece.errors import ApieceError, ConfigError, FormatError, Option, on_command_line

if TYPE_CHECKING:
    from apiece.check import Fixed, OpenLabels
    from apiece.core.instances import Instances

__all__ = ["check"]

_COULD_NOT = 2
_ROWS = 40  # findings in the terminal
_MOST = 10  # labels that all findings together speak against
_EACH = 16  # images from which a process of its own is faster
_NAME = 34  # characters of an image's name there

Several = Annotated[tuple[str, ...], Parameter(consume_multiple=True)]


@dataclass(frozen=True)
class _Settings(Settings):
    """`Settings`, checked within the command, which has an exit code of its own for what is wrong."""

    def __post_init__(self) -> None:
        pass


@dataclass(frozen=True)
class _Options:
    """What decides where predictions come from."""

    model: Path | None
    folds: int | None
    config: Path | None
    runs: Path
    device: str


def check(
    data: Path,
    /,
    *,
    images: Path | None = None,
    no_images: bool = False,
    only: Several = (),
    skip: Several = (),
    settings: Annotated[_Settings, Parameter(name="*")] = _Settings(),
    model: Path | None = None,
    folds: int | None = None,
    config: Path | None = None,
    runs: Path = Path("runs/check"),
    device: str = "auto",
    fail_on: FailOn = "error",
    html: Path | None = None,
    pictures: int | None = None,
    fix: Path | None = None,
    limit: int | None = None,
    workers: int | None = None,
    json: bool = False,
) -> int:
    """Find the mistakes in labels, ranked, with pictures; and repair a copy where that is safe.

    Exit codes: 0 nothing at --fail-on or above, 1 something, 2 the labels could not be checked.

    ```
    apiece check data/
    apiece check data/train.json --html check.html --fail-on warning
    apiece check data/ --no-images --only file duplicate
    apiece check data/ --fix repaired
    apiece check data/ --model runs/bolts --only model
    apiece check data/ --folds 5 --config runs/bolts/config.yaml
    ```

    Parameters
    ----------
    data
        Label file, or folder with train and val.
    images
        Folder that image names are relative to; found beside the labels if left out.
    no_images
        Look at the labels alone.
    only
        Kinds to look for, or families of kinds (file, overlaps, parts ...); by default all.
    skip
        Kinds, or families of kinds, to leave out.
    model
        Model folder whose predictions the labels are held against. It must not have learned from these images.
    folds
        Train this many models, each without the images that it then predicts, and hold the labels against them.
    config
        YAML file with the settings of that training, such as the config.yaml of a run.
    runs
        Folder for the models of --folds; what is there already is not trained again.
    device
        "auto", "cpu", "cuda" or "cuda:1", for --model and --folds.
    fail_on
        Least grave level that makes the exit code 1.
    html
        Write a self-contained page of the findings, the surest with pictures. It stays below 20 MB.
    pictures
        Findings of each kind with pictures on the page; by default as many as keep it below 20 MB.
    fix
        Folder for a repaired copy of the labels: dust, exact copies and empty masks gone, areas and boxes computed.
    limit
        Most findings shown in the terminal, and of each kind on the page; 0 shows all. By default 40 and 200.
    workers
        Processes that read images; by default one for each core, fewer for few images.
    json
        One JSON object with every finding on standard output instead of tables.
    """
    try:
        for name, number in (("limit", limit), ("pictures", pictures)):
            if number is not None and number < 0:
                raise ConfigError(Option(name) + f" must be 0 or more, got {number}")
        check_writable(html)
        options = _Options(model, folds, config, runs, device)
        sources = _open(data, images)
        if fix is not None:
            from apiece.check import check_target

            check_target(sources, fix)
        chosen = Settings(**asdict(settings))
        report = _look(
            sources, chosen, not no_images, only, skip, options, _processes(sources) if workers is None else workers
        )
        if html is not None:
            _write_page(html, report, sources, data, limit, pictures)
        fixed = None if fix is None else _fix(sources, report, fix, data, chosen)
    except (ApieceError, OSError) as error:
        note(f"apiece: {on_command_line(error)}")
        return _COULD_NOT
    if json:
        print_json(report.to_dict() | ({} if fixed is None else {"fixed": asdict(fixed)}))
    else:
        _print(report, _ROWS if limit is None else limit or None)
        if fixed is not None:
            _print_changes(fixed, _ROWS if limit is None else limit or None)
    if html is not None:
        note(f"page: {html}")
    if fixed is not None:
        note(f"repaired copy: {', '.join(str(f) for f in fixed.files.values())}; what was done: {fix}/changes.json")
        note(f"images stay where they are: read the copy with --images {images or _folder(sources)}")
    return int(report.fails(fail_on))


def _open(data: Path, images: Path | None) -> dict[str, OpenLabels]:
    """The labels of each split, and what their readers refuse, by the file it stands in."""
    from apiece.check import OpenLabels
    from apiece.datasets.dataset import open_sources

    early: list[FormatError] = []
    sources: dict[str, OpenLabels] = {}

    def told(error: FormatError) -> None:
        whose = (s for s in sources.values() if s.path is not None and error.path.is_relative_to(s.path))
        next(whose, next(iter(sources.values()))).refused.append(error) if sources else early.append(error)

    for split, source in open_sources(data, images, on_bad=told).items():
        sources[split or "train"] = OpenLabels(source.labels, [], source.path, source.format)
    for error in early:
        told(error)
    return sources


def _folder(sources: Mapping[str, OpenLabels]) -> Path:
    """What image names are relative to."""
    ref = next((ref for source in sources.values() for ref in source.labels.refs), None)
    if ref is None:
        return Path()
    path = ref.path.as_posix()
    return Path(path.removesuffix(ref.name)) if path.endswith(f"/{ref.name}") else ref.path.parent


def _processes(sources: Mapping[str, OpenLabels]) -> int:
    """One for each core, where there are images enough to be worth a process's start."""
    import os

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, sum(len(s.labels) for s in sources.values()) // _EACH))


def _look(
    sources: Mapping[str, OpenLabels],
    settings: Settings,
    images: bool,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    options: _Options,
    workers: int,
) -> Report:
    from apiece.check import check as look

    predicted = _predicted(sources, options)
    with progress("checking", sum(len(s.labels) for s in sources.values())) as step:
        return look(
            sources,
            settings=settings,
            images=images,
            predicted=predicted,
            only=only or None,
            skip=skip,
            workers=workers,
            step=step,
        )


def _predicted(sources: Mapping[str, OpenLabels], options: _Options) -> Callable[[str, int], Instances | None] | None:
    """Where predictions come from; None where there are none."""
    if options.model is not None and options.folds is not None:
        raise ConfigError("--model and --folds both make predictions; give one of them")
    if options.model is not None:
        from apiece.cli._judges import of_model

        return of_model(options.model, sources, options.device)
    if options.folds is not None:
        if options.folds < 2:
            raise ConfigError(f"folds must be at least 2, got {options.folds}: a model has to learn from other images")
        from apiece.cli._judges import out_of_fold

        return out_of_fold(options.folds, sources, options.config, options.runs, options.device)
    if options.config is not None:
        raise ConfigError("--config says how --folds trains; give --folds too")
    return None


def _write_page(
    path: Path,
    report: Report,
    sources: Mapping[str, OpenLabels],
    data: Path,
    limit: int | None,
    pictures: int | None,
) -> None:
    from apiece.check import PER_KIND, write_page

    most, title = PER_KIND if limit is None else limit or None, f"Label check of {data.name}"
    with progress("drawing", None) as step:
        write_page(path, report, sources, title=title, limit=most, pictures=pictures, step=step)


def _fix(sources: Mapping[str, OpenLabels], report: Report, out: Path, data: Path, settings: Settings) -> Fixed:
    from apiece.check import fix

    return fix(sources, report, out, root=data if data.is_dir() else None, settings=settings)


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
        print_table("most suspect labels, all findings taken together", ("sure", "where", "kinds"), suspects)
    words = ", ".join(f"{count:,} {level}{'s' * (count != 1)}" for level, count in report.levels.items())
    sys.stdout.write(f"{images:,} images, {instances:,} instances: {words}\n")
    for need in dict.fromkeys(report.unasked.values()):
        names = [name for name, what in report.unasked.items() if what == need]
        note(f"not looked for, since it needs {need}: {', '.join(names)}")


def _where(report: Report, place: Place) -> str:
    return report.where(replace(place, image=_short(place.image)))


def _short(name: str | None) -> str | None:
    """A name of an image, a long one without its middle."""
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
        print_table("other in the copy", ("split", "image", "instances", "done", "since"), rows)
        if len(fixed.changes) > len(rows):
            note(f"and {len(fixed.changes) - len(rows):,} more changes; changes.json lists all")
    else:
        note("nothing to repair safely: the copy is what was read")
