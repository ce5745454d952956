"""Label Studio's JSON export: a list of tasks (https://labelstud.io/guide/export,
https://labelstud.io/guide/task_format).

Read: polygons (COCO's rasterisation), brush masks (`_brush`), rectangles and ellipses (the pixels whose centres they
hold), with labels of their own or from a ``Labels`` tag of the same region. Coordinates are percent of
``original_width`` and ``original_height``; rectangles turn about their upper left corner, ellipses about their centre.
Key points, relations, what belongs to no region, and skipped annotations (``was_cancelled``) are no masks and come as
``ImageRef.shapes``.

Several annotators: all of their regions come, each with the attribute ``annotator`` (``completed_by``), so that nothing
is lost; ``--annotator`` chooses one (`OpenedLabels.by_annotator`). Predictions come with their scores, and the
attribute ``model_version``, from files without any drawn region. In files with drawn regions they are among
``ImageRef.shapes``, so that ground truth and predictions never mix; `read_predictions` reads them there, too.

A region's id is kept as instance id where it is a number, and else as the attribute ``region``. Answers per region
(choices, text, rating) are attributes under their ``from_name``; more than one label of a region is kept as ``labels``.

Written: a brush mask per object, which loses nothing, as annotations, or as predictions where there are scores. Images
are named as Label Studio's local storage does (``/data/local-files/?d=...``); ids, crowd flags and attributes that
Label Studio has no place for are in each region's ``meta``. What is no mask is written as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from apiece._strict_json import kind_of
from apiece.core.image import ImageRef, Shape
from apiece.errors import FormatError, UnknownNameError
from apiece.formats._kit.checks import BadEntryError, Size, an_object, checked_size, finite, is_int64, skip_bad
from apiece.formats._kit.entries import Entry
from apiece.formats._kit.files import IMAGE_SUFFIXES
from apiece.formats._kit.image_names import spelled
from apiece.formats._kit.image_places import placed
from apiece.formats._kit.json_files import load_json
from apiece.formats._kit.json_keys import peek_json
from apiece.formats._kit.label_sets import EntrySet
from apiece.formats._kit.shapes import box_shape, ellipse_shape, ring
from apiece.formats.contract import EVERYTHING, LabelFormat, OnBad
from apiece.formats.label_studio._brush import decode_brush
from apiece.formats.label_studio._write import write

__all__ = ["FORMAT", "read_predictions"]

_SHAPES = ("polygon", "brush", "rectangle", "ellipse")
_ANSWERS = ("choices", "text", "rating", "number", "taxonomy", "datetime")
_NO_AREA = ("keypoint", "vector", "relation")
Result = dict[str, Any]


def detect(path: Path) -> bool:
    """Return whether ``path`` is a JSON list of tasks."""
    seen = peek_json(path)
    if seen is None or seen.opening != "[" or {"image_id", "category_id"} & seen.keys:
        return False
    return bool({"annotations", "completions"} & seen.keys) or {"data", "predictions"} <= seen.keys


def read_predictions(path: Path, images: Path | None, on_bad: OnBad = None) -> EntrySet:
    """Open the predictions of an export though its tasks have annotations; the annotations where it has no others."""
    return read(path, images, on_bad, predicted=True)


def read(path: Path, images: Path | None, on_bad: OnBad = None, *, predicted: bool = False) -> EntrySet:
    """Open an export; images are looked for below ``images``, or beside the file."""
    tasks = load_json(path)
    if type(tasks) is not list:
        raise FormatError(path, f"a Label Studio export is a list of tasks, got {kind_of(tasks)}")
    found: dict[str, tuple[ImageRef, int]] = {}
    for i, task in enumerate(tasks):
        with skip_bad(on_bad, path, f"[{i}]"):
            ref = _ref(task, found)
            found[ref.name] = (ref, i)
    drawn = any(_drawn(tasks[i]) for _, i in found.values())
    if predicted and any(s["result"] for _, i in found.values() for _, s in _sessions(tasks[i], False)):
        drawn = False
    classes: dict[str, None] = {}
    for name, (ref, i) in found.items():
        listed = _note(tasks[i].get("meta")).get("classes")
        if type(listed) is list and all(type(name) is str for name in listed):
            classes.update(dict.fromkeys(listed))
        shapes = tuple(_survey(tasks[i], drawn, classes))
        found[name] = (replace(ref, shapes=shapes), i)
    refs = placed(path, [ref for ref, _ in found.values()], images, on_bad=on_bad)
    rows = [(i, tasks[i]) for _, i in found.values()]
    return TaskSet(refs, (path,) * len(refs), tuple(classes), _decode, rows, {}, drawn, on_bad)


class TaskSet(EntrySet):
    """The tasks of an export; ``rows`` are (position in the file, task)."""

    @property
    def annotators(self) -> dict[str, list[int]]:
        """Who made an annotation that counts, and on which images."""
        found: dict[str, list[int]] = {}
        for k, (_, task) in enumerate(self.rows):
            sessions = [s for _, s in _sessions(task, True) if not s.get("was_cancelled")] if self.context else []
            for name in dict.fromkeys(names[0] for s in sessions if (names := _names(s))):
                found.setdefault(name, []).append(k)
        return found

    def by_annotator(self, name: str) -> TaskSet:
        """Return the annotations of one person (id, email or user name), with the images that have one, if empty."""
        refs, rows = [], []
        for ref, (i, task) in zip(self.refs, self.rows, strict=True):
            own = [s for _, s in _sessions(task, True) if name in _names(s)]
            if any(not s.get("was_cancelled") for s in own):
                task = {k: v for k, v in task.items() if k != "completions"} | {"annotations": own}
                rows.append((i, task))
                refs.append(replace(ref, shapes=tuple(_survey(task, self.context, {}))))
        if not refs:
            raise UnknownNameError("annotator", name, self.annotators)
        return replace(self, refs=tuple(refs), files=self.files[: len(refs)], rows=rows)


def _names(session: dict[str, Any]) -> list[str]:
    """Return what the annotator of a session is called, the name to show first."""
    who = session.get("completed_by")
    names = [who.get(k) for k in ("email", "username", "id")] if type(who) is dict else [who]
    return [str(name) for name in names if type(name) in (int, str) and name != ""]


def _note(meta: Any) -> dict[str, Any]:
    """Return what `write` kept in the ``meta`` of a task or region."""
    note = meta.get("apiece") if type(meta) is dict else None
    return note if type(note) is dict else {}


def _sessions(task: dict[str, Any], drawn: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (key, annotation or prediction) of a task, as far as they count."""
    for name in ("annotations", "completions") if drawn else ("predictions",):
        for k, session in enumerate(task.get(name) or []):
            yield f"{name}[{k}]", session


def _drawn(task: dict[str, Any]) -> bool:
    return any(s["result"] and not s.get("was_cancelled") for _, s in _sessions(task, True))


def _ref(task: Any, found: dict[str, tuple[ImageRef, int]]) -> ImageRef:
    """Check the form of a task; return its image, its path relative to nothing yet."""
    if type(task) is not dict or type(task.get("data")) is not dict:
        raise BadEntryError("data: a task is an object with an object of data")
    for name in ("annotations", "completions", "predictions"):
        sessions = task.get(name) or []
        good = type(sessions) is list and all(type(s) is dict and type(s.get("result")) is list for s in sessions)
        if not good or not all(type(r) is dict for s in sessions for r in s["result"]):
            raise BadEntryError(f"{name}: must be a list of objects with a result, a list of objects")
    link = _link(task["data"])
    name = spelled(link)
    if name in found:
        raise BadEntryError(
            f"data: image {link[:100]!r} is that of task [{found[name][1]}] already; join the two tasks"
        )
    number = task.get("id")
    said = _note(task.get("meta")).get("image")
    attributes = said if type(said) is dict else {}
    return ImageRef(Path(name), name, _size(task), number if type(number) in (int, str) else None, attributes)


def _link(data: dict[str, Any]) -> str:
    texts = {k: v for k, v in data.items() if type(v) is str and v}
    for key in ("image", "img", "picture", "photo"):
        if key in texts:
            return str(texts[key])
    for text in texts.values():
        if urlsplit(text).path.lower().endswith(IMAGE_SUFFIXES) or "?d=" in text:
            return str(text)
    raise BadEntryError("data: names no image; only image tasks are read")


def _size(task: dict[str, Any]) -> Size | None:
    """Return (height, width) as the first region states it, or else the task's data."""
    for key in ("annotations", "completions", "predictions"):
        for session in task.get(key) or []:
            for result in session["result"]:
                if result.get("original_width") is not None and result.get("original_height") is not None:
                    return checked_size(result["original_height"], result["original_width"])
    height, width = task["data"].get("height"), task["data"].get("width")
    return checked_size(height, width) if type(height) is type(width) is int else None


def _kind(result: Result) -> str:
    return str(result.get("type")).removesuffix("labels")


def _survey(task: dict[str, Any], drawn: bool, classes: dict[str, None]) -> Iterator[Shape]:
    """Add the labels that occur, and yield what is no mask: single results, and whole sessions that do not count."""
    of_labels, of_predictions = ("annotations", "cancelled"), ("predictions", "prediction")
    name, kind = of_predictions if drawn else of_labels
    for _, session in _sessions(task, not drawn):
        if session["result"]:
            counts = not drawn and not session.get("was_cancelled")  # where predictions alone are asked for
            yield Shape("annotation" if counts else kind, "label_studio", {"key": name, "session": session})
    name = (of_labels if drawn else of_predictions)[0]
    for _, session in _sessions(task, drawn):
        if session.get("was_cancelled"):
            yield Shape("cancelled", "label_studio", {"key": name, "session": session})
            continue
        for results in _regions(session).values():
            if any(_kind(r) in _SHAPES for _, r in results):
                classes.update(dict.fromkeys(name for _, r in results for name in _labels(r)[:1]))
                continue
            for _, r in results:
                if _kind(r) in _NO_AREA or _answer(r) is not None:
                    content = {"key": name, "who": _who(session, drawn), "result": r}
                    yield Shape.of(_kind(r), "label_studio", content, _labels(r))


def _who(session: dict[str, Any], drawn: bool) -> Any:
    """Return who drew an annotation, or which model made a prediction."""
    who = session.get("completed_by") if drawn else session.get("model_version")
    return next((who[k] for k in ("id", "email", "username") if k in who), None) if type(who) is dict else who


def _regions(session: dict[str, Any]) -> dict[Any, list[tuple[int, Result]]]:
    """Return results with their places, by region: results of one id speak of one region."""
    found: dict[Any, list[tuple[int, Result]]] = {}
    for k, result in enumerate(session["result"]):
        key = result.get("id")
        # two shapes of one id are two regions all the same
        taken = type(key) is not str or (
            _kind(result) in _SHAPES and any(_kind(r) in _SHAPES for _, r in found.get(key, ()))
        )
        found.setdefault((k,) if taken else key, []).append((k, result))
    return found


def _labels(result: Result) -> list[str]:
    value = result.get("value")
    if type(value) is not dict:
        return []
    listed = [v for k, v in value.items() if k.endswith("labels") and type(v) is list]
    return [name for names in listed for name in names if type(name) is str]


def _answer(result: Result) -> Any:
    """Return what was chosen or typed, if this is an answer and not a shape."""
    value = result.get("value")
    if type(value) is not dict or _kind(result) in _SHAPES:
        return None
    given = next((value[k] for k in _ANSWERS if k in value), None)
    return given[0] if type(given) is list and len(given) == 1 else given


def _decode(labels: EntrySet, index: int, size: Size) -> list[Entry]:
    (i, task), drawn = labels.rows[index], labels.context
    found = []
    for key, session in _sessions(task, drawn):
        for results in [] if session.get("was_cancelled") else _regions(session).values():
            k, shape = next(((k, r) for k, r in results if _kind(r) in _SHAPES), results[0])
            if _kind(shape) not in _SHAPES and (_kind(shape) in _NO_AREA or _answer(shape) is not None):
                continue
            where = f"[{i}].{key}.result[{k}]"
            with skip_bad(labels.on_bad, labels.files[index], where):
                found.append(_entry(shape, [r for _, r in results], session, where, size, labels))
    return found


def _entry(
    shape: Result, results: list[Result], session: dict[str, Any], where: str, size: Size, labels: EntrySet
) -> Entry:
    names = list(dict.fromkeys(name for r in results for name in _labels(r)))
    drawing, drawn = _shape(shape, size), labels.context
    if not names:
        raise BadEntryError("has no label; give the region one, or delete it")
    if names[0] not in labels.classes:
        raise BadEntryError(f"label {names[0]!r} is not known")
    note = _note(shape.get("meta"))
    extras = _extras(results, session, names, drawn)
    kept = note.get("attributes")
    extras |= kept if isinstance(kept, dict) else {}
    score = None if drawn else next((s for s in (shape.get("score"), session.get("score")) if s is not None), None)
    own = note.get("id")
    key = shape.get("id")
    if not is_int64(own):
        own = int(key) if type(key) is str and key.isascii() and key.isdecimal() and len(key) < 19 else None
    if own is None and type(key) is str and note.get("numbered") is not True:
        extras["region"] = key
    score = None if score is None else finite(score, "score")
    return Entry(where, labels.classes.index(names[0]), drawing, own, score, note.get("crowd") is True, extras)


def _extras(results: list[Result], session: dict[str, Any], names: list[str], drawn: bool) -> dict[str, Any]:
    who = _who(session, drawn)
    extras = {} if who is None else {"annotator" if drawn else "model_version": who}
    for r in results:
        answer = _answer(r)
        if answer is not None and type(r.get("from_name")) is str:
            extras[r["from_name"]] = answer
    if len(names) > 1:
        extras["labels"] = names
    return extras


def _shape(result: Result, size: Size) -> Any:
    kind, value = _kind(result), result.get("value")
    if kind not in _SHAPES:
        raise BadEntryError(f"type {str(result.get('type'))[:40]!r} is not known; there are {', '.join(_SHAPES)}")
    value = an_object(value, "value")
    if result.get("image_rotation"):
        raise BadEntryError(f"was drawn on the image turned by {result['image_rotation']!s:.10} degrees; turn the file")
    stated = (result.get("original_height", size[0]), result.get("original_width", size[1]))
    if stated != size:
        raise BadEntryError(f"is on an image of {stated!s:.40} (height, width), others on {size}")
    scale = np.array([size[1], size[0]]) / 100
    if kind == "brush":
        if value.get("format", "rle") != "rle":
            raise BadEntryError(f"format {str(value['format'])[:40]!r} of a brush is not known")
        return decode_brush(value.get("rle"), size)
    if kind == "polygon":
        if value.get("closed") is False:
            raise BadEntryError("polygon is not closed; finish or delete it")
        return [[ring(value.get("points") or []) * scale]]
    if kind == "rectangle":
        x, y, w, h = (finite(value.get(k), k) for k in ("x", "y", "width", "height"))
        (x, y), (w, h) = np.array([x, y]) * scale, np.array([w, h]) * scale
        return box_shape(x, y, w, h, finite(value.get("rotation", 0), "rotation"), (x, y), size)
    x, y, rx, ry = (finite(value.get(k), k) for k in ("x", "y", "radiusX", "radiusY"))
    (x, y), (rx, ry) = np.array([x, y]) * scale, np.array([rx, ry]) * scale
    return ellipse_shape(x, y, rx, ry, finite(value.get("rotation", 0), "rotation"), size)


FORMAT = LabelFormat(
    summary="Label Studio JSON: polygons, brush masks, boxes, ellipses, annotators, predictions; loses nothing",
    detect=detect,
    read=read,
    write=write,
    holds=EVERYTHING,
    ending=".json",
    shapes="label_studio",
)
