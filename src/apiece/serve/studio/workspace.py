"""`Workspace`: an opened set with the journal of its changes; each image's objects as they stand."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.datasets import WriteOptions, Written, convert, open_data
from apiece.errors import ConfigError, DataError, UnknownNameError
from apiece.formats import LabelSet, Record
from apiece.images import image_size, read_image
from apiece.predict.sources import find_sources
from apiece.serve.studio.journal import Journal
from apiece.serve.studio.sheet import Delta, Sheet, marks_of, replay, standing

if TYPE_CHECKING:
    from apiece.predict import Model, Prompter, Session

__all__ = ["Item", "StaleError", "Workspace"]

_KEPT = 16  # images whose objects stay decoded


class StaleError(DataError):
    """The image has been changed since the page has read it: in another tab, or by another request."""


@dataclass(frozen=True)
class Item:
    """One image of the set."""

    split: str
    index: int
    """Its position in its split."""
    ref: ImageRef

    @property
    def key(self) -> str:
        """The name by which the journal knows it."""
        return f"{self.split}/{self.ref.name}"


class Workspace:
    """A set of images that is looked at and changed.

    Parameters
    ----------
    sets : the labels by split, as `open_sets` gives them.
    out : folder that keeps the journal and what is exported.
    model : predicts on an image, when it is asked.
    prompter : opens what answers clicks and boxes, at the first of them: networks take seconds to load.
    """

    def __init__(
        self,
        sets: Mapping[str, LabelSet],
        out: Path,
        model: Model | None = None,
        prompter: Callable[[], Prompter] | None = None,
    ) -> None:
        self.sets, self.out, self.model, self._open_prompter = dict(sets), out, model, prompter
        self.items = [Item(split, i, ref) for split, one in sets.items() for i, ref in enumerate(one.refs)]
        if not self.items:
            raise DataError("there is no image to look at")
        self._places = {item.key: number for number, item in enumerate(self.items)}
        self.journal = Journal(out / "journal.jsonl")
        self._of_image: dict[str, list[dict[str, Any]]] = {}
        self._classes = list(next(iter(sets.values())).classes)
        for entry in self.journal.entries:
            self._note(entry)
        self._lock = threading.RLock()
        self._sheets: OrderedDict[int, tuple[Sheet, int]] = OrderedDict()
        self._found: OrderedDict[int, Instances] = OrderedDict()
        self._sessions: OrderedDict[int, Session] = OrderedDict()

    def _note(self, entry: dict[str, Any]) -> None:
        if "image" in entry:
            self._of_image.setdefault(entry["image"], []).append(entry)
        elif entry.get("kind") == "class" and entry["name"] not in self._classes:
            self._classes.append(entry["name"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, those that were added last."""
        return tuple(self._classes)

    def item(self, number: int) -> Item:
        """Return an image by its number."""
        if not 0 <= number < len(self.items):
            raise UnknownNameError("image", number, [f"0 to {len(self.items) - 1}"])
        return self.items[number]

    def revision(self, number: int) -> int:
        """Return how many changes have been made to an image."""
        return len(self._of_image.get(self.item(number).key, ()))

    def base(self, number: int) -> Instances:
        """Return the labels of an image as its file has them now, with all classes of the set."""
        item = self.item(number)
        _, found = self.sets[item.split][item.index]
        return found.replace(classes=self.classes) if found.classes != self.classes else found

    def sheet(self, number: int) -> tuple[Sheet, int]:
        """Return the objects of an image as they stand, and how many changed objects its file has no more."""
        with self._lock:
            if number not in self._sheets:
                entries = self._of_image.get(self.item(number).key, [])
                _keep(self._sheets, number, replay(self.base(number), entries))
            return self._sheets[number]

    def change(self, number: int, revision: int, by: str, compute: Callable[[Sheet], Delta]) -> tuple[Sheet, Sheet]:
        """Make a change, save it, and return the objects before and after.

        Raises
        ------
        StaleError
            If the image is no more at ``revision``.
        """
        with self._lock:
            before = self._at(number, revision)
            delta = compute(before)
            if not delta.remove and not delta.put:
                return before, before
            entry = {"kind": "edit", **delta.to_json()}
            if not revision:
                entry["base"] = marks_of(self.base(number))
            return before, self._add(number, entry, by)

    def step(self, number: int, revision: int, by: str, back: bool) -> tuple[Sheet, Sheet]:
        """Undo the last change that stands, or do again the one that was undone last."""
        with self._lock:
            before = self._at(number, revision)
            done, undone = standing(self._of_image.get(self.item(number).key, []))
            if not (done if back else undone):
                return before, before
            return before, self._add(number, {"kind": "undo" if back else "redo"}, by)

    def add_class(self, name: str) -> None:
        """Add a class."""
        with self._lock:
            if not name.strip() or name in self._classes:
                raise ConfigError(f"a new class needs a name of its own, got {name!r}")
            entry = {"kind": "class", "name": name}
            self.journal.add(entry)
            self._note(entry)
            self._sheets.clear()

    def _at(self, number: int, revision: int) -> Sheet:
        sheet, _ = self.sheet(number)
        if sheet.revision != revision:
            raise StaleError(
                f"{self.item(number).ref.name} was changed elsewhere, in another tab or window: you see change "
                f"{revision}, the set is at {sheet.revision}. What you drew is not saved; the page shows the newest "
                "state, draw it again"
            )
        return sheet

    def _add(self, number: int, entry: dict[str, Any], by: str) -> Sheet:
        full = {"image": self.item(number).key, **entry, **_who(by)}
        self.journal.add(full)
        self._note(full)
        self._sheets.pop(number, None)
        return self.sheet(number)[0]

    def image(self, number: int) -> Image:
        """Read the pixels of an image."""
        ref = self.item(number).ref
        return read_image(ref.path, page=ref.page)

    def predicted(self, number: int) -> Instances:
        """Return what the model finds on an image, down to a low score, with the model's classes."""
        if self.model is None:
            raise ConfigError("no model is open; name one when the studio is started")
        with self._lock:
            if number not in self._found:
                lowest = min(self.model.thresholds or (0.5,))
                _keep(self._found, number, self.model.predict(self.image(number), conf=0.2 * lowest))
            return self._found[number]

    @cached_property
    def prompter(self) -> Prompter:
        """What answers clicks and boxes."""
        from apiece.predict import Prompter

        return Prompter() if self._open_prompter is None else self._open_prompter()

    def session(self, number: int) -> Session:
        """Return the image opened for clicks; its embedding is kept."""
        with self._lock:
            if number not in self._sessions:
                _keep(self._sessions, number, self.prompter.session(self.image(number)), 4)
            return self._sessions[number]

    def export(self, name: str, format: str, allow_lossy: bool) -> dict[str, Written]:
        """Write all labels as they stand to ``out/exports/name``.

        Raises
        ------
        LossyFormatError
            If the format cannot hold an object; names it and its image.
        """
        if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name.startswith("."):
            raise ConfigError(f"a name of letters, digits, '-' and '_' is needed for what is exported, got {name!r}")
        edited = {split: _Edited(self, split) for split in self.sets}
        options = WriteOptions("link", allow_lossy, overwrite=True)
        return convert(edited, self.out / "exports" / name, format, options=options)


class _Edited:
    """The labels of a split as they stand."""

    def __init__(self, workspace: Workspace, split: str) -> None:
        self._workspace, self._split = workspace, split
        self._numbers = [n for n, item in enumerate(workspace.items) if item.split == split]

    @property
    def classes(self) -> tuple[str, ...]:
        return self._workspace.classes

    @property
    def refs(self) -> tuple[ImageRef, ...]:
        return tuple(self._workspace.items[n].ref for n in self._numbers)

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self._workspace.sets[self._split].metadata

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> Record:
        number = self._numbers[index]
        return self._workspace.items[number].ref, self._workspace.sheet(number)[0].instances

    def __iter__(self) -> Iterator[Record]:
        return (self[i] for i in range(len(self)))


@dataclass(frozen=True)
class _Unlabelled:
    """Images without labels."""

    refs: tuple[ImageRef, ...]
    classes: tuple[str, ...]
    metadata: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, index: int) -> Record:
        ref = self.refs[index]
        size = image_size(ref.path, page=ref.page)
        return ref, Instances.empty(size, self.classes)

    def __iter__(self) -> Iterator[Record]:
        return (self[i] for i in range(len(self)))


def open_sets(
    data: Path, images: Any = None, format: str | None = None, classes: Sequence[str] = ()
) -> dict[str, LabelSet]:
    """Open the labels of a file or folder, or a folder of images without any."""
    try:
        return {split: one.labels for split, one in open_data(data, images, format).items()}
    except DataError:
        if not data.is_dir() or format is not None:
            raise
        try:
            found = find_sources([str(data)])
        except DataError:
            found = []
        if not found:
            raise
    refs = tuple(ImageRef(source.path, source.name, page=source.page) for source in found if source.path is not None)
    return {"images": _Unlabelled(refs, tuple(classes) or ("object",), {})}


def _keep(held: OrderedDict[int, Any], number: int, value: Any, most: int = _KEPT) -> None:
    held[number] = value
    while len(held) > most:
        held.popitem(last=False)


def _who(by: str) -> dict[str, str]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"at": now, **({"by": by} if by else {})}
