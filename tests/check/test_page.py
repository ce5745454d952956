"""The page: whole, self-contained, escaped, with a picture of every place; checked through a parser."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.check.faulty_labels import HEIGHT, WIDTH, faulty_set

from apiece import Instances, Masks, formats
from apiece.check import Finding, Place, Report, check, kinds, open_labels
from apiece.check._engine import page as page_module
from apiece.check._engine.finding_pictures import FIRST, PREDICTED, SECOND, _window, thumbnails
from apiece.check._engine.page import write_page
from apiece.check._engine.report import Predicted
from apiece.core.image import ImageRef
from apiece.images import write_image

VOID = {"meta", "img", "br", "input", "link"}


class Parsed(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def decoded(uri: str) -> np.ndarray:
    data = base64.b64decode(uri.removeprefix("data:image/webp;base64,"))
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture.astype(int) - np.array(colour)).max(2) < 40).sum() > 20)


def test_a_real_page_is_whole_and_loads_nothing(tmp_path: Path) -> None:
    sources = {"train": open_labels(faulty_set(tmp_path / "data"))}
    report = check(sources, only=["file", "overlaps"])
    write_page(tmp_path / "check.html", report, sources, title="<b>&")
    html = (tmp_path / "check.html").read_text()
    page = Parsed(html)
    assert "<title>&lt;b&gt;&amp;</title>" in html
    assert not page.of("script")
    assert not page.of("link")
    assert all(str(a["src"]).startswith("data:") for a in page.of("img"))
    assert "`" not in page.text
    assert not re.search(r"url\(|@import|https?://", html)
    for kind, count in report.counts.items():
        assert f"k-{kind}" in [a["id"] for a in page.of("section")]
        assert f"body:has(#show-k-{kind}:not(:checked)) #k-{kind}{{display:none}}" in html
        assert report.kinds[kind].fix.replace("`", "") in page.text
        assert str(count) in page.text
    placed = [f for f in report.findings if f.place.index is not None]
    assert len(page.of("img")) == sum(1 + len(f.others) for f in placed)
    assert all(a["alt"] for a in page.of("img"))
    labelled = [a for a in page.of("input") if str(a["id"]).startswith("show-k-")]
    assert all(a["aria-label"] for a in labelled)


def test_names_from_files_are_escaped(tmp_path: Path) -> None:
    finding = Finding("duplicate", "<img src=x>", 1.0, Place("train", "<script>.png", None))
    report = Report((finding,), kinds(), {"train": 1}, {"train": 0}, {"outline": "<the> images"})
    write_page(tmp_path / "a.html", report, {})
    page = Parsed((tmp_path / "a.html").read_text())
    assert not page.of("img")
    assert not page.of("script")
    assert "<img src=x>" in page.text
    assert "<the> images" in page.text


def source(tmp_path: Path, pixels: np.ndarray | None) -> object:
    masks = Masks.from_boxes([[4, 4, 14, 14], [20, 4, 30, 14], [60, 50, 70, 60]], (HEIGHT, WIDTH))
    if pixels is not None:
        write_image(tmp_path / "a.png", pixels)
    ref = ImageRef(tmp_path / "a.png", "a.png", (HEIGHT, WIDTH), 1)
    formats.write([(ref, Instances(masks, ids=[1, 2, 3]))], tmp_path / "a.json")
    return open_labels(tmp_path / "a.json")


@pytest.mark.parametrize("pixels", [None, np.full((HEIGHT, WIDTH), 30, np.uint8), np.ones((HEIGHT, WIDTH), np.uint16)])
def test_what_is_in_question_is_outlined(tmp_path: Path, pixels: np.ndarray | None) -> None:
    sources = {"train": source(tmp_path, pixels)}
    box = (4.0, 4.0, 30.0, 14.0)
    pair = Finding("duplicate", "", 1.0, Place("train", "a.png", 0, (0, 1), box))
    missing = Finding("duplicate", "", 1.0, Place("train", "a.png", 0, (), (60.0, 20.0, 70.0, 30.0)), predicted=(4,))
    found = Instances(Masks.from_boxes([[60, 20, 70, 30]], (HEIGHT, WIDTH)), scores=[0.9])
    report = Report((), kinds(), {}, {}, predicted={("train", 0): Predicted(np.array([4]), found)})
    steps: list[int] = []
    pictures = thumbnails([pair, missing], sources, report, lambda: steps.append(1))  # type: ignore[arg-type]
    first, second = (decoded(p) for (p,) in pictures)
    assert len(steps) == 2
    assert (has(first, FIRST), has(first, SECOND), has(first, PREDICTED)) == (True, True, False)
    assert (has(second, FIRST), has(second, SECOND), has(second, PREDICTED)) == (False, False, True)


def test_a_pair_of_images_has_a_picture_each(tmp_path: Path) -> None:
    sources = {"train": source(tmp_path, np.full((HEIGHT, WIDTH), 200, np.uint8))}
    one = Finding(
        "duplicate", "", 1.0, Place("train", "a.png", 0), (Place("train", "a.png", 0, (2,), (60, 50, 70, 60)),)
    )
    set_wide = Finding("duplicate", "", 1.0, Place("train"))
    pictures = thumbnails([set_wide, one], sources, Report((), kinds(), {}, {}))  # type: ignore[arg-type]
    assert [len(p) for p in pictures] == [0, 2]
    whole, part = (decoded(p) for p in pictures[1])
    assert not has(whole, FIRST)
    assert has(part, FIRST)
    assert whole.shape[1] / whole.shape[0] == pytest.approx(WIDTH / HEIGHT, rel=0.01)


@pytest.mark.parametrize("size", [(40, 60), (500, 30), (1000, 1000)])
def test_a_window_holds_its_box_and_lies_in_the_image(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    height, width = size
    for _ in range(50):
        x, y = np.sort(rng.integers(0, width + 1, 2)), np.sort(rng.integers(0, height + 1, 2))
        if x[0] == x[1] or y[0] == y[1]:
            continue
        x0, y0, x1, y1 = _window((float(x[0]), float(y[0]), float(x[1]), float(y[1])), size)
        assert 0 <= x0 <= x[0] < x[1] <= x1 <= width
        assert 0 <= y0 <= y[0] < y[1] <= y1 <= height
    assert _window(None, size) == _window((3.0, 3.0, 3.0, 3.0), size) == (0, 0, width, height)


def test_a_limit_says_how_many_it_left_out(tmp_path: Path) -> None:
    findings = tuple(Finding("duplicate", f"number {i}.", 1 - i / 5000, Place("train")) for i in range(3000))
    report = Report(findings, kinds(), {"train": 1}, {"train": 0})
    write_page(tmp_path / "a.html", report, {}, limit=20)
    page = Parsed((tmp_path / "a.html").read_text())
    assert len(page.of("article")) == 20
    assert "These are the 20 surest; 2,980 more are left out." in page.text
    assert "number 19." in page.text
    assert "number 20." not in page.text
    write_page(tmp_path / "a.html", report, {}, limit=None)
    assert len(Parsed((tmp_path / "a.html").read_text()).of("article")) == 3000


def noisy(tmp_path: Path, count: int) -> tuple[dict[str, object], Report]:
    """Pictures of noise, which compress badly, and two kinds of findings on every mask of them."""
    pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    where = Place("train", "a.png", 0, (0,), (4.0, 4.0, 14.0, 14.0))
    findings = [
        Finding(kind, f"{kind} {i}.", 1 - i / 5000, where, (where,) * 50 if i == 0 else ())
        for kind in ("duplicate", "leak")
        for i in range(count)
    ]
    report = Report((*findings, Finding("class_sets", "set", 1.0, Place("train"))), kinds(), {"train": 1}, {"train": 3})
    return {"train": source(tmp_path, pixels)}, report


def test_a_page_stays_small_whatever_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "MOST", 400_000)
    sources, report = noisy(tmp_path, 60)
    write_page(tmp_path / "a.html", report, sources, limit=None)  # type: ignore[arg-type]
    assert (tmp_path / "a.html").stat().st_size < 400_000
    page = Parsed((tmp_path / "a.html").read_text())
    assert len(page.of("article")) == 121
    assert 4 < len(page.of("img")) < 120
    assert "have no picture here; --pictures 60 draws all." in page.text
    with_pictures = re.findall(r"<article[^>]*><div.*?<p class=.what.>(\w+) (\d+)", (tmp_path / "a.html").read_text())
    for kind in ("duplicate", "leak"):  # the surest of each kind
        numbers = [int(number) for name, number in with_pictures if name == kind]
        assert numbers == list(range(len(numbers)))
        assert abs(len(numbers) - len(with_pictures) / 2) <= 1
    write_page(tmp_path / "a.html", report, sources, pictures=2)  # type: ignore[arg-type]
    assert len(Parsed((tmp_path / "a.html").read_text()).of("img")) == 2 * (4 + 1)
    write_page(tmp_path / "a.html", report, sources, pictures=60)  # type: ignore[arg-type]
    assert len(Parsed((tmp_path / "a.html").read_text()).of("img")) == 2 * (4 + 59)
    assert "and 42 more" in (tmp_path / "a.html").read_text()


def test_words_alone_stay_small_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "MOST", 100_000)
    findings = tuple(Finding("duplicate", "word " * 20, 1 - i / 5000, Place("train")) for i in range(3000))
    report = Report(findings, kinds(), {"train": 1}, {"train": 0})
    write_page(tmp_path / "a.html", report, {}, limit=None)
    assert (tmp_path / "a.html").stat().st_size < 100_000
    assert "more are left out." in Parsed((tmp_path / "a.html").read_text()).text


def test_nothing_found(tmp_path: Path) -> None:
    write_page(tmp_path / "a.html", Report((), kinds(), {"train": 4}, {"train": 9}), {})
    assert f"Nothing, of {len(kinds())} kinds of mistakes." in Parsed((tmp_path / "a.html").read_text()).text
