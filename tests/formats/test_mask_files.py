"""Masks of one file each: ``stage1_train`` of the 2018 Data Science Bowl, and the flat layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from apiece import Instances, Masks, formats
from apiece.errors import FormatError
from apiece.testing._labels import ref

ID = "00071198d059ba7f5914a526d124d28e6d010c92466da21d4a04cd5413362552"
MASKS = np.zeros((3, 6, 8), np.uint8)
MASKS[0, 1:4, 1:4] = 255
MASKS[0, 2, 2] = 0
MASKS[1, 3:6, 3:6] = 255
MASKS[2, 0, 7] = MASKS[2, 5, 0] = 255


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(array).save(path)


@pytest.fixture
def bowl(tmp_path: Path) -> Path:
    root = tmp_path / "stage1_train"
    for name, mask in zip(("07a9bf", "0e548d", "9a0f1c"), MASKS, strict=True):
        save(root / ID / "masks" / f"{name}.png", mask)
    save(root / ID / "images" / f"{ID}.png", np.zeros((6, 8, 4), np.uint8))
    save(root / "none" / "images" / "none.png", np.zeros((5, 4), np.uint8))
    (root / "none" / "masks").mkdir()
    return root


def test_data_science_bowl(bowl: Path) -> None:
    labels = formats.read(bowl, "mask_files")
    (image, found), (bare, none) = labels
    assert image.name == f"{ID}.png"
    assert image.path == bowl / ID / "images" / f"{ID}.png"
    assert found.ids is None
    np.testing.assert_array_equal(found.masks.to_dense(), MASKS > 0)
    assert (bare.name, len(none), none.size) == ("none.png", 0, (5, 4))
    (bowl / "none" / "masks").rmdir()
    assert formats.detect(bowl) == formats.detect(bowl / ID) == "mask_files"
    assert formats.read(bowl / ID)[0][1] == formats.read(bowl)[0][1] == found


def test_round_trip(bowl: Path, tmp_path: Path) -> None:
    labels = formats.read(bowl, "mask_files")
    formats.write(labels, tmp_path / "out", "mask_files")
    again = formats.read(tmp_path / "out")
    assert [r.name for r in again.refs] == [r.name for r in labels.refs]
    assert again[0][1].replace(ids=None) == labels[0][1]
    with Pillow.open(tmp_path / "out" / ID / "masks" / "1.png") as image:
        np.testing.assert_array_equal(np.array(image), MASKS[0] > 0)


def test_flat_layout(tmp_path: Path) -> None:
    for stem in ("a", "b_1"):
        save(tmp_path / "images" / f"{stem}.png", np.zeros((6, 8), np.uint8))
        for k, mask in enumerate(MASKS):
            save(tmp_path / "masks" / f"{stem}_{k}.png", mask)
    assert formats.detect(tmp_path) == "mask_files"
    labels = formats.read(tmp_path)
    assert [r.name for r in labels.refs] == ["a.png", "b_1.png"]
    for _, found in labels:
        assert found.ids is not None
        assert found.ids.tolist() == [0, 1, 2]
        np.testing.assert_array_equal(found.masks.to_dense(), MASKS > 0)


def test_flat_layout_where_a_mask_could_be_of_two_images(tmp_path: Path) -> None:
    for stem in ("a", "a_1"):
        save(tmp_path / "images" / f"{stem}.png", np.zeros((6, 8), np.uint8))
    save(tmp_path / "masks" / "a_1.png", MASKS[0])
    save(tmp_path / "masks" / "a_2.png", MASKS[0])
    assert formats.detect(tmp_path) == "labelmap"
    with pytest.raises(FormatError, match="could be a mask of 'a' or the label map of 'a_1'"):
        formats.read(tmp_path, "mask_files")
    (tmp_path / "masks" / "a_1.png").rename(tmp_path / "masks" / "c_0.png")
    with pytest.raises(FormatError, match="is the mask of no image"):
        formats.read(tmp_path, "mask_files")


def test_label_maps_are_no_masks(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", np.zeros((6, 8), np.uint8))
    save(tmp_path / "masks" / "a_mask.png", MASKS[0])
    assert formats.detect(tmp_path) == "labelmap"


def test_bad_masks(bowl: Path) -> None:
    bad = bowl / ID / "masks" / "0e548d.png"
    several = MASKS[1].copy()
    several[3, 3] = 7
    colour = np.stack([MASKS[1], 0 * MASKS[1], MASKS[1]], -1)
    cases = {"has several values": several, "is a colour image": colour, "is of": MASKS[1][:4]}
    for message, array in cases.items():
        save(bad, array)
        with pytest.raises(FormatError, match=message) as caught:
            list(formats.read(bowl, "mask_files"))
        assert caught.value.path == bad
        told: list[FormatError] = []
        labels = formats.read(bowl, "mask_files", on_bad=told.append)
        for _ in range(2):
            np.testing.assert_array_equal(labels[0][1].masks.to_dense(), MASKS[[0, 2]] > 0)
        assert len(told) == 1


def test_a_size_nobody_knows(bowl: Path) -> None:
    (bowl / "none" / "images" / "none.png").unlink()
    with pytest.raises(FormatError, match=r"'none\.png': its size is not stated"):
        list(formats.read(bowl, "mask_files"))


@settings(max_examples=15)
@given(
    bits=st.lists(st.booleans(), min_size=24, max_size=24),
    ids=st.lists(st.integers(0, 2**63 - 1), min_size=2, max_size=2, unique=True),
)
def test_round_trips(tmp_path_factory: pytest.TempPathFactory, bits: list[bool], ids: list[int]) -> None:
    found = Instances(Masks.from_dense(np.array(bits).reshape(2, 3, 4)), ids=np.array(ids))
    path = tmp_path_factory.mktemp("masks") / "out"
    formats.write([(ref("x/a.b.png"), found)], path, "mask_files")
    ((image, again),) = formats.read(path)
    assert image.name == "x/a.b.png"
    assert again == found


def test_large_masks_of_one_bit(tmp_path: Path) -> None:
    # eight pixels to a byte, so that deflate packs them below a thousandth of a byte each
    mask = Masks.from_boxes([[3000, 2000, 3001, 2001]], (3000, 4000))
    formats.write([(ref(), Instances(mask))], tmp_path / "out", "mask_files")
    assert formats.read(tmp_path / "out")[0][1].masks == mask
