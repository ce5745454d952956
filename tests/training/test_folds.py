"""Out of fold: every image once, by a model of the others; what is finished is kept, what was cut off goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from apiece import formats
from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.datasets.dataset import Subset
from apiece.datasets.synthetic import SceneConfig, write_dataset
from apiece.errors import ConfigError, DataError
from apiece.formats import LabelSet
from apiece.images import read_image, write_image
from apiece.training import TrainConfig, folds, trainer
from apiece.training.folds import predict_out_of_fold


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> LabelSet:
    """Eight 64 px scenes; the last two are the first two again, one of them mirrored in another file."""
    folder = tmp_path_factory.mktemp("folds")
    config = SceneConfig(size=(64, 64), objects=(2, 4), classes=("washer", "pill"), radius=(8.0, 14.0))
    path, _ = write_dataset(folder, train=8, val=1, config=config)
    images = folder / "images"
    shutil.copy(images / "train_00000.png", images / "train_00006.png")
    write_image(images / "train_00007.png", Image(read_image(images / "train_00001.png").pixels[:, ::-1]))
    return formats.read(path)


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    """A step of four crops, with a small network that answers even when it knows nothing."""
    return TrainConfig(
        model="swift", epochs=1, crop=64, batch=4, workers=0, device="cpu", precision="32",
        model_settings={"size": "s"}, out=tmp_path / "unused",
    )  # fmt: skip


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[set[str], set[str]]]:
    """Names of the images that each training saw, to learn from and to choose the best step by."""
    calls: list[tuple[set[str], set[str]]] = []

    def recording(config: TrainConfig, *, splits: Any) -> Any:
        calls.append(({r.name for r in splits[0].refs}, {r.name for r in splits[1].refs}))
        return trainer.fit(config, splits=splits)

    monkeypatch.setattr(folds, "fit", recording)
    monkeypatch.setattr(folds, "LOWEST", 0.0)  # after one step no model is sure of anything
    return calls


def same(a: list[Instances], b: list[Instances]) -> bool:
    return len(a) == len(b) and all(x == y for x, y in zip(a, b, strict=True))


def test_no_image_is_judged_by_a_model_that_saw_it(
    labels: LabelSet, config: TrainConfig, seen: list[tuple[set[str], set[str]]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    steps: list[int] = []
    found = predict_out_of_fold(labels, 2, config, out, lambda: steps.append(1))
    assert len(found) == len(steps) == len(labels) == 8
    assert all(f.size == (64, 64) and f.classes == labels.classes and f.scores is not None for f in found)
    assert sum(map(len, found)) > 0
    assert len(seen) == 2
    fold = json.loads((out / "folds.json").read_text())["fold"]
    names = [ref.name for ref in labels.refs]
    for k, (learned, validated) in enumerate(seen):
        held = {name for name, own in zip(names, fold, strict=True) if own == k}
        assert held | learned | validated == set(names)
        assert not held & (learned | validated)
        assert not learned & validated
        assert validated
    assert fold[0] == fold[6]  # the same pixels
    assert fold[1] == fold[7]  # mirrored
    # a second call trains nothing; a fold without its predictions is made again, from the model that is there
    assert same(predict_out_of_fold(labels, 2, config, out), found)
    assert len(seen) == 2
    (out / "fold_2" / "predictions.json").unlink()
    assert same(predict_out_of_fold(labels, 2, config, out), found)
    assert len(seen) == 3
    with pytest.raises(ConfigError, match="other labels or settings"):
        predict_out_of_fold(labels, 3, config, out)
    with pytest.raises(ConfigError, match="other labels or settings"):
        predict_out_of_fold(labels, 2, TrainConfig(**{**config.to_dict(), "seed": 1}), out)
    (out / "folds.json").write_text("[]")
    with pytest.raises(ConfigError, match="damaged"):
        predict_out_of_fold(labels, 2, config, out)


@pytest.mark.slow
def test_a_fold_that_was_cut_off_goes_on(
    labels: LabelSet, config: TrainConfig, seen: list[tuple[set[str], set[str]]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    config = TrainConfig(**{**config.to_dict(), "save_every": 0, "epochs": 4})
    at_once = predict_out_of_fold(labels, 2, config, tmp_path / "once")
    out = tmp_path / "cut"
    inner = folds.fit

    def dies(own: TrainConfig, *, splits: Any) -> Any:
        if own.folder.name == "fold_2":
            inner(TrainConfig(**{**own.to_dict(), "epochs": 1}), splits=splits)
            raise KeyboardInterrupt
        return inner(own, splits=splits)

    with monkeypatch.context() as patch:
        patch.setattr(folds, "fit", dies)
        with pytest.raises(KeyboardInterrupt):
            predict_out_of_fold(labels, 2, config, out)
    first = (out / "fold_1" / "predictions.json").stat().st_mtime_ns
    resumed: list[bool] = []
    monkeypatch.setattr(folds, "fit", lambda own, *, splits: (resumed.append(own.resume), inner(own, splits=splits)))
    assert len(predict_out_of_fold(labels, 2, config, out)) == len(at_once)
    assert resumed == [True]
    assert (out / "fold_1" / "predictions.json").stat().st_mtime_ns == first


def test_too_few(labels: LabelSet, config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="2 or more"):
        predict_out_of_fold(labels, 1, config, tmp_path)
    with pytest.raises(DataError, match="too few"):
        predict_out_of_fold(Subset(labels, (0, 1)), 2, config, tmp_path)


def test_classes_in_even_shares(labels: LabelSet, config: TrainConfig, tmp_path: Path) -> None:
    fold = folds._division(labels, 2, config, tmp_path)
    assert np.bincount(fold).tolist() == [4, 4]
    assert (folds._division(labels, 2, config, tmp_path) == fold).all()


def test_photos_of_one_part_do_not_all_land_in_one_fold(config: TrainConfig, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    plate = np.full((160, 200), 60.0)
    plate[30:130, 30:170] = 150
    photos = [np.clip(np.rint(plate + rng.normal(0, 3, plate.shape)), 0, 255).astype(np.uint8) for _ in range(15)]
    photos.append(np.minimum(photos[0], 243) + np.uint8(12))  # a brighter copy
    part = Instances.from_label_map((plate > 100).astype(np.uint8), classes=("plate",))
    records = []
    for k, pixels in enumerate(photos):
        write_image(tmp_path / f"{k}.png", Image(pixels[..., None]))
        records.append((ImageRef(tmp_path / f"{k}.png", f"{k}.png", part.size), part))
    formats.write(records, tmp_path / "labels.json", "coco")
    fold = folds._division(formats.read(tmp_path / "labels.json", images=tmp_path), 2, config, tmp_path / "out")
    assert np.bincount(fold).tolist() == [8, 8]
    assert fold[15] == fold[0]
