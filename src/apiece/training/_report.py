"""What a person sees of a run: a progress bar, ``log.csv``, TensorBoard's files and two plots."""

from __future__ import annotations

import csv
import logging
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from apiece._atomic import atomic

log = logging.getLogger("apiece")

GROUPS = ("box", "class", "mask")
COLUMNS = (
    "step", "epoch", "seconds", "lr", "loss", *GROUPS, "gradient",
    "val_mask_ap", "val_mask_ap50", "val_mask_ap75", "val_box_ap", "val_seconds",
)  # fmt: skip
_EVERY = 10  # steps between rows


def grouped(losses: Mapping[str, float]) -> dict[str, float]:
    """Sum losses by the beginning of their names (``box``, ``class``, ``mask``), and all of them as ``loss``."""
    sums = dict.fromkeys(GROUPS, 0.0)
    for name, value in losses.items():
        sums[next(g for g in GROUPS if name.startswith(g))] += value
    return {"loss": sum(losses.values()), **sums}


class Report:
    """Writes the logs of one run into its folder; a context that holds the progress bar."""

    def __init__(self, folder: Path, step: int) -> None:
        self.table = folder / "log.csv"
        self.folder = folder
        self.rows: list[dict[str, str]] = _rows_until(self.table, step)
        _write_rows(self.table, self.rows)
        purge = step + 1 if step else None
        self.tensorboard = TensorBoardLogger(folder, name="", version="tensorboard", purge_step=purge)
        self._sums: dict[str, float] = defaultdict(float)
        self._count = 0
        self._ap = next((r["val_mask_ap"] for r in reversed(self.rows) if r["val_mask_ap"]), "")
        # where nobody watches, a line now and then says the same
        self._live = sys.stderr.isatty()
        self._told = 0.0
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>5.1f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}"),
            console=Console(stderr=True),
            disable=not self._live,
        )
        self._task = self._bar.add_task("train", total=1.0, text="")

    def __enter__(self) -> Report:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self.tensorboard.finalize("success" if error is None else "failed")

    def step(self, step: int, values: Mapping[str, float], *, epoch: float, seconds: float, progress: float) -> None:
        """Take in one step's losses (as `grouped` names them), learning rate and gradient norm."""
        for name, value in values.items():
            self._sums[name] += value
        self._count += 1
        if step % _EVERY and progress < 1.0:
            return
        means = {name: total / self._count for name, total in self._sums.items()}
        self._sums.clear()
        self._count = 0
        self._append({"step": step, "epoch": epoch, "seconds": seconds, **means})
        self.tensorboard.log_metrics(means, step)
        losses = "  ".join(f"{name} {means[name]:.3f}" for name in ("loss", *GROUPS))
        text = f"epoch {epoch:.1f}  step {step}  {losses}" + (f"  val AP {self._ap}" if self._ap else "")
        self._bar.update(self._task, completed=progress, text=text)
        if not self._live and seconds - self._told >= 30:
            self._told = seconds
            log.info("%3.0f%%  %s", 100 * progress, text)

    def validated(self, step: int, numbers: Mapping[str, float], *, epoch: float, seconds: float, cost: float) -> None:
        """Take in a validation's numbers; draws the plots anew."""
        names = ("mask_ap", "mask_ap50", "mask_ap75", "box_ap")
        values = {f"val_{name}": numbers[name] for name in names if name in numbers}
        self._ap = f"{numbers['mask_ap']:.3f}"
        self._append({"step": step, "epoch": epoch, "seconds": seconds, **values, "val_seconds": cost})
        self.tensorboard.log_metrics(values, step)
        self.plot()
        log.info(
            "step %d, epoch %.1f, %.0f s: validation mask AP %s, AP50 %s (took %.1f s)",
            step, epoch, seconds, _ap(numbers["mask_ap"]), _ap(numbers["mask_ap50"]), cost,
        )  # fmt: skip

    def plot(self) -> None:
        """Draw ``losses.png`` and ``ap.png``."""
        _plot(self.folder / "losses.png", self.rows, ("loss", *GROUPS), "loss")
        _plot(self.folder / "ap.png", self.rows, ("val_mask_ap", "val_mask_ap50", "val_box_ap"), "validation AP")

    def _append(self, values: Mapping[str, Any]) -> None:
        row = {name: _short(values[name]) if name in values else "" for name in COLUMNS}
        self.rows.append(row)
        with self.table.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS).writerow(row)


def _ap(value: float) -> str:
    return "undefined" if value == -1 else f"{value:.4f}"  # COCO's -1: there is no object


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def _rows_until(table: Path, step: int) -> list[dict[str, str]]:
    """Return the rows of an earlier part of this run; later ones than its last saved state will be made again."""
    if not step or not table.is_file():
        return []
    with table.open(newline="", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if set(r) == set(COLUMNS) and (r["step"] or "").isdigit()]
    # a row cut short by a kill has empty cells as None
    return [r for r in rows if int(r["step"]) <= step and None not in r.values()]


def _write_rows(table: Path, rows: list[dict[str, str]]) -> None:
    with atomic(table) as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _plot(path: Path, rows: list[dict[str, str]], columns: tuple[str, ...], title: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name in columns:
        points = [(int(r["step"]), float(r[name])) for r in rows if r[name]]
        if points:
            axes.plot(*zip(*points, strict=True), label=name.removeprefix("val_"), marker="." if "val" in name else "")
    axes.set(xlabel="step", ylabel=title)
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend()
    with atomic(path) as scratch:
        figure.savefig(scratch, dpi=120)
