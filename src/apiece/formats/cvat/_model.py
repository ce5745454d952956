"""What a CVAT XML file says: images or tracks with their shapes, read in one pass, nothing drawn yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apiece.core.image import Shape as NoMask
from apiece.errors import FormatError
from apiece.formats._kit.checks import BadEntryError, checked_size, number, skip_bad, whole
from apiece.formats._kit.safe_xml import parse_xml
from apiece.formats.contract import OnBad

DRAWN = ("polygon", "mask", "box", "ellipse")
NO_AREA = ("polyline", "points", "skeleton", "cuboid", "tag", "track")  # a track in a track: points of a skeleton


@dataclass
class Element:
    """An XML element as it stands in a file."""

    name: str
    attributes: dict[str, str]
    text: str = ""
    children: list[Element] = field(default_factory=list)


@dataclass(slots=True)
class Shape:
    """One shape element."""

    kind: str
    attributes: dict[str, str]
    line: int
    values: list[tuple[str, str]] = field(default_factory=list)
    """Its attributes in CVAT's sense: name and text."""
    children: list[Element] = field(default_factory=list)
    """What a shape without area holds."""


@dataclass(slots=True)
class Picture:
    """One image element."""

    name: str
    size: tuple[int, int] | None
    id: int | None
    shapes: list[Shape]
    task: str = ""
    """Of a project: the id of the task it is of."""


@dataclass(slots=True)
class Track:
    """One track element."""

    id: int
    label: str
    attributes: dict[str, str]
    line: int
    shapes: list[Shape]


@dataclass
class Document:
    """A whole file."""

    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    """What the file says of each label beside its attributes: color, type, svg ..."""
    joints: list[dict[str, str]] = field(default_factory=list)
    """Labels of the points of skeletons, which name their skeleton as ``parent``."""
    kinds: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """Input type and values of an attribute, by label and name."""
    task: dict[str, str] = field(default_factory=dict)
    """Plain values of the task: size, start_frame, stop_frame, frame_filter, mode, name ..."""
    tasks: dict[str, dict[str, str]] = field(default_factory=dict)
    """Plain values of the tasks of a project, by id."""
    size: tuple[int, int] | None = None
    """Of the frames of a video."""
    pictures: list[Picture] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)
    is_video: bool = False


def no_mask(shape: Shape, track: Track | None = None) -> NoMask:
    """Return a shape without area as it stands on an image, also one of a track on a frame."""
    given, children = shape.attributes, shape.children
    if track is not None:
        given = {"label": track.label} | {k: v for k, v in given.items() if k not in ("frame", "keyframe", "outside")}
        children = [*children, Element("attribute", {"name": "apiece_id"}, str(track.id))]
    return NoMask.of(shape.kind, "cvat", Element(shape.kind, given, "", children), [given.get("label")])


def read_document(path: Path, on_bad: OnBad) -> Document:
    """Read the file and check its form."""
    reader = _Reader(path, on_bad)
    parse_xml(path, reader.start, reader.end)
    if not reader.seen_root:
        raise FormatError(path, "is no CVAT file: its outermost element is not <annotations>")
    document = reader.document
    document.is_video = document.task.get("mode") == "interpolation" or (
        bool(document.tracks) and not document.pictures
    )
    return document


class _Reader:
    def __init__(self, path: Path, on_bad: OnBad) -> None:
        self.path, self.on_bad = path, on_bad
        self.document = Document()
        self.names: list[str] = []
        self.seen_root = False
        self.holder: Picture | Track | None = None
        self.shape: Shape | None = None
        self.key = ""
        self.label: dict[str, Any] = {}
        self.original: dict[str, str] = {}
        self.task: dict[str, str] = {}
        self.open: list[Element] = []  # of a shape without area
        self.line = 0
        self.skipping = 0

    def start(self, name: str, attributes: dict[str, str], line: int) -> None:
        if not self.names:
            self.seen_root = name == "annotations"
            if not self.seen_root:
                raise FormatError(self.path, f"is no CVAT file: its outermost element is <{name[:40]}>")
        depth = len(self.names)
        self.names.append(name)
        if self.skipping:
            self.skipping += 1
            return
        if self.open or (depth == 2 and self.holder is not None and name in NO_AREA):
            self.line = self.line if self.open else line
            self.open.append(Element(name, attributes))
            return
        self.skipping = 1  # what lies in it too, if it is bad
        with skip_bad(self.on_bad, self.path, f"line {line}: <{name}>"):
            if depth == 1 and name in ("image", "track"):
                self.holder = self._picture(attributes) if name == "image" else self._track(attributes, line)
            elif depth == 2 and self.holder is not None:
                self._shape(name, attributes, line)
            elif name == "attribute":
                self.key = attributes.get("name", "")
            self.skipping = 0

    def end(self, name: str, text: str) -> None:
        self.names.pop()
        if self.skipping:
            self.skipping -= 1
            return
        if self.open:
            self._close(text)
            return
        where = self.names[1:]
        if not where and name in ("image", "track"):
            if isinstance(self.holder, Picture):
                self.document.pictures.append(self.holder)
            elif isinstance(self.holder, Track):
                self.document.tracks.append(self.holder)
            self.holder = None
        elif where[:1] == ["meta"]:
            self._meta(where, name, text)
        elif self.shape is not None and name == "attribute":
            self.shape.values.append((self.key, text))
        elif len(where) == 1:
            self.shape = None

    def _picture(self, given: dict[str, str]) -> Picture:
        size = None
        if "width" in given or "height" in given:
            height, width = whole(given.get("height"), "height"), whole(given.get("width"), "width")
            size = checked_size(height, width)
        if not given.get("name"):
            raise BadEntryError("has no name")
        number_ = whole(given["id"], "id") if "id" in given else None
        return Picture(given["name"], size, number_, [], given.get("task_id", ""))

    def _track(self, given: dict[str, str], line: int) -> Track:
        if "label" not in given:
            raise BadEntryError("has no label")
        return Track(whole(given.get("id"), "id"), given["label"], given, line, [])

    def _close(self, text: str) -> None:
        """Close an element of a shape without area; keep the shape when it is whole."""
        element = self.open.pop()
        element.text = text.strip()
        if self.open:
            self.open[-1].children.append(element)
            return
        assert self.holder is not None
        self.holder.shapes.append(Shape(element.name, element.attributes, self.line, children=element.children))

    def _shape(self, name: str, given: dict[str, str], line: int) -> None:
        """Keep a shape with an area."""
        if name not in DRAWN:
            raise BadEntryError(
                f"is no shape; there are {', '.join(DRAWN)} and, without area, {', '.join(NO_AREA[:-1])}"
            )
        self.shape = Shape(name, given, line)
        assert self.holder is not None
        self.holder.shapes.append(self.shape)

    def _meta(self, where: list[str], name: str, text: str) -> None:
        """Keep labels with their attributes, and the plain values of the task (or job, or project)."""
        if name in ("name", "color", "type", "svg", "parent") and where[-1] == "label":
            self.label[name] = text
        elif where[-1] == "attribute" and where[-2:-1] == ["attributes"]:
            self.label.setdefault("attribute", {})[name] = text
        elif name == "attribute" and where[-1] == "attributes":
            found = self.label.pop("attribute", {})
            kind = (found.get("input_type", "text"), found.get("values", ""))
            self.document.kinds[self.label.get("name", ""), found.get("name", "")] = kind
        elif name == "label" and where[-1] == "labels":
            known = {k: v for k, v in self.label.items() if k != "attribute"}
            if "parent" in known:
                self.document.joints.append(known)
            elif known.get("name"):
                self.document.labels.setdefault(known["name"], known)
            self.label = {}
        elif where[-1] == "original_size":
            self.original[name] = text
        elif name == "original_size" and where[-1] == "task" and where[-2:-1] == ["tasks"]:
            self.task |= self.original
        elif name == "original_size":
            self.document.size = frame_size(self.path, self.original)
        elif name == "task" and where[-1] == "tasks":
            self.document.tasks[self.task.get("id", "")] = self.task
            self.task = {}
        elif where[-2:] == ["tasks", "task"]:
            self.task[name] = text.strip()
        elif len(where) == 2 and name not in ("labels", "segments", "owner", "assignee"):
            self.document.task[name] = text.strip()


def frame_size(path: Path, stated: Mapping[str, str]) -> tuple[int, int]:
    """Return (height, width) of the frames of a video, as its task states them."""
    try:
        height, width = number(stated.get("height"), "height"), number(stated.get("width"), "width")
        return checked_size(int(height), int(width))
    except BadEntryError as error:
        raise FormatError(path, f"meta.original_size: {error}") from None
