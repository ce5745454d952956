"""`Clicks`: what answers clicks and boxes, and the images that were opened for it; of a large image a window."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.images import image_size, open_pyramid, read_image
from apiece.serve.studio.edits import At, Click, prompts_of

if TYPE_CHECKING:
    from apiece.predict import Prompter, Session

__all__ = ["Clicks"]

_KEPT = 4  # images that stay open
_WINDOW, _GRID = 1024, 256  # pixels of a large image that are seen with a click; windows begin at multiples of _GRID
_MOST = 4096
Box = tuple[int, int, int, int]


class Clicks:
    """Answer clicks and boxes on the images of a set.

    Parameters
    ----------
    find : gives the image of a number.
    is_large : tells whether an image is too large to be read whole.
    prompter : opens what answers, at the first click: networks take seconds to load; None: the default.
    """

    def __init__(
        self,
        find: Callable[[int], ImageRef],
        is_large: Callable[[int], bool],
        prompter: Callable[[], Prompter] | None = None,
    ) -> None:
        self._find, self._is_large, self._open = find, is_large, prompter
        self._lock = threading.Lock()
        self._sessions: OrderedDict[tuple[int, bool, Box | None], Session] = OrderedDict()

    @cached_property
    def prompter(self) -> Prompter:
        """What answers clicks and boxes."""
        from apiece.predict import Prompter

        return Prompter() if self._open is None else self._open()

    @cached_property
    def wand(self) -> Prompter:
        """The magic wand."""
        from apiece.predict import Prompter

        return Prompter("wand")

    def prepare(self, number: int) -> None:
        """Open an image that is about to be clicked on; of a large image nobody knows where."""
        if not self._is_large(number):
            self._session(number, False, None)

    def answer(self, number: int, click: Click) -> Instances:
        """Return the object at a click or in a box."""
        if not self._is_large(number):
            return self._session(number, click.wand, None).ask(prompts_of(click))
        ref = self._find(number)
        size = image_size(ref.path, page=ref.page)
        window = window_of(click, size)
        x, y = window[:2]
        moved = click.model_copy(
            update={
                "points": [At(x=p.x - x, y=p.y - y, on=p.on) for p in click.points],
                "box": click.box and [v - d for v, d in zip(click.box, (x, y, x, y), strict=True)],
            }
        )
        return (
            self._session(number, click.wand, window)
            .ask(prompts_of(moved))
            .with_masks(lambda masks: masks.shift(x, y, size))
        )

    def _session(self, number: int, wand: bool, window: Box | None) -> Session:
        """Return an image, or a window of it, opened for clicks; its embedding is kept."""
        with self._lock:
            key = (number, wand, window)
            if key not in self._sessions:
                prompter = self.wand if wand else self.prompter
                self._sessions[key] = prompter.session(_read(self._find(number), window))
                while len(self._sessions) > _KEPT:
                    self._sessions.popitem(last=False)
            return self._sessions[key]


def window_of(click: Click, size: tuple[int, int]) -> Box:
    """Return the window of an image of (height, width) that is seen with a click: x0, y0, x1, y1."""
    places = np.array([*([p.x, p.y] for p in click.points), *(np.reshape(click.box or [], (-1, 2)))], np.float64)
    low, high = places.min(0), places.max(0)
    side = int(np.clip(2 * (high - low).max(), _WINDOW, _MOST)) // _GRID * _GRID
    most = np.maximum(np.array(size[::-1]) - side, 0)
    begin = ((low + high - side) / 2).clip(0, most).astype(np.int64)
    begin = np.minimum((begin + _GRID // 2) // _GRID * _GRID, most)
    end = np.minimum(begin + side, size[::-1])
    return int(begin[0]), int(begin[1]), int(end[0]), int(end[1])


def _read(ref: ImageRef, window: Box | None) -> Image:
    if window is None:
        return read_image(ref.path, page=ref.page)
    with open_pyramid(ref.path, page=ref.page) as pyramid:
        return pyramid.window(window)
