"""``apiece benchmark``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal  # noqa: F401  # cyclopts reads inherited annotations from here

from cyclopts import Parameter

from apiece.benchmark.config import BenchmarkConfig
from apiece.cli._options import GROUP, IMAGES, LIST, Json
from apiece.cli._output import note, print_json, print_table
from apiece.errors import ConfigError, Option
from apiece.models import DEFAULT

if TYPE_CHECKING:
    from apiece.benchmark import Plan, Watch
    from apiece.benchmark.rows import Row

_LEFT_OUT = ("p90 ms", "train MB", "train GPU MB", "steps", "input px")


@dataclass(frozen=True)
class _Settings(BenchmarkConfig):
    """`BenchmarkConfig`, with lists as the command line writes them."""

    data: Annotated[Path, Parameter(parse=False)] = Path("data")
    images: Annotated[tuple[str, ...], IMAGES] = ()  # type: ignore[assignment]
    models: Annotated[tuple[str, ...] | None, LIST] = None
    trained: Annotated[tuple[Path, ...], LIST] = ()
    set: Annotated[tuple[str, ...], LIST] = ()
    imgsz: Annotated[tuple[str, ...], LIST] = ()


@dataclass(frozen=True)
class _Runtimes:
    """One model on several runtimes.

    Attributes
    ----------
    runtimes
        Runtimes of one `--model`, side by side: `torch`, and targets of `apiece export` such as `onnx` and `openvino`.
    model
        What `--runtimes` compares: model folder, published weights, or by default the model that comes with apiece.
    photos
        Images for `--runtimes` where there are no labels: files, folders or patterns. Without both, scenes are drawn.
    int8
        Also compare 8-bit integers.
    bf16
        Also compare bfloat16, on OpenVINO.
    """

    runtimes: Annotated[tuple[str, ...], LIST] = ()
    model: str | None = None
    photos: Annotated[tuple[str, ...], LIST] = ()
    int8: Annotated[bool, Parameter(negative="")] = False
    bf16: Annotated[bool, Parameter(negative="")] = False


def benchmark(
    data: Path | None = None,
    *,
    settings: Annotated[_Settings, GROUP] = _Settings(),
    on: Annotated[_Runtimes, GROUP] = _Runtimes(),
    json: Json = False,
) -> int:
    """Compare models on your data: train each within the same time, measure all alike, show speed against accuracy.

    Each model is trained and measured in a process of its own; the row of a model that fails says why. A benchmark
    that was killed goes on when it is started again.

    ```
    apiece benchmark data/ --models all --budget 20m
    apiece benchmark data/ --models embedding,mask_rcnn --imgsz mask_rcnn=512 --jobs 2
    apiece benchmark data/val.json --trained runs/a,runs/b
    apiece benchmark data/ --models mask_rcnn:plain,mask_rcnn:group --set mask_rcnn:group.norm=group
    apiece benchmark data/ --runtimes torch,onnx,openvino --model runs/bolts
    ```

    With `--runtimes` one model is exported and measured on each: speed, memory, how far its masks are from torch's,
    and mask AP where there are labels.

    Parameters
    ----------
    data
        Label file, or folder with train and val (default `data`). Without val, a fifth of the images is held back for
        it. `--runtimes` needs none.
    """
    if on.runtimes:
        return _runtimes(data, settings, on, json)
    for name in ("model", "photos", "int8", "bf16"):
        if getattr(on, name):
            instead = "; architectures to train are named by " + Option("models", ...) if name == "model" else ""
            raise ConfigError(Option(name, ...) + " goes with " + Option("runtimes", ...) + instead)
    from apiece.benchmark import run

    with _watch() as watch:
        result = run(replace(settings, data=data or Path("data")), watch)
    if json:
        print_json({"conditions": result.conditions, "models": result.rows})
    else:
        _print(result.rows)
    _note_disturbance({row.model: row.others_cores for row in result.rows})
    for row in result.rows:
        if row.error:
            note(f"{row.model} failed: {row.error}")
    note(f"wrote {', '.join(str(f) for f in result.files)}")
    return 0 if any(row.status == "done" for row in result.rows) else 1


def _runtimes(data: Path | None, settings: _Settings, on: _Runtimes, json: bool) -> int:
    from apiece.benchmark import compare_runtimes
    from apiece.evaluation import open_truth

    model, truth = on.model or DEFAULT, None
    if data is not None:
        where = settings.images, settings.format, None, settings.clip_outlines, settings.annotator
        truth = open_truth(data, None, *where)
    rows = compare_runtimes(model, on.runtimes, data=truth, photos=on.photos, int8=on.int8, bf16=on.bf16, step=note)
    if json:
        print_json({"runtimes": [asdict(row) for row in rows]})
    else:
        columns = ("runtime", "precision", "ms", "p90 ms", "first answer ms", "MB", "mask IoU", "one only", "mask AP")
        cells = [
            (row.runtime, row.precision, *(_round(v) for v in (row.milliseconds, row.p90, row.start_ms, row.memory_mb)),
             f"{row.iou:.4f}", f"{row.alone:.2%}", "-" if row.mask_ap is None else f"{row.mask_ap:.4f}")
            for row in rows
        ]  # fmt: skip
        print_table(f"{model} on {len(rows)} runtimes", columns, cells)
    _note_disturbance({f"{row.runtime} {row.precision}": row.others_cores for row in rows})
    for row in rows:
        if row.error:
            note(f"{row.runtime} failed: {row.error}")
    return 1 if any(row.error for row in rows) else 0


def _note_disturbance(cores: Mapping[str, float | None]) -> None:
    from apiece.benchmark.page import disturbance

    if disturbed := disturbance(cores):
        note(disturbed)


def _round(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _print(rows: Sequence[Row]) -> None:
    """Print the numbers that decide and fit a terminal; the page has all."""
    from apiece.benchmark.page import table_of_scores, table_of_sizes

    columns, cells = table_of_scores(rows)
    shown = [k for k, name in enumerate(columns) if name not in _LEFT_OUT]
    for title, names, table in (
        ("Models", [columns[k] for k in shown], [[line[k] for k in shown] for line in cells]),
        ("Mask AP by size, and of boxes", *table_of_sizes(rows)),
    ):
        print_table(title, names, [[_plain(cell) for cell in line] for line in table])


def _plain(cell: Any) -> Any:
    """Return a number as a number, so that it stands on the right."""
    if cell is None or cell == "–":
        return "-"
    try:
        return float(cell) if isinstance(cell, str) else cell
    except ValueError:
        return cell


@contextmanager
def _watch() -> Iterator[Watch]:
    """Show the plan and a line per model on standard error, and for people a bar for each model at work."""
    import sys

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    from apiece.benchmark import Watch

    live = sys.stderr.isatty()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=not live)
    bars: dict[str, TaskID] = {}

    def tick(what: str, shares: Mapping[str, float]) -> None:
        for name, share in shares.items():
            if name not in bars:
                bars[name] = bar.add_task(f"{what} {name}", total=1.0)
            bar.update(bars[name], completed=share)
        for name in [n for n in bars if n not in shares]:
            bar.remove_task(bars.pop(name))

    def line(text: str) -> None:
        if live:
            bar.console.print(text, highlight=False, markup=False)
        else:
            note(text)

    with bar:
        yield Watch(lambda plan: line(_plan_words(plan)), tick, line)


def _plan_words(plan: Plan) -> str:
    from apiece.benchmark.page import words_of_time

    data = plan.conditions["data"]
    lines = [f"{len(plan.train) + len(plan.kept)} models on {data['name']}, {data['val_images']:,} validation images"]
    if plan.train:
        alone = f"{words_of_time(plan.budget)} each"
        together = f", {plan.jobs} at a time" if plan.jobs > 1 else ""
        threads = f", {plan.conditions['training']['threads']} threads"
        lines.append(f"to train: {', '.join(plan.train)}")
        lines.append(f"  {alone}{together}{threads}: {words_of_time(plan.seconds)} in all, then measuring one by one")
    if plan.kept:
        lines.append(f"trained already: {', '.join(plan.kept)}; of these {plan.measured} are measured")
    return "\n".join(lines)
