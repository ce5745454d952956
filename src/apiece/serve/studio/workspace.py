"""`Workspace`: an opened set with the journal of its changes; each image's objects as they stand."""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.datasets import WriteOptions, Written, convert
from apiece.errors import ApieceError, ConfigError, DataError, ImageError, UnknownNameError
from apiece.formats import LabelSet
from apiece.images import MAX_PIXELS, image_size, read_image
from apiece.rules import read_rules
from apiece.serve.studio.clicks import Clicks
from apiece.serve.studio.journal import Journal
from apiece.serve.studio.large import LargeSheet
from apiece.serve.studio.sets import Edited, Item, Source
from apiece.serve.studio.sheet import Changes, Delta, Known, Sheet, keys_of, marks_of, replay, standing
from apiece.serve.studio.slides import Slides
from apiece.serve.studio.tracks import has_tracks

if TYPE_CHECKING:
    from apiece.predict import Model, Prompter

__all__ = ["StaleError", "Workspace"]

_KEPT = 16  # images whose objects stay decoded
_LOOKS = 2.0  # seconds between looks at the label files


class StaleError(DataError):
    """The image has been changed since the page has read it: in another tab, or by another request."""


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
    clicks : answers clicks and boxes.
    """

    def __init__(
        self,
        source: Source,
        out: Path,
        model: Model | None = None,
        prompter: Callable[[], Prompter] | None = None,
        rules: Path | None = None,
    ) -> None:
        self._source, self.out, self.model = source, out, model
        self.clicks = Clicks(lambda number: self.item(number).ref, self.is_large, prompter)
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
        self._slides, self._large = Slides(source, out / "slides"), dict[int, bool]()
        self._large_sheets: OrderedDict[int, LargeSheet] = OrderedDict()
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
        self._large_sheets.clear()
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
            before, base = self._known.get(image), entry["base"]
            large = isinstance(base, str)  # the name of a file
            self._known[image] = Known.of(*self._slides.kept(base), before) if large else Known.after(before, entry)
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
                key, base = self.item(number).key, self.base(number)
                large = self.large(number)
                if isinstance(large, LargeSheet):
                    return large.whole(base), large.gone  # what is so large is not kept
                drawn = replay(base, self._of_image.get(key, []), self._known.get(key))
                _keep(self._sheets, number, drawn)
            return self._sheets[number]

    def is_large(self, number: int) -> bool:
        """Return whether an image is too large to be read whole: its objects are not all sent, and not all kept."""
        if number not in self._large:
            ref, size = self.item(number).ref, (0, 0)
            with suppress(ImageError, OSError):  # whoever reads the image says that it is gone
                size = ref.size or image_size(ref.path, page=ref.page)
            self._large[number] = size[0] * size[1] > MAX_PIXELS
        return self._large[number]

    def large(self, number: int) -> LargeSheet | int | None:
        """Return the objects of a large image as they stand, or how many have been read; None for any other image."""
        if not self.is_large(number):
            return None
        with self._lock:
            item, revision = self.item(number), self.revision(number)
            known = self._large_sheets.get(number)
            if known is not None and known.revision == revision:
                return known
            if item.index < 0:
                self.base(number)  # says that it is gone
            slide = self._slides.get(item.split, item.index, item.ref.name, self._state)
            if isinstance(slide, int):
                return slide
            entries = self._of_image.get(item.key, [])
            keys, next_key, gone = keys_of(
                slide.count, lambda: slide.column("marks"), entries, self._known.get(item.key)
            )
            made = LargeSheet(slide, keys, Changes.of(entries), revision, next_key, gone, self.classes)
            _keep(self._large_sheets, number, made)
            return made

    def part(self, number: int, keys: Iterable[int]) -> Sheet:
        """Return some objects of a large image as they stand; of any other image all of them."""
        large = self.large(number)
        if isinstance(large, int):
            raise DataError(f"the labels of {self.item(number).ref.name} are being read; wait for them")
        return self.sheet(number)[0] if large is None else large.part(keys)

    def change(
        self, number: int, revision: int, by: str, compute: Callable[[Sheet], Delta], keys: Iterable[int] = ()
    ) -> tuple[Sheet, Sheet]:
        """Make a change, save it, and return the objects before and after; of a large image those that it changes.

        Parameters
        ----------
        keys : objects that ``compute`` looks at; it gets no others of a large image.

        Raises
        ------
        StaleError
            If the image is no more at ``revision``.
        """
        with self._lock:
            self._check(number, revision)
            before = self.part(number, keys)
            delta = self._with_ids(before, compute(before))
            if not delta.remove and not delta.put:
                return before, before
            touched = [*delta.remove, *(put.key for put in delta.put)]
            before = self.part(number, touched)
            entry = {"kind": "edit", **delta.to_json(), **self._base(number)}
            return before, self._add(number, entry, by, touched)

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
            self._check(number, revision)
            done, undone = standing(self._of_image.get(self.item(number).key, []))
            nothing: Mapping[str, Any] = {"remove": [], "put": []}
            entry = next(reversed(done if back else undone), nothing)
            touched = [*entry["remove"], *(put["key"] for put in entry["put"])]
            before = self.part(number, touched)
            if not (done if back else undone):
                return before, before
            return before, self._add(number, {"kind": "undo" if back else "redo"}, by, touched)

    def add_class(self, name: str, by: str) -> None:
        """Add a class."""
        with self._lock:
            if not name.strip() or name in self._classes:
                raise ConfigError(f"a new class needs a name of its own, got {name!r}")
            entry = {"kind": "class", "name": name, **_who(by)}
            self._save(entry)
            self._sheets.clear()
            self._large_sheets.clear()

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
        known, large = self._known.get(image), self.large(number)
        if isinstance(large, LargeSheet):
            now = large.slide.column("marks")
            return (
                {}
                if known is not None and np.array_equal(known.marks, now)
                else {"base": self._slides.keep(now, large.keys)}
            )
        base = self.base(number)
        marks = marks_of(base)
        if known is not None and known.marks == marks:
            return {}
        return {
            "base": marks,
            "keys": keys_of(len(base), lambda: marks, self._of_image.get(image, []), known)[0].tolist(),
        }

    def _check(self, number: int, revision: int) -> None:
        if self.revision(number) != revision:
            raise StaleError(
                f"{self.item(number).ref.name} was changed elsewhere, in another tab or window: you see change "
                f"{revision}, the set is at {self.revision(number)}. What you did is not saved; the page shows the "
                "newest state now: do it again, or press Enter if you were drawing"
            )

    def _add(self, number: int, entry: dict[str, Any], by: str, touched: Iterable[int]) -> Sheet:
        full = {"image": self.item(number).key, **entry, **_who(by)}
        self._save(full)
        self._sheets.pop(number, None)
        return self.part(number, touched)

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
        if self.is_large(number):
            raise ConfigError(
                "an image of this size is predicted in tiles: run `apiece predict`, and open what it writes"
            )
        with self._model_lock:  # a model takes seconds; edits do not wait for it
            if number not in self._found:
                lowest = min(self.model.thresholds or (0.5,))
                _keep(self._found, number, self.model.predict(self.image(number), conf=0.2 * lowest))
            return self._found[number]

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
