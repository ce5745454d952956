"""Open Images' masks: the layouts of its download, FiftyOne 1.x, and datumaro 1.13."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from apiece import formats
from apiece.datasets import open_data
from apiece.errors import FormatError

HEADER = "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks"
CAT, DOG = "/m/01yrx", "/m/0bt9lr"
MASK = np.zeros((6, 8), bool)
MASK[1:3, 2:5] = True


def save(file: Path, array: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(file)


def listed(file: Path, *rows: str, header: str = HEADER) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join((header, *rows, "")))
    return file


def row(mask: str, image: str = "a", label: str = CAT, iou: str = "0.5") -> str:
    return f"{mask},{image},{label},1f,0.25,0.625,0.16,0.5,{iou},0.1 0.2 1;0.3 0.4 0"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two splits in one folder, as datumaro lays them out."""
    for split, stem in (("train", "a"), ("validation", "b")):
        for k, mask in enumerate((MASK, MASK[::-1])):
            save(tmp_path / "masks" / split / f"{stem}_{k}.png", mask)
        save(tmp_path / "images" / split / f"{stem}.jpg", np.zeros((6, 8, 3), np.uint8))
        rows = [row(f"{stem}_0.png", stem), row(f"{stem}_1.png", stem, DOG, "")][: 2 if split == "train" else 1]
        listed(tmp_path / "annotations" / f"{split}-annotations-object-segmentation.csv", *rows)
        listed(tmp_path / "annotations" / f"{split}-annotations-bbox.csv", header="ImageID,Source,LabelName,Confidence")
    (tmp_path / "annotations" / "class-descriptions.csv").write_text(f"{CAT},Cat\n{DOG},Dog\n")
    return tmp_path


def test_masks_have_the_classes_of_the_list(root: Path) -> None:
    sets = open_data(root)
    assert list(sets) == ["train", "val"]
    ((ref, found),) = sets["train"].labels
    assert ref.path.resolve() == (root / "images" / "train" / "a.jpg").resolve()
    assert (found.classes, found.names) == (("Cat", "Dog"), ["Cat", "Dog"])
    np.testing.assert_array_equal(found.masks.to_dense(), [MASK, MASK[::-1]])
    assert found.attributes["box_id"].tolist() == ["1f", "1f"]
    assert found.attributes["predicted_iou"].tolist() == [0.5, None]
    assert [i.names for _, i in sets["val"].labels] == [["Cat"]]
    for below in ("", "annotations", "annotations/train-annotations-object-segmentation.csv"):
        assert formats.detect(root / below) == "mask_files"


def test_layout_of_fiftyone(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        folder = tmp_path / split
        save(folder / "data" / "a.jpg", np.zeros((6, 8, 3), np.uint8))
        save(folder / "labels" / "masks" / "A" / "a_0.png", MASK)
        listed(folder / "labels" / "segmentations.csv", row("a_0.png"))
        (folder / "metadata").mkdir()
        (folder / "metadata" / "classes.csv").write_text(f"{DOG},Dog\n{CAT},Cat\n")
    sets = open_data(tmp_path)
    assert list(sets) == ["train", "val"]
    ((ref, found),) = sets["val"].labels
    assert (ref.path.is_file(), found.names, found.classes) == (True, ["Cat"], ("Dog", "Cat"))


@pytest.mark.parametrize("scale", [0.5, 2, 3])
def test_masks_are_scaled_to_their_image(root: Path, scale: float) -> None:
    """Nearly all of Open Images' masks are of another size than the images that it hands out."""
    size = int(8 * scale), int(6 * scale)
    save(root / "images" / "train" / "a.jpg", np.zeros((*size[::-1], 3), np.uint8))
    ((_, found),) = open_data(root)["train"].labels
    wanted = Image.fromarray(MASK).resize(size, Image.Resampling.NEAREST)
    np.testing.assert_array_equal(found.masks.to_dense()[0], np.array(wanted))


def test_without_images_masks_are_as_they_are(root: Path) -> None:
    (root / "images" / "train" / "a.jpg").unlink()
    (root / "annotations" / "class-descriptions.csv").unlink()
    ((_, found),) = formats.read(root / "annotations" / "train-annotations-object-segmentation.csv")
    assert (found.size, found.names) == ((6, 8), [CAT, DOG])


BAD = {
    "absent": (row("none.png"), r"line 3: none\.png: there is no such file in a folder of masks in"),
    "class": (row("a_1.png", label="/m/0"), r"line 3: LabelName: there is no class '/m/0' in the descriptions"),
    "iou": (row("a_1.png", iou="7"), r"line 3: PredictedIoU must lie from 0 to 1, got 7"),
    "cut": ("a_1.png,a", r"line 3: has 2 values, but the header 10; is the file cut short\?"),
    "outside": (row("../../a_1.png"), r"line 3: MaskPath '\.\./\.\./a_1\.png' leaves the folder"),
    "shape": (row("square.png"), r"line 3: square\.png: mask of \(4, 12\) pixels, which is not \(6, 8\)"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_named(root: Path, case: str) -> None:
    line, message = BAD[case]
    save(root / "masks" / "train" / "square.png", np.ones((4, 12), bool))
    file = root / "annotations" / "train-annotations-object-segmentation.csv"
    listed(file, row("a_0.png"), line)
    with pytest.raises(FormatError, match=rf"{file.name}: " + message):
        list(formats.read(file))
    told: list[FormatError] = []
    ((_, found),) = formats.read(file, on_bad=told.append)
    assert (found.names, len(told)) == (["Cat"], 1)
