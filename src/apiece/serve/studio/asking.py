"""`Asking`: which images a model asks a person about, by its own scores and beside the images of its good days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from apiece._arrays import Float
from apiece.check import Finding, Kind, Place
from apiece.core.conf import thresholds
from apiece.core.instances import Instances
from apiece.errors import DataError
from apiece.models import DecodeOptions
from apiece.monitor import Profile, detect, profile, why
from apiece.serve.studio.sets import Item
from apiece.serve.studio.workspace import Workspace

__all__ = ["KINDS", "UNLIKE", "UNSURE", "Asked", "Asking"]

UNSURE = Kind(
    "unsure",
    "note",
    "scores of the model lie near its threshold; the images with the most decisions that may be wrong come first",
    "Label these objects: a model learns most from what it is unsure of.",
)
UNLIKE = Kind(
    "unlike",
    "note",
    "the image, or the answer on it, is unlike those of the baseline of `apiece monitor`",
    "Look whether the model still does here what it should.",
)
KINDS = {kind.name: kind for kind in (UNSURE, UNLIKE)}
_LEAST = 0.5  # decisions that may be wrong, from which on an image is asked about
_CLOSE = 0.25  # chance to be wrong from which on an object is shown
_RARE = 0.05  # most images of the baseline that are as unlike the others as one that is asked about


@dataclass(frozen=True)
class Asked:
    """An image that a person should look at.

    Attributes
    ----------
    queue : why it is asked about.
    finding : what the person reads of it.
    number : its number.
    predicted : predictions to look at.
    """

    queue: Literal["unsure", "unlike"]
    finding: Finding
    number: int
    predicted: Instances | None


class Asking:
    """Look at predictions, one image after another.

    Parameters
    ----------
    workspace : the set, with a model.
    baseline : images and answers of the model's good days, if there are any.
    """

    def __init__(self, workspace: Workspace, baseline: Profile | None) -> None:
        self._space, self._baseline = workspace, baseline
        self._unsure: list[tuple[float, Asked]] = []
        self._profiles: list[Profile] = []

    def look(self, number: int, found: Instances) -> None:
        """Look at what the model finds on an image, down to a low score."""
        if found.scores is None:
            return
        item = self._space.item(number)
        lowest = self._lowest(found)
        chance = np.where(found.scores >= lowest, 1 - found.scores, found.scores)  # of a wrong decision
        wrong = float(chance.sum())
        if wrong >= _LEAST:
            close = np.flatnonzero(chance >= _CLOSE)
            message = f"{wrong:.1f} of {len(found)} decisions may be wrong, if scores are chances"
            if len(close):
                nearest = close[np.argmin(np.abs(found.scores - lowest)[close])]
                message += f"; nearest to its threshold: {found.names[nearest]} {found.scores[nearest]:.2f}"
            finding = Finding(UNSURE.name, message, wrong / (1 + wrong), _place(item))
            self._unsure.append((wrong, Asked("unsure", finding, number, found[close])))
        if self._baseline is not None:
            model = self._space.model
            conf = 0.0 if model is None or model.thresholds is None else model.thresholds  # as the baseline was made
            image, sure = self._space.image(number), found[found.scores >= lowest]
            self._profiles.append(profile([(str(number), image, sure)], found.classes, conf=conf))

    def asked(self) -> Iterator[Asked]:
        """Yield the images to look at: first where most decisions may be wrong, then what is unlike the baseline.

        Raises
        ------
        DataError
            If there are too few images to tell what is unlike the baseline.
        """
        for _, one in sorted(self._unsure, key=lambda pair: -pair[0]):
            yield one
        if self._baseline is None:
            return
        if not self._profiles:
            raise DataError("the model has answered on no image, so none is held against the baseline")
        for unlike in detect(self._baseline, _joined(self._profiles)).unlike:
            if unlike.rank <= _RARE:
                number = int(unlike.name)
                message = f"{unlike.rank:.1%} of the baseline's images are as unlike the others: {why(unlike)}"
                finding = Finding(UNLIKE.name, message, 1 - unlike.rank, _place(self._space.item(number)))
                yield Asked("unlike", finding, number, None)

    def _lowest(self, found: Instances) -> Float:
        own = None if self._space.model is None else self._space.model.thresholds
        return thresholds(None, found.classes, own or DecodeOptions().conf)[found.labels]


def _place(item: Item) -> Place:
    return Place(item.split, item.ref.name, item.index)


def _joined(profiles: list[Profile]) -> Profile:
    values, counts, unsure = (np.concatenate([getattr(p, n) for p in profiles]) for n in ("values", "counts", "unsure"))
    names = tuple(name for p in profiles for name in p.names)
    return Profile(profiles[0].classes, names, values, counts, unsure)
