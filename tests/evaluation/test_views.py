"""The same predictions, judged as five different answers."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest

import apiece
from apiece import ImageRef, Instances, Masks
from apiece.cli import main
from apiece.errors import FormatError, UnknownNameError


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


def test_maps_of_classes_are_judged_by_their_pixels(files: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "maps"
    classes = np.ones((10, 20), np.uint8)
    classes[:, 12:] = 2  # "b" begins at column 10
    apiece.images.write_image(folder / "a.png", classes)
    (folder / "classes.json").write_text('{"0": "", "1": "a", "2": "b"}')
    found = apiece.read(folder, format="class_map")
    assert found.classes == ("a", "b")
    assert apiece.evaluate(found, files[1], view="semantic")["miou"] == pytest.approx((100 / 120 + 80 / 100) / 2)
    told = run_json("evaluate", "--predictions", folder, "--predictions-format", "class_map", "--data", files[1],
                    "--view", "semantic")  # fmt: skip
    assert told["miou"] == pytest.approx((100 / 120 + 80 / 100) / 2)
    classes[:, 4:6] = 2
    apiece.images.write_image(folder / "a.png", classes)
    (folder / "a.png").rename(folder / "a_mask.png")  # now detection takes it for a label map
    (folder / "classes.json").unlink()
    for words in (("evaluate", "--predictions", folder), ("compare", folder, folder)):
        with contextlib.redirect_stderr(io.StringIO()) as said, pytest.raises(SystemExit, match=r"^1$"):
            main([*map(str, words), "--data", str(files[1])])
        assert "say --predictions-format class_map, which makes each separate region an object" in said.getvalue()
    (folder / "classes.json").write_text('{"1": "a", "2": "a"}')
    with pytest.raises(FormatError, match=r"classes\.json: must be an object of values and distinct names"):
        apiece.read(folder, format="class_map")


def run_json(*words: object) -> dict[str, float]:
    """What a command prints with ``--json``."""
    with contextlib.redirect_stdout(io.StringIO()) as said, pytest.raises(SystemExit, match=r"^0$"):
        main([*map(str, words), "--json"])
    found: dict[str, float] = json.loads(said.getvalue())
    return found
