"""Plugins of other packages: small distributions that are really installed, in a folder of their own."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import apiece
from apiece import Instances, _plugins
from apiece.errors import ConfigError, PluginError

Install = Callable[..., Path]

FORMAT = "import dataclasses\nfrom apiece.formats.labelmap import FORMAT as known\n"
FORMAT += "FORMAT = dataclasses.replace(known, summary='a copy', detect=lambda path: False, suffixes=('.copy',))\n"
METRIC = (
    "from apiece.metrics.presence import METRIC\nclass Half:\n    judges = 'answer'\n    def update(self, batch): ...\n"
)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution with one module into a folder that is on ``sys.path``."""
    modules: list[str] = []

    def add(name: str, code: str, **groups: dict[str, str]) -> Path:
        folder = tmp_path / "site"
        info = folder / f"{name}-1.5.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        lines = [
            f"[apiece.{group}]\n" + "".join(f"{key} = {name}:{value}\n" for key, value in entries.items())
            for group, entries in groups.items()
        ]
        (info / "entry_points.txt").write_text("\n".join(lines))
        (folder / f"{name}.py").write_text(f'"""The module of {name}.\n\nMore."""\n{code}')
        modules.append(name)
        monkeypatch.syspath_prepend(folder)
        _plugins.foreign.cache_clear()
        return folder

    yield add
    monkeypatch.undo()
    for name in modules:
        sys.modules.pop(name, None)
    _plugins.foreign.cache_clear()
    _plugins._warn_once.cache_clear()


def test_a_format_of_another_package_is_one_like_any_other(install: Install, tmp_path: Path) -> None:
    install("copies", FORMAT, formats={"copied": "FORMAT"})
    assert "copied" in apiece.formats.names()
    assert apiece.formats.describe()["copied"] == "a copy"
    found = Instances.from_label_map(np.array([[1, 1, 0], [0, 2, 2]]))
    apiece.write([("a.png", found)], tmp_path / "out", format="copied")
    assert next(iter(apiece.read(tmp_path / "out", format="copied")))[1] == found
    assert apiece.formats.format_for(Path("a.copy")) == "copied"


def test_metrics_checks_measurements_and_readers_of_another_package(install: Install, tmp_path: Path) -> None:
    code = "import dataclasses\nfrom apiece.metrics.presence import METRIC\n"
    code += "from apiece.check.area import CHECK as check\nfrom apiece.measurements.shape import MEASURE as measure\n"
    code += "from apiece.check.contract import Kind\nfrom apiece.measurements.contract import Property\n"
    code += "CHECK = dataclasses.replace(check, kinds=(Kind('odd', 'note', 'Odd.', 'Look.'),))\n"
    code += "MEASURE = dataclasses.replace(measure, properties=(Property('ones', 'none', 'one'),),\n"
    code += "    compute=lambda request: {'ones': [1] * len(request.masks)})\n"
    code += "from apiece.images.bmp import READER as bmp\n"
    code += "READER = dataclasses.replace(bmp, kind='mine', detect=lambda head: head.startswith(b'MINE'))\n"
    install("more", code, metrics={"mine": "METRIC"}, check={"odd_ones": "CHECK"}, images={"mine": "READER"})
    assert apiece.metrics.load("mine") is apiece.metrics.load("presence")
    assert apiece.metrics.describe()["mine"] == "The module of more."
    assert apiece.check.kinds()["odd"].summary == "Odd."
    (tmp_path / "a.png").write_bytes(b"MINE, and no more")
    with pytest.raises(apiece.errors.ImageError, match="cannot be decoded as mine"):
        apiece.read_image(tmp_path / "a.png")


def test_nothing_is_read_or_imported_before_it_is_needed(install: Install) -> None:
    folder = install("copies", FORMAT, formats={"copied": "FORMAT"})
    script = "import sys, apiece\napiece.formats.load('labelmap')\n"
    script += "assert not apiece._plugins.foreign.cache_info().misses\n"
    script += "assert 'copied' in apiece.formats.names()\nassert 'copies' not in sys.modules\n"
    path = [str(folder), str(Path(apiece.__file__).parents[1])]
    subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {path}\n{script}"], check=True)


def test_a_name_that_two_have_names_both(install: Install) -> None:
    install("copies", FORMAT, formats={"coco": "FORMAT"})
    with pytest.raises(PluginError, match=r"apiece itself and copies 1\.5 both have a plugin named 'coco'"):
        apiece.formats.names()
    assert apiece.formats.load("coco").summary != "a copy"


def test_a_name_that_two_packages_have_names_both(install: Install) -> None:
    install("copies", FORMAT, formats={"copied": "FORMAT"})
    install("others", FORMAT, formats={"copied": "FORMAT"})
    with pytest.raises(PluginError, match=r"(copies|others) 1\.5 and (copies|others) 1\.5 both have .* 'copied'"):
        apiece.formats.describe()


@pytest.mark.parametrize(
    ("room", "code", "reason"),
    [
        ("formats", "raise RuntimeError('half installed')", "cannot be imported: RuntimeError: half installed"),
        ("formats", "", "cannot be imported: AttributeError"),
        ("formats", "PLUGIN = 3", r"must be an apiece\.formats\.contract\.LabelFormat, got 3"),
        ("metrics", "class PLUGIN: ...", r"must be a class like apiece\.metrics\.contract\.Metric, got"),
    ],
)
def test_one_that_is_broken_is_one_warning(
    install: Install, caplog: pytest.LogCaptureFixture, room: str, code: str, reason: str
) -> None:
    install("broken", code, **{room: {"bad": "PLUGIN"}})
    front = getattr(apiece, room)
    with pytest.raises(PluginError, match=rf"the plugin 'bad' of broken 1\.5 \(broken:PLUGIN\) {reason}"):
        front.load("bad")
    assert "bad" in front.names()
    with caplog.at_level(logging.WARNING, logger="apiece"):
        assert set(front.describe()) == set(front.names()) - {"bad"}
        front.describe()
    assert [r.getMessage().partition(":")[0] for r in caplog.records] == ["left out"]


def test_what_is_broken_does_not_stop_what_uses_all_plugins(
    install: Install, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rooms = ("check", "formats", "images", "measurements", "metrics")
    install("broken", "raise ImportError", **{room: {"bad": "PLUGIN"} for room in rooms})
    found = Instances.from_label_map(np.array([[1, 1, 0], [0, 2, 2]]))
    with caplog.at_level(logging.WARNING, logger="apiece"):
        apiece.images.write_image(tmp_path / "a.png", np.zeros((2, 3), np.uint8))
        assert apiece.read_image(tmp_path / "a.png").size == (2, 3)
        for name in ("a", "b"):
            apiece.write([("a.png", found)], tmp_path / f"{name}.json")
        assert apiece.measure(found)["area"].tolist() == [2, 2]
        assert apiece.check.check({"train": tmp_path / "a.json"}).findings
        scored = found.replace(scores=[0.5, 0.5])
        assert apiece.metrics.evaluate([(found, scored)], metrics="all")["mask_ap"] == 1
    told = [r.getMessage() for r in caplog.records if "bad" in r.getMessage()]
    assert sorted(text.split(":")[1].strip() for text in told) == [f"apiece.{room}" for room in rooms]


def test_an_ending_of_two_formats_has_to_be_told_apart(install: Install) -> None:
    install("copies", FORMAT.replace(".copy", ".json"), formats={"copied": "FORMAT"})
    with pytest.raises(ConfigError, match=r"'out\.json' could be written as coco or copied; say which"):
        apiece.write([], "out.json")


@pytest.mark.parametrize("room", ["check", "formats", "images", "measurements", "metrics", "models", "rules", "track"])
def test_every_room_lists_loads_and_describes_its_plugins(room: str) -> None:
    front = getattr(apiece, room)
    described = front.describe()
    assert tuple(described) == front.names() == tuple(sorted(front.names()))
    assert all(text and "\n" not in text for text in described.values())
    assert {type(front.load(name)) for name in front.names()}
