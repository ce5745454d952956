"""The scatter plot: dots where they belong, areas as they should be, labels that collide with nothing."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from apiece.draw._scatter import Dot, Scatter, place_labels, scatter_svg
from apiece.draw.charts import log_ticks
from apiece.errors import ConfigError

BOUNDS = (52.0, 34.0, 848.0, 396.0)


def svg(plot: Scatter) -> ElementTree.Element:
    found = re.search(r"<svg.*</svg>", scatter_svg(plot), re.DOTALL)
    assert found is not None
    return ElementTree.fromstring(found[0])


def circles(root: ElementTree.Element) -> dict[str, tuple[float, float, float]]:
    named = [c for c in root.iter("circle") if c.find("title") is not None]
    return {
        str(c.findtext("title")).partition(":")[0]: (float(c.attrib["cx"]), float(c.attrib["cy"]), float(c.attrib["r"]))
        for c in named
    }


def test_x_is_logarithmic_y_linear_and_the_area_shows_the_area() -> None:
    dots = [Dot("a", 10, 0.2, 4), Dot("b", 100, 0.4, 16, marked=True), Dot("c", 1000, 0.6, 9, marked=True)]
    plot = Scatter("t", "ms", "AP", dots, line="front", area_label="parameters:", areas=[("16 M", 16)])
    root = svg(plot)
    found = circles(root)
    (xa, ya, ra), (xb, yb, rb), (xc, yc, rc) = found["a"], found["b"], found["c"]
    assert xb - xa == pytest.approx(xc - xb, abs=0.2)
    assert ya - yb == pytest.approx(yb - yc, abs=0.2)
    assert ya > yb
    np.testing.assert_allclose(np.array([ra, rb, rc]) ** 2 / rb**2, [4 / 16, 1, 9 / 16], atol=0.02)
    (front,) = (p for p in root.iter("path") if "front" in p.attrib["class"])
    assert front.attrib["d"] == f"M{xb:.1f} {yb:.1f}L{xc:.1f} {yc:.1f}"
    assert {t.text for t in root.iter("text")} >= {"a", "b", "c", "16 M", "ms", "AP"}


@pytest.mark.parametrize("seed", range(6))
def test_labels_touch_no_dot_and_no_label(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"architecture_{i}" for i in range(22)]
    spread = (60.0, 400.0)[seed % 2]
    middle = np.array([450.0, 215.0])
    xy = np.clip(middle + spread * rng.normal(size=(22, 2)) * (1, 0.3), (70, 50), (830, 380))
    dots = np.column_stack([xy, rng.uniform(3, 20, 22)])
    boxes = place_labels(names, dots, BOUNDS, xy[np.argsort(xy[:, 0])][:5])
    x0, y0, x1, y1 = boxes.T
    assert (x0 >= BOUNDS[0]).all()
    assert (y0 >= BOUNDS[1]).all()
    assert (x1 <= BOUNDS[2]).all()
    assert (y1 <= BOUNDS[3]).all()
    np.testing.assert_allclose(x1 - x0, [7 * len(n) for n in names])
    over = (x0[:, None] < x1) & (x1[:, None] > x0) & (y0[:, None] < y1) & (y1[:, None] > y0)
    assert not (over & ~np.eye(22, dtype=bool)).any()
    near = np.clip(dots[:, None, :2], boxes[None, :, :2], boxes[None, :, 2:])
    assert (np.hypot(*(near - dots[:, None, :2]).transpose(2, 0, 1)) > dots[:, None, 2]).all()


def test_a_lonely_dot_has_its_label_on_the_right_off_the_line() -> None:
    ((x0, y0, x1, y1),) = place_labels(["abc"], np.array([[400.0, 200.0, 10.0]]), BOUNDS, np.zeros((0, 2)))
    assert (x0, x1) == (413, 434)
    assert (y0 + y1) / 2 == 200
    line = np.array([[400.0, 200.0], [800.0, 200.0]])
    ((x0, y0, x1, y1),) = place_labels(["abc"], np.array([[400.0, 200.0, 10.0]]), BOUNDS, line)
    assert y1 < 200 or y0 > 200 or x1 < 400


@pytest.mark.parametrize("y", [0.0, 0.4, 1.0])
def test_one_dot_and_dots_that_are_all_alike_are_shown(y: float) -> None:
    root = svg(Scatter("t", "x", "y", [Dot("a", 5, y, 0), Dot("b", 5, y, 0)]))
    for cx, cy, r in circles(root).values():
        assert BOUNDS[0] < cx < BOUNDS[2]
        assert BOUNDS[1] + r < cy < BOUNDS[3] - r
    assert "nan" not in ElementTree.tostring(root, encoding="unicode")


def test_names_are_escaped() -> None:
    html = scatter_svg(Scatter("<t>", "<x>", "<y>", [Dot("<a>", 5, 1, 1, "<w>", True)], line="<l>"))
    assert not re.search(r"<[atxywl]>", html)


@pytest.mark.parametrize("dot", [Dot("a", 0, 1, 1), Dot("a", 1, float("nan"), 1), Dot("a", 1, 1, -1)])
def test_what_cannot_be_drawn_is_refused(dot: Dot) -> None:
    with pytest.raises(ConfigError, match="dot 'a' of 't'"):
        Scatter("t", "x", "y", [dot])


def test_a_plot_needs_dots() -> None:
    with pytest.raises(ConfigError, match="at least one dot"):
        Scatter("t", "x", "y", [])


def test_log_ticks_are_round() -> None:
    assert log_ticks(8, 300) == [10, 20, 50, 100, 200]
    assert log_ticks(80, 130) == [80, 90, 100, 110, 120, 130]
    for low, high in ((0.5, 0.6), (3, 40), (1e-3, 1e5), (70, 71)):
        found = log_ticks(low, high)
        assert len(found) >= 3
        assert all(low * (1 - 1e-9) <= t <= high * (1 + 1e-9) for t in found)
    with pytest.raises(ValueError, match="logarithmic"):
        log_ticks(0, 1)
