"""Several workers: the bytes of one, in any order, and after workers were killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from tests.predict import known_model
from tests.predict.known_model import Blobs, Settings

from apiece import Image, Instances
from apiece.errors import ConfigError, DataError, ImageError
from apiece.images import write_image
from apiece.models._engine.folder import save_model
from apiece.models.contract import DecodeOptions, ModelInput
from apiece.predict import Model, load, predict_to
from apiece.predict.shards import Answer, Shard, _in_order, predicting
from apiece.predict.sources import find_sources

FATAL = 201
"""A value that ends the process which sees it."""
ONCE = 202
"""A value that does so the first time, if a variable names a file that notes it."""


def _deadly(outputs: Any, *more: Any) -> list[Instances]:
    seen, note = np.rint(outputs.numpy() * 255), os.environ.get("APIECE_TEST_DIES")
    if (seen == ONCE).any() and note and not Path(note).exists():
        Path(note).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if (seen == FATAL).any():
        os.kill(os.getpid(), signal.SIGKILL)
    return known_model.decode(outputs, *more)


@pytest.fixture
def model(folder: Path, tmp_path: Path) -> Model:
    """Each value of an image is an object."""
    spec = ModelInput(1, "range", mean=(0,), std=(1,))
    save_model(tmp_path / "one", Blobs(), architecture="blobs", config=Settings(), input=spec, classes=("object",))
    made: Any = load(tmp_path / "one", "cpu").loaded
    return Model(replace(made, architecture=replace(made.architecture, decode=_deadly)), "cpu")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Six photos of two sizes, and an image that is cut into tiles of 64."""
    rng = np.random.default_rng(0)
    root = tmp_path / "images"
    root.mkdir()
    for k in range(6):
        small = np.kron(rng.integers(2, 200, (3, 4 + k % 2)), np.ones((9, 8))).astype(np.uint8)
        write_image(root / f"{k}.png", Image(small))
    large = np.kron(rng.integers(2, 200, (5, 7)), np.ones((41, 37))).astype(np.uint8)
    tifffile.imwrite(root / "large.tif", large, tile=(16, 16), compression="zlib")
    return root


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(model: Model, images: Any, out: Path, **more: Any) -> dict[str, bytes]:
    predict_to(model, images, out, ("coco", "csv", "geojson", "overlay"), conf=0, tile=64, **more)
    return files(out)


@pytest.mark.parametrize("batch", [1, 3])
def test_any_number_of_workers_writes_the_same_bytes(model: Model, images: Path, tmp_path: Path, batch: int) -> None:
    one = run(model, images, tmp_path / "1", workers=1, batch=batch)
    assert len(one) == 2 + 7 + 7
    for workers in (2, 3):
        assert run(model, images, tmp_path / str(workers), workers=workers, batch=batch) == one


def test_arrays_are_cut_here_and_predicted_on_there(model: Model, images: Path, tmp_path: Path) -> None:
    array = tifffile.imread(images / "large.tif")
    assert run(model, array, tmp_path / "2", workers=2) == run(model, array, tmp_path / "1", workers=1)


def killer(every: int, times: int) -> tuple[Callable[..., None], list[int]]:
    """Return what kills a worker at random at every few steps, and the list of the killed."""
    rng, killed = random.Random(0), list[int]()

    def step(done: int, *_: Any) -> None:
        children = [one for one in multiprocessing.active_children() if one.is_alive() and one.pid not in killed]
        if done % every == 0 and len(killed) < times and children:
            victim = rng.choice(children)
            victim.kill()
            killed.append(victim.pid or 0)

    return step, killed


def test_a_worker_that_is_killed_loses_and_doubles_nothing(model: Model, images: Path, tmp_path: Path) -> None:
    step, killed = killer(every=4, times=4)
    got = run(model, images, tmp_path / "2", workers=2, progress=step)
    assert len(set(killed)) == 4
    assert got == run(model, images, tmp_path / "1", workers=1)


@pytest.mark.slow
def test_twenty_killed_workers_lose_and_double_nothing(model: Model, images: Path, tmp_path: Path) -> None:
    large = np.kron(np.random.default_rng(1).integers(2, 200, (9, 11)), np.ones((47, 45))).astype(np.uint8)
    tifffile.imwrite(images / "larger.tif", large, tile=(16, 16), compression="zlib")
    step, killed = killer(every=3, times=20)
    got = run(model, images, tmp_path / "3", workers=3, progress=step)
    assert len(set(killed)) == 20
    assert got == run(model, images, tmp_path / "1", workers=1)


def test_an_image_that_ends_every_process_ends_the_run(model: Model, images: Path, tmp_path: Path) -> None:
    write_image(images / "3.png", Image(np.full((20, 20), FATAL, np.uint8)))
    with pytest.raises(DataError, match=r"3\.png: the process that predicted on it was ended 10 times \(exit code -9,"):
        run(model, images, tmp_path / "out", workers=2)
    assert not multiprocessing.active_children()
    assert not (tmp_path / "out" / "predictions.json").exists()


def test_bad_images_are_named_as_by_one_process(model: Model, images: Path, tmp_path: Path) -> None:
    (images / "2.png").write_bytes(b"no image")
    errors = []
    for workers in (1, 2):
        with pytest.raises(ImageError) as caught:
            run(model, images, tmp_path / "out", workers=workers)
        errors.append(str(caught.value))
    assert errors[0] == errors[1]
    left = run(model, images, tmp_path / "left", workers=2, batch=2, skip_bad=True)
    assert left == run(model, images, tmp_path / "again", workers=1, batch=2, skip_bad=True)


def test_no_workers_are_refused(model: Model, images: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="workers must be at least 1, got 0"):
        run(model, images, tmp_path / "out", workers=0)


class Shuffled:
    """A backend that finishes what is under way in any order, and notes how many shards it holds."""

    room = 3

    def __init__(self, model: Model) -> None:
        self.model, self.rng, self.held = model, random.Random(1), dict[int, Shard]()
        self.finished = list[int]()

    def begin(self, number: int, shard: Shard) -> None:
        self.held[number] = shard
        assert len(self.held) <= self.room

    def done(self) -> tuple[int, list[Answer]]:
        number = self.rng.choice(sorted(self.held))
        self.finished.append(number)
        return number, self.held.pop(number).answers(self.model)


def test_answers_come_in_order_and_few_are_held(model: Model, images: Path) -> None:
    sources = [source for source in find_sources(images) if source.name != "large.tif"] * 20
    asked = list[int]()

    def shards() -> Iterator[Shard]:
        for k, pair in enumerate(zip(sources[::2], sources[1::2], strict=True)):
            asked.append(k)
            yield Shard(pair, DecodeOptions((0.0,)), 10**6)

    backend = Shuffled(model)
    got: list[tuple[str, int]] = []
    for shard, answers in _in_order(backend, shards()):
        assert len(asked) - len(got) <= 4 * backend.room
        got.append((shard.name, len(answers)))
    assert got == [(sources[2 * k].name, 2) for k in range(60)]
    assert backend.finished != sorted(backend.finished)


def test_threads_are_given_back(model: Model) -> None:
    import torch

    before = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    torch.set_num_threads(2)
    with predicting(model, 1, None):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    assert os.environ.get("OMP_NUM_THREADS") == before[1]
    torch.set_num_threads(before[0])


@pytest.mark.slow
def test_a_ray_cluster_writes_the_same_bytes(
    model: Model, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a process of the cluster was killed."""
    pytest.importorskip("ray")
    write_image(images / "3.png", Image(np.full((20, 20), ONCE, np.uint8)))
    one = run(model, images, tmp_path / "1", workers=1)
    monkeypatch.setenv("APIECE_TEST_DIES", str(tmp_path / "died"))
    assert run(model, images, tmp_path / "ray", ray="local", workers=2) == one
    assert (tmp_path / "died").exists()
