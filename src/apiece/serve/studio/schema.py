"""What the studio's page asks and is answered; the page's types are made of these (``npm run types``)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from apiece.rules import Outcome
from apiece.serve.schema import Answer, Request
from apiece.serve.studio.edits import Edit

__all__ = [
    "Classes",
    "Column",
    "Comparison",
    "Decide",
    "Export",
    "Exported",
    "FindingEntry",
    "Happened",
    "ImageEntry",
    "ImageInfo",
    "Judged",
    "JudgedFinding",
    "JudgedRule",
    "LookInfo",
    "Make",
    "Measured",
    "NewClass",
    "ReportAnswer",
    "ReviewAnswer",
    "Said",
    "SetAnswer",
]


class ImageEntry(Answer):
    """An image of the set."""

    name: str
    split: str
    revision: int
    """Changes made to it."""


class ImageInfo(Answer):
    """What the header of an image says."""

    width: int
    height: int
    levels: int
    """Levels of tiles; the last is one tile."""


class LookInfo(Answer):
    """What the pixels of an image are, and how they are shown."""

    channels: int
    dtype: str
    low: float
    high: float
    """Values that are shown black and white."""


class Comparison(Answer):
    """What labels and predictions are beside each other, at a score."""

    meaning: dict[str, str]
    """Every mark, and what it means."""
    labels: list[str]
    predictions: list[str]
    """A mark of each; empty below the score."""
    right: list[bool]
    """Whether each prediction is right; this holds at any score."""


class Column(Answer):
    """A measurement of every object."""

    name: str
    unit: str
    values: list[float | None]


class Measured(Answer):
    """Measurements of the objects of an image."""

    keys: list[int]
    columns: list[Column]


class JudgedFinding(Answer):
    """A number that a rule has compared with its limits."""

    outcome: Outcome
    text: str
    keys: list[int]
    spot: tuple[float, float] | None
    """Place of what is not there, in pixels."""


class JudgedRule(Answer):
    """What a rule says of an image."""

    rule: str
    kind: str
    outcome: Outcome
    checked: int
    findings: list[JudgedFinding]


class Judged(Answer):
    """What all rules say of an image."""

    outcome: Outcome
    rules: list[JudgedRule]


class SetAnswer(Answer):
    """What was opened."""

    title: str
    classes: list[str]
    colours: list[str]
    images: list[ImageEntry]
    model: list[str] | None
    """Classes of the model, if one is open."""
    thresholds: list[float] | None
    comparable: bool
    """Whether the model's classes can be taken for those of the labels."""
    rules: bool
    """Whether a file of rules is open."""
    tracks: bool
    """Whether objects keep their id from image to image: the images are frames."""
    notice: str
    """What the person has to know of the label files."""
    formats: list[str]
    """Formats that can be exported."""
    tile: int


class Track(Answer):
    """An object that is followed through frames."""

    id: int
    label: str
    spans: list[list[int]]
    """First and last image of each run of images in which it is."""


class Tracks(Answer):
    """All tracks, in the order in which they begin."""

    tracks: list[Track]


class Make(Request):
    """A change to make."""

    edit: Edit


class Said(Answer):
    """What a person has said of a finding."""

    what: Literal["accept", "dismiss", "repair", "reopen"]
    reason: str = ""
    by: str = ""
    at: str


class FindingEntry(Answer):
    """A finding of the queue."""

    id: str
    queue: Literal["labels", "disagreement", "unsure", "unlike"]
    """Where it comes from: labels alone, a model that contradicts them, a model that is unsure, or unlike images."""
    kind: str
    level: Literal["error", "warning", "note"]
    message: str
    sure: float
    fix: str
    """What to do about it."""
    image: int | None
    """Number of its image; none for the whole set."""
    name: str
    """Name of its image, or of its split."""
    keys: list[int]
    box: list[float] | None
    """Where to look: x0, y0, x1, y1 in pixels."""
    others: list[str]
    """Further images that it concerns."""
    repair: Literal["", "repair", "model"]
    """What a repair does: the safe repair of its kind, what the model finds, or there is none."""
    said: Said | None


class ReviewAnswer(Answer):
    """The queue of findings."""

    state: Literal["none", "running", "done", "failed"]
    done: int
    total: int
    """Images that were looked at, and all."""
    told: str
    findings: list[FindingEntry]


class Decide(Request):
    """What a person says of a finding."""

    what: Literal["accept", "dismiss", "repair", "reopen"]
    reason: str = Field("", max_length=2000)


class Happened(Answer):
    """A line of the report."""

    at: str
    by: str
    what: str
    image: int | None
    name: str
    objects: int
    """Objects that it changed."""
    reason: str


class ReportAnswer(Answer):
    """What was changed and who changed it, the newest first."""

    lines: list[Happened]
    total: int


class NewClass(Request):
    """A class to add."""

    name: str = Field(max_length=200)


class Classes(Answer):
    """All classes."""

    classes: list[str]


class Export(Request):
    """Where and how to write the labels as they stand."""

    format: str
    name: str = Field(max_length=100)
    allow_lossy: bool = False


class Exported(Answer):
    """What was written."""

    paths: list[str]
    images: int
    instances: int
    lost: list[str]
