"""Cellpose: ``*_seg.npy`` as cellpose 4 (``masks_flows_to_seg``) and older versions save it; pickles that do harm."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from apiece import Instances, formats
from apiece.errors import FormatError
from apiece.formats.cellpose._pickled import Pickled, PickleRefusedError, read_pickle
from apiece.testing._labels import plain_instances, ref

A = np.array([[0, 1, 1, 0], [0, 3, 3, 0], [0, 0, 0, 200]], np.uint16)


def seg(masks: np.ndarray = A, **more: Any) -> dict[str, Any]:
    """What Cellpose puts into its file."""
    return {
        "outlines": A,
        "colors": np.full((3, 3), 200, np.uint8),
        "masks": masks,
        "chan_choose": [0, 0],
        "ismanual": np.zeros(200, bool),
        "filename": "/home/me/cells/a.tif",
        "flows": [np.zeros((1, 3, 4, 3), np.uint8), np.zeros((1, 3, 4)), [], np.zeros((3, 3, 4), np.float32)],
        "est_diam": np.float64(12.5),
        "diameter": np.nan,
        "cellprob_threshold": np.float32(0.5),
        "restore": None,
        "big": -(2**70),
        **more,
    }


def save(path: Path, value: Any, protocol: int | None = None) -> Path:
    """As ``np.save`` does; with another pickle protocol, as older NumPy did."""
    if protocol is None:
        np.save(path, value, allow_pickle=True)
        return path
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        pickle.dump(np.array(value, object) if protocol > 2 else value, file, protocol=protocol)
    return path


@pytest.mark.parametrize("protocol", [None, 3, 4])
def test_what_cellpose_writes(tmp_path: Path, protocol: int | None) -> None:
    path = save(tmp_path / "a_seg.npy", seg(), protocol)
    assert formats.detect(path) == formats.detect(tmp_path) == "cellpose"
    ((image, found),) = formats.read(tmp_path)
    assert image.name == "a.tif"
    assert found.ids is not None
    assert found.ids.tolist() == [1, 3, 200]
    np.testing.assert_array_equal(found.masks.to_label_map(found.ids), A)
    Pillow.fromarray(A.astype(np.uint8)).save(tmp_path / "a.png")
    (image,) = formats.read(path).refs
    assert (image.name, image.path) == ("a.png", tmp_path / "a.png")


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "u1", "<i4", ">i8", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_kinds_of_masks(tmp_path: Path, dtype: str, order: str) -> None:
    masks = np.asarray(A > 1 if dtype == "?" else A, dtype, order=order)  # type: ignore[call-overload]
    found = formats.read(save(tmp_path / "a_seg.npy", seg(masks)))[0][1]
    np.testing.assert_array_equal(found.masks.to_label_map(found.ids), masks.astype(np.int64))


def test_numpy_reads_what_is_written(tmp_path: Path) -> None:
    found = Instances.from_label_map(A)
    formats.write([(ref("sub/ä b.jpg"), found)], tmp_path / "out", "cellpose")
    data = np.load(tmp_path / "out" / "sub" / "ä b_seg.npy", allow_pickle=True).item()
    assert data["filename"] == "sub/ä b.jpg"
    assert data["masks"].dtype == data["outlines"].dtype == np.uint16
    np.testing.assert_array_equal(data["masks"], A)
    np.testing.assert_array_equal(data["outlines"], A)
    assert len(data["ismanual"]) == 3
    square = np.zeros((5, 6), np.uint8)
    square[1:4, 1:5] = 1
    formats.write([("b.png", Instances.from_label_map(square))], tmp_path / "b_seg.npy", "cellpose")
    data = np.load(tmp_path / "b_seg.npy", allow_pickle=True).item()
    assert np.flatnonzero(square.ravel() != data["outlines"].ravel()).tolist() == [14, 15]


def test_one_file_holds_one_image(tmp_path: Path) -> None:
    found = plain_instances()
    for records in ([], [(ref("a.png"), found), (ref("b.png"), found)]):
        with pytest.raises(FormatError, match=r"one \.npy file holds one image"):
            formats.write(records, tmp_path / "a_seg.npy", "cellpose")
    with pytest.raises(FormatError, match=r"must end in _seg\.npy"):
        formats.write([(ref(), found)], tmp_path / "a.npy", "cellpose")
    assert list(tmp_path.iterdir()) == []


class _Harm:
    def __init__(self, what: Callable[..., Any], *given: Any) -> None:
        self.call = what, given

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_nothing_in_a_pickle_runs(tmp_path: Path, protocol: int) -> None:
    trap = tmp_path / "trap"
    for value, name in (
        (_Harm(os.mkdir, str(trap)), "posix.mkdir|nt.mkdir|no plain data"),
        (_Harm(eval, f"open({str(trap)!r}, 'w')"), "builtins.eval|__builtin__.eval|no plain data"),
        (_Harm(np.load, "x.npy"), "numpy.*load|no plain data"),
    ):
        path = save(tmp_path / "a_seg.npy", {"extra": value}, protocol)
        with pytest.raises(FormatError, match=name):
            list(formats.read(path))
    assert not trap.exists()


def test_foreign_objects_are_named(tmp_path: Path) -> None:
    path = save(tmp_path / "a_seg.npy", seg(filename=Path("a.png")))
    with pytest.raises(FormatError, match=r"would import 'pathlib\.\w+Path'; only arrays"):
        list(formats.read(path))
    path = save(tmp_path / "a_seg.npy", seg(when=np.array(["2024-01-01"], "M8[D]")))
    with pytest.raises(FormatError, match="of type 'M8'"):
        list(formats.read(path))


BAD_MASKS = {
    "missing": (None, "masks: is missing, or no array"),
    "list": ([[1, 2]], "masks: is missing, or no array"),
    "volume": (np.zeros((4, 3, 4), np.uint16), "volumes are not read"),
    "floats": (A.astype(float), "must be integers"),
    "negative": (-A.astype(int), "has values from -200"),
    "objects": (np.array([None, 1]), "is an array of objects"),
    "empty": (np.zeros((0, 4), np.uint16), "must be integers"),
}


@pytest.mark.parametrize("case", BAD_MASKS)
def test_bad_masks(tmp_path: Path, case: str) -> None:
    masks, message = BAD_MASKS[case]
    save(tmp_path / "a_seg.npy", seg(masks=masks))
    save(tmp_path / "b_seg.npy", seg())
    with pytest.raises(FormatError, match=message):
        list(formats.read(tmp_path))
    told: list[FormatError] = []
    labels = formats.read(tmp_path, on_bad=told.append)
    for _ in range(2):
        assert len(list(labels)) == len(labels) == 1
    assert [e.path.name for e in told] == ["a_seg.npy"]


def test_plain_arrays_are_another_format(tmp_path: Path) -> None:
    np.save(tmp_path / "a_seg.npy", A)
    assert formats.detect(tmp_path / "a_seg.npy") == "labelmap"
    with pytest.raises(FormatError, match="is no NumPy file of one object"):
        formats.read(tmp_path / "a_seg.npy", "cellpose")


def pickled(value: Any) -> bytes:
    return pickle.dumps(value, protocol=4)


def test_claims_are_compared_with_the_bytes() -> None:
    claims = {
        b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"abc.": "cut short",
        b"\x80\x04B" + struct.pack("<I", 2**31) + b"abc.": "cut short",
        b"\x80\x02]r\xff\xff\xff\x7f.": None,  # a place in the memo is a name here, not a length
        b"\x80\x02j\xff\xff\xff\x7f.": "damaged",
        b"\x80\x04\x95" + struct.pack("<Q", 2**62): "cut short|damaged",
        b"\x80\x02" + b"(" * 1000 + b".": "stack",
        b"\x80\x02" + b"]" * (1 << 20): "instructions|cut short",
        b"\x80\x02}]]s.": "keys",
        b"\x80\x02t.": "damaged|beginning",
        b"": "cut short",
    }
    for data, message in claims.items():
        if message is None:
            assert read_pickle(memoryview(data)) == []
            continue
        with pytest.raises(PickleRefusedError, match=message):
            read_pickle(memoryview(data))
    data = pickled(np.zeros((3, 4), np.uint16)).replace(b"K\x03K\x04\x86", b"K\xffK\xff\x86")
    with pytest.raises(PickleRefusedError, match="data is of another length"):
        read_pickle(memoryview(data)).array()


@pytest.mark.parametrize("code", [b"U0", b"U999999999"])
def test_types_that_numpy_has_not(code: bytes) -> None:
    """Text of no characters, and of more than a type can have."""
    data = pickled(np.zeros((0, 3), "U7")).replace(b"\x8c\x02U7", b"\x8c" + bytes([len(code)]) + code)
    with pytest.raises(PickleRefusedError, match=r"claims shape \(0, 3\) of U\d+, which NumPy cannot hold"):
        read_pickle(memoryview(data)).array()


def test_shared_and_nested_values() -> None:
    shared = [1, "a", (2.5, None, True)]
    value = {"x": shared, "y": [shared, shared], 3: {"z": ()}}
    assert read_pickle(memoryview(pickled(value))) == value
    loop: list[Any] = []
    loop.append(loop)
    found = read_pickle(memoryview(pickled(loop)))
    assert found[0] is found
    text = read_pickle(memoryview(pickled(np.array(["äb", "c"]))))
    assert isinstance(text, Pickled)
    assert text.array().tolist() == ["äb", "c"]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
def test_damage_is_an_error_or_harmless(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    path = save(tmp_path / "a_seg.npy", seg())
    data = bytearray(path.read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    path.write_bytes(data)
    try:
        list(formats.read(path, "cellpose"))
    except FormatError as error:
        assert error.path == path  # noqa: PT017


def test_every_truncation_is_an_error(tmp_path: Path) -> None:
    path = save(tmp_path / "a_seg.npy", seg())
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(FormatError):
            list(formats.read(path, "cellpose"))
