"""What the studio's page asks and is answered; the page's types are made of these (``npm run types``)."""

from __future__ import annotations

from pydantic import Field

from apiece.serve.schema import Answer, Request
from apiece.serve.studio.edits import Edit

__all__ = ["Classes", "Export", "Exported", "ImageEntry", "Make", "NewClass", "SetAnswer"]


class ImageEntry(Answer):
    """An image of the set."""

    name: str
    split: str
    revision: int
    """Changes made to it."""


class SetAnswer(Answer):
    """What was opened."""

    title: str
    classes: list[str]
    colours: list[str]
    images: list[ImageEntry]
    model: list[str] | None
    """Classes of the model, if one is open."""
    thresholds: list[float] | None
    formats: list[str]
    """Formats that can be exported."""
    tile: int


class Make(Request):
    """A change to make."""

    edit: Edit
    by: str = Field("", max_length=100)


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
