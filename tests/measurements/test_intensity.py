"""Intensities against NumPy, mask by mask."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from apiece import Image, Instances, Masks
from apiece.errors import ConfigError, InvalidInstancesError
from apiece.measurements import Table, measure
from apiece.measurements._kit import inside

NAMES = {"mean": np.mean, "min": np.min, "max": np.max, "std": np.std}


def check(dense: np.ndarray, pixels: np.ndarray) -> Table:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = measure(Instances(Masks.from_dense(dense)), Image(pixels))
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    for k, mask in enumerate(dense):
        for c in range(pixels.shape[2]):
            inside = pixels[mask][:, c].astype(np.float64)
            for name, function in NAMES.items():
                expected = function(inside) if len(inside) else np.nan
                assert table[f"intensity_{name}_{c}"][k] == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)
    return table


@given(
    hnp.arrays(bool, st.just((3, 7, 6))),
    st.sampled_from([np.uint8, np.uint16, np.int16, np.int32, np.uint64, np.float32, np.float64, bool]),
    st.integers(1, 4),
    st.integers(0, 99),
)
@settings(max_examples=60)
def test_equal_to_numpy(dense: np.ndarray, dtype: type, channels: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 2 if dtype is bool else 120, (7, 6, channels)).astype(dtype)
    check(dense, pixels)


def test_one_channel_two_dimensions_and_strides() -> None:
    rng = np.random.default_rng(0)
    dense = rng.random((4, 20, 30)) < 0.3
    check(dense, rng.integers(0, 65535, (20, 30)).astype(np.uint16))
    check(dense, rng.integers(0, 255, (30, 20, 3)).astype(np.uint8).transpose(1, 0, 2))
    check(dense, rng.integers(0, 255, (20, 30, 3)).astype(">u2")[:, ::-1])


def test_pieces_of_a_large_mask_join_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    dense = rng.random((3, 40, 50)) < 0.7
    pixels = (rng.random((40, 50, 2)) + 1e6).astype(np.float64)
    whole = check(dense, pixels)
    monkeypatch.setattr(inside, "CHUNK", 64)
    pieces = check(dense, pixels)
    for name in whole.columns:
        if name.startswith("intensity"):
            np.testing.assert_allclose(pieces[name], whole[name], rtol=1e-9)


def test_a_flat_region_has_no_spread() -> None:
    pixels = np.full((9, 9), 65535, np.uint16)
    table = measure(Instances.from_label_map(np.ones((9, 9), int)), Image(pixels))
    assert table["intensity_std_0"][0] == 0
    assert table["intensity_mean_0"][0] == 65535


def test_nan_stays_in_its_own_mask() -> None:
    pixels = np.ones((2, 4))
    pixels[0, 0], pixels[0, 3] = np.nan, np.inf
    table = measure(Instances.from_label_map(np.array([[1, 1, 2, 3], [1, 1, 2, 3]])), Image(pixels))
    assert np.isnan(table["intensity_mean_0"][0])
    assert table["intensity_mean_0"][1] == 1
    assert table["intensity_std_0"][1] == 0
    assert table["intensity_max_0"][2] == np.inf


def test_wrong_size_and_no_image() -> None:
    found = Instances.from_label_map(np.ones((4, 6), int))
    with pytest.raises(InvalidInstancesError, match=r"5 x 6 .*4 x 6"):
        measure(found, Image(np.zeros((5, 6))))
    with pytest.raises(ConfigError, match="intensity_mean"):
        measure(found, properties=["area", "intensity_mean"])
    assert not any(name.startswith("intensity") for name in measure(found).columns)


def test_alpha_has_no_intensity_and_transparent_ground_counts_for_none() -> None:
    pixels = np.array([[[10, 255], [90, 0], [30, 255], [7, 0]]], np.uint8)
    found = Instances(Masks.from_boxes([[0, 0, 3, 1], [3, 0, 4, 1]], (1, 4)))
    table = measure(found, Image(pixels, alpha="unassociated"))
    assert "intensity_mean_1" not in table.columns
    assert table["intensity_mean_0"].tolist() == pytest.approx([20.0, np.nan], nan_ok=True)
    assert table["area"].tolist() == [3, 1]
    assert measure(found, Image(pixels))["intensity_max_1"].tolist() == [255, 0]
