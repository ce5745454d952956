"""Results as the benchmarks of Cityscapes and KITTI take them, and KITTI's semantic instances."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from apiece import evaluate, formats
from apiece.datasets import open_data
from apiece.errors import FormatError

FRAME = "frankfurt_000000_000294"
TRUTH = np.zeros((20, 30), np.uint16)
TRUTH[2:12, 3:13], TRUTH[5:15, 15:25], TRUTH[16:19, 0:6] = 26000, 26001, 24000


def save(array: np.ndarray, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(array).save(file)
    return file


def mask(value: int) -> np.ndarray:
    return np.where(value == TRUTH, 255, 0).astype(np.uint8)


def values(array: np.ndarray | None) -> list[float]:
    assert array is not None
    return list(array.tolist())


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    for frame, array in ((FRAME, TRUTH), ("frankfurt_000001_000019", np.zeros_like(TRUTH))):
        save(array, tmp_path / "gtFine" / "val" / "frankfurt" / f"{frame}_gtFine_instanceIds.png")
        photo = tmp_path / "leftImg8bit" / "val" / "frankfurt" / f"{frame}_leftImg8bit.png"
        save(np.zeros((20, 30, 3), np.uint8), photo)
    return tmp_path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two cars and a person that is found as a rider, and an image on which nothing is found."""
    root = tmp_path / "results"
    for k, value in enumerate((26000, 26001, 24000)):
        save(mask(value), root / "masks" / f"{FRAME}_{k}.png")
    rows = ((0, "026", 0.9), (1, "26", 0.8), (2, "25", 0.25))
    text = "".join(f"masks/{FRAME}_{k}.png {label} {score}\n" for k, label, score in rows)
    (root / f"{FRAME}_pred.txt").write_text(text)
    (root / "frankfurt_000001_000019_pred.txt").touch()
    return root


def test_a_list_names_masks_classes_and_scores(truth: Path, results: Path) -> None:
    assert formats.detect(results) == formats.detect(results / f"{FRAME}_pred.txt") == "cityscapes"
    labels = formats.read(results, images=truth / "leftImg8bit")
    assert [ref.name for ref in labels.refs] == [
        f"val/frankfurt/{frame}_leftImg8bit.png" for frame in (FRAME, "frankfurt_000001_000019")
    ]
    (_, found), (_, nothing) = labels
    assert (found.names, values(found.scores)) == (["car", "car", "rider"], [0.9, 0.8, 0.25])
    for value, own in zip((26000, 26001, 24000), found.masks, strict=True):
        np.testing.assert_array_equal(own.to_dense()[0], value == TRUTH)
    assert (len(nothing), nothing.size) == (0, (20, 30))


@pytest.mark.parametrize("split", ["", "val"])
def test_they_are_judged_on_the_images_they_are_called_after(truth: Path, results: Path, split: str) -> None:
    (results / split).mkdir(exist_ok=True)
    for text in results.glob("*.txt"):
        if split:
            text.rename(results / split / text.name)
    if split:
        (results / "masks").rename(results / split / "masks")
    report = evaluate(results, truth / "gtFine" / "val")
    assert report["mask_ap"] == pytest.approx(0.5)  # both cars, not the person
    assert report.per_class["car"]["mask_ap"] == 1


def test_results_become_coco(truth: Path, results: Path, tmp_path: Path) -> None:
    labels = formats.read(results, images=truth / "leftImg8bit" / "val")
    formats.write(labels, tmp_path / "out.json")
    for (_, wanted), (_, found) in zip(labels, formats.read(tmp_path / "out.json"), strict=True):
        assert wanted.masks == found.masks
        np.testing.assert_array_equal(wanted.scores, found.scores)


BAD = {
    "fields": ("masks/b.png 26", r"line 2: has 2 fields instead of a mask's path, a class and a score"),
    "absent": ("masks/none.png 26 0.5", r"line 2: none\.png: there is no such file in .*masks"),
    "outside": ("../../secret.png 26 0.5", r"line 2: the mask '\.\./\.\./secret\.png' lies outside of"),
    "unknown": ("masks/b.png 99 0.5", r"line 2: there is no class 99; those with objects are 24 to 33"),
    "stuff": ("masks/b.png 7 0.5", r"line 2: 7 is road, which has no objects; those with objects are 24 to 33"),
    "score": ("masks/b.png 26 97.5", r"line 2: the score must lie from 0 to 1, got 97\.5"),
    "nan": ("masks/b.png 26 nan", r"line 2: the score is not finite"),
    "size": ("masks/small.png 26 0.5", r"line 2: small\.png: is of \(4, 5\) pixels, and other masks .*\(20, 30\)"),
    "colour": ("masks/rgb.png 26 0.5", r"line 2: rgb\.png: is a colour image"),
    "twice": ("masks/a.png 25 0.5", r"line 2: a\.png is the mask of line 1 already"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_lines_are_named(tmp_path: Path, case: str) -> None:
    line, message = BAD[case]
    root = tmp_path / "set" / "results"
    for name in ("a", "b"):
        save(mask(26000), root / "masks" / f"{name}.png")
    save(np.ones((4, 5), np.uint8), root / "masks" / "small.png")
    save(np.tile(np.uint8([9, 0, 0]), (20, 30, 1)), root / "masks" / "rgb.png")
    save(mask(26000), tmp_path / "secret.png")
    (root / "x_pred.txt").write_text(f"masks/a.png 26 0.5\n{line}\n")
    with pytest.raises(FormatError, match=r"x_pred\.txt: " + message):
        list(formats.read(root))
    told: list[FormatError] = []
    ((ref, found),) = formats.read(root, on_bad=told.append)
    assert (ref.name, found.names, len(told)) == ("x.png", ["car"], 1)


def test_two_lists_of_one_image(results: Path) -> None:
    (results / f"{FRAME}_again.txt").write_text((results / f"{FRAME}_pred.txt").read_text())
    with pytest.raises(FormatError, match=rf"{FRAME}_pred\.txt: and .*{FRAME}_again\.txt are results on one image"):
        formats.read(results)


KITTI = np.where(TRUTH, TRUTH // 1000 * 256 + TRUTH % 1000 + 1, 7 * 256 + 1).astype(np.uint16)
KITTI[0, 0:2], KITTI[0, 4:8] = 0, 26 * 256  # unlabelled, and cars that are not told apart


@pytest.fixture
def kitti(tmp_path: Path) -> Path:
    training = tmp_path / "training"
    save(KITTI, training / "instance" / "000000_10.png")
    save((KITTI // 256).astype(np.uint8), training / "semantic" / "000000_10.png")
    save(np.zeros((20, 30, 3), np.uint8), training / "image_2" / "000000_10.png")
    save(np.zeros((20, 30, 3), np.uint8), tmp_path / "testing" / "image_2" / "000000_10.png")
    return tmp_path


@pytest.mark.parametrize("below", ["", "training", "training/instance", "training/instance/000000_10.png"])
def test_semantic_instances_of_kitti(kitti: Path, below: str) -> None:
    assert formats.detect(kitti / below) == "cityscapes"
    ((ref, found),) = formats.read(kitti / below)
    assert ref.path.resolve() == (kitti / "training" / "image_2" / "000000_10.png").resolve()
    assert values(found.ids) == [6145, 6656, 6657, 6658]
    assert found.names == ["person", "car", "car", "car"]
    assert found.crowd.tolist() == [False, True, False, False]
    np.testing.assert_array_equal(found.masks.to_label_map(found.ids), np.where(KITTI < 6144, 0, KITTI))
    assert list(ref.attributes["stuff"]) == ["road"]
    assert list(open_data(kitti)) == ["train"]


def test_a_value_of_no_class_is_named(kitti: Path) -> None:
    save(np.where(KITTI == 6657, 26001, KITTI).astype(np.uint16), kitti / "training" / "instance" / "000000_10.png")
    with pytest.raises(FormatError, match=r"000000_10\.png: value 26001: there is no class of objects .* 101"):
        list(formats.read(kitti))
    told: list[FormatError] = []
    ((_, found),) = formats.read(kitti, on_bad=told.append)
    assert (len(found), len(told)) == (3, 1)


def test_own_classes_of_datumaro(kitti: Path) -> None:
    """datumaro 1.13 numbers classes by their places in its list, from 0, and pixels of no object are 0."""
    (kitti / "label_colors.txt").write_text(" bolt\n nut\n")
    array = np.zeros((20, 30), np.uint16)
    array[1:4, 1:5], array[5:7, 6:9], array[10:12, 6:9] = 257, 2, 256
    save(array, kitti / "training" / "instance" / "000000_10.png")
    ((ref, found),) = formats.read(kitti)
    assert (found.names, values(found.ids)) == (["bolt", "nut", "nut"], [2, 256, 257])
    assert (found.crowd.tolist(), found.masks.area.tolist()) == ([False, True, False], [6, 6, 12])
    assert not ref.attributes


def test_results_of_kitti(kitti: Path) -> None:
    root = kitti / "MYALGO_instance"
    lists = root / "pred_list"
    lists.mkdir(parents=True)
    for k, value in enumerate((6657, 6658)):
        save(np.where(value == KITTI, 1, 0).astype(np.uint8), root / "pred_img" / f"000000_10_{k:03d}.png")
    rows = [f"../pred_img/000000_10_{k:03d}.png 026 0.9763{k}" for k in range(2)]
    (lists / "000000_10.txt").write_text("\n".join(rows))
    for path in (root, lists, lists / "000000_10.txt"):
        assert formats.detect(path) == "cityscapes"
        report = evaluate(path, kitti / "training")
        assert report.per_class["car"]["mask_ap"] == pytest.approx(1)
