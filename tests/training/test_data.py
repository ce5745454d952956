"""Crops, the store, what training finds out about images."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from apiece import formats, models
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.datasets.dataset import Dataset, open_data
from apiece.errors import DataError, ImageError
from apiece.images import write_image
from apiece.models.contract import ModelInput
from apiece.training import TrainConfig
from apiece.training._data import Batch, CropSet, Draw, Order, Store, collate, splits_of
from apiece.training._survey import check_channels, survey
from apiece.training.trainer import open_splits
from apiece.transforms.input import normalise


def dataset(folder: Path, images: list[np.ndarray]) -> Dataset:
    """Each image with one square of 10 px."""
    records = []
    for i, pixels in enumerate(images):
        path = folder / f"{i}.tif"
        write_image(path, pixels)
        masks = Masks.from_boxes(np.array([[2, 2, 12, 12]], np.float32), pixels.shape[:2])
        records.append((ImageRef(path, path.name, pixels.shape[:2]), Instances(masks)))
    formats.write(records, folder / "labels.json", format="coco")
    return Dataset(formats.read(folder / "labels.json", images=folder))


def noise(shape: tuple[int, ...], dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def crops(data: Dataset, spec: ModelInput, budget: float = 1e9, strength: float = 1.0) -> CropSet:
    architecture = models.load("embedding")
    store = Store(data, spec, budget)
    store.preload()
    return CropSet(store, architecture.encode, architecture.config(), crop=64, strength=strength, upright=False, seed=3)


def test_a_draw_is_a_function_of_seed_step_and_slot(tmp_path: Path) -> None:
    data = dataset(tmp_path, [noise((80, 90, 1)), noise((40, 40, 1))])
    kept, fresh = crops(data, ModelInput(1, mean=(0,), std=(1,))), crops(data, ModelInput(1, mean=(0,), std=(1,)), 0.0)
    for draw in (Draw(0, 0, 0), Draw(5, 1, 1)):
        a, b = kept.sample(draw), fresh.sample(draw)  # from memory or from disk
        assert np.array_equal(a.image, b.image)
        assert a.instances == b.instances
    assert not np.array_equal(kept.sample(Draw(0, 1, 0)).image, kept.sample(Draw(0, 0, 0)).image)


def test_without_augmentation_crops_are_what_prediction_sees(tmp_path: Path) -> None:
    pixels = noise((64, 64, 1), np.uint16) * 13
    spec = ModelInput(1, mean=(0.2,), std=(0.5,))
    crop = crops(dataset(tmp_path, [pixels]), spec, strength=0.0).sample(Draw(0, 0, 0))
    assert np.allclose(crop.image, normalise(pixels, spec), atol=1e-5)


@pytest.mark.parametrize(("dtype", "base"), [(np.uint32, 2**31), (np.float64, 1e12)])
def test_deep_values_lose_nothing_in_training_either(tmp_path: Path, dtype: type, base: float) -> None:
    pixels = (noise((64, 64, 1), np.float64) + base).astype(dtype)  # float32 cannot tell these values apart
    spec = ModelInput(1, mean=(0.0,), std=(1.0,))
    made = crops(dataset(tmp_path, [pixels]), spec, strength=0.0).sample(Draw(0, 0, 0))
    wanted = normalise(pixels, spec)
    assert np.allclose(made.image, wanted, atol=1e-3)
    assert np.ptp(wanted) > 0.9


def test_batches(tmp_path: Path) -> None:
    data = dataset(tmp_path, [noise((80, 90, 3)), noise((40, 40, 1))])
    made = crops(data, ModelInput(3))
    for draws in itertools.islice(Order(np.ones(2), 3, 0), 3):
        batch = collate([made[d] for d in draws])
        assert isinstance(batch, Batch)
        assert batch.images.shape == (3, 3, 64, 64)
        assert batch.images.dtype == torch.float32
        assert torch.isfinite(batch.images).all()
        assert len(batch.targets) == len(batch.names) == 3


def test_an_error_in_a_loader_process_keeps_its_message(tmp_path: Path) -> None:
    data = dataset(tmp_path, [noise((80, 90, 3))])
    made = crops(data, ModelInput(3), budget=0.0)
    (tmp_path / "0.tif").write_bytes(b"nothing")
    error = collate([made[Draw(0, 0, 0)]])
    assert isinstance(error, Exception)
    assert "0.tif" in str(error)


def test_survey_of_mixed_images(tmp_path: Path) -> None:
    data = dataset(tmp_path, [noise((80, 90, 3)), noise((40, 40, 1)), noise((50, 60, 1))])
    found = survey(data, TrainConfig())
    assert (found.channels, found.imgsz, found.crop) == (3, None, 96)


def test_validation_images_of_other_channels_are_refused_before_the_start(tmp_path: Path) -> None:
    data = dataset(tmp_path, [noise((40, 40, 3)), noise((40, 40, 2))])
    check_channels(data.subset([0]), 3)
    with pytest.raises(DataError, match=r"the validation image .* does not fit the training images: .* 2 channels"):
        check_channels(data, 3)


@pytest.mark.parametrize("channels", [1, 5, 12])
def test_survey_of_many_channels(tmp_path: Path, channels: int) -> None:
    data = dataset(tmp_path, [noise((40, 40, channels))])
    assert survey(data, TrainConfig()).channels == channels


def test_large_images_are_resized(tmp_path: Path) -> None:
    data = dataset(tmp_path, [noise((700, 1000, 1))])
    assert survey(data, TrainConfig()).imgsz == 640
    assert survey(data, TrainConfig(imgsz="native")).imgsz is None
    assert survey(data, TrainConfig(imgsz=320, crop=128)).crop == 128
    loaded = Store(data, ModelInput(1, mean=(0,), std=(1,), imgsz=320), 0.0)[0]
    assert loaded.sample.image.shape == (224, 320, 1)
    assert loaded.sample.instances.masks.area[0] == pytest.approx(100 * 0.32**2, abs=5)


def test_survey_of_nothing(tmp_path: Path) -> None:
    data = dataset(tmp_path, [noise((40, 40, 1))])
    with pytest.raises(DataError, match="no training images"):
        survey(data.subset([]), TrainConfig())
    crowd = [(ref, found.replace(crowd=np.ones(len(found), bool))) for ref, found in data.labels]
    formats.write(crowd, tmp_path / "crowd.json")
    with pytest.raises(DataError, match=r"all 1 instances of the 1 training images .* are crowd regions"):
        survey(Dataset(formats.read(tmp_path / "crowd.json", images=tmp_path)), TrainConfig())


def test_images_that_are_nowhere_are_counted_before_the_start(tiny_data: Path, tmp_path: Path) -> None:
    data = shutil.copytree(tiny_data, tmp_path / "data")
    images = sorted(data.rglob("*.png"))
    for path in images[:2]:
        path.unlink()
    with pytest.raises(DataError, match=r"2 of 13 images are not there, such as .*; name their folder with images="):
        open_splits(TrainConfig(data=data))
    assert len(open_splits(TrainConfig(data=data, skip_bad=True))[0]) < 11


def test_images_of_val_that_are_in_train_are_told(
    tiny_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = shutil.copytree(tiny_data, tmp_path / "data")
    open_splits(TrainConfig(data=data))
    assert "are in train, too" not in caplog.text
    shutil.copy(data / "train.json", data / "val.json")
    open_splits(TrainConfig(data=data))
    assert "10 of 10 images of val are in train, too, such as" in caplog.text


def test_a_val_without_objects_is_told(tiny_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = shutil.copytree(tiny_data, tmp_path / "data")
    formats.write([(ref, found[:0]) for ref, found in formats.read(data / "val.json")], data / "val.json")
    open_splits(TrainConfig(data=data))
    assert "no object is in val, so that mask AP is undefined" in caplog.text


def test_images_are_held_back_only_where_there_is_no_val(tiny_data: Path) -> None:
    assert not splits_of(TrainConfig(data=tiny_data)).held_back
    assert splits_of(TrainConfig(data=tiny_data / "train.json")).held_back


def test_the_tiny_set_opens(tiny_data: Path) -> None:
    assert {k: len(v) for k, v in open_data(tiny_data).items()} == {"train": 10, "val": 3}


def test_what_cannot_be_read_is_left_out(tiny_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = shutil.copytree(tiny_data, tmp_path / "data")
    images = sorted(p for p in data.rglob("*.png"))
    images[0].write_bytes(images[0].read_bytes()[:-40])
    write_image(images[1], np.zeros((32, 64), np.uint8))
    with caplog.at_level("WARNING", "apiece"):
        training, validation = open_splits(TrainConfig(data=data, skip_bad=True))
    assert len(training) + len(validation) == 11
    left_out = [record.getMessage() for record in caplog.records]
    assert len(left_out) == 2
    assert images[0].name in left_out[0]
    assert "32 x 64" in left_out[1]
    with pytest.raises(ImageError):
        list(open_splits(TrainConfig(data=data))[0])
