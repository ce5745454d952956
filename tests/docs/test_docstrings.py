"""Every example in a docstring of a module that needs no torch is run, in a folder that holds a small data set."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import apiece
from apiece import Image, Instances, formats
from apiece.images import write_image

TORCH = ("models", "training", "predict", "benchmark", "cli")
PLAIN = (
    *("apiece.benchmark.config", "apiece.models.contract", "apiece.predict.prompted", "apiece.predict.sources"),
    "apiece.training.config",
)
LEAST = {"apiece.core.masks": 4, "apiece.core.instances": 2, "apiece.ops.overlap": 1, "apiece.measurements": 1}


def modules() -> Iterator[str]:
    """Every module with an example outside the rooms that know torch."""
    root = Path(apiece.__file__).parent
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root.parent).with_suffix("").parts
        plain = ".".join(place) in PLAIN
        if len(place) > 1 and (plain or place[1] not in TORCH) and ">>> " in path.read_text(encoding="utf-8"):
            yield ".".join(place).removesuffix(".__init__")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``photo.png``; ``data/`` with ``train.json``, ``val.json`` and their images; ``predictions.json`` for ``val``."""
    root = tmp_path_factory.mktemp("examples")
    (root / "data").mkdir()
    a = np.zeros((24, 32), np.int32)
    a[2:8, 3:12], a[10:20, 15:28] = 1, 2
    pixels = np.where(a[..., None] > 0, 200, 40).astype(np.uint8).repeat(3, 2)
    found = Instances.from_label_map(a).replace(labels=[0, 1], classes=("bolt", "nut"))
    write_image(root / "photo.png", Image(pixels))
    for split, names in (("train", ["a.png", "b.png"]), ("val", ["c.png"])):
        for name in names:
            write_image(root / "data" / name, Image(pixels))
        formats.write([(name, found) for name in names], root / "data" / f"{split}.json", format="coco")
    formats.write([("c.png", found.replace(scores=[0.9, 0.8]))], root / "predictions.json", format="coco")
    return root


@pytest.mark.parametrize("name", list(modules()))
def test_examples(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = importlib.import_module(name)
    tests = [t for t in doctest.DocTestFinder().find(module) if t.examples]
    assert tests
    for item in folder.iterdir():  # examples may write
        (tmp_path / item.name).symlink_to(item)
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in tests:
        test.globs |= {"np": np, "apiece": apiece}
        runner.run(test)
    assert runner.failures == 0


@pytest.mark.parametrize("name", LEAST)
def test_what_people_meet_first_has_examples(name: str) -> None:
    found = [t for t in doctest.DocTestFinder().find(importlib.import_module(name)) if t.examples]
    assert len(found) >= LEAST[name]
