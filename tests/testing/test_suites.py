"""The contract suites find what is wrong: a plugin that breaks a promise is refused, and the promise is named."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apiece import check, formats, images, measurements, metrics, rules, testing
from apiece.images import write_image


def test_a_format_that_holds_less_than_it_says() -> None:
    lossy = formats.load("labelmap")
    wrong = dataclasses.replace(lossy, holds=dataclasses.replace(lossy.holds, overlap=True), suffixes=(".PNG",))
    with pytest.raises(AssertionError) as caught:
        testing.check_format(wrong)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("apiece.formats 'LabelFormat' breaks ")
    told = {line.partition(":")[0] for line in lines[1:]}
    assert {"description", "comes_back", "lossless_or_refused"} <= told
    assert "errors_half_way" not in told
    assert any("suffixes are ('.PNG',)" in line for line in lines)


@pytest.mark.parametrize(
    ("change", "promise"),
    [
        (
            {"read": lambda path, images, on_bad: formats.load("labelme").read(path, images, None)},
            "bad_images_left_out",
        ),
        ({"detect": lambda path: True}, "comes_back"),
        ({"summary": "two\nlines"}, "description"),
    ],
)
def test_a_format_that_breaks_one_promise(change: dict[str, Any], promise: str) -> None:
    wrong = dataclasses.replace(formats.load("labelme"), suffixes=(), **change)
    with pytest.raises(AssertionError, match=rf"(?m)^{promise}: "):
        testing.check_format(wrong)


def test_a_metric_that_forgets_nothing_and_one_that_counts_batches() -> None:
    known = metrics.load("counts")

    class Keeps(known):  # type: ignore[misc, valid-type]
        made = False

        def reset(self) -> None:
            if not self.made:
                super().reset()
            self.made = True

    class CountsBatches(known):  # type: ignore[misc, valid-type]
        calls = 0

        def update(self, batch: metrics.Batch) -> None:
            super().update(batch)
            self.calls += 1

        def compute(self) -> metrics.MetricResult:
            found = super().compute()
            return dataclasses.replace(found, numbers={**found.numbers, "calls": float(self.calls)})

    with pytest.raises(AssertionError, match=r"(?m)^state: .*But: after reset"):
        testing.check_metric(Keeps)
    with pytest.raises(AssertionError, match=r"(?m)^batches: .*\['calls'\]"):
        testing.check_metric(CountsBatches)


@pytest.mark.parametrize(
    ("change", "promise"),
    [
        ({"kinds": (check.Kind("other", "error", "Another.", "Look."),)}, "clean_labels|hard_labels"),
        ({"summary": "no sentence"}, "description"),
        ({"remember": lambda one, settings: b"0" * 10**6, "conclude": lambda kept, facts, s: []}, "small_memory"),
        ({"look": lambda one, s: [check.Finding("new", "!", 2.0, one.place())]}, "no_labels"),
    ],
)
def test_a_family_of_checks_that_breaks_a_promise(change: dict[str, Any], promise: str) -> None:
    with pytest.raises(AssertionError, match=rf"(?m)^({promise}): "):
        testing.check_check(dataclasses.replace(check.load("overlaps"), **change))


def test_a_measurement_in_other_units_than_it_says() -> None:
    one = measurements.Property("size", "length", "square root of the area")

    def compute(request: measurements.Request) -> dict[str, Any]:
        return {"size": np.sqrt(request.masks.area)}

    wrong = measurements.Measure("sizes", (one,), compute)
    with pytest.raises(AssertionError, match=r"breaks 1 of 4 promises:\nunits: .*size \(length\)"):
        testing.check_measurement(wrong)
    testing.check_measurement(dataclasses.replace(wrong, properties=(dataclasses.replace(one, dimension="none"),)))


def test_an_image_reader_that_makes_pixels_up(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (30, 20), np.uint8))
    known = images.load("png")
    testing.check_image_reader("png", [tmp_path / "a.png"])

    def read(path: Path, page: int | None, most: int) -> Any:
        try:
            return known.read(path, page, most)
        except Exception:
            return images.contract.Decoded(np.zeros((20, 30), np.uint8))

    with pytest.raises(AssertionError) as caught:
        testing.check_image_reader(dataclasses.replace(known, read=read), [tmp_path / "a.png"])
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()[1:]] == [
        "detection", "limits", "files_cut_short",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "suite",
    [
        testing.check_format, testing.check_metric, testing.check_check, testing.check_measurement,
        testing.check_architecture, lambda plugin: testing.check_image_reader(plugin, []),
    ],
)  # fmt: skip
def test_what_is_no_plugin_is_refused(suite: Callable[[Any], None]) -> None:
    with pytest.raises(AssertionError, match=r"3 is no plugin of apiece\.\w+: it has to be like apiece\.\w+\.contract"):
        suite(3)


def test_torch_is_imported_for_architectures_only() -> None:
    code = "import sys, apiece; apiece.testing.check_measurement('shape'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("change", "promise"),
    [
        ({"summary": "two\nlines"}, "description"),
        ({"example": "count: screw"}, "example"),
        ({"read": lambda scene, rule: [rules.Readings.of("count", "", [1], most=0, objects=[[99]])]}, "judges"),
    ],
)
def test_a_kind_of_rule_that_breaks_a_promise(
    change: dict[str, Any], promise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = dataclasses.replace(rules.load("count"), **change)
    known = rules.load
    monkeypatch.setattr(type(rules.contract.ROOM), "load", lambda room, name: wrong if name == "count" else known(name))
    with pytest.raises(AssertionError, match=rf"(?m)^{promise}: "):
        testing.check_rule(wrong)
