"""The files shown in CONTRIBUTING.md are real: each is put in its place, found by itself, and used."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from apiece import Instances, Masks, _plugins, check, formats, measure, metrics, models, testing
from apiece.errors import LossyFormatError

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"<!-- example: (\S+) -->\n```python\n(.*?)```", TEXT, re.DOTALL))


@pytest.fixture
def placed(tmp_path: Path) -> Iterator[None]:
    """Every example as if it lay in its package."""
    packages = []
    for place, code in EXAMPLES.items():
        folder, file = place.split("/")
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_text(code, encoding="utf-8")
        package = importlib.import_module(f"apiece.{folder}")
        package.__path__.append(str(tmp_path / folder))
        packages.append((package, f"apiece.{folder}.{file.removesuffix('.py')}"))
    _plugins.names.cache_clear()
    yield
    for package, module in packages:
        package.__path__.pop()
        sys.modules.pop(module, None)
        vars(package).pop(module.rpartition(".")[2], None)
    _plugins.names.cache_clear()


A = np.array([[1, 1, 0], [0, 5, 5]])


@pytest.mark.usefixtures("placed")
@pytest.mark.parametrize(
    ("suite", "name"),
    [
        (testing.check_format, "arrays"),
        (testing.check_metric, "count_error"),
        (testing.check_check, "rectangles"),
        (testing.check_architecture, "blobs"),
        (testing.check_measurement, "fill"),
    ],
)
def test_it_keeps_its_promises(suite: Callable[[str], None], name: str) -> None:
    suite(name)


@pytest.mark.usefixtures("placed")
def test_the_format_reads_what_it_wrote(tmp_path: Path) -> None:
    found = Instances.from_label_map(A)
    formats.write([("a.png", found)], tmp_path / "a.arrays")
    ((_, back),) = formats.read(tmp_path / "a.arrays")
    assert back == found
    with pytest.raises(LossyFormatError, match="scores"):
        formats.write([("a.png", found.replace(scores=[0.5, 0.5]))], tmp_path / "b.arrays")
    assert not (tmp_path / "b.arrays").exists()


@pytest.mark.usefixtures("placed")
def test_the_metric_counts() -> None:
    truth = Instances.from_label_map(A)
    found = truth[:1].replace(scores=[0.9])
    assert metrics.evaluate([(truth, found), (truth, found)], metrics=["count_error"])["count_error"] == 1


@pytest.mark.usefixtures("placed")
def test_the_check_finds_the_rectangle(tmp_path: Path) -> None:
    square, disc = np.zeros((30, 30), bool), np.hypot(*np.mgrid[-15:15, -15:15]) < 8
    square[2:9, 2:9] = True
    records = [
        (f"{i}.png", Instances(Masks.from_dense(mask[None]), [0], ("bolt",)))
        for i, mask in enumerate([disc, square, disc, disc])
    ]
    formats.write(records, tmp_path / "train.json", classes=("bolt",))
    report = check.check({"train": tmp_path / "train.json"}, only=["rectangles"], images=False)
    assert [(f.kind, f.place.image, f.place.instances, f.sure) for f in report.findings] == [
        ("rectangle", "1.png", (0,), 0.75)
    ]


@pytest.mark.usefixtures("placed")
def test_the_model_learns_and_predicts() -> None:
    import torch

    from apiece.models.contract import DecodeOptions, Frame, ModelInput

    architecture = models.load("blobs")
    torch.manual_seed(0)
    config = architecture.config()
    module = architecture.build(config, ModelInput(1, mean=(0,), std=(1,)), 1)
    square = np.zeros((16, 16), np.int32)
    square[3:9, 4:12] = 1
    truth = Instances.from_label_map(square)
    image = torch.from_numpy((square > 0).astype(np.float32))[None, None]
    optimiser = torch.optim.Adam(module.parameters(), 0.02)
    for _ in range(60):
        optimiser.zero_grad()
        sum(architecture.loss(module, image, [architecture.encode(truth, config)]).values()).backward()
        optimiser.step()
    frame = Frame((32, 32), (16, 16))
    (found,) = architecture.decode(module(image).detach(), [frame], ("object",), DecodeOptions())
    assert found.masks == Masks.from_label_map(square.repeat(2, 0).repeat(2, 1))


@pytest.mark.usefixtures("placed")
def test_the_measurement_measures() -> None:
    found = Instances.from_label_map(np.array([[1, 1, 0, 5], [1, 0, 5, 5]]))
    assert measure(found, properties=["fill"])["fill"].tolist() == [0.75, 0.75]
