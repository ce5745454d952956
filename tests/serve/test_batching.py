"""The queue: images that wait together go together, and none waits for ever or suffers from another."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest
from tests.predict.known_graph import picture, write

import apiece
from apiece.core.image import Image
from apiece.errors import ConfigError, DataError
from apiece.predict import Model
from apiece.serve import Limits
from apiece.serve.batching import Batcher, FullError, LateError
from apiece.serve.counters import Counters

GOOD = Image(picture()[:, :, None])
BAD = Image(np.zeros((12, 20, 5), np.uint8))


class Held(Batcher):
    """A queue whose network can be held, so that others come to wait."""

    def __init__(self, model: Model, batch: int = 4, room: int = 8, timeout: float = 30) -> None:
        self.free = threading.Event()
        run = model.runtime.run

        def slow(*args: object) -> object:
            assert self.free.wait(30)
            return run(*args)  # type: ignore[arg-type]

        model.runtime.run = slow  # type: ignore[method-assign]
        self.counters = Counters()
        super().__init__(batch, room, timeout, self.counters)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return apiece.load(write(tmp_path / "m"))


def test_images_that_wait_go_together(model: Model) -> None:
    queue = Held(model)

    async def ask() -> list[int]:
        asked = [asyncio.create_task(queue.predict(model, [GOOD], model.options())) for _ in range(5)]
        await asyncio.sleep(0.2)
        queue.free.set()
        return [len(found[0]) for found in await asyncio.gather(*asked)]

    assert asyncio.run(ask()) == [2] * 5
    queue.close()
    assert "apiece_batches_total 2\n" in queue.counters.text(0)  # the first alone, then four


def test_a_bad_image_harms_no_other(model: Model) -> None:
    queue = Held(model)

    async def ask() -> list[object]:
        asked = [asyncio.create_task(queue.predict(model, [one], model.options())) for one in (GOOD, GOOD, BAD, GOOD)]
        await asyncio.sleep(0.2)
        queue.free.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    first, second, third, fourth = asyncio.run(ask())
    assert [len(found[0]) for found in (first, second, fourth)] == [2, 2, 2]  # type: ignore[index]
    assert isinstance(third, DataError)
    queue.close()


def test_a_full_queue_and_late_answers(model: Model) -> None:
    queue = Held(model, room=2, timeout=0.5)

    async def ask() -> None:
        first = asyncio.create_task(queue.predict(model, [GOOD], model.options()))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(queue.predict(model, [GOOD, GOOD], model.options()))
        await asyncio.sleep(0.1)
        with pytest.raises(FullError):
            await queue.predict(model, [GOOD], model.options())
        for late in (first, second):
            with pytest.raises(LateError):
                await late

    asyncio.run(ask())
    queue.free.set()
    queue.close()
    assert "apiece_images_total 1\n" in queue.counters.text(0)  # the others were given up before their turn


def test_the_network_goes_on_while_masks_are_made(model: Model) -> None:
    ran, decoded = threading.Event(), threading.Event()
    run, decode = model.runtime.run, model.runtime.decode
    calls: list[str] = []

    def running(*args: object) -> object:
        calls.append("run")
        if calls.count("run") == 2:
            ran.set()
        return run(*args)  # type: ignore[arg-type]

    def decoding(*args: object) -> object:
        assert decoded.is_set() or ran.wait(30)  # the first masks wait for the second run
        decoded.set()
        return decode(*args)  # type: ignore[arg-type]

    model.runtime.run, model.runtime.decode = running, decoding  # type: ignore[method-assign, assignment]
    queue = Batcher(1, 8, 60, Counters())

    async def ask() -> list[int]:
        asked = [queue.predict(model, [GOOD], model.options()) for _ in range(2)]
        return [len(found[0]) for found in await asyncio.gather(*asked)]

    assert asyncio.run(ask()) == [2, 2]
    queue.close()


def test_masks_that_cannot_be_made_harm_no_other(model: Model) -> None:
    decode = model.runtime.decode

    def failing(outputs: object, frames: object, *rest: object) -> object:
        if len(frames) > 1:  # type: ignore[arg-type]
            raise RuntimeError("no")
        return decode(outputs, frames, *rest)  # type: ignore[arg-type]

    model.runtime.decode = failing  # type: ignore[method-assign, assignment]
    queue = Held(model)

    async def ask() -> list[int]:
        asked = [asyncio.create_task(queue.predict(model, [GOOD], model.options())) for _ in range(3)]
        await asyncio.sleep(0.2)
        queue.free.set()
        return [len(found[0]) for found in await asyncio.gather(*asked)]

    assert asyncio.run(ask()) == [2] * 3
    queue.close()


@pytest.mark.parametrize(
    ("settings", "said"), [({"queue": 0}, "queue"), ({"batch": 0}, "batch"), ({"timeout": 0}, "timeout")]
)
def test_settings_that_cannot_be(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Limits(**settings)  # type: ignore[arg-type]


def test_whose_turn_would_come_too_late_is_sent_away_at_once(model: Model) -> None:
    queue = Held(model, batch=1, room=100, timeout=2)

    async def ask() -> list[object]:
        first = asyncio.create_task(queue.predict(model, [GOOD], model.options()))
        await asyncio.sleep(0.5)  # an image takes half a second
        queue.free.set()
        await first
        queue.free.clear()
        asked = [asyncio.create_task(queue.predict(model, [GOOD], model.options())) for _ in range(20)]
        await asyncio.sleep(0.2)
        queue.free.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(ask())
    queue.close()
    sent_away = [isinstance(one, FullError) for one in found]
    assert 12 < sum(sent_away) < 19  # about four fit into two seconds
    assert not any(isinstance(one, LateError) for one in found)
