"""`Workspace`: an opened set with the journal of its changes; each image's objects as they stand."""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.datasets import WriteOptions, Written, convert
from apiece.errors import ApieceError, ConfigError, DataError, UnknownNameError
from apiece.formats import LabelSet
from apiece.images import read_image
from apiece.rules import read_rules
from apiece.serve.studio.journal import Journal
from apiece.serve.studio.sets import Edited, Source
from apiece.serve.studio.sheet import Delta, Known, Sheet, keys_of, marks_of, replay, standing
from apiece.serve.studio.tracks import has_tracks

if TYPE_CHECKING:
    from apiece.predict import Model, Prompter, Session

__all__ = ["Item", "StaleError", "Workspace"]

_KEPT = 16  # images whose objects stay decoded
_LOOKS = 2.0  # seconds between looks at the label files


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
    source : where the labels are.
    out : folder that keeps the journal and what is exported.
    model : predicts on an image, when it is asked.
    prompter : opens what answers clicks and boxes, at the first of them: networks take seconds to load.
    rules : file of rules to hold the objects against.

    Attributes
    ----------
    items : the images; an image keeps its number while the studio runs.
    notice : what the person has to know of the label files; empty for nothing.
    film : whether the images are frames of a video.
    """

    def __init__(
        self,
        source: Source,
        out: Path,
        model: Model | None = None,
        prompter: Callable[[], Prompter] | None = None,
        rules: Path | None = None,
    ) -> None:
        self._source, self.out, self.model, self._open_prompter = source, out, model, prompter
        self.film = source.film
        self._state, self._looked = source.state(), time.monotonic()
        self.sets: dict[str, LabelSet] = {}
        self.items: list[Item] = []
        self.notice = ""
        self._lock, self._model_lock = threading.RLock(), threading.Lock()
        self._classes: list[str] = []
        self._of_image: dict[str, list[dict[str, Any]]] = {}
        self._known: dict[str, Known] = {}
        self._recorded: set[str] = set()
        self._highest_id = self._ids_read = 0
        self._sheets: OrderedDict[int, tuple[Sheet, int]] = OrderedDict()
        self._found: OrderedDict[int, Instances] = OrderedDict()
        self._sessions: OrderedDict[tuple[int, bool], Session] = OrderedDict()
        self._take(source.open())
        if not self.items:
            raise DataError("there is no image to look at")
        known = () if model is None else model.classes
        self.rules = None if rules is None else read_rules(rules, tuple(dict.fromkeys([*self._classes, *known])))
        self.journal = Journal(out / "journal.jsonl")
        for entry in self.journal.entries:
            self._note(entry)

    def _take(self, sets: Mapping[str, LabelSet]) -> None:
        """Take labels as they are on disk now; images that are known keep their numbers."""
        places = {item.key: number for number, item in enumerate(self.items)}
        items = [Item(split, i, ref) for split, one in sets.items() for i, ref in enumerate(one.refs)]
        here = {item.key for item in items}
        kept = [item if item.key in here else Item(item.split, -1, item.ref) for item in self.items]
        for item in items:
            if item.key in places:
                kept[places[item.key]] = item
            else:
                kept.append(item)
        self.sets, self.items = dict(sets), kept
        self._classes += [name for name in next(iter(sets.values())).classes if name not in self._classes]
        self._sheets.clear()
        self._recorded.clear()
        self._ids_read = 0

    def refresh(self) -> None:
        """Read the labels again if they have changed on disk; what a person has changed stays on top."""
        with self._lock:
            if time.monotonic() < self._looked + _LOOKS:
                return
            self._looked = time.monotonic()
            try:
                state = self._source.state()
                if state == self._state:
                    return
                self._take(self._source.open())
            except (ApieceError, OSError) as error:
                self.notice = f"The labels have changed on disk and cannot be read: {error}. You see them as they were."
                return
            self._state = state
            self.notice = "The labels have changed on disk and were read again. Your changes were kept on top of them."

    def _note(self, entry: dict[str, Any]) -> None:
        image = entry.get("image", entry.get("about"))
        if "base" in entry and image is not None:
            self._known[image] = Known.after(self._known.get(image), entry)
        if "image" in entry:
            self._of_image.setdefault(entry["image"], []).append(entry)
            self._highest_id = max([self._highest_id, *(put.get("id", 0) for put in entry.get("put", ()))])
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
        if item.index < 0:
            raise DataError(f"{item.ref.name} is no more in the label file; your changes of it stay in the journal")
        _, found = self.sets[item.split][item.index]
        return found.replace(classes=self.classes) if found.classes != self.classes else found

    def sheet(self, number: int) -> tuple[Sheet, int]:
        """Return the objects of an image as they stand, and how many changed objects its file has no more."""
        with self._lock:
            if number not in self._sheets:
                key = self.item(number).key
                drawn = replay(self.base(number), self._of_image.get(key, []), self._known.get(key))
                _keep(self._sheets, number, drawn)
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
            delta = self._with_ids(before, compute(before))
            if not delta.remove and not delta.put:
                return before, before
            entry = {"kind": "edit", **delta.to_json(), **self._base(number)}
            return before, self._add(number, entry, by)

    @cached_property
    def tracked(self) -> bool:
        """Whether images are frames, so that ids follow objects from image to image."""
        return has_tracks(self)

    def read_ids(self) -> int:
        """Return the highest id of the set, undone objects among them; frames are read once, the rest is kept.

        Other requests go between two frames, so that it can run while a person works.
        """
        while self.tracked:
            with self._lock:
                number = self._ids_read
                if number == len(self.items):
                    break
                with suppress(ApieceError, OSError):  # an image whose labels cannot be read
                    found, image = self.base(number), self.items[number].key
                    if image in self._of_image:
                        found = replay(found, self._of_image[image], self._known.get(image))[0].instances
                    if found.ids is not None:
                        self._highest_id = int(found.ids.max(initial=self._highest_id))
                self._ids_read += 1
        return self._highest_id

    def _with_ids(self, sheet: Sheet, delta: Delta) -> Delta:
        """Return a change of a frame whose new objects have ids that no object of the set has, or ever had."""
        there = set(sheet.keys.tolist())
        new = [k for k, put in enumerate(delta.put) if put.id is None and put.key not in there]
        if not new or not self.tracked:
            return delta
        ids = dict(zip(new, itertools.count(self.read_ids() + 1)))
        return replace(delta, put=tuple(replace(put, id=ids.get(k, put.id)) for k, put in enumerate(delta.put)))

    def step(self, number: int, revision: int, by: str, back: bool) -> tuple[Sheet, Sheet]:
        """Undo the last change that stands, or do again the one that was undone last."""
        with self._lock:
            before = self._at(number, revision)
            done, undone = standing(self._of_image.get(self.item(number).key, []))
            if not (done if back else undone):
                return before, before
            return before, self._add(number, {"kind": "undo" if back else "redo"}, by)

    def add_class(self, name: str, by: str) -> None:
        """Add a class."""
        with self._lock:
            if not name.strip() or name in self._classes:
                raise ConfigError(f"a new class needs a name of its own, got {name!r}")
            entry = {"kind": "class", "name": name, **_who(by)}
            self._save(entry)
            self._sheets.clear()

    def decide(self, number: int | None, entry: dict[str, Any], by: str) -> dict[str, Any]:
        """Save what a person says of a finding, about an image or the whole set, and return it as it is kept."""
        with self._lock:
            if number is not None:
                entry = {**entry, "about": self.item(number).key, **self._base(number)}
            full = {"kind": "finding", **entry, **_who(by)}
            self._save(full)
            return full

    def _base(self, number: int) -> dict[str, Any]:
        """Return what an entry has to say of the objects of the label file, so that they are known again."""
        image = self.item(number).key
        if image in self._recorded:
            return {}
        base, known = self.base(number), self._known.get(image)
        marks = marks_of(base)
        if known is not None and known.marks == marks:
            return {}
        return {"base": marks, "keys": keys_of(base, self._of_image.get(image, []), known)[0].tolist()}

    def _at(self, number: int, revision: int) -> Sheet:
        sheet, _ = self.sheet(number)
        if sheet.revision != revision:
            raise StaleError(
                f"{self.item(number).ref.name} was changed elsewhere, in another tab or window: you see change "
                f"{revision}, the set is at {sheet.revision}. What you did is not saved; the page shows the newest "
                "state now: do it again, or press Enter if you were drawing"
            )
        return sheet

    def _add(self, number: int, entry: dict[str, Any], by: str) -> Sheet:
        full = {"image": self.item(number).key, **entry, **_who(by)}
        self._save(full)
        self._sheets.pop(number, None)
        return self.sheet(number)[0]

    def _save(self, entry: dict[str, Any]) -> None:
        self.journal.add(entry)
        self._note(entry)
        self._recorded.add(entry.get("image", entry.get("about", "")))

    def image(self, number: int) -> Image:
        """Read the pixels of an image."""
        ref = self.item(number).ref
        return read_image(ref.path, page=ref.page)

    def predicted(self, number: int) -> Instances:
        """Return what the model finds on an image, down to a low score, with the model's classes."""
        if self.model is None:
            raise ConfigError("no model is open; name one when the studio is started")
        with self._model_lock:  # a model takes seconds; edits do not wait for it
            if number not in self._found:
                lowest = min(self.model.thresholds or (0.5,))
                _keep(self._found, number, self.model.predict(self.image(number), conf=0.2 * lowest))
            return self._found[number]

    @cached_property
    def prompter(self) -> Prompter:
        """What answers clicks and boxes."""
        from apiece.predict import Prompter

        return Prompter() if self._open_prompter is None else self._open_prompter()

    @cached_property
    def wand(self) -> Prompter:
        """The magic wand."""
        from apiece.predict import Prompter

        return Prompter("wand")

    def session(self, number: int, wand: bool = False) -> Session:
        """Return the image opened for clicks, by the magic wand if that is wanted; its embedding is kept."""
        with self._model_lock:
            key = (number, wand)
            if key not in self._sessions:
                prompter = self.wand if wand else self.prompter
                _keep(self._sessions, key, prompter.session(self.image(number)), 4)
            return self._sessions[key]

    def export(self, name: str, format: str, allow_lossy: bool) -> dict[str, Written]:
        """Write all labels as they stand to ``out/exports/name``.

        Raises
        ------
        LossyFormatError
            If the format cannot hold an object; names it and its image.
        """
        if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name.startswith("."):
            raise ConfigError(f"a name of letters, digits, '-' and '_' is needed for what is exported, got {name!r}")
        edited = {split: Edited(self, split) for split in self.sets}
        options = WriteOptions("link", allow_lossy, overwrite=True)
        return convert(edited, self.out / "exports" / name, format, options=options)


def _keep(held: OrderedDict[Any, Any], key: Any, value: Any, most: int = _KEPT) -> None:
    held[key] = value
    while len(held) > most:
        held.popitem(last=False)


def _who(by: str) -> dict[str, str]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"at": now, **({"by": by} if by else {})}
