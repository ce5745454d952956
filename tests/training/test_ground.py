"""Transparent ground: not learned from, not found on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from tests.training.test_data import crops

from apiece import load, models
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.datasets import open_data
from apiece.errors import DataError
from apiece.evaluation import evaluate, join
from apiece.models.contract import ModelInput
from apiece.training import TrainConfig, train
from apiece.training._data import Draw, Store
from apiece.training._ground import in_strips, with_ground
from apiece.training._survey import survey

SIZE = (96, 96)
ROW, COLUMN = np.indices(SIZE)
DATA = ROW + COLUMN >= 70
SPEC = ModelInput(3, imgsz=None)
PLAIN = {"embedding", "mask_rcnn", "swift"}  # the others take their time


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """RGBA tiles with a transparent corner, and two RGB tiles; an object in the corner, one half in it, one outside."""
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2)):
        images, annotations = [], []
        for i in range(count):
            pixels = rng.integers(60, 90, (*SIZE, 4), np.uint8)
            pixels[..., 3] = 255
            for x, y in ((5, 5), (30, 30), (70, 60)):
                pixels[y : y + 12, x : x + 12, :3] = 200, 180, 60
                outline = [x, y, x + 12, y, x + 12, y + 12, x, y + 12]
                annotations.append({"id": len(annotations) + 1, "image_id": i + 1, "category_id": 1, "iscrowd": 0,
                                    "segmentation": [outline], "bbox": [x, y, 12, 12], "area": 144})  # fmt: skip
            name = f"{split}{i}.{'png' if i % 2 else 'webp'}"
            if i < 4:
                pixels[~DATA] = 250, 0, 250, 0  # what is stored there means nothing
            shown = PillowImage.fromarray(pixels if i < 4 else pixels[..., :3])
            shown.save(tmp_path / "images" / name, **({} if i % 2 else {"lossless": True, "exact": True}))
            images.append({"id": i + 1, "file_name": name, "height": 96, "width": 96})
        document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "tree"}]}
        (tmp_path / f"{split}.json").write_text(json.dumps(document))
    return tmp_path


def test_the_survey_counts_colours_and_tells_of_the_ground(tiles: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = open_data(tiles)["train"]
    with caplog.at_level("INFO", "apiece"):
        assert survey(data, TrainConfig(crop=64)).channels == 3
    assert "alpha: 4 of 6 images looked at have an alpha channel" in caplog.text
    assert (
        "transparent ground: on 4 of 6 images; it is no data, and not learned from. On it lie 4 objects, and 4 more"
        in (caplog.text)
    )
    assert survey(data.subset(range(4)), TrainConfig(crop=64, channels=4)).channels == 4
    with pytest.raises(DataError, match=r"channels=4 does not fit .*train4.webp: the image has 3 channels"):
        survey(data, TrainConfig(crop=64, channels=4))


def test_images_that_are_transparent_everywhere_are_refused(tiles: Path) -> None:
    for path in (tiles / "images").glob("train*"):
        PillowImage.new("RGBA", (96, 96), (90, 90, 90, 0)).save(path.with_suffix(".png"))
        path.with_suffix(".png").replace(path)  # the content decides, not the name
    with pytest.raises(DataError, match="all 6 images looked at are transparent everywhere; save them without it"):
        survey(open_data(tiles)["train"], TrainConfig(crop=64))


def test_what_is_learned_has_no_transparent_ground(tiles: Path) -> None:
    data = open_data(tiles)["train"]
    loaded = Store(data, SPEC, 0.0)[1]
    found = loaded.sample.instances
    assert found.crowd.tolist() == [False, False, True]
    assert found.masks.area.tolist() == [int(DATA[30:42, 30:42].sum()), 144, int((~DATA).sum())]
    assert loaded.limits[1] <= 200  # not the 250 of the ground
    assert np.ptp(loaded.sample.image[~DATA], axis=0).max() == 0
    assert Store(data, ModelInput(4, mean=(0,) * 4, std=(1,) * 4), 0.0)[1].sample.instances.crowd.sum() == 0
    # the ground goes through the crop with the image, in strips
    made = crops(data, SPEC)
    for step in range(6):
        crop = made.sample(Draw(step, 0, 1))
        ground = in_strips(crop.instances)
        assert (ground[ground.crowd].boxes[:, 3] - ground[ground.crowd].boxes[:, 1]).max(initial=0) <= 32
        whole = crop.instances.masks[crop.instances.crowd].union()
        assert ground.masks[ground.crowd].union() == whole
        assert int(ground.masks[ground.crowd].area.sum()) == int(whole.area.sum())


def test_strips_follow_the_shape() -> None:
    data = np.ones(SIZE, bool)
    data[10:50, 5:15] = data[10:50, 60:80] = False
    found = in_strips(with_ground(Instances.empty(SIZE, ("a",)), data))
    boxes = sorted(found.boxes.tolist())
    assert boxes == [[5, 10, 15, 32], [5, 32, 15, 50], [60, 10, 80, 32], [60, 32, 80, 50]]
    plain = Instances(Masks.from_boxes([[0, 0, 9, 9]], SIZE), crowd=[True])
    assert in_strips(plain) is plain  # crowds of the labels stay what they are


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in PLAIN else pytest.mark.slow) for name in models.names()]
)
def test_nothing_is_learned_from_ground_alone(name: str) -> None:
    architecture = models.load(name)
    config = architecture.config()
    if getattr(config, "weights", None) not in (None, "none"):
        config = architecture.config(weights="none")
    torch.manual_seed(0)
    module = architecture.build(config, SPEC, 1).train()
    ground = in_strips(with_ground(Instances.empty((128, 128), ("a",)), np.zeros((128, 128), bool)))
    losses = architecture.loss(module, torch.randn(1, 3, 128, 128), [architecture.encode(ground, config)])
    # anchors that lie beyond the image for the most part are background, whatever is in it
    assert sum(float(v.detach()) for k, v in losses.items() if k != "class_objectness") == pytest.approx(0.0, abs=2e-3)


def test_tiles_with_and_without_alpha_train_together(tiles: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings: dict[str, Any] = {
        "data": tiles, "model": "embedding", "out": tiles / "run", "epochs": 2, "crop": 64, "batch": 4, "workers": 0,
        "device": "cpu", "precision": "32", "model_settings": {"widths": [8, 16]},
    }  # fmt: skip
    made = train(**settings)
    model = load(made.folder)
    tile = tiles / "images" / "val1.png"
    everywhere = Image(np.asarray(PillowImage.open(tile).convert("RGB")))
    assert len(model.predict(tile, conf=0.0).masks.to_layers()) <= 1
    with_alpha, without = model.predict(tile, conf=0.0), model.predict(everywhere, conf=0.0)
    for found in (with_alpha, without):
        assert found.size == SIZE
    assert not (with_alpha.masks.union().to_dense()[0] & ~DATA).any()
    # an object on transparent ground alone is not asked for, in training as in evaluation
    joined = join(model, open_data(tiles)["val"])
    assert [wanted.crowd.tolist() for _, wanted, _, _ in joined] == [[True, False, False]] * 2
    assert evaluate(joined)["mask_ap"] == made.metrics["mask_ap"]
