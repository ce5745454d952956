"""The report: whole, self-contained, escaped, and nothing shown that is not there."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.draw._examples import COLOURS
from apiece.draw.charts import bars_svg, lines_svg, ticks
from apiece.draw.page import scaled
from apiece.draw.report import (
    Bars,
    Chart,
    Example,
    Examples,
    Facts,
    Line,
    Matrix,
    PageTable,
    Panel,
    ReportData,
    Section,
    write_report,
)
from apiece.errors import ConfigError, UnknownNameError

NASTY = "<script>alert(\"x\")</script> & 'co'"
VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Checks that tags close in order; keeps tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "action"):
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def instances(classes: tuple[str, ...] = ("nut",)) -> Instances:
    a = np.zeros((30, 40), np.uint8)
    a[4:14, 4:14] = 1
    a[20:28, 25:39] = 2
    return Instances.from_label_map(a, classes=classes)


def example(title: str = "one.png") -> Example:
    found = instances()
    panels = [Panel("truth", found, ["found", "missed"]), Panel("found", found[[0]], ["found"])]
    return Example(title, Image(np.full((30, 40), 900, np.uint16)), panels)


def full(name: str = "nut") -> ReportData:
    scores = [
        PageTable("COCO", ("", "mask"), [("AP", "0.875"), (name, "0.250")]),
        PageTable(name, ("", "value", "95% interval"), [(name, 0.5, "0.438 to 0.562")], note=name),
        PageTable("Per class", ("class", "mask AP"), [(name, 0.123)]),
    ]
    return ReportData(
        title=f"Report on {name}",
        subtitle=name,
        headline=[("0.861", name)],
        sections=[
            Section("run", "Run", [Facts([("model", name)])]),
            Section("accuracy", name, scores, columns=True),
            Section("curves", "Curves", [
                Chart(name, "recall", "precision", [Line(name, [0, 0.5, 1], [1, 0.8, 0.1])]),
                Chart(name, "epoch", "loss", [Line(name, [1, 2, 3], [2, float("nan"), 1]), Line("b", [1], [1])]),
            ]),
            Section("errors", "Errors", [
                Bars(name, "", "AP", [(name, [0.1] * 9)], groups=["localisation", *"abcdefgh"]),
                PageTable(name, ("kind", "n"), [(name, 3)]),
            ]),
            Section("confusion", "Confusion", [
                Matrix(name, name, name, [name, "b"], [name, "b"], np.array([[9, 1], [0, 0]]), np.eye(2, dtype=bool)),
            ]),
            Section("reliability", "Reliability", [Chart(name, "score", "right", [Line(name, [0, 1], [0, 1])])]),
            Section("counts", "Counts", [
                Bars(name, "class", "instances", [("truth", [12]), ("found", [11])], groups=[name]),
                Bars(name, "area", "instances", [(name, [3, 0])], edges=[0, 10, 20]),
            ]),
            Section("images", "Images", [
                Examples([(f"Worst {name}", [example(name)]), ("Best", [example(name)]), ("None", [])]),
            ]),
            Section("measurements", "Measurements", [
                PageTable(name, ("class", "area"), [(name, 1234.5), ("b", None)], note=name),
            ]),
            Section("notes", "Notes", [name]),
        ],
    )  # fmt: skip


def page(tmp_path: Path, data: ReportData, **options: int) -> tuple[str, Page]:
    path = tmp_path / "report.html"
    write_report(path, data, **options)
    html = path.read_text(encoding="utf-8")
    parsed = Page()
    parsed.feed(html)
    parsed.close()
    assert parsed.open == []
    return html, parsed


def test_every_section_is_there_and_every_number(tmp_path: Path) -> None:
    html, parsed = page(tmp_path, full())
    sections = {"run", "accuracy", "curves", "errors", "confusion", "reliability", "counts", "images", "measurements"}
    assert sections | {"notes"} <= set(parsed.ids)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert all(link[1:] in parsed.ids for link in parsed.links if link.startswith("#"))
    for number in ("0.875", "0.250", "0.123", "0.861", "1,234", "0.438 to 0.562"):
        assert number in parsed.text
    assert parsed.tags.count("svg") == 6
    assert parsed.tags.count("img") == 4
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ElementTree.fromstring(svg)
        assert "nan" not in svg


def test_nothing_is_loaded_from_outside(tmp_path: Path) -> None:
    html, parsed = page(tmp_path, full())
    assert all(link.startswith(("#", "data:image/jpeg;base64,")) for link in parsed.links)
    assert not re.search(r"https?://|@import|url\(|<script|<link", html)


def test_names_are_escaped(tmp_path: Path) -> None:
    html, parsed = page(tmp_path, full(NASTY))
    assert "<script" not in html
    assert "script" not in parsed.tags
    assert NASTY in parsed.text


def test_what_is_empty_is_left_out(tmp_path: Path) -> None:
    _, parsed = page(tmp_path, ReportData("Nothing yet"))
    assert "section" not in parsed.tags
    assert "Nothing yet" in parsed.text
    empty = [Section("a", "A", []), Section("b", "B", [Facts([]), Examples([("None", [])]), "", None])]
    one = Section("c", "C", [PageTable("t", ("class", "AP"), [("a", 0.5)])], columns=True)
    _, parsed = page(tmp_path, ReportData("One table only", sections=[*empty, one]))
    assert parsed.tags.count("table") == 1
    assert parsed.tags.count("section") == 1


def test_examples_show_what_each_object_is(tmp_path: Path) -> None:
    a = np.zeros((64, 64), np.uint8)
    a[8:24, 8:24] = 1
    a[40:56, 40:56] = 2
    both = Instances.from_label_map(a)
    image = Image(np.full((64, 64, 3), 90, np.uint8))
    panels = [Panel("truth", both, ["found", "missed"]), Panel("A", both, ["class", "false"])]
    group = Examples([("g", [Example("e", image, panels)])])
    html, parsed = page(tmp_path, ReportData("t", sections=[Section("g", "g", [group])]), image_side=128)
    pictures = re.findall(r"base64,([^\"]+)", html)
    assert len(pictures) == 2
    for picture, panel in zip(pictures, panels, strict=True):
        pixels = cv2.imdecode(np.frombuffer(base64.b64decode(picture), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
        assert pixels.shape == (128, 128, 3)
        for mark, corner in zip(panel.marks, (16, 80), strict=True):
            edge = pixels[corner + 10 : corner + 20, corner : corner + 2].reshape(-1, 3).mean(axis=0)
            assert np.abs(edge - COLOURS[mark]).max() < 60
            middle = pixels[corner + 16, corner + 16].astype(float)
            assert np.abs(middle - (0.78 * 90 + 0.22 * np.array(COLOURS[mark]))).max() < 12
            # what is wrong has its name above or below it, white on dark
            rows = [*range(max(corner - 20, 0), corner - 3), *range(corner + 35, min(corner + 50, 128))]
            beside = pixels[rows, corner - 8 : corner + 40]
            assert (beside.min() > 60) == (mark == "found")
            assert (beside.max() > 200) == (mark != "found")
    assert "2: 1 found, 1 missed" in parsed.text
    assert "2: 1 false, 1 class" in parsed.text
    assert parsed.tags.count("i") == 4


def test_a_matrix_tints_by_the_share_of_the_row(tmp_path: Path) -> None:
    counts = np.array([[30, 10], [0, 0]])
    matrix = Matrix("m", "truth", "found", ["a", "background"], ["a", "background"], counts, np.eye(2, dtype=bool))
    html, _ = page(tmp_path, ReportData("t", sections=[Section("m", "m", [matrix])]))
    assert '<td class="n right dark" style="--share:0.750" title="a, a: 30, 75.0% of the row">30</td>' in html
    assert '<td class="n wrong" style="--share:0.250"' in html
    assert html.count('class="n none"') == 2
    with pytest.raises(ConfigError, match=r"counts of matrix 'm' must have shape \(1, 2\)"):
        Matrix("m", "", "", ["a"], ["a", "b"], counts, np.eye(2, dtype=bool))


@pytest.mark.parametrize("factor", [2.0, 3.0, 0.5])
def test_scaled_masks_keep_their_place_and_area(factor: float) -> None:
    stack = np.zeros((3, 48, 60), bool)
    stack[0, 10:30, 12:40] = True
    stack[0, 16:24, 20:30] = False
    stack[1, :8, 50:] = True
    shown, grown = scaled(Image(np.zeros((48, 60), np.uint8)), Instances(Masks.from_dense(stack)), factor)
    assert shown.size == grown.size == (48 * factor, 60 * factor)
    np.testing.assert_allclose(grown.masks.area, stack.sum((1, 2)) * factor**2, rtol=0.08)
    np.testing.assert_allclose(grown.masks.boxes[:2], Masks.from_dense(stack).boxes[:2] * factor, atol=1)
    assert grown.masks.holes.tolist() == [1, 0, 0]


def test_it_is_the_same_every_time_and_replaces_the_old_one(tmp_path: Path) -> None:
    first, _ = page(tmp_path, full())
    second, _ = page(tmp_path, full())
    assert first == second
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_wrong_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="row 1 has 1 cells"):
        PageTable("t", ("a", "b"), [(1, 2), (1,)])
    with pytest.raises(ConfigError, match="panel 'p' needs one mark for each of 2"):
        Panel("p", instances(), ["found"])
    with pytest.raises(UnknownNameError, match="no mark named 'lost'"):
        Panel("p", instances(), ["found", "lost"])
    with pytest.raises(ConfigError, match="image_side"):
        write_report(tmp_path / "r.html", ReportData("t"), image_side=5)


def test_numbers_that_are_none_and_spans_that_are_none() -> None:
    bars = bars_svg(Bars("t", "x", "y", [("s", [1.0, float("nan"), float("inf")])], groups=["a", "b", "c"]))
    assert bars.count("<rect") == 1
    assert "nan" not in bars
    assert 'd="M' in lines_svg(Chart("t", "x", "y", [Line("l", [1e17], [2e17])], y_range=(1e17, 1e17)))


def test_ticks_are_round() -> None:
    assert ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(0, 30, 6) == pytest.approx([0, 5, 10, 15, 20, 25, 30])
    assert ticks(3, 3) == [3]
    assert ticks(0, float("inf")) == [0]
    for low, high in ((0.0, 1e-7), (-5.0, 12345.0), (0.93, 0.94)):
        found = ticks(low, high)
        assert 2 <= len(found) <= 7
        assert all(low - 1e-12 <= t <= high + 1e-9 for t in found)
