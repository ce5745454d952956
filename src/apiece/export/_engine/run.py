"""Export a model: trace its network, convert it for each target, hold each against the original, and write it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

from apiece._arrays import Float32
from apiece._atomic import staged, take_place
from apiece.core.image import Image
from apiece.datasets import Dataset
from apiece.errors import ConfigError, ModelFileError, Option
from apiece.evaluation import compare
from apiece.export._engine.needs import requirements
from apiece.export._engine.page import write_parity
from apiece.export._engine.parity import Limits, Parity, compare_answers, outputs_apart
from apiece.export._engine.trace import Traced, trace
from apiece.export.contract import PRECISIONS, ROOM
from apiece.images import read_image
from apiece.models import Graph, LoadedModel, check_model, open_model, save_exported
from apiece.predict import Model, find_sources, load
from apiece.predict.runtime import MAIN, pad_to
from apiece.transforms.input import prepare

__all__ = ["Exported", "export_to"]

_log = logging.getLogger("apiece")

_CALIBRATED = 32  # images that ranges are taken from, at most
_HELD = 64  # images whose answers are held against each other, at most


@dataclass(frozen=True)
class Exported:
    """Say what was exported.

    Attributes
    ----------
    folder : the exported model, where it was written.
    target, precision : what it was exported to.
    parity : how its answers differ from the original's.
    excess : in what they differ by more than is allowed; empty: in nothing.
    written : whether it was written.
    """

    folder: Path
    target: str
    precision: str
    parity: Parity
    excess: str
    written: bool


def export_to(
    model: Path | str,
    out: Path | str,
    to: Sequence[str] = ("onnx",),
    *,
    data: Dataset | None = None,
    photos: Sequence[str | Path] = (),
    calibrate: Dataset | None = None,
    int8: bool = False,
    bf16: bool = False,
    fp16: bool = False,
    imgsz: int | None = None,
    max_drop: float = 0.005,
    allow_unequal: bool = False,
    overwrite: bool = False,
    step: Callable[[str], None] = lambda what: None,
) -> list[Exported]:
    """Export a model, each target and precision to a folder of its own in ``out``, such as ``out/onnx-int8``.

    A folder holds the graph, ``model.json``, and ``parity.json`` and ``parity.html``: how its answers differ from the
    original's on the given images. A graph whose answers differ by more than `Limits` is not written.

    Parameters
    ----------
    model : model folder, or published weights, as `apiece.load` takes them.
    to : targets, see `names`.
    data : labelled images to judge by; ``photos``: files or folders of images without labels, where there are none.
    calibrate : images that the ranges of 8-bit integers are taken from; by default those of ``data`` or ``photos``.
    int8, bf16, fp16 : also export in 8-bit integers, in bfloat16, and with weights of 16 bits, where a target can.
    imgsz : longer side that images are resized to from now on.
    max_drop : largest loss of mask AP.
    allow_unequal : write a graph whose answers differ too much; each `apiece.load` of it says so.
    overwrite : replace what was exported before.
    step : called with what is done next.

    Raises
    ------
    ConfigError, UnknownNameError
        If the model cannot be exported (with the reason), or there are no images.
    ModelFileError
        If a file is damaged, or nothing can be written.
    MissingExtraError
        If a target's package is not installed.

    Examples
    --------
    >>> from apiece.export import export_to
    >>> made = export_to("runs/bolts", "bolts-out", ["onnx"], photos=["photos/"])  # doctest: +SKIP
    >>> made[0].folder, made[0].parity.iou  # doctest: +SKIP
    (PosixPath('bolts-out/onnx'), 1.0)
    """
    targets = {name: ROOM.load(name) for name in to}
    if not targets:
        raise ConfigError("name a target with " + Option("to", ...) + f", of {', '.join(ROOM.names())}")
    source = _opened(model, imgsz)
    given = _given(data, photos)
    asked = {"float32": True, "float16": fp16, "bfloat16": bf16, "int8": int8}
    wanted = [precision for precision in PRECISIONS if asked[precision]]
    step("tracing the network")
    traced = trace(source)
    if traced.size is not None:
        height, width = traced.size
        _log.warning("the graph takes images of %d x %d pixels only, others are padded: %s", height, width, traced.why)
    graphs = dict.fromkeys(("float32", "float16", "bfloat16"), traced.graphs)
    if int8:
        from apiece.export._engine.quantise import quantise

        step("taking the ranges of 8-bit integers")
        ranges = _inputs(source, _given(calibrate, ()) if calibrate else given, traced)
        graphs["int8"] = {**traced.graphs, MAIN: quantise(traced.graphs[MAIN], ranges)}
    original, made = Model(source, "cpu"), []
    for name, target in targets.items():
        for precision in [p for p in wanted if p in target.precisions]:
            folder = Path(out) / (name if precision == "float32" else f"{name}-{_SHORT[precision]}")
            step(f"holding {folder.name} against the original")
            graph = Graph(
                name, traced.outputs[MAIN], source.stride, size=traced.size, alone=traced.alone, precision=precision,
                parts={part: outputs for part, outputs in traced.outputs.items() if part != MAIN},
            )  # fmt: skip
            files = {
                file: data
                for part, graph_ in graphs[precision].items()
                for file, data in target.convert(part, graph_, precision).items()
            }
            job = _Job(folder, graph, files, Limits.of(precision, max_drop), target.package)
            made.append(job.finish(original, given, data, allow_unequal, overwrite))
    return made


_SHORT = {"float16": "fp16", "bfloat16": "bf16", "int8": "int8"}


@dataclass(frozen=True)
class _Job:
    """One folder to be written."""

    folder: Path
    graph: Graph
    files: Mapping[str, bytes]
    limits: Limits
    package: str

    def finish(
        self, original: Model, given: _Images, data: Dataset | None, allow_unequal: bool, overwrite: bool
    ) -> Exported:
        """Hold the graph against the original, and write it if it is equal enough."""
        if self.folder.exists() and any(self.folder.iterdir()) and not overwrite:
            raise ConfigError(f"{self.folder} is not empty; choose another " + Option("out", ...) + ", or overwrite it")
        try:
            with staged(self.folder.parent, self.folder.name) as stage:
                made = stage / self.folder.name
                save_exported(made, original.loaded, self.graph, self.files)
                parity = _parity(original, load(made), given, data)
                excess = parity.excess(self.limits)
                if excess:
                    save_exported(made, original.loaded, replace(self.graph, unequal=excess), self.files)
                written = not excess or allow_unequal
                if written:
                    text = {**asdict(parity), "iou": parity.iou, "alone": parity.alone, "excess": excess}
                    (made / "parity.json").write_text(json.dumps(text, indent=1), encoding="utf-8")
                    for name, lines in requirements(self.package).items():
                        (made / name).write_text(lines, encoding="utf-8")
                    write_parity(made / "parity.html", parity, original, self.graph, self.limits)
                    take_place(made, self.folder, stage)
        except OSError as error:
            raise ModelFileError(self.folder, f"cannot be written: {error}") from error
        return Exported(self.folder, self.graph.runtime, self.graph.precision, parity, excess, written)


_Images = Sequence[tuple[str, Image | Path]]


def _opened(model: Path | str, imgsz: int | None) -> LoadedModel:
    check_model(model)
    found = open_model(model)
    if imgsz is None:
        return found
    return replace(found, input=replace(found.input, imgsz=imgsz, fit=None))


def _given(data: Dataset | None, photos: Sequence[str | Path]) -> _Images:
    """Return the images to hold answers against each other on: spread evenly over those that there are."""
    found = (
        [(ref.name, ref.path) for ref in data.refs]
        if data is not None
        else [(source.name, source.path) for source in find_sources([str(path) for path in photos])]
        if photos
        else []
    )
    if not found:
        raise ConfigError(
            "an exported model is held against its original on real images; give labelled ones with "
            + Option("data", ...) + ", or others with " + Option("photos", ...)
        )  # fmt: skip
    return [(name, path) for name, path in found[:: -(-len(found) // _HELD)] if path is not None]


def _inputs(model: LoadedModel, given: _Images, traced: Traced) -> Iterator[Float32]:
    """Yield some images as the network takes them."""
    for _, path in islice(given, _CALIBRATED):
        image = path if isinstance(path, Image) else read_image(path)
        array, _ = prepare(image, model.input, model.stride)
        yield pad_to(array[None], traced.size)[0]


def _parity(original: Model, exported: Model, given: _Images, data: Dataset | None) -> Parity:
    images, milliseconds = compare_answers(original, exported, given)
    outputs = outputs_apart(original, exported, given[0][1])
    if data is None:
        return Parity(images, milliseconds, outputs)
    found = compare(original, exported, data).numbers
    ap = found["mask_ap"]
    interval = None if ap.low != ap.low else (ap.low, ap.high)
    return Parity(images, milliseconds, outputs, (ap.a, ap.b), interval)
