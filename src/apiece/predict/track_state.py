"""What a tracker knows, kept in a file: a stream that is restarted goes on with its ids."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from apiece._atomic import atomic
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.errors import ConfigError, DataError, Option
from apiece.track import State, Tracker, start

__all__ = ["KeptTracker"]

_PAUSE = 10.0  # seconds between two writings, where no id is new
_TRACKER, _CLASSES = "tracker", "class names"


class KeptTracker:
    """A tracker whose state is kept in a file; goes on from the file if it is there.

    The file is written whenever an id is new, before the id is given to anybody. So even after kill -9 no id is given
    to two objects. Where the tracks were, it knows as of the last 10 seconds. Use it in a ``with`` block.

    Parameters
    ----------
    path : the file, NumPy's ``npz`` without pickles.
    tracker, settings : as for `apiece.track.start`.
    classes : all class names; those of the file must be the same.

    Raises
    ------
    DataError
        If the file holds no state of this tracker and these classes.
    """

    def __init__(
        self, path: Path, tracker: str, settings: Mapping[str, object] | None = None, *, classes: Sequence[str]
    ) -> None:
        self.path, self.classes, self.kind = path, tuple(classes), tracker
        state = self._read() if path.exists() else None
        try:
            self.tracker = start(tracker, settings, state)
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise self._refused(f"it is damaged ({type(error).__name__})") from None
        self.highest, self.written, self.begun = 0, 0.0, False
        self.young: Instances | None = None

    def begin(self) -> Tracker:
        """Return the tracker for a video; only one goes with a file.

        Raises
        ------
        ConfigError
            At the second video.
        """
        if self.begun:
            raise ConfigError(Option("state", self.path) + " goes with one video or stream; name one source")
        self.begun = True
        return self

    def update(self, instances: Instances, image: Image | None = None) -> Instances:
        """Return what `Tracker.update` returns, once the file knows of its ids."""
        found = self.tracker.update(instances, image)
        self.young = self.tracker.young
        assert found.ids is not None
        highest = int(found.ids.max(initial=0))
        if highest > self.highest or time.monotonic() - self.written > _PAUSE:
            self.highest = max(highest, self.highest)
            self.save()
        return found

    def state(self) -> State:
        """Return all that the tracker knows."""
        return self.tracker.state()

    def save(self) -> None:
        """Write the file."""
        own: dict[str, Any] = {_TRACKER: np.array(self.kind), _CLASSES: np.array(self.classes), **self.tracker.state()}
        with atomic(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, **own)
        self.written = time.monotonic()

    def __enter__(self) -> KeptTracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.begun:
            self.save()

    def _read(self) -> State:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                state = {name: file[name] for name in file.files}
            kind, classes = str(state.pop(_TRACKER)), tuple(state.pop(_CLASSES).tolist())
        except (OSError, ValueError, KeyError, AttributeError, TypeError, EOFError, zipfile.BadZipFile):
            raise self._refused("it is no such file") from None
        if kind != self.kind:
            raise self._refused(f"it is of the tracker {kind!r}, not {self.kind!r}")
        if classes != self.classes:
            raise self._refused(f"it is of the classes {', '.join(classes)}; now they are {', '.join(self.classes)}")
        return state

    def _refused(self, why: str) -> DataError:
        return DataError(f"{self.path}: cannot go on from this state: {why}; name another file to begin anew")
