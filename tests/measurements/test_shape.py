"""Size and shape: drawn by hand, and against scikit-image and shapely."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from skimage.measure import euler_number, label, regionprops

from apiece import Instances, Masks
from apiece.core.image import PixelSize
from apiece.measurements import Table, load, measure
from apiece.ops.hull import calipers, hull_columns
from apiece.ops.true_hull import tips, true_hulls

DENSE = hnp.arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)))
SHAPE = [prop.name for prop in load("shape").properties]
SCALE = st.sampled_from([(1.0, 1.0), (0.5, 0.5), (2.0, 1.0), (0.3, 1.7)])


def table_of(dense: np.ndarray, **options: object) -> Table:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        masks = Masks.from_dense(dense if dense.ndim == 3 else dense[None])
        return measure(Instances(masks), properties=SHAPE, **options)


def drawn(text: str) -> np.ndarray:
    return np.array([[c == "#" for c in line] for line in text.split()])


def blobs(seed: int, count: int = 40, side: int = 40) -> np.ndarray:
    """Random ellipses with bites and holes, some of several parts: bool (count, side, side)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] + 0.5
    out = np.zeros((count, side, side), bool)
    for mask in out:
        for inside in (True, True, False):
            cx, cy, a, b, t = *rng.uniform(8, side - 8, 2), *rng.uniform(1, 12, 2), rng.uniform(0, np.pi)
            u, v = (x - cx) * np.cos(t) + (y - cy) * np.sin(t), (y - cy) * np.cos(t) - (x - cx) * np.sin(t)
            mask[(u / a) ** 2 + (v / b) ** 2 <= 1] = inside
        mask[rng.integers(side), rng.integers(side)] = True
    return out


def test_rectangle() -> None:
    mask = np.zeros((10, 12), bool)
    mask[2:5, 3:10] = True  # 7 wide, 3 high
    row = {name: column[0] for name, column in table_of(mask).columns.items()}
    assert row["pixels"] == row["area"] == 21
    assert [row[f"box_{k}"] for k in ("x0", "y0", "x1", "y1")] == [3, 2, 10, 5]
    assert (row["centroid_x"], row["centroid_y"]) == (6.5, 3.5)
    assert row["equivalent_diameter"] == pytest.approx(2 * math.sqrt(21 / math.pi))
    assert row["feret_max"] == pytest.approx(math.hypot(7, 3))
    assert row["feret_min"] == row["rect_width"] == pytest.approx(3)
    assert (row["rect_length"], row["rect_angle"]) == (pytest.approx(7), 0)
    assert row["orientation"] == 0
    # variance of n pixel centres in a row: (n^2 - 1) / 12
    assert row["major_axis"] == pytest.approx(4 * math.sqrt(48 / 12))
    assert row["minor_axis"] == pytest.approx(4 * math.sqrt(8 / 12))
    assert row["eccentricity"] == pytest.approx(math.sqrt(1 - 8 / 48))
    assert (row["solidity"], row["holes"], row["parts"], row["cut_by_border"]) == (1, 0, 1, False)
    # crossings: 2 x 3 along x, 2 x 7 along y, 2 x 9 along each diagonal
    assert row["perimeter"] == pytest.approx(math.pi / 8 * (6 + 14 + 36 / math.sqrt(2)))
    assert row["circularity"] == pytest.approx(4 * math.pi * 21 / row["perimeter"] ** 2)


def test_the_same_rectangle_in_pixels_that_are_not_square() -> None:
    mask = np.zeros((10, 12), bool)
    mask[2:5, 3:10] = True
    table = table_of(mask, pixel_size="0.5 x 2 um")  # 3.5 um wide, 6 um high
    assert table["area"][0] == 21
    assert table.units["area"] == "um2"
    assert table["pixels"][0] == 21
    assert "pixels" not in table.units
    assert table["rect_length"][0] == pytest.approx(6)
    assert table["rect_width"][0] == pytest.approx(3.5)
    assert table["rect_angle"][0] == pytest.approx(90)
    assert table.units["rect_angle"] == "deg"
    assert table["feret_max"][0] == pytest.approx(math.hypot(3.5, 6))
    assert table.units["feret_max"] == "um"
    assert table["orientation"][0] == pytest.approx(90)
    assert table["major_axis"][0] == pytest.approx(4 * 2 * math.sqrt(8 / 12))
    assert table["box_x1"][0] == 10
    assert table["centroid_x"][0] == 6.5
    assert table.units["centroid_x"] == "px"
    assert table["solidity"][0] == 1


def test_one_pixel() -> None:
    row = {name: column[0] for name, column in table_of(drawn("... .#. ...")).columns.items()}
    assert (row["area"], row["holes"], row["parts"], row["cut_by_border"]) == (1, 0, 1, False)
    assert row["feret_max"] == pytest.approx(math.sqrt(2))
    assert row["feret_min"] == pytest.approx(1)
    assert (row["rect_length"], row["rect_width"], row["rect_angle"]) == (1, 1, 0)
    assert (row["major_axis"], row["minor_axis"], row["eccentricity"], row["orientation"]) == (0, 0, 0, 0)
    assert row["solidity"] == 1


@pytest.mark.parametrize(
    ("picture", "length", "width", "angle", "orientation"),
    [
        ("#####", 5, 1, 0, 0),
        ("# # # #", 4, 1, 90, 90),
        # the next diagonals of pixel centres lie 0.71 away at either side: the line is expected to reach half as far
        ("#.. .#. ..#", 3 * math.sqrt(2), math.sqrt(0.5), 45, 45),
        ("..# .#. #..", 3 * math.sqrt(2), math.sqrt(0.5), 135, 135),
    ],
)
def test_lines(picture: str, length: float, width: float, angle: float, orientation: float) -> None:
    table = table_of(drawn(picture))
    assert table["rect_length"][0] == pytest.approx(length)
    assert table["rect_width"][0] == table["feret_min"][0] == pytest.approx(width)
    assert table["rect_angle"][0] == pytest.approx(angle)
    assert table["orientation"][0] == pytest.approx(orientation)
    assert table["minor_axis"][0] == 0
    assert table["eccentricity"][0] == 1
    assert table["solidity"][0] == 1
    assert table["cut_by_border"][0]


def test_ring_and_pieces() -> None:
    ring = drawn("###.. #.#.. ###.. ....# .....")
    table = table_of(ring)
    assert (table["area"][0], table["holes"][0], table["parts"][0]) == (9, 1, 2)
    whole = table_of(drawn("###.. ###.. ###.. ....# ....."))
    # the hole's outline counts: 2 crossings along x and y, 2 along each diagonal
    assert table["perimeter"][0] - whole["perimeter"][0] == pytest.approx(math.pi / 8 * (4 + 4 / math.sqrt(2)))
    assert table["solidity"][0] == pytest.approx(0.9 * whole["solidity"][0])


def test_empty_masks_and_none() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dense = np.zeros((3, 4, 5), bool)
        dense[1, 1:3, 1:3] = True
        table = table_of(dense)
        assert len(table_of(np.zeros((0, 4, 5), bool))) == 0
    for name in ("area", "perimeter", "equivalent_diameter", "box_x1", "holes", "parts", "cut_by_border"):
        assert_array_equal(table[name][[0, 2]], 0)
    for name in ("centroid_x", "feret_max", "feret_min", "rect_length", "rect_angle", "major_axis", "eccentricity"):
        assert np.isnan(table[name][[0, 2]]).all()
        assert not np.isnan(table[name][1])
    assert np.isnan(table["solidity"][[0, 2]]).all()
    assert np.isnan(table["circularity"][[0, 2]]).all()


@pytest.mark.parametrize(("row", "column"), [(0, 2), (4, 2), (2, 0), (2, 4)])
def test_cut_by_each_border(row: int, column: int) -> None:
    mask = np.zeros((5, 5), bool)
    mask[2, 2] = True
    assert not table_of(mask)["cut_by_border"][0]
    mask[row, column] = True
    assert table_of(mask)["cut_by_border"][0]


def check_against_skimage(dense: np.ndarray, scale: float) -> None:
    table = table_of(dense, pixel_size=None if scale == 1 else f"{scale} um")
    for k, mask in enumerate(dense):
        if not mask.any():
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (truth,) = regionprops(mask.astype(np.uint8), spacing=(scale, scale))
            expected = {
                "area": truth.area,
                "perimeter": truth.perimeter_crofton,
                "equivalent_diameter": truth.equivalent_diameter_area,
                "major_axis": truth.axis_major_length,
                "solidity": truth.solidity,
            }
            thick, angle = truth.axis_minor_length, 90 - math.degrees(truth.orientation)
        for name, value in expected.items():
            assert table[name][k] == pytest.approx(value, rel=1e-9, abs=1e-9), name
        assert table["minor_axis"][k] == pytest.approx(thick, abs=1e-6 * (1 + expected["major_axis"]))
        if expected["major_axis"] - thick > 1e-3:
            assert abs((table["orientation"][k] - angle + 90) % 180 - 90) < 1e-4
            assert table["eccentricity"][k] == pytest.approx(truth.eccentricity, abs=1e-6)
        assert table["parts"][k] == label(mask, connectivity=1).max()
        assert table["parts"][k] - table["holes"][k] == euler_number(mask, connectivity=1)
        y, x = truth.centroid[0] / scale, truth.centroid[1] / scale
        assert (table["centroid_x"][k], table["centroid_y"][k]) == (pytest.approx(x + 0.5), pytest.approx(y + 0.5))
        # skimage takes the edge midpoints of the rasterised hull
        assert abs(truth.feret_diameter_max - table["feret_max"][k]) <= 2 * scale


@given(DENSE, st.sampled_from([1.0, 0.25]))
@settings(max_examples=60)
def test_equal_to_skimage_on_anything(dense: np.ndarray, scale: float) -> None:
    check_against_skimage(dense, scale)


def test_equal_to_skimage_on_blobs() -> None:
    check_against_skimage(blobs(0), 1.0)


def moved_hull(mask: np.ndarray) -> shapely.Polygon:
    """The bounding box, cut by each edge of the hull of pixel centres moved half way to the next line of centres."""
    y, x = np.nonzero(mask)
    found = shapely.box(x.min(), y.min(), x.max() + 1, y.max() + 1)
    centres = np.stack((x, y), 1) + 0.5
    hull = shapely.get_coordinates(shapely.MultiPoint(centres).convex_hull)
    ways = np.concatenate((np.diff(hull, axis=0), -np.diff(hull, axis=0)))
    for dx, dy in ways.round().astype(int).tolist():
        common = math.gcd(dx, dy)
        nx, ny = -dy // common, dx // common
        if np.sum(centres @ (nx, ny) == (centres @ (nx, ny)).max()) > 1:  # an edge lies there
            reach, long = (centres @ (nx, ny)).max() + 0.5, 1000 / math.hypot(nx, ny)
            foot = np.array([nx, ny]) * reach / (nx * nx + ny * ny)
            along, inwards = np.array([-ny, nx]) * long, -np.array([nx, ny]) * long
            half = shapely.Polygon([foot - along, foot + along, foot + along + inwards, foot - along + inwards])
            found = found.intersection(half)
    return found


def check_against_shapely(dense: np.ndarray, scale: tuple[float, float]) -> None:
    masks = Masks.from_dense(dense)
    hulls = true_hulls(hull_columns(masks), len(masks))
    found = calipers(*hulls, tips(hulls), scale)  # what is measured of masks that are no ellipse and no rectangle
    table = {
        "feret_max": found.feret_max, "feret_min": found.feret_min, "rect_length": found.length,
        "rect_width": found.width, "rect_angle": found.angle,
    }  # fmt: skip
    measured = table_of(dense, pixel_size=f"{scale[0]} x {scale[1]} um")
    for k, mask in enumerate(dense):
        if not mask.any():
            continue
        for name, most in (("feret_max", 0.5), ("feret_min", 0.65), ("rect_length", 1.2), ("rect_width", 1.2)):
            assert abs(measured[name][k] - table[name][k]) <= most * math.sqrt(scale[0] * scale[1]), name
        hull = shapely.transform(moved_hull(mask), lambda corners: corners * scale)
        corners = shapely.get_coordinates(hull)
        ring = shapely.get_coordinates(hull.exterior)[:-1]
        between = np.hypot(*(ring[:, None] - ring[None]).transpose(2, 0, 1))
        # the greatest width is that of moved vertices
        assert abs(table["feret_max"][k] - between.max()) <= 0.601 * max(scale)
        normal = np.roll(ring, -1, 0) - ring
        normal = np.stack((-normal[:, 1], normal[:, 0]), 1) / np.hypot(*normal.T)[:, None]
        assert table["feret_min"][k] == pytest.approx(np.ptp(ring @ normal.T, axis=0).min(), rel=1e-9)
        rectangle = shapely.oriented_envelope(hull)
        length, width = table["rect_length"][k], table["rect_width"][k]
        assert length * width == pytest.approx(rectangle.area, rel=1e-9)
        assert length >= width
        assert 0 <= table["rect_angle"][k] < 180
        # a rectangle of that length, width and angle does hold every corner
        t = math.radians(table["rect_angle"][k])
        assert np.ptp(corners @ (math.cos(t), math.sin(t))) == pytest.approx(length, rel=1e-9)
        assert np.ptp(corners @ (-math.sin(t), math.cos(t))) == pytest.approx(width, rel=1e-9)


CUT = np.ones((1, 7, 7), bool)  # a square without two of its corners: Feret diameters of the two ways lie far apart
CUT[0, 0, [0, -1]] = False


@example(CUT, (1.0, 1.0))
@given(DENSE, SCALE)
@settings(max_examples=60)
def test_equal_to_shapely_on_anything(dense: np.ndarray, scale: tuple[float, float]) -> None:
    check_against_shapely(dense, scale)


@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.7, 2.0)])
def test_equal_to_shapely_on_blobs(scale: tuple[float, float]) -> None:
    check_against_shapely(blobs(1), scale)


def test_pixels_twice_as_wide_are_each_pixel_twice() -> None:
    dense = blobs(2)
    wide, twice = table_of(dense, pixel_size="2 x 1 um"), table_of(np.repeat(dense, 2, axis=2))
    for name in ("area", "equivalent_diameter"):
        assert_allclose(wide[name], twice[name], rtol=1e-9, err_msg=name)
    assert_array_equal(wide["solidity"], table_of(dense)["solidity"])


@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.5, 0.5), (1.0, 2.0), (1.5, 0.6)])
def test_discs_and_ellipses_of_known_size(scale: tuple[float, float]) -> None:
    sx, sy = scale
    height, width = int(140 / sy), int(140 / sx)
    y, x = (np.mgrid[:height, :width] + 0.5) * np.array([sy, sx])[:, None, None]
    dense, truth = [], []
    for a, b, t in ((50, 50, 0.0), (60, 30, 0.0), (60, 30, 0.6), (55, 20, 2.5)):
        u, v = (x - 70) * np.cos(t) + (y - 70) * np.sin(t), (y - 70) * np.cos(t) - (x - 70) * np.sin(t)
        dense.append((u / a) ** 2 + (v / b) ** 2 <= 1)
        h = ((a - b) / (a + b)) ** 2
        around = np.pi * (a + b) * (1 + 3 * h / (10 + np.sqrt(4 - 3 * h)))  # Ramanujan
        truth.append((np.pi * a * b, around, 2 * a, 2 * b, math.degrees(t)))
    table = table_of(np.array(dense), pixel_size=f"{sx} x {sy} mm")
    area, around, major, minor, angle = np.array(truth).T
    assert_allclose(table["area"], area, rtol=0.01)
    # four directions: an ellipse's outline comes out up to some percent off, by its direction
    assert_allclose(table["perimeter"], around, rtol=0.05)
    assert_allclose(table["perimeter"][0], around[0], rtol=0.025)
    for name, value in (("major_axis", major), ("minor_axis", minor)):
        assert_allclose(table[name], value, rtol=0.015)
    for name, value in (("feret_max", major), ("feret_min", minor), ("rect_length", major), ("rect_width", minor)):
        assert_allclose(table[name], value, atol=1.5 * max(scale) + 0.01 * 120, err_msg=name)
    assert_allclose(table["orientation"][1:], angle[1:], atol=0.5)
    assert_allclose((table["rect_angle"][1:] - angle[1:] + 90) % 180, 90, atol=3)
    assert table["circularity"][0] == pytest.approx(1, abs=0.05)
    assert (table["solidity"] > 0.96).all()


@pytest.mark.parametrize(("length", "width"), [(40, 10), (60, 4), (100, 30)])
def test_rectangles_at_any_angle_have_no_bias(length: float, width: float) -> None:
    rng = np.random.default_rng(0)
    side = int(length + width)
    y, x = np.mgrid[:side, :side] + 0.5
    turns = rng.uniform(0, np.pi, 40)
    dense = []
    for t in turns:
        cx, cy = side / 2 + rng.uniform(-0.5, 0.5, 2)
        u, v = (x - cx) * np.cos(t) + (y - cy) * np.sin(t), (y - cy) * np.cos(t) - (x - cx) * np.sin(t)
        dense.append((abs(u) <= length / 2) & (abs(v) <= width / 2))
    table = table_of(np.array(dense))
    assert abs(table["rect_width"] - width).mean() < 0.06
    assert abs(table["feret_min"] - width).mean() < 0.08
    assert abs(table["rect_length"] - length).mean() < 0.5
    off = (table["orientation"] - np.degrees(turns) + 90) % 180 - 90
    assert abs(off).mean() < 0.15


@pytest.mark.parametrize(
    ("sides", "most"), [((8, 8), 0.35), ((40, 40), 0.25), ((40, 10), 0.25), ((25, 20), 0.2), ((60, 3), 0.35)]
)
def test_the_greatest_width_of_discs_and_rectangles_is_nearly_unbiased(sides: tuple[int, int], most: float) -> None:
    rng, (length, width) = np.random.default_rng(1), sides
    y, x = np.mgrid[:80, :80] + 0.5
    masks = []
    for turn in rng.uniform(0, np.pi, 80):
        cx, cy = 40 + rng.uniform(-0.5, 0.5, 2)
        u, v = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn), (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
        round_one, flat_one = np.hypot(u, v) <= length / 2, (abs(u) <= length / 2) & (abs(v) <= width / 2)
        masks.append(round_one if length == width else flat_one)
    found = table_of(np.array(masks))["feret_max"]
    true = length if length == width else math.hypot(length, width)
    assert abs(found.mean() - true) < most


def test_far_from_the_origin_and_beside_a_giant() -> None:
    size = (131072, 131072)
    small = Masks.from_crops([np.ones((3, 7), bool)], [(131000, 131050)], size)
    giant = Masks.from_boxes([(0, 0, 131072, 131072)], size)
    table = measure(Instances(Masks.concatenate([giant, small])), properties=SHAPE)
    assert table["area"].tolist() == [131072**2, 21]
    assert table["feret_max"][0] == pytest.approx(131072 * math.sqrt(2))
    assert table["solidity"].tolist() == [1, 1]
    alone = measure(Instances(Masks.from_crops([np.ones((3, 7), bool)], [(2, 2)], (20, 20))), properties=SHAPE)
    for name in ("perimeter", "major_axis", "minor_axis", "feret_max", "feret_min", "rect_length", "eccentricity"):
        assert table[name][1] == pytest.approx(alone[name][0], rel=1e-12), name


def test_each_mask_is_measured_alone() -> None:
    dense = blobs(3, count=20)
    together = table_of(dense)
    for k, mask in enumerate(dense):
        alone = table_of(mask)
        for name in together.columns:
            if name not in ("id", "class"):
                assert together[name][k] == pytest.approx(alone[name][0], nan_ok=True), name


def test_circularity_only_where_it_means_something() -> None:
    """Fewer than 5 pixels have no roundness to speak of; from 5 on the grid adds at most 8 % to that of a disc."""
    rng = np.random.default_rng(0)
    grown = []
    for count in (1, 2, 3, 4, *range(5, 30)):
        for _ in range(30):
            pixels = {(15, 15)}
            while len(pixels) < count:
                y, x = sorted(pixels)[rng.integers(len(pixels))]
                step = ((0, 1), (1, 0), (0, -1), (-1, 0))[rng.integers(4)]
                pixels.add((min(max(y + step[0], 0), 29), min(max(x + step[1], 0), 29)))
            dense = np.zeros((30, 30), bool)
            dense[tuple(np.array(sorted(pixels)).T)] = True
            grown.append(dense)
    rows, columns = np.mgrid[:30, :30] + 0.5
    grown += [
        (rows - 15) ** 2 + (columns - y) ** 2 <= r * r for r in np.arange(1.5, 12, 0.25) for y in (15, 15.3, 15.5)
    ]
    table = measure(Instances(Masks.from_dense(np.stack(grown))), properties=["pixels", "circularity"])
    small = table["pixels"] < 5
    assert np.isnan(table["circularity"][small]).all()
    assert np.nanmax(table["circularity"]) <= 1.08
    assert np.isfinite(table["circularity"][~small]).all()


def rendered(kind: str, long: float, wide: float, rng: np.random.Generator) -> np.ndarray:
    """Draw an ellipse, a rectangle, a fibre or a polygon ``wide`` between its sides, at a random place and angle."""
    y, x = np.mgrid[:70, :70] + 0.5
    (cx, cy), turn = 35 + rng.uniform(-0.5, 0.5, 2), rng.uniform(0, np.pi)
    u, v = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn), (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
    if kind == "ellipse":
        return np.hypot(u / long, v / wide) <= 0.5
    if kind == "rectangle":
        return (abs(u) <= long / 2) & (abs(v) <= wide / 2)
    if kind == "fibre":
        return np.hypot(np.maximum(abs(u) - (long - wide) / 2, 0), v) <= wide / 2
    sides = turn + 2 * np.pi * np.arange(int(kind)) / int(kind)
    return np.all([(x - cx) * np.cos(a) + (y - cy) * np.sin(a) <= wide / 2 for a in sides], 0)


@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.5, 0.5)])
@pytest.mark.parametrize(("long", "wide", "most"), [(20, 20, 0.1), (40, 40, 0.08), (60, 30, 0.15), (40, 36, 0.1)])
def test_diameters_and_rectangles_of_ellipses_are_those_of_the_ellipse(
    long: float, wide: float, most: float, scale: tuple[float, float]
) -> None:
    rng = np.random.default_rng(3)
    masks = Masks.from_dense(np.stack([rendered("ellipse", long, wide, rng) for _ in range(40)]))
    table = measure(Instances(masks), pixel_size=PixelSize(*scale, "mm"))
    for name, true in (("feret_max", long), ("feret_min", wide), ("rect_length", long), ("rect_width", wide)):
        assert np.abs(table[name] / scale[0] - true).mean() <= most, name
    if long > wide:
        turned = (table["rect_angle"] - table["orientation"] + 90) % 180 - 90
        assert np.median(np.abs(turned)) < 1


@pytest.mark.parametrize(("long", "wide"), [(40, 10), (25, 20), (30, 30)])
def test_diameters_and_rectangles_of_rectangles_are_those_of_their_moments(long: float, wide: float) -> None:
    rng = np.random.default_rng(3)
    masks = Masks.from_dense(np.stack([rendered("rectangle", long, wide, rng) for _ in range(60)]))
    table = measure(Instances(masks))
    assert np.abs(table["feret_max"] - math.hypot(long, wide)).mean() <= 0.19
    assert np.abs(table["rect_length"] - long).mean() <= 0.19
    assert np.abs(table["rect_width"] - wide).mean() <= 0.08


@pytest.mark.parametrize(("sides", "wide"), [("6", 16), ("6", 40), ("8", 30), ("8", 60)])
def test_polygons_are_no_ellipses(sides: str, wide: float) -> None:
    rng = np.random.default_rng(4)
    masks = Masks.from_dense(np.stack([rendered(sides, 0, wide, rng) for _ in range(40)]))
    table = measure(Instances(masks))
    assert np.abs(table["feret_max"] - table["major_axis"]).min() > 0.2
    assert np.abs(table["feret_max"] - wide / np.cos(np.pi / int(sides))).mean() <= 0.7
    assert np.abs(table["feret_min"] - wide).mean() <= 0.15


@pytest.mark.parametrize(("thick", "most"), [(3, 0.45), (6, 0.35), (10, 0.35)])
def test_fibres_with_round_ends_are_no_rectangles(thick: float, most: float) -> None:
    rng = np.random.default_rng(5)
    masks = Masks.from_dense(np.stack([rendered("fibre", 60, thick, rng) for _ in range(40)]))
    table = measure(Instances(masks))
    assert np.abs(table["feret_max"] - 60).mean() <= most
    assert np.abs(table["rect_length"] - 60).mean() <= most


def test_a_dent_is_no_rectangle() -> None:
    dense = np.zeros((40, 60), bool)
    dense[5:25, 5:45] = True
    dense[5:11, 20:28] = False
    table = measure(Instances(Masks.from_dense(dense[None])))
    assert (table["rect_length"][0], table["rect_width"][0]) == (40, 20)
