"""What a notebook shows: the right pixels, of bounded size, and nothing that is HTML by mistake."""

from __future__ import annotations

import base64
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import apiece
from apiece import Image, Instances, Masks
from apiece.draw import _strokes, notebook, to_display


def pixels(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def drawn(instances: Instances) -> np.ndarray:
    return pixels(base64.b64decode(re.search(r"base64,([^\"]+)", instances._repr_html_())[1]))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, bool])
@pytest.mark.parametrize("channels", [1, 2, 3, 7])
def test_an_image_is_shown_as_a_screen_can(dtype: type, channels: int) -> None:
    image = Image(np.random.default_rng(0).integers(0, 2, (200, 300, channels)).astype(dtype))
    np.testing.assert_array_equal(pixels(image._repr_png_()), to_display(image))


def test_pictures_are_neither_too_large_nor_too_small() -> None:
    assert pixels(Image(np.zeros((5000, 30_000), np.uint16))._repr_png_()).shape == (106, 638, 3)
    assert pixels(Image(np.zeros((3, 4)))._repr_png_()).shape == (120, 160, 3)
    assert pixels(Image(np.zeros((1, 100_000)))._repr_png_()).shape == (1, 637, 3)
    assert Image(np.zeros((0, 5)))._repr_png_() == b""
    huge = Instances(Masks.from_boxes([[0, 0, 65_536, 131_072]], (131_072, 131_072)))
    found = drawn(huge)
    assert max(found.shape) <= 640
    left, right = np.array_split(found.astype(int), 2, axis=1)
    assert left[:, 5:-5].mean() > right[:, 5:].mean() + 30
    assert abs(right[:, 5:] - 48).max() < 5


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))
def test_the_masks_shown_are_those_of_the_rows_and_columns_shown(seed: int, height: int, width: int, side: int) -> None:
    stack = np.random.default_rng(seed).random((3, height, width)) < 0.5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notebook, "SIDE", side)
        rows, columns = notebook._shown((height, width))
    reduced = _strokes.sampled(Masks.from_dense(stack), rows, columns)
    np.testing.assert_array_equal(reduced.to_dense(), stack[:, rows, columns])
    assert reduced == Masks.from_dense(stack[:, rows, columns])
    assert max(reduced.size) <= side


def test_names_are_escaped_and_long_lists_cut() -> None:
    odd = Instances(Masks.from_boxes([[0, 0, 2, 2]], (4, 4)), classes=("<script>alert(1)</script>",))
    assert "<script>" not in odd._repr_html_()
    assert "&lt;script&gt;" in odd._repr_html_()
    names = tuple(f"class number {k}" for k in range(500))
    many = Instances(Masks.from_boxes([[0, 0, 2, 2]] * 500, (4, 4)), range(500), names)
    assert re.search(r"class number 19, 1 clas \.\.\.</figcaption>", many._repr_html_())
    assert len(re.sub(r"base64,[^\"]+", "", many._repr_html_())) < 700
    assert Instances.empty((0, 0))._repr_html_() == "<p>Instances(0 on 0 x 0)</p>"


def test_core_draws_without_importing_draw_before() -> None:
    code = "import sys, numpy as np\nfrom apiece.core import Image\nassert 'apiece.draw' not in sys.modules\n"
    code += "assert Image(np.zeros((4, 4)))._repr_png_().startswith(b'\\x89PNG')\n"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert apiece._show.png is not None
