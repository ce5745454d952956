"""What ``model.json`` says of a model, checked: all of it but the architecture's own settings. No torch here.

A model folder holds the tensors beside it, see `folder`; an exported model a graph that some runtime computes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from apiece import _strict_json as typed_json
from apiece._atomic import atomic
from apiece._strict_json import LATER, StrictError
from apiece.errors import ApieceError, ConfigError, ModelFileError, Option
from apiece.models._decode import Stages, decoder, stages_of
from apiece.models._engine.filled import filled
from apiece.models._engine.graphs import graph_runtime, installed
from apiece.models._kit.arrays import DecodeBatch
from apiece.models.contract import ModelInput

JSON_NAME = "model.json"
TENSORS_NAME = "model.safetensors"
GRAPH_NAME = "graph.json"
AGAIN = "copy the folder afresh, or train again"

DEFAULT = "default"
"""Name of the model that comes with apiece."""


_SHIPPED = Path(__file__).parent / DEFAULT
VERSION = 1
_KEYS = {
    "version", "architecture", "config", "input", "classes", "thresholds", "one_piece", "provenance", "metrics",
    "tensors",
}  # fmt: skip
_EDGES = "edges"
"""A key that model files of before do not have."""
_JSON_LIMIT = 16 * 2**20


@dataclass(frozen=True)
class Graph:
    """Describe the network of an exported model.

    Attributes
    ----------
    runtime : what computes it: ``"onnx"``, ``"opencv"`` or ``"openvino"``.
    files : names of its files in the folder, and the SHA-256 of each.
    outputs : names of what it gives, in its order.
    stride : sides of its input are multiples of this.
    size : (height, width) that every image is padded to; None: it takes any.
    alone : it takes one image at a time.
    precision : what it computes in: ``"float32"``, ``"float16"`` (its weights), ``"bfloat16"`` or ``"int8"``.
    unequal : in what its answers differ from the original's by more than was allowed; empty: in nothing.
    parts : names of further graphs, and of what each gives, where the network is made of several.
    """

    runtime: str
    outputs: tuple[str, ...]
    stride: int
    files: Mapping[str, str] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    alone: bool = False
    precision: str = "float32"
    unequal: str = ""
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict, metadata=LATER)


@dataclass(frozen=True, eq=False, kw_only=True)
class Card:
    """Hold what ``model.json`` says.

    Attributes
    ----------
    name : the architecture's name.
    config : the architecture's settings, as they stand in the file or as its own class.
    input : what the network takes.
    classes : class names; labels index into them.
    thresholds : lowest score kept, one per class; None if none were chosen.
    one_piece : whether objects are in one piece, for each class; see `DecodeOptions`.
    provenance : where it comes from (data fingerprint, seed, versions, licences ...).
    metrics : what was measured when it was saved.
    edges : how many times the softness of a mask's edge an outline is off, see `DecodeOptions.edges`; None if nobody
        has measured it.
    """

    name: str
    config: Any
    input: ModelInput
    classes: tuple[str, ...]
    thresholds: tuple[float, ...] | None
    one_piece: tuple[bool, ...]
    provenance: Mapping[str, Any]
    metrics: Mapping[str, Any]
    edges: tuple[float, float] | None = None

    @property
    def stuff(self) -> tuple[int, ...]:
        """The classes that are stuff, see `StuffSettings`."""
        settings = self.config if isinstance(self.config, Mapping) else vars(self.config)
        return tuple(settings.get("stuff", ()))


@dataclass(frozen=True, eq=False, kw_only=True)
class ExportedModel(Card):
    """Hold an exported model: its network is a graph, its answers are decoded as the original's.

    Attributes
    ----------
    graph : describes the network.
    files : the contents of the graph's files, by name.
    decode : turns raw outputs into instances, see `Architecture.decode`.
    stages : what is done between the parts of its network; None: it is one graph.
    """

    graph: Graph
    files: Mapping[str, bytes] = field(repr=False)
    decode: DecodeBatch
    stages: Stages | None = None

    @property
    def stride(self) -> int:
        """Sides of the network's input are multiples of this."""
        return self.graph.stride

    def fingerprint(self) -> str:
        """Return a hash of what decides the answers."""
        said = repr((self.name, self.config, self.input, sorted(self.graph.files.items()), self.graph.precision))
        return hashlib.sha256(said.encode()).hexdigest()


def exported_model(folder: Path | str) -> ExportedModel | None:
    """Return the exported model that a folder holds; None if it holds none, such as a model folder with tensors.

    The model that comes with apiece is one where torch is not installed: ONNX Runtime computes it, else OpenCV.

    Raises
    ------
    ModelFileError
        if the folder is damaged, a file of the graph is absent or another than ``model.json`` says, or a link leads out
        of it.
    """
    folder = model_folder(folder)
    if not (folder / JSON_NAME).is_file():
        return None
    if folder == _SHIPPED:
        return None if installed("torch") else shipped_graph()
    content = read_json(folder)
    if not isinstance(content, dict) or "graph" not in content:
        return None
    return _exported(folder, content)


def shipped_graph(runtime: str | None = None) -> ExportedModel:
    """Return the model that comes with apiece for a runtime without torch, see `open_graph`."""
    graph = read_json(_SHIPPED, GRAPH_NAME) | {"runtime": runtime or graph_runtime()}
    model = _exported(_SHIPPED, read_json(_SHIPPED) | {"graph": graph})
    return replace(model, files={"model.onnx": filled(*model.files.values())})


def _exported(folder: Path, content: dict[str, Any]) -> ExportedModel:
    with described(folder):
        graph = typed_json.dataclass_from(Graph, content["graph"], "graph")
        rest = {key: value for key, value in content.items() if key != "graph"}
        files = {name: _graph_file(folder, name, digest) for name, digest in graph.files.items()}
        card, decode, stages = card_of(rest), decoder(rest["architecture"]), stages_of(rest["architecture"])
        return ExportedModel(**vars(card), graph=graph, files=files, decode=decode, stages=stages)


def _graph_file(folder: Path, name: str, digest: str) -> bytes:
    path = inside(folder, Path(name).name)
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:
        raise ModelFileError(path, f"is not the file that {JSON_NAME} describes (checksum differs); export it again")
    return data


def read_json(folder: Path, name: str = JSON_NAME) -> Any:
    """Return the content of ``model.json``, or of a file beside it, not checked yet."""
    with described(folder):
        return typed_json.parse(_read(inside(folder, name), _JSON_LIMIT))


@contextmanager
def described(folder: Path) -> Iterator[None]:
    """Name ``model.json`` in errors about what it says."""
    try:
        yield
    except ModelFileError:
        raise
    except (StrictError, ApieceError) as error:
        raise ModelFileError(folder / JSON_NAME, f"{error}; {AGAIN}") from error
    except OSError as error:
        raise ModelFileError(folder, f"cannot be read: {error}") from error


def card_of(content: Any) -> Card:
    """Return what a ``model.json`` says, checked; the settings are left as they stand."""
    content = dict(content) if isinstance(content, dict) else content
    edges = content.pop(_EDGES, None) if isinstance(content, dict) else None
    typed_json.check_keys(content, _KEYS, "the model")
    if content["version"] != VERSION:
        other = str(content["version"])[:40]
        raise StrictError(f"version {other!r} is not {VERSION}: another version of apiece wrote it")
    if not isinstance(content["architecture"], str):
        raise StrictError(f"architecture should be a name, is {type(content['architecture']).__name__}")
    if not isinstance(content["classes"], list):
        raise StrictError("classes should be a list of names")
    classes = checked_classes(content["classes"])
    thresholds = content["thresholds"]
    if thresholds is not None:
        given = typed_json.check_keys(thresholds, set(classes), "thresholds")
        thresholds = checked([given[c] for c in classes], classes)
    single = content["one_piece"]
    if not isinstance(single, list) or not all(name in classes for name in single):
        raise StrictError("one_piece should be a list of some of the classes")
    for key in ("provenance", "metrics"):
        if not isinstance(content[key], dict):
            raise StrictError(f"{key} should be an object")
    return Card(
        name=content["architecture"],
        config=content["config"],
        input=typed_json.dataclass_from(ModelInput, content["input"], "input"),
        classes=classes,
        thresholds=thresholds,
        one_piece=tuple(name in single for name in classes),
        provenance=content["provenance"],
        metrics=content["metrics"],
        edges=None if edges is None else _checked_edges(edges),
    )


def _checked_edges(edges: Any) -> tuple[float, float]:
    given = typed_json.check_keys(edges, {"point", "mean"}, _EDGES)
    values = given["point"], given["mean"]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v < math.inf for v in values):
        raise StrictError(f"{_EDGES} should be two numbers of 0 or more")
    return float(values[0]), float(values[1])


def content_of(card: Card, config: Mapping[str, Any], tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``model.json`` says of a model; `card_of` is the inverse."""
    chosen = card.thresholds
    return {
        "version": VERSION, "architecture": card.name, "config": dict(config),
        "input": typed_json.dataclass_to(card.input), "classes": list(card.classes),
        "thresholds": None if chosen is None else dict(zip(card.classes, chosen, strict=True)),
        "one_piece": [name for name, one in zip(card.classes, card.one_piece, strict=True) if one],
        "provenance": dict(card.provenance), "metrics": dict(card.metrics), "tensors": dict(tensors),
    } | _stated(card.edges)  # fmt: skip


def _stated(edges: tuple[float, float] | None) -> dict[str, Any]:
    """Return the part of ``model.json`` about edges."""
    return {} if edges is None else {_EDGES: dict(zip(("point", "mean"), edges, strict=True))}


def save_exported(folder: Path, model: Card, graph: Graph, files: Mapping[str, bytes]) -> None:
    """Write an exported model: the files of its graph, and ``model.json`` last.

    ``model`` gives all but the graph, whose ``files`` are filled in here.
    """
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    config = model.config if isinstance(model.config, Mapping) else typed_json.dataclass_to(model.config)
    whole = replace(graph, files=digests)
    content = content_of(model, config, {}) | {"graph": typed_json.dataclass_to(whole)}
    with written(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        (folder / JSON_NAME).write_text(dumped(content), encoding="utf-8")


def dumped(content: Mapping[str, Any]) -> str:
    """Return the text of ``model.json``."""
    try:
        return typed_json.dump(content)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"provenance and metrics of a model are numbers, texts, lists and dicts: {error}") from error


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Turn what the file system says into the error of a model that cannot be written."""
    try:
        yield
    except OSError as error:
        raise ModelFileError(path, f"cannot be written: {error}") from error


def save_thresholds(
    folder: Path | str,
    thresholds: Sequence[float],
    origin: Mapping[str, Any] | None = None,
    edges: tuple[float, float] | None = None,
) -> None:
    """Put other thresholds into a model folder; ``model.json`` is replaced in one step, the tensors stay.

    Parameters
    ----------
    thresholds : lowest score kept, one per class, 0 to 1.
    origin : JSON-able, what they were chosen by; kept in the provenance, under ``thresholds``.
    edges : see `Card`; None leaves what is there.

    Raises
    ------
    ConfigError, ModelFileError
        if there is not one threshold from 0 to 1 per class, or ``model.json`` is missing, damaged or cannot be written.
    """
    if model_folder(folder) == _SHIPPED:
        raise ConfigError(
            "the model that comes with apiece stays as it is; give a threshold with " + Option("conf", ...) + ", or "
            "train a model of your own that begins with " + Option("weights", DEFAULT)
        )
    folder = Path(folder)
    content = read_json(folder)
    with described(folder):
        classes = card_of({key: value for key, value in content.items() if key != "graph"}).classes
    chosen = checked([float(t) for t in thresholds], classes)
    content["thresholds"] = dict(zip(classes, chosen, strict=True))
    content |= _stated(edges)
    if origin is not None:
        content["provenance"] = {**content["provenance"], "thresholds": dict(origin)}
    json_path = folder / JSON_NAME
    with written(json_path), atomic(json_path) as temporary:
        temporary.write_text(dumped(content), encoding="utf-8")


def model_folder(model: Path | str) -> Path:
    """Return the folder of a model that is named by its path, or ``"default"``: the model that comes with apiece.

    A folder of that name is written ``./default``.
    """
    return _SHIPPED if str(model) == DEFAULT else Path(model)


def inside(folder: Path, name: str) -> Path:
    """Return the path of a file in a model folder; a link that leads out of it is refused."""
    path = folder / name
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        tensors = name in (JSON_NAME, TENSORS_NAME)
        what = f"a model is a folder with {JSON_NAME} and {TENSORS_NAME}" if tensors else f"{JSON_NAME} names it"
        raise ModelFileError(path, f"is missing; {what}; {AGAIN}") from error
    if real.parent != folder.resolve():
        raise ModelFileError(path, f"is a link that leads out of the folder, to {real}; put the file itself there")
    if not real.is_file():
        raise ModelFileError(path, "is not a file")
    return path


def _read(path: Path, limit: int) -> bytes:
    if path.stat().st_size > limit:
        raise ModelFileError(path, f"has {path.stat().st_size} bytes, more than a model's description needs; {AGAIN}")
    return path.read_bytes()


def checked_classes(classes: Sequence[Any]) -> tuple[str, ...]:
    """Return class names, checked."""
    if not classes or not all(isinstance(c, str) and c for c in classes) or len(set(classes)) < len(classes):
        raise ConfigError(f"classes should be different names, at least one; got {str(list(classes))[:200]}")
    return tuple(classes)


def checked(thresholds: Sequence[Any], classes: Sequence[str]) -> tuple[float, ...]:
    """Return thresholds, one per class, checked."""
    good = [isinstance(t, int | float) and not isinstance(t, bool) and 0 <= t <= 1 for t in thresholds]
    if len(good) != len(classes) or not all(good):
        raise ConfigError(f"thresholds should be {len(classes)} numbers from 0 to 1, one per class; got {thresholds}")
    return tuple(float(t) for t in thresholds)
