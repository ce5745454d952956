"""Prediction: what goes in, what comes out, in what order, and what goes wrong."""

from __future__ import annotations

import itertools
import json
import logging
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from apiece.core.image import Image
from apiece.errors import ConfigError, DataError, ImageError, ModelFileError, UnknownNameError
from apiece.images import write_image
from apiece.predict import Model, load, resolve_device
from apiece.predict.pipeline import Pipeline
from apiece.predict.sources import Source


def test_one_image_in_each_form(model: Model, picture: np.ndarray, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", picture)
    forms = (picture, picture[:, :, None], Image(picture), tmp_path / "a.png", str(tmp_path / "a.png"))
    for form in forms:
        found = model.predict(form)
        assert found.size == (12, 20)
        assert found.masks.area.tolist() == [12, 16, 10][: len(found)]
    both = model.predict([picture, tmp_path / "a.png"])
    assert [len(f) for f in both] == [2, 2]
    assert model.predict([]) == []


def test_a_limit_on_instances_says_when_it_bites(
    model: Model, picture: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "apiece"):
        assert len(model.predict(picture, conf=0, max_instances=3)) == 3
        assert not caplog.records
        assert model.predict(picture, conf=0, max_instances=1).scores.tolist() == pytest.approx([0.9])
    assert "3 objects found in one image, the best 1 kept: raise max_instances" in caplog.text


def test_thresholds_of_the_folder_and_of_the_call(model: Model, picture: np.ndarray) -> None:
    # scores 0.9 bolt, 0.8 nut, 0.7 bolt; the folder keeps bolts from 0.75, nuts from 0.1
    assert model.thresholds == (0.75, 0.1)
    assert model.predict(picture).scores.tolist() == pytest.approx([0.9, 0.8])
    assert len(model.predict(picture, conf=0)) == 3
    assert model.predict(picture, conf={"nut": 0.85}).scores.tolist() == pytest.approx([0.9])
    assert len(model.predict(picture, conf={"bolt": 0.5})) == 3


@pytest.mark.parametrize(("options", "error", "reason"), [
    ({"conf": 1.5}, ConfigError, "conf must be from 0 to 1"),
    ({"conf": float("nan")}, ConfigError, "conf"),
    ({"conf": {"bolts": 0.5}}, UnknownNameError, "Did you mean 'bolt'"),
    ({"iou": 0}, ConfigError, "iou"),
    ({"max_instances": 0}, ConfigError, "max_instances"),
])  # fmt: skip
def test_options_outside_their_range(
    model: Model, picture: np.ndarray, options: dict, error: type, reason: str
) -> None:
    with pytest.raises(error, match=reason):
        model.predict(picture, **options)
    with pytest.raises(error, match=reason):
        model.stream(picture, **options)


def test_input_that_does_not_fit(model: Model, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="5 channels"):
        model.predict(np.zeros((4, 4, 5), np.uint8))
    with pytest.raises(DataError, match="cannot predict on int"):
        model.predict([3])  # type: ignore[list-item]
    with pytest.raises(ImageError, match="does not exist"):
        model.predict(tmp_path / "none.png")
    with pytest.raises(ImageError, match="folder"):
        model.predict(tmp_path)


def test_devices() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda")
    for name in ("gpu", "meta", "cuda:99"):
        with pytest.raises(ConfigError, match=f"{name}"):
            resolve_device(name)


def test_load_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        load(tmp_path / "none")


def test_a_model_tells_what_it_is(model: Model) -> None:
    assert model.classes == ("bolt", "nut")
    assert repr(model) == "Model(blobs, classes=('bolt', 'nut'), device='cpu')"


def pictures(folder: Path, count: int, picture: np.ndarray) -> None:
    for i in range(count):
        write_image(folder / f"{i}.png", np.roll(picture, i, axis=1) if i % 3 else picture[:, :15])


@pytest.mark.parametrize("batch", [1, 2, 4, 50])
def test_stream_keeps_order_and_batches_equal_sizes(
    model: Model, picture: np.ndarray, tmp_path: Path, batch: int
) -> None:
    pictures(tmp_path, 11, picture)
    expected = [model.predict(tmp_path / f"{i}.png") for i in range(11)]
    shapes = model.loaded.module.shapes
    shapes.clear()
    found = list(model.stream(tmp_path, batch=batch))
    assert [image.path.name for image, _ in found] == [f"{i}.png" for i in range(11)]
    for (image, instances), wanted in zip(found, expected, strict=True):
        assert instances.size == image.size
        assert instances.masks == wanted.masks
    # network inputs are 16 x 16, 16 x 24, 16 x 24, 16 x 16 ...
    assert sum(s[0] for s in shapes) == 11
    assert max(s[0] for s in shapes) == min(batch, 2)


def test_the_network_is_ahead_while_masks_are_made(
    model: Model, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(threading.enumerate())
    ran, waiting = threading.Event(), threading.Semaphore(0)
    network, decode = Pipeline._network, Pipeline._decode

    def counted(self: Pipeline, group: Any) -> Any:
        outputs = network(self, group)
        waiting.release()
        return outputs

    def slow(self: Pipeline, *given: Any) -> Any:
        assert waiting.acquire(timeout=60), "the network has not run"
        if not ran.is_set():
            assert waiting.acquire(timeout=60), "the network waits for the masks of the image before"
            waiting.release()
            ran.set()
        return decode(self, *given)

    monkeypatch.setattr(Pipeline, "_network", counted)
    monkeypatch.setattr(Pipeline, "_decode", slow)
    options = model.options()
    sources = [Source(f"{k}.png", image=Image(picture)) for k in range(4)]
    found = model.results(sources, 1, options, 10**9, None, beside=True)
    results = [instances.masks for _, _, instances in found]
    monkeypatch.undo()
    assert results == [model.predict(picture).masks] * 4
    stopped = model.results(sources, 1, options, 10**9, None, beside=True)
    next(stopped)
    stopped.close()
    assert set(threading.enumerate()) <= before


def test_stream_takes_an_endless_iterator_and_reads_only_so_far_ahead(model: Model, picture: np.ndarray) -> None:
    given, before = 0, set(threading.enumerate())

    def camera() -> Iterator[np.ndarray]:
        nonlocal given
        for _ in itertools.count():
            given += 1
            yield picture

    stream = model.stream(camera(), batch=2)
    for _ in range(6):
        next(stream)
    assert given <= 6 + 2 * 2
    stream.close()
    assert set(threading.enumerate()) <= before


def test_bad_images_raise_or_are_named(
    model: Model, picture: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures(tmp_path, 4, picture)
    (tmp_path / "2.png").write_text("no image")
    (tmp_path / "3.png").write_bytes((tmp_path / "0.png").read_bytes()[:-5])
    stream = model.stream(tmp_path)
    assert [next(stream)[0].path.name, next(stream)[0].path.name] == ["0.png", "1.png"]
    with pytest.raises(ImageError, match=r"2\.png"):
        next(stream)
    with caplog.at_level(logging.WARNING, "apiece"):
        assert len(list(model.stream(tmp_path, skip_bad=True, batch=3))) == 2
    assert "2.png" in caplog.text
    assert "truncated" in caplog.text
    bad: list[Exception] = []
    assert len(list(model.stream(tmp_path, skip_bad=True, on_bad=bad.append))) == 2
    assert [e.path.name for e in bad] == ["2.png", "3.png"]
    with pytest.raises(ConfigError, match="batch"):
        model.stream(tmp_path, batch=0)


def test_max_pixels_is_passed_on(model: Model, picture: np.ndarray, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", picture)
    with pytest.raises(ImageError, match="limit of 100 pixels"):
        list(model.stream(tmp_path, max_pixels=100))


def test_out_of_memory_splits_the_batch_then_says_what_to_do(
    model: Model, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = type(model.loaded.module).forward
    too_large: list[weakref.ref[torch.Tensor]] = []

    def limited(most: int, error: type[Exception] = torch.OutOfMemoryError, said: str = "CUDA out of memory"):
        def forward(self: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
            assert all(r() is None for r in too_large), "what did not fit is still held"
            if len(images) > most:
                too_large.append(weakref.ref(images))
                raise error(said)
            return whole(self, images)

        return forward

    monkeypatch.setattr(type(model.loaded.module), "forward", limited(1))
    assert len(list(model.stream([picture] * 3, batch=3))) == 3
    assert len(too_large) == 1
    for error, said in (
        (torch.OutOfMemoryError, "CUDA out of memory"),
        (RuntimeError, "[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory"),
        (RuntimeError, "MPS backend out of memory"),
        (MemoryError, "Unable to allocate 9 GiB"),
    ):
        monkeypatch.setattr(type(model.loaded.module), "forward", limited(0, error, said))
        with pytest.raises(DataError, match="12 x 20 pixels does not fit in the memory of cpu; cut it"):
            model.predict(picture)
    monkeypatch.setattr(type(model.loaded.module), "forward", limited(0, RuntimeError, "shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        model.predict(picture)


def test_precision_is_the_persons_choice(model: Model, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, seen = type(model.loaded.module).forward, []
    cudnn = torch.backends.cudnn

    def forward(self: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
        seen.append((cudnn.allow_tf32, cudnn.enabled, cudnn.benchmark, cudnn.deterministic))
        return whole(self, images)

    monkeypatch.setattr(type(model.loaded.module), "forward", forward)
    for name, value in (("allow_tf32", False), ("enabled", False), ("benchmark", True), ("deterministic", False)):
        monkeypatch.setattr(cudnn, name, value)
    model.predict(picture)
    assert seen == [(False, False, False, True)]
    assert (cudnn.allow_tf32, cudnn.enabled, cudnn.benchmark, cudnn.deterministic) == (False, False, True, False)


def test_prediction_leaves_no_trace(model: Model, picture: np.ndarray) -> None:
    before = (torch.is_grad_enabled(), torch.backends.cudnn.deterministic, torch.get_rng_state().tolist())
    model.predict(picture)
    assert before == (torch.is_grad_enabled(), torch.backends.cudnn.deterministic, torch.get_rng_state().tolist())
    assert not torch.is_inference_mode_enabled()


def test_objects_in_one_piece_keep_their_largest_part(folder: Path, picture: np.ndarray) -> None:
    picture[10:12, 2:5] = 50
    pieces = load(folder, "cpu").predict(picture, conf=0.1)
    assert pieces.masks.parts.tolist() == [2, 1, 1]
    content = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(content | {"one_piece": ["bolt"]}))
    whole = load(folder, "cpu").predict(picture, conf=0.1)
    assert whole.masks.parts.tolist() == [1, 1, 1]
    assert whole.boxes[0].tolist() == [2, 1, 6, 4]
    assert whole[1:] == pieces[1:]
