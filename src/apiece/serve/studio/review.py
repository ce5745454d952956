"""`Review`: what `check` finds in the labels as they stand, what a model asks, and what a person has said of each.

A finding keeps its id while its objects keep their keys. So what was dismissed stays dismissed, also after a restart
and where label files have changed. What a person says is an entry of the journal.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from apiece._arrays import Int
from apiece.check import Finding, Kind, OpenLabels, Report, check, load, names, repair
from apiece.core.instances import Instances
from apiece.errors import ApieceError, ConfigError, DataError, UnknownNameError
from apiece.monitor import Profile
from apiece.serve.studio.asking import KINDS, Asking
from apiece.serve.studio.compared import comparable, in_classes, in_classes_of
from apiece.serve.studio.sets import Edited
from apiece.serve.studio.sheet import Delta, Put, Sheet
from apiece.serve.studio.workspace import StaleError, Workspace

__all__ = ["Found", "Queue", "Review", "State", "repairable"]

State = Literal["none", "running", "done", "failed"]
Queue = Literal["labels", "disagreement", "unsure", "unlike"]
"""Where a finding comes from: `check` on labels alone, a model that contradicts labels, a model that is unsure, or
images that are unlike those of the model's good days."""


@dataclass(frozen=True)
class Found:
    """A finding with what the page needs to show it.

    Attributes
    ----------
    id : its id; the same finding has the same one in the next check.
    finding : what `check` says, or the model asks.
    queue : where it comes from.
    number : number of its image; None for the whole set.
    keys : keys of its objects.
    predicted : what a model finds there instead.
    """

    id: str
    finding: Finding
    queue: Queue
    number: int | None
    keys: tuple[int, ...]
    predicted: Instances | None


class Review:
    """The queue of findings.

    Parameters
    ----------
    workspace : the set; with a model, labels that it contradicts, and images on which it is unsure, are findings, too.
    baseline : what images and answers were like on the model's good days, as `apiece monitor --save-baseline` wrote it.

    Attributes
    ----------
    state : how far the check is.
    done, total : images that were looked at, and all.
    told : why the check has failed, or what it could not look for.
    found : the findings by their id: of each queue, the gravest and surest first.
    kinds : every kind of finding by its name.
    """

    def __init__(self, workspace: Workspace, baseline: Profile | None = None) -> None:
        self._space, self._baseline = workspace, baseline
        self._lock = threading.Lock()
        self.state: State = "none"
        self.done, self.total, self.told = 0, 0, ""
        self.found: dict[str, Found] = {}
        self.kinds: Mapping[str, Kind] = {}

    @property
    def said(self) -> dict[str, dict[str, Any]]:
        """What was said last of each finding, by its id."""
        entries = (entry for entry in self._space.journal.entries if entry["kind"] == "finding")
        return {entry["id"]: entry for entry in entries}

    def begin(self) -> None:
        """Check the labels as they stand, in the background; does nothing while a check is running."""
        with self._lock:
            if self.state == "running":
                return
            self.state, self.done, self.total, self.told = "running", 0, len(self._space.items), ""
        threading.Thread(target=self._check, daemon=True).start()

    def _check(self) -> None:
        space = self._space
        try:
            numbers = {(item.split, item.index): number for number, item in enumerate(space.items)}
            keys: dict[int, Int] = {}
            asking = Asking(space, self._baseline)

            def predicted(split: str, index: int) -> Instances | None:
                number = numbers[split, index]
                try:
                    found = space.predicted(number)
                except ApieceError:
                    return None  # an image that cannot be read is a finding of its own
                asking.look(number, found)
                if comparable(found.classes, space.classes):
                    return in_classes(found, space.classes)
                return in_classes_of(found, space.sheet(number)[0].instances)

            labels = {split: OpenLabels(Edited(space, split, keys)) for split in space.sets}
            if space.model is not None and not comparable(space.model.classes, space.classes):
                self.told = "The model knows none of these classes: where it finds a new object, the class is a guess."
            report = check(labels, predicted=None if space.model is None else predicted, step=self._step)
            found = {one.id: one for one in _found(report, numbers, keys)}
            try:
                for asked in asking.asked():
                    one = Found(_id(asked.finding, ()), asked.finding, asked.queue, asked.number, (), asked.predicted)
                    found[one.id] = one
            except DataError as error:
                self.told = str(error)
        except Exception as error:  # what a thread raises, nobody sees
            self.state, self.told = "failed", str(error)
            return
        self.kinds, self.found, self.state = {**report.kinds, **KINDS}, found, "done"

    def _step(self) -> None:
        self.done += 1

    def decide(self, id: str, what: str, reason: str, by: str) -> None:
        """Keep what a person says of a finding.

        Raises
        ------
        UnknownNameError
            If there is no such finding.
        ConfigError
            If a finding is dismissed without a reason.
        """
        one = self.one(id)
        if what == "dismiss" and not reason.strip():
            raise ConfigError("say why the finding is dismissed, so that the next person knows")
        told = {"id": id, "what": what, "finding": one.finding.kind, "message": one.finding.message}
        self._space.decide(one.number, {**told, **({"reason": reason.strip()} if reason.strip() else {})}, by)

    def repair(self, id: str, by: str) -> None:
        """Repair what a finding names, as a change of its image that can be undone.

        Raises
        ------
        StaleError
            If an object of the finding has gone since the check.
        ConfigError
            If the finding has no repair.
        """
        one, space = self.one(id), self._space
        if one.number is None:
            raise ConfigError(f"{one.finding.kind} is about the whole set: change the labels by hand")
        sheet = space.sheet(one.number)[0]
        if not set(one.keys) <= set(sheet.keys.tolist()):
            raise StaleError("an object of this finding has gone since the check; check again")
        space.change(one.number, sheet.revision, by, lambda now: _repaired(now, one))
        self.decide(id, "repair", "", by)

    def one(self, id: str) -> Found:
        """Return a finding."""
        if id not in self.found:
            raise UnknownNameError("finding", id, list(self.found)[:20])
        return self.found[id]


def repairable(one: Found) -> Literal["", "repair", "model"]:
    """Return in a word what a repair would do: ``repair``, ``model`` (take what it finds), or nothing."""
    if one.number is None:
        return ""
    if one.finding.repair in ("drop", "dust", "rewrite", "clip") and one.keys:
        return "repair"
    return "model" if one.queue == "disagreement" else ""


@cache
def _by_model() -> set[str]:
    families = (load(name) for name in names())
    return {kind.name for family in families if family.needs == "predicted" for kind in family.kinds}


def _found(report: Report, numbers: dict[tuple[str, int], int], known: dict[int, Int]) -> Iterator[Found]:
    for finding in report.findings:
        place = finding.place
        number = None if place.index is None else numbers[place.split, place.index]
        keys = () if number is None or number not in known else tuple(known[number][list(place.instances)].tolist())
        predicted = None
        if finding.predicted and place.index is not None:
            kept = report.predicted[place.split, place.index]
            rows = [kept.positions.tolist().index(p) for p in finding.predicted]
            predicted = kept.instances[rows]
        queue: Queue = "disagreement" if finding.kind in _by_model() else "labels"
        yield Found(_id(finding, keys), finding, queue, number, keys, predicted)


def _id(finding: Finding, keys: tuple[int, ...]) -> str:
    """Return what a finding is known by: its kind, image and objects; else where it is, or what it says."""
    place = finding.place
    about: Any = sorted(keys) if keys else None if place.box is None else [round(v) for v in place.box]
    if place.image is None and not finding.others:
        about = finding.message
    others = [(other.split, other.image) for other in finding.others]
    text = json.dumps([finding.kind, place.split, place.image, about, others])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _repaired(sheet: Sheet, one: Found) -> Delta:
    rows = [sheet.row(key) for key in one.keys]
    if repairable(one) == "model":
        return _as_predicted(sheet, one, rows)
    # the check has seen these objects at other positions, if others have gone
    here = replace(one.finding, place=replace(one.finding.place, instances=tuple(rows)))
    repaired, kept = repair(sheet.instances, here)
    gone = tuple(key for key, row in zip(one.keys, rows, strict=True) if row not in kept)
    place = {int(row): i for i, row in enumerate(kept.tolist())}
    put = (
        Put(key, sheet.instances.names[row], repaired.masks[place[row]])
        for key, row in zip(one.keys, rows, strict=True)
        if row in place and one.finding.repair != "drop"
    )
    return Delta(gone, tuple(put))


def _as_predicted(sheet: Sheet, one: Found, rows: list[int]) -> Delta:
    """Return the change to what the model finds: its class where only that differs, else its masks, or nothing."""
    found = one.predicted
    if found is None:
        return Delta(one.keys)
    named = found.names
    if len(rows) == len(found) == 1 and named[0] != sheet.instances.names[rows[0]]:
        return Delta(put=(Put(one.keys[0], named[0], sheet.instances.masks[rows[0]]),))
    free = range(sheet.next_key, sheet.next_key + len(found))
    keys = [*one.keys[: len(found)], *free][: len(found)]
    put = tuple(Put(key, name, found.masks[k]) for k, (key, name) in enumerate(zip(keys, named, strict=True)))
    return Delta(one.keys[len(found) :], put)
