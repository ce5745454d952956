"""The same predictions, judged as five different answers."""

from pathlib import Path

import numpy as np
import pytest

import apiece
from apiece import ImageRef, Instances, Masks
from apiece.errors import UnknownNameError


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two objects of two classes; the predictions overlap, the better one is right."""
    ref = ImageRef(Path("a.png"), "a.png", (10, 20), 1)
    truth = Instances(Masks.from_boxes([[0, 0, 10, 10], [10, 0, 20, 10]], (10, 20)), [0, 1], ("a", "b"))
    found = Instances(Masks.from_boxes([[0, 0, 10, 10], [5, 0, 20, 10]], (10, 20)), [0, 1], ("a", "b"), [0.9, 0.8])
    apiece.write([(ref, truth)], tmp_path / "truth.json")
    apiece.write([(ref, found)], tmp_path / "found.json")
    return tmp_path / "found.json", tmp_path / "truth.json"


@pytest.mark.parametrize(
    ("view", "key", "value"),
    [
        ("instances", "mask_ap50", 1.0), ("instances", "mask_ap75", 0.5), ("boxes", "box_ap75", 0.5),
        ("panoptic", "pq", 1.0), ("semantic", "miou", 1.0), ("presence", "presence_recall", 1.0),
    ],
)  # fmt: skip
def test_views(files: tuple[Path, Path], view: str, key: str, value: float) -> None:
    assert apiece.evaluate(*files, view=view)[key] == pytest.approx(value)  # type: ignore[arg-type]


def test_boxes_alone_have_no_masks(files: tuple[Path, Path]) -> None:
    assert not [key for key in apiece.evaluate(*files, view="boxes") if key.startswith("mask")]


def test_an_unknown_view_names_the_others(files: tuple[Path, Path]) -> None:
    with pytest.raises(UnknownNameError, match=r"no view named 'box'\. Did you mean 'boxes'"):
        apiece.evaluate(*files, view="box")  # type: ignore[arg-type]
    assert np.isfinite(apiece.evaluate(*files, view="panoptic", metrics=["semantic"])["miou"])
