"""Stuff end to end: learned from COCO panoptic and from Cityscapes, predicted, written, judged."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apiece import formats
from apiece.cli import main
from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.datasets import Dataset, open_data, with_stuff
from apiece.errors import ConfigError, DataError
from apiece.evaluation import join
from apiece.formats import stuff_classes
from apiece.images import write_image
from apiece.models import load_model
from apiece.training import TrainConfig, train
from apiece.training._ground import in_strips, with_frame
from apiece.training._survey import survey

CLASSES = ("sky", "bolt", "field")
SIZE = (64, 64)
TINY: dict[str, Any] = {
    "model": "swift", "epochs": 2, "crop": 64, "batch": 2, "workers": 0, "device": "cpu", "precision": "32",
    "model_settings": {"size": "s"},
}  # fmt: skip


def scene(seed: int) -> tuple[Image, Instances]:
    """Sky above a field, two bolts on it."""
    rng = np.random.default_rng(seed)
    ids = np.full(SIZE, 2)
    ids[: 24 + seed] = 1
    for k, (y, x) in enumerate(rng.integers(4, 44, (2, 2)), 3):
        ids[y : y + 12, x : x + 12] = k
    found = Instances(Masks.from_label_map(ids), [0, 2, 1, 1], CLASSES)
    values = np.array([0, 200, 90, 20, 30])[ids] + rng.normal(0, 8, SIZE)
    return Image(values.clip(0, 255).astype(np.uint8)), found


@pytest.fixture
def panoptic(tmp_path: Path) -> Path:
    rows = [{"id": k + 1, "name": name, "isthing": int(name == "bolt")} for k, name in enumerate(CLASSES)]
    for split, seeds in (("train", (0, 1, 2)), ("val", (3,))):
        folder, records = tmp_path / "data" / split, []
        for seed in seeds:
            image, found = scene(seed)
            write_image(folder / "images" / f"{seed}.png", image)
            records.append((ImageRef(folder / "images" / f"{seed}.png", f"{seed}.png", SIZE), found))
        said = {"coco_panoptic": {"categories": rows}}
        formats.write(records, folder / "panoptic.json", format="coco_panoptic", classes=CLASSES, metadata=said)
    return tmp_path / "data"


@pytest.fixture
def cityscapes(tmp_path: Path) -> Path:
    root = tmp_path / "cityscapes"
    for split, seeds in (("train", (0, 1, 2)), ("val", (3,))):
        for seed in seeds:
            image, found = scene(seed)
            labels = np.array([0, 23, 7, 26000, 26001])[found.masks.to_label_map()]  # sky, road, two cars
            labels[:2] = 1  # of the camera's own car: not among the classes
            name = f"bern/bern_{seed:06}_000019"
            write_image(root / "leftImg8bit" / split / f"{name}_leftImg8bit.png", image)
            write_image(root / "gtFine" / split / f"{name}_gtFine_instanceIds.png", Image(labels.astype(np.uint16)))
    return root / "gtFine"


def command(*words: object) -> None:
    with pytest.raises(SystemExit) as left:
        main([*map(str, words)])
    assert left.value.code == 0


def run_json(*words: object) -> Any:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        command(*words, "--json")
    return json.loads(out.getvalue())


def test_panoptic_labels_from_the_command_line(panoptic: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    command("train", panoptic, "--model", "swift", "--set", "size=s", "--stuff", "--epochs", "2", "--crop", "64",
            "--batch", "2", "--workers", "0", "--device", "cpu", "--precision", "32", "--out", run)  # fmt: skip
    model = load_model(run)
    assert (model.config.stuff, model.classes) == ((0, 2), CLASSES)
    image = panoptic / "val" / "images" / "3.png"
    command("predict", image, "--model", run, "--conf", "0.0", "--save", "coco,panoptic,semantic",
            "--remain", "0.5", "--device", "cpu", "--out", out)  # fmt: skip
    found = formats.read(out / "panoptic")
    assert stuff_classes(found) == ("sky", "field")
    labels = found[0][1].labels
    assert all((labels == k).sum() <= 1 for k in (0, 2))
    assert set(labels.tolist()) & {0, 2}
    said = run_json("evaluate", "--data", panoptic, "--predictions", out / "predictions.json", "--view", "panoptic",
                    "--remain", "0.5")  # fmt: skip
    again = run_json("evaluate", "--data", panoptic, "--predictions", out / "panoptic", "--view", "panoptic")
    assert said["pq"] == again["pq"]  # the map is what was judged
    assert 0 <= said["pq_stuff"] <= 1


def test_stuff_is_learned_from_the_weights_that_ship_with_apiece(panoptic: Path, tmp_path: Path) -> None:
    settings = {**TINY, "model_settings": {}, "balance": "loss", "stuff": True}
    made = train(data=panoptic, out=tmp_path / "run", **settings)
    config = json.loads((made.folder / "model.json").read_text())
    assert config["config"]["stuff"] == [0, 2]
    assert config["provenance"]["weights"]["source"] == "default"


def test_cityscapes_keeps_stuff_beside_its_objects(cityscapes: Path, tmp_path: Path) -> None:
    data = open_data(cityscapes)
    names = {split: stuff_classes(with_stuff(part.labels)) for split, part in data.items()}
    assert names["train"] == names["val"]
    assert {"road", "sky"} < set(names["train"])
    ref, found = with_stuff(data["train"].labels)[1]
    assert sorted(found.names) == ["car", "car", "road", "sky"]
    assert int(found.masks.union().area[0]) == found.masks.area.sum() == 64 * 62
    assert ref.attributes["stuff"].keys() == {"road", "sky", "ego vehicle"}
    result = train(data=cityscapes, stuff=True, out=tmp_path / "run", **TINY)
    model = load_model(result.folder)
    assert model.classes == (*data["train"].classes, *names["train"])
    assert [model.classes[k] for k in model.config.stuff] == list(names["train"])
    said = run_json("evaluate", "--data", cityscapes, "--model", result.folder, "--view", "panoptic", "--device", "cpu")
    assert 0 <= said["pq_stuff"] <= 1


def test_a_model_of_objects_is_judged_without_the_stuff_beside_them(cityscapes: Path) -> None:
    truth = open_data(cityscapes)["val"]
    joined = join(truth.labels, truth)
    assert joined.truth.classes == truth.classes
    assert join(with_stuff(truth.labels), truth).truth.classes == with_stuff(truth.labels).classes


def test_what_cannot_be(panoptic: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bare = tmp_path / "bare"
    for split in ("train", "val"):
        records = [(ref, found) for ref, found in formats.read(panoptic / split / "panoptic.json")]
        formats.write(records, bare / f"{split}.json", format="coco", classes=CLASSES)
    with pytest.raises(DataError, match="names no class as stuff"):
        train(data=bare, images={s: panoptic / s for s in ("train", "val")}, stuff=True, out=tmp_path / "a", **TINY)
    with pytest.raises(ConfigError, match=r"embedding learns no stuff; leave out stuff=True"):
        train(data=panoptic, stuff=True, out=tmp_path / "b", **(TINY | {"model": "embedding", "model_settings": {}}))
    with pytest.raises(ConfigError, match="stuff is given twice"):
        TrainConfig(stuff=True, model_settings={"stuff": [0]})


def test_classes_of_stuff_that_overlap_are_named(panoptic: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = open_data(panoptic)["train"]
    ref, found = data.labels[1]
    both = found.masks.to_dense()
    both[found.labels == 2, 20:26] = True  # the field reaches into the sky, of another class
    path = panoptic / "train" / "overlap.json"
    formats.write([(ref, found.replace(masks=Masks.from_dense(both)))], path, format="coco", classes=CLASSES)
    labels = formats.read(path, images=ref.path.parent)
    with caplog.at_level("WARNING", "apiece"):
        survey(Dataset(labels), TrainConfig(data=panoptic, crop=64), stuff=(0, 2))
        assert "classes of stuff overlap in 1 places, such as sky and field (" in caplog.text
        assert "on 1.png; a pixel has one class" in caplog.text
        caplog.clear()
        survey(data, TrainConfig(data=panoptic, crop=64), stuff=(0, 2))
        assert "overlap" not in caplog.text


def test_outside_of_the_image_nothing_is_learned() -> None:
    found = with_frame(
        Instances(Masks.from_boxes([[2, 2, 6, 6]], (40, 40)), full=Masks.from_boxes([[2, 2, 9, 6]], (40, 40)))
    )
    crop = in_strips(found.with_masks(lambda masks: masks.shift(-8, 10, size=(48, 40))))
    assert crop.crowd.tolist()[:1] == [False]
    outside = crop.masks[crop.crowd].union().to_dense()[0]
    expected = np.ones((48, 40), bool)
    expected[10:48, :32] = False
    assert (outside == expected).all()
    assert crop.full is not None
    assert in_strips(with_frame(Instances.empty((8, 8), ("a",)))).masks.area.tolist() == []
