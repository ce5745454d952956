"""Overlays, pixel by pixel on small arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.draw import _labels, _strokes, overlay, palette, to_display
from apiece.draw._text import text_height, text_width
from apiece.errors import ConfigError, InvalidInstancesError
from apiece.ops.overlap import box_iou

RED, BLUE = (255, 0, 0), (0, 0, 255)
BARE = {"fill": False, "outlines": False, "names": False}


def grey(size: tuple[int, int], value: int = 100) -> Image:
    return Image(np.full((*size, 3), value, np.uint8))


def two() -> Instances:
    a = np.zeros((6, 8), np.uint8)
    a[1:5, 1:5] = 1
    a[2:4, 6:8] = 2
    return Instances.from_label_map(a, classes=("part",))


def test_fill_blends_inside_the_masks_and_leaves_the_rest() -> None:
    shown = overlay(grey((6, 8)), two(), **(BARE | {"fill": True}), alpha=0.5, colours=np.array([RED, BLUE], np.uint8))
    expected = np.full((6, 8, 3), 100, np.uint8)
    expected[1:5, 1:5] = (178, 50, 50)  # (100 + 255) / 2, to the even neighbour
    expected[2:4, 6:8] = (50, 50, 178)
    assert shown.tolist() == expected.tolist()


def test_outline_is_the_inner_ring_with_a_darker_line_around() -> None:
    colours = np.array([RED, BLUE], np.uint8)
    shown = overlay(grey((6, 8)), two(), **(BARE | {"outlines": True}), colours=colours, thickness=1)
    picture = [
        ".dddd...",
        "dRRRRddd",
        "dRddRdBB",
        "dRddRdBB",
        "dRRRRddd",
        ".dddd...",
    ]
    values = {".": (100,) * 3, "d": (50,) * 3, "R": RED, "B": BLUE}
    expected = [[list(values[c]) for c in row] for row in picture]
    assert shown.tolist() == expected


def test_a_hole_is_outlined() -> None:
    a = np.ones((7, 7), np.uint8)
    a[3, 3] = 0
    at, _ = _strokes.outline(Masks.from_label_map(a), np.array([0]), 1)
    ring = np.zeros((7, 7), bool)
    ring.reshape(-1)[at] = True
    expected = np.ones((7, 7), bool)
    expected[1:6, 1:6] = False
    expected[[2, 4, 3, 3], [3, 3, 2, 4]] = True
    assert (ring == expected).all()


def eroded(mask: np.ndarray, thickness: int) -> np.ndarray:
    padded = np.pad(mask, thickness)
    inside = mask.copy()
    for step in range(1, thickness + 1):
        for dy, dx in ((0, step), (0, -step), (step, 0), (-step, 0)):
            moved = np.roll(padded, (dy, dx), (0, 1))
            inside &= moved[thickness : thickness + mask.shape[0], thickness : thickness + mask.shape[1]]
    return inside


@settings(max_examples=40)
@given(
    hnp.arrays(bool, st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(1, 9))),
    st.integers(1, 3),
)
def test_strokes_against_dense_arrays(stack: np.ndarray, thickness: int) -> None:
    masks = Masks.from_dense(stack)
    order = np.random.default_rng(len(stack)).permutation(len(stack)).astype(np.int64)
    at, owner = _strokes.outline(masks, order, thickness)
    drawn = np.zeros(stack.shape, int)
    np.add.at(drawn.reshape(len(stack), stack.shape[1] * stack.shape[2]), (owner, at), 1)
    rings = np.stack([m & ~eroded(m, thickness) for m in stack]) if len(stack) else stack
    assert (drawn == rings).all()
    drawn = np.zeros(stack.shape, int)
    for at, owner in _strokes.fill(masks, order):
        np.add.at(drawn.reshape(len(stack), stack.shape[1] * stack.shape[2]), (owner, at), 1)
    assert (drawn == stack).all()


def test_fill_in_small_pieces_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    instances = two()
    image = grey((6, 8))
    whole = overlay(image, instances)
    monkeypatch.setattr(_strokes, "_CHUNK", 3)
    assert len(list(_strokes.fill(instances.masks, np.arange(2)))) > 3
    assert (overlay(image, instances) == whole).all()


def test_the_smaller_of_two_overlapping_masks_lies_on_top() -> None:
    stack = np.zeros((2, 8, 8), bool)
    stack[1] = True
    stack[0, 2:6, 2:6] = True
    for order in ([0, 1], [1, 0]):
        colours = np.array([RED, BLUE], np.uint8)[order]
        instances = Instances(Masks.from_dense(stack[order]))
        shown = overlay(grey((8, 8)), instances, **(BARE | {"fill": True}), alpha=1.0, colours=colours)
        assert shown[3, 3].tolist() == list(RED)
        assert shown[0, 0].tolist() == list(BLUE)


def test_boxes_are_drawn_on_the_pixels_they_hold() -> None:
    shown = overlay(grey((6, 8)), two(), **(BARE | {"boxes": True}), colours=np.array([RED, BLUE], np.uint8))
    red = (shown == RED).all(axis=2)
    expected = np.zeros((6, 8), bool)
    expected[1:5, 1:5] = True
    expected[2:4, 2:4] = False
    assert (red == expected).all()
    assert (shown[2:4, 6:8] == BLUE).all()


def test_texts_are_light_with_a_dark_halo_and_stay_inside() -> None:
    a = np.zeros((60, 120), np.uint8)
    a[0:30, 100:120] = 1
    instances = Instances.from_label_map(a, classes=("Größe µm",)).replace(scores=[0.5])
    for ground in (0, 255):
        image = grey((60, 120), ground)
        shown = overlay(image, instances, **(BARE | {"names": True, "ids": True, "scores": True}))
        assert shown.max() > 240
        assert shown.min() < 60
    nothing = overlay(image, instances, **BARE)
    assert (nothing == image.pixels).all()
    no_scores = overlay(image, instances.replace(scores=None), **(BARE | {"scores": True}))
    assert (no_scores == image.pixels).all()


def test_text_larger_than_the_image_is_cut() -> None:
    a = np.ones((12, 12), np.uint8)
    shown = overlay(grey((12, 12)), Instances.from_label_map(a, classes=("a very long name",)), text_size=30)
    assert shown.shape == (12, 12, 3)


def test_a_name_may_have_line_breaks() -> None:
    a = np.zeros((60, 120), np.uint8)
    a[30:50, 5:60] = 1
    one, two = (
        overlay(grey((60, 120)), Instances.from_label_map(a, classes=(name,)), **(BARE | {"names": True}))
        for name in ("nut\nM4", "nut M4")
    )
    assert (one == two).all()


def grid(step: int, side: int, size: tuple[int, int] = (480, 640)) -> Masks:
    """Squares in rows and columns."""
    corners = [(x, y) for y in range(step // 2, size[0] - side, step) for x in range(step // 2, size[1] - side, step)]
    return Masks.from_boxes([(x, y, x + side, y + side) for x, y in corners], size)


@pytest.mark.parametrize(("step", "side"), [(120, 60), (60, 30), (40, 36), (34, 14), (12, 9)])
def test_labels_cover_neither_each_other_nor_other_objects(step: int, side: int) -> None:
    masks = grid(step, side)
    texts = [f"part #{i}" for i in range(len(masks))]
    found = _labels.place(masks, texts, (16, 10))
    wide = np.array([text_width(texts[i], found.size) for i in found.which.tolist()], np.int64)
    extent = np.stack([wide, np.full(len(wide), text_height(found.size))], 1) + 2 * _labels.PAD
    boxes = np.concatenate([found.corners, found.corners + extent], 1)
    assert (box_iou(boxes, boxes) > 0).sum() == len(boxes)
    covered = masks.to_label_map()
    for i, (x0, y0, x1, y1) in zip(found.which.tolist(), boxes.tolist(), strict=True):
        assert 0 <= x0 <= x1 <= 640
        assert 0 <= y0 <= y1 <= 480
        below = covered[y0:y1, x0:x1]
        assert ((below != 0) & (below != i + 1)).mean() < 0.15
    assert len(set(found.which.tolist())) == len(found.which)
    if step > 40:
        assert len(found.which) == len(masks)
        assert found.size == (16 if step == 120 else 10)
    if step == 12:
        assert len(found.which) < len(masks) / 4


def test_a_label_may_lie_on_the_object_around() -> None:
    a = np.full((200, 300), 1, np.uint8)
    a[80:95, 100:110] = 2  # too small for its own label
    found = _labels.place(Masks.from_label_map(a), ["wall", "window"], (12,))
    assert sorted(found.which.tolist()) == [0, 1]


def test_of_one_dense_class_only_the_legend_tells() -> None:
    masks = grid(14, 9)
    instances = Instances(masks, classes=("grain",))
    image = grey((480, 640))
    shown, plain = overlay(image, instances), overlay(image, instances, names=False)
    rows, columns = np.nonzero((shown != plain).any(2))
    assert shown.shape == plain.shape
    assert rows.max() - rows.min() < 24  # one line
    assert columns.max() - columns.min() < 120
    assert shown[rows.min() : rows.max(), columns.min() : columns.max()].max() > 240  # white letters


def test_a_legend_of_several_classes_explains_colours() -> None:
    masks = grid(14, 9)
    labels = np.arange(len(masks)) % 3
    instances = Instances(masks, labels, ("a", "b", "c"))
    image, options = grey((480, 640)), {"alpha": 1.0, "outlines": False}
    shown = overlay(image, instances, **options)
    shades = palette.shades(labels, np.arange(len(masks)))
    same = [
        (shown[y + 4, x + 4] == shade).all()
        for (x, y), shade in zip(masks.boxes[:, :2].astype(int), shades, strict=True)
    ]
    assert np.mean(same) > 0.9  # some lie below the legend or a label
    for swatch in palette.colours(np.arange(3)):
        assert (shown == swatch).all(2).sum() > 20
    # where it was said what colours mean, it stays so
    by_instance = overlay(image, instances, **options, colour_by="instance")
    keys = palette.colours(np.arange(len(masks)))
    same = [
        (by_instance[y + 4, x + 4] == key).all()
        for (x, y), key in zip(masks.boxes[:, :2].astype(int), keys, strict=True)
    ]
    assert np.mean(same) > 0.9
    # few objects need no legend, and keep a colour each
    few = overlay(image, instances[:3], **options, names=False)
    assert few[11, 11].tolist() == palette.colours(0)[0].tolist()


def test_a_long_legend_is_cut() -> None:
    masks = grid(12, 9)
    instances = Instances(masks, np.arange(len(masks)) % 90, tuple(f"a class of a long name {i}" for i in range(90)))
    assert overlay(grey((480, 640)), instances).shape == (480, 640, 3)
    tiny = Instances(grid(4, 3, (16, 16)), classes=("dot",))
    assert overlay(grey((16, 16)), tiny).shape == (16, 16, 3)


def test_colours_are_stable_and_follow_ids() -> None:
    keys = np.array([0, 1, 5, 2**40, -3])
    assert (palette.colours(keys)[::-1] == palette.colours(keys[::-1])).all()
    assert palette.colours(7).tolist() == palette.colours([7]).tolist()
    instances = two().replace(ids=[8, 3])
    shown = overlay(grey((6, 8)), instances, **(BARE | {"fill": True}), alpha=1.0)
    assert shown[2, 2].tolist() == palette.colours(8)[0].tolist()
    kept = overlay(grey((6, 8)), instances[[1]], **(BARE | {"fill": True}), alpha=1.0)
    assert kept[2, 6].tolist() == shown[2, 6].tolist() == palette.colours(3)[0].tolist()
    by_class = overlay(grey((6, 8)), instances, **(BARE | {"fill": True}), alpha=1.0, colour_by="class")
    assert by_class[2, 2].tolist() == by_class[2, 6].tolist() == palette.colours(0)[0].tolist()


def test_colours_of_neighbouring_ids_are_far_apart_and_readable() -> None:
    colour = palette.colours(np.arange(2000)).astype(int)
    assert len(np.unique(colour, axis=0)) > 1500
    for apart in (1, 2, 3, 4):
        assert np.abs(colour[apart:] - colour[:-apart]).sum(axis=1).min() > 60
    light = palette.colours(np.arange(2000)) / 255.0
    luminance = np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
    assert luminance.min() > 0.12  # at least 3.4 : 1 against black
    assert luminance.max() < 0.75


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 12])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_every_kind_of_image_is_shown(channels: int, dtype: str) -> None:
    ramp = np.linspace(0, 1 if dtype == "bool" else 100, 40 * 50 * channels).reshape(40, 50, channels)
    shown = to_display(Image(ramp.astype(dtype)))
    assert shown.shape == (40, 50, 3)
    assert shown.dtype == np.uint8
    if channels < 3:
        assert (shown[:, :, 0] == shown[:, :, 2]).all()
    if dtype == "uint8":
        assert (shown[:, :, 0] == ramp[:, :, 0].astype(np.uint8)).all()
    elif dtype != "bool":
        assert (shown.min(), shown.max()) == (0, 255)


def test_stretch_takes_percentiles_and_survives_what_is_not_finite() -> None:
    values = np.arange(1000, dtype=np.float32).reshape(20, 50)
    values[0, :3] = np.nan, np.inf, -np.inf
    shown = to_display(Image(values))[:, :, 0]
    assert shown[0, :3].tolist() == [0, 255, 0]
    assert (np.diff(shown.ravel()[3:].astype(int)) >= 0).all()
    assert to_display(Image(np.full((4, 4), np.nan))).max() == 0
    assert to_display(Image(np.full((4, 4), 9, np.uint16))).max() == 0
    image = Image(np.zeros((4, 4, 3), np.uint8))
    to_display(image)[:] = 9
    assert image.pixels.max() == 0


def test_transparent_ground_is_dark_grey() -> None:
    pixels = np.array([[[10, 20, 30, 255], [250, 0, 250, 0]]], np.uint8)
    assert to_display(Image(pixels, alpha="unassociated")).tolist() == [[[10, 20, 30], [40, 40, 40]]]
    assert to_display(Image(pixels)).tolist() == [[[10, 20, 30], [250, 0, 250]]]


def test_nothing_to_draw() -> None:
    image = grey((5, 5))
    assert (overlay(image, Instances.empty((5, 5))) == image.pixels).all()
    hollow = Instances(Masks.empty((5, 5), 2))
    assert (overlay(image, hollow, boxes=True) == image.pixels).all()


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(InvalidInstancesError, match="the instances are of"):
        overlay(grey((5, 5)), two())
    with pytest.raises(InvalidInstancesError, match="colours must be uint8"):
        overlay(grey((6, 8)), two(), colours=np.zeros((1, 3), np.uint8))
    with pytest.raises(ConfigError, match="alpha"):
        overlay(grey((6, 8)), two(), alpha=2.0)
    with pytest.raises(ConfigError, match="colour_by"):
        overlay(grey((6, 8)), two(), colour_by="size")  # type: ignore[arg-type]


def test_pixels_are_enough() -> None:
    pixels = np.full((20, 30), 90, np.uint8)
    found = Instances(Masks.from_boxes([[4, 4, 12, 12]], (20, 30)))
    assert np.array_equal(overlay(pixels, found), overlay(Image(pixels), found))
    with pytest.raises(InvalidInstancesError, match=r"\(20, 31\)"):
        overlay(np.zeros((20, 31), np.uint8), found)
