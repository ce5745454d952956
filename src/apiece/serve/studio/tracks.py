"""Objects that keep their id from frame to frame: whether a set has them, and in which frames each of them is."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from apiece._arrays import Int
from apiece.errors import ApieceError
from apiece.serve.studio.schema import Track

if TYPE_CHECKING:
    from apiece.serve.studio.workspace import Workspace

__all__ = ["has_tracks", "tracks_of"]

_LOOKED = 20  # images that tell whether ids return


def has_tracks(space: Workspace) -> bool:
    """Return whether images are frames: of a video, or ids return in the next image.

    Ids that only number annotations never return.
    """
    if space.film:
        return True
    before: Int | None = None
    for number in islice(range(len(space.items)), _LOOKED):
        with suppress(ApieceError):  # an image whose labels cannot be read
            ids = None if space.is_large(number) else space.base(number).ids
            if ids is not None and len(ids):
                if before is not None:
                    return bool(np.isin(ids, before).mean() >= 0.5)
                before = ids
    return False


def tracks_of(space: Workspace) -> list[Track]:
    """Return each track with the runs of images in which it is, the first track first."""
    ids, numbers, names = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, object)]
    for number in range(len(space.items)):
        with suppress(ApieceError):
            if space.is_large(number):
                continue
            found = space.sheet(number)[0].instances
            if found.ids is not None:
                ids.append(found.ids)
                numbers.append(np.full(len(found), number))
                names.append(np.array(found.names, object))
    own, at, name = np.concatenate(ids), np.concatenate(numbers), np.concatenate(names)
    order = np.lexsort((at, own))
    own, at, name = own[order], at[order], name[order]
    new_track = np.diff(own, prepend=own[:1] - 1) != 0
    begins = np.flatnonzero(new_track | (np.diff(at, prepend=0) > 1))
    ends = np.append(begins[1:], len(at))[: len(begins)] - 1
    tracks: list[Track] = []
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        if new_track[begin]:
            tracks.append(Track(id=int(own[begin]), label=str(name[begin]), spans=[]))
        tracks[-1].spans.append([int(at[begin]), int(at[end])])
    return sorted(tracks, key=lambda track: track.spans[0][0])
