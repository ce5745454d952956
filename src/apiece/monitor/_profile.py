"""`Profile`: the signals of many images; what a model's good days look like, in one small JSON file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece._atomic import write_text
from apiece.core.conf import Conf, thresholds
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.errors import DataError, FormatError, Option
from apiece.monitor._signals import SIGNALS, observe

_VERSION = 1
_MAKE = Option("Profile.write", flag="--save-baseline")


@dataclass(frozen=True, eq=False)
class Reliability:
    """Scores of predictions on images with labels, and whether each was right.

    Attributes
    ----------
    image : int64 (P,), which image of those that have labels.
    score : float64 (P,).
    hit : bool (P,), whether it matched an object of its class at mask IoU 0.5.
    """

    image: Int
    score: Float
    hit: Bool


@dataclass(frozen=True, eq=False)
class Profile:
    """Signals of a set of images.

    Attributes
    ----------
    classes : class names.
    names : N images.
    values : float64 (N, signals), columns as in `SIGNALS`; NaN where a signal could not be told.
    counts : int64 (N, classes), instances of each class.
    unsure : int64 (N,), instances whose score is less than a tenth of the way above its class's threshold to 1.
    reliability : of the images that have labels; None without any.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    values: Float
    counts: Int
    unsure: Int
    reliability: Reliability | None = None

    def __len__(self) -> int:
        return len(self.names)

    def write(self, path: Path | str) -> None:
        """Write it as JSON, atomically."""
        told: dict[str, Any] = {
            "apiece_profile": _VERSION,
            "classes": self.classes,
            "signals": [signal.name for signal in SIGNALS],
            "images": self.names,
            "values": [[None if np.isnan(v) else v for v in row] for row in self.values.tolist()],
            "counts": self.counts.tolist(),
            "unsure": self.unsure.tolist(),
        }
        if self.reliability is not None:
            told["reliability"] = {name: (1 * column).tolist() for name, column in asdict(self.reliability).items()}
        write_text(Path(path), json.dumps(told, ensure_ascii=False))

    @classmethod
    def read(cls, path: Path | str) -> Profile:
        """Read what `write` wrote.

        Raises
        ------
        FormatError
            if the file is none, or of other signals than these.
        """
        path = Path(path)
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(told, dict) or told.get("apiece_profile") != _VERSION:
                raise FormatError(path, f"this is no profile of version {_VERSION}; make one with " + _MAKE)
            if told["signals"] != [signal.name for signal in SIGNALS]:
                raise FormatError(path, "it was made of other signals than these; make it again with " + _MAKE)
            classes, images = tuple(map(str, told["classes"])), tuple(map(str, told["images"]))
            values = np.array(told["values"], np.float64).reshape(len(images), len(SIGNALS))
            counts = np.array(told["counts"], np.int64).reshape(len(images), len(classes))
            unsure = np.array(told["unsure"], np.int64).reshape(len(images))
            if np.isinf(values).any() or (counts < 0).any() or (unsure < 0).any():
                raise ValueError("numbers that no image has")
            reliability = None
            if told.get("reliability") is not None:
                kinds = {"image": np.int64, "score": np.float64, "hit": np.bool_}
                columns: dict[str, Any] = {name: np.array(told["reliability"][name], kinds[name]) for name in kinds}
                reliability = Reliability(**columns)
                if {column.shape for column in columns.values()} != {(columns["image"].size,)}:
                    raise ValueError("columns of different length")
                if (reliability.image < 0).any():
                    raise ValueError("images are numbered from 0")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise FormatError(path, f"this is no profile that can be read ({error})") from None
        return cls(classes, images, values, counts, unsure, reliability)


def profile(
    pairs: Iterable[tuple[str, Image | None, Instances]],
    classes: Sequence[str],
    *,
    conf: Conf = 0.0,
    reliability: Reliability | None = None,
    step: Callable[[], None] = lambda: None,
) -> Profile:
    """Observe every image.

    Parameters
    ----------
    pairs : name, pixels (None to leave their signals out) and the model's final answer of each image; read once.
    classes : class names; those of the instances are joined by name.
    conf : lowest score that counts, see `apiece.core.conf`: what "unsure" is measured from.
    reliability : what is known of the scores, where some images have labels.
    step : called after each image.

    Raises
    ------
    DataError
        if there is no image, or an instance is of a class that is not among ``classes``.
    """
    known = tuple(classes)
    lowest = thresholds(conf, known)
    names, values, counts, unsure = [], [], [], []
    for name, image, found in pairs:
        for foreign in sorted(set(found.classes) - set(known)):
            raise DataError(f"{name}: there is a class {foreign!r} that the baseline has not ({', '.join(known)})")
        label = np.array([known.index(c) for c in found.classes], np.int64)[found.labels]
        names.append(name)
        values.append(observe(image, found))
        counts.append(np.bincount(label, minlength=len(known)))
        limit = lowest[label] + 0.1 * (1 - lowest[label])
        unsure.append(0 if found.scores is None else int((found.scores < limit).sum()))
        step()
    if not names:
        raise DataError("there is no image to observe")
    return Profile(known, tuple(names), np.array(values), np.array(counts), np.array(unsure, np.int64), reliability)
