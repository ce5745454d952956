"""Label maps as NumPy files, which are never unpickled."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apiece import formats
from apiece.errors import FormatError

A = np.array([[0, 1, 1, 0], [0, 3, 3, 0], [0, 0, 0, 200]], np.int64)


def save(path: Path, **arrays: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, next(iter(arrays.values())), allow_pickle=True)
    else:
        np.savez_compressed(path, **arrays)
    return path


@pytest.mark.parametrize("name", ["a.npy", "a_masks.npy", "a.npz", "sub/masks/a.npy"])
@pytest.mark.parametrize("dtype", ["uint8", ">u4", "int64", "float32"])
def test_values_become_ids(tmp_path: Path, name: str, dtype: str) -> None:
    path = save(tmp_path / name, masks=A.astype(dtype))
    labels = formats.read(path, None if np.dtype(dtype).kind != "f" else "labelmap")
    assert labels.refs[0].name == "a.png"
    instances = labels[0][1]
    assert instances.ids is not None
    np.testing.assert_array_equal(instances.masks.to_label_map(instances.ids), A)


@pytest.mark.parametrize("array", [A[None], A[..., None], np.asfortranarray(A), A > 0])
def test_shapes_and_orders(tmp_path: Path, array: Any) -> None:
    instances = formats.read(save(tmp_path / "masks" / "a.npy", y=array))[0][1]
    np.testing.assert_array_equal(instances.masks.union().to_dense()[0], A > 0)
    assert len(instances) == (1 if array.dtype == bool else 3)


def test_a_folder_of_arrays_beside_images(tmp_path: Path) -> None:
    from PIL import Image as Pillow

    for stem in "ab":
        Pillow.fromarray(np.zeros((3, 4, 3), np.uint8)).save(tmp_path / f"{stem}.jpg")
        save(tmp_path / f"{stem}.npy", a=A)
    assert formats.detect(tmp_path) == "labelmap"
    assert [ref.path for ref in formats.read(tmp_path).refs] == [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    # beside labels of another kind they may be anything, such as depth
    (tmp_path / "labels.json").write_text('{"images": [], "annotations": [], "categories": []}')
    assert formats.load("labelmap").detect(tmp_path) is False


def test_several_arrays(tmp_path: Path) -> None:
    image = np.zeros((3, 4, 3), np.uint8)
    assert len(formats.read(save(tmp_path / "a.npz", img=image, anything=A))[0][1]) == 3
    assert len(formats.read(save(tmp_path / "b.npz", image=A * 0, masks=A))[0][1]) == 3
    with pytest.raises(FormatError, match=r"one label map .*; its arrays are: p \(3, 4\), q \(3, 4\)"):
        formats.read(save(tmp_path / "c.npz", p=A, q=A), "labelmap")[0]


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    assert pickle.dumps(Evil())
    for name in ("a.npy", "a.npz"):
        path = save(tmp_path / name, masks=np.array([[Evil()]], object))
        assert formats.load("labelmap").detect(path) is False
        with pytest.raises(FormatError, match="holds Python objects"):
            formats.read(path, "labelmap")[0]
    assert not (tmp_path / "ran").exists()


def test_what_is_no_label_map(tmp_path: Path) -> None:
    for array, reason in (
        (np.zeros((5, 3, 4), np.uint8), r"is of shape \(5, 3, 4\), where a label map is"),
        (A / 3, "holds floats, such as 0.333333"),
        (A - 5, "holds the negative value -5"),
        (np.zeros((0, 4), np.uint8), "there is nothing in it"),
        (np.array([["a"]]), "values of a kind"),
    ):
        with pytest.raises(FormatError, match=reason):
            formats.read(save(tmp_path / "a.npy", a=array), "labelmap")[0]


def test_every_truncation_is_an_error(tmp_path: Path) -> None:
    for name in ("a.npy", "a.npz"):
        whole = save(tmp_path / name, masks=A).read_bytes()
        for end in range(len(whole)):
            (tmp_path / name).write_bytes(whole[:end])
            formats.load("labelmap").detect(tmp_path / name)
            with pytest.raises(FormatError):
                formats.read(tmp_path / name, "labelmap")[0]


def test_a_header_that_claims_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<u4", "fortran_order": False, "shape": (1 << 15, 1 << 15)}
        )
        file.write(bytes(100))
    with pytest.raises(FormatError, match="claims 1073741824 pixels"):
        formats.read(path, "labelmap")[0]
