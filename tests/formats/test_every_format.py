"""What holds for every file in `apiece.formats`: a new format is tested by being there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from apiece import Instances, Masks, formats
from apiece.errors import ApieceError, ConfigError, DataError, FormatError, UnknownNameError
from apiece.testing._formats import SLOW, promises
from apiece.testing._labels import plain_instances, ref

CASES = [(name, promise) for name in formats.names() for promise in promises(formats.load(name), slow=False)]
WRITTEN = [name for name in formats.names() if formats.load(name).write is not None]


@pytest.mark.parametrize(("name", "promise"), CASES, ids=[f"{name}-{promise.__name__}" for name, promise in CASES])
def test_it_keeps_its_promises(tmp_path: Path, name: str, promise: Callable[..., None]) -> None:
    promise(formats.load(name), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("promise", SLOW, ids=lambda promise: promise.__name__)
def test_it_keeps_its_slow_promises(tmp_path: Path, name: str, promise: Callable[..., None]) -> None:
    promise(formats.load(name), tmp_path)


def test_detection_says_what_it_looked_for(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="there is no such file"):
        formats.read(tmp_path / "absent.json")
    (tmp_path / "empty.json").touch()
    with pytest.raises(FormatError, match="is empty"):
        formats.read(tmp_path / "empty.json")
    (tmp_path / "cut.json").write_text('{"images": [1,')
    with pytest.raises(FormatError, match=r"cut.json: line 1, column 15: .*seems cut short"):
        formats.read(tmp_path / "cut.json")
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(FormatError, match=r"looked for .*coco, .*labelmap, "):
        formats.read(tmp_path / "a.txt")
    with pytest.raises(UnknownNameError, match=r"no format named 'cocoa'\. Did you mean 'coco'"):
        formats.read(tmp_path / "a.txt", "cocoa")
    with pytest.raises(FormatError, match="no such folder of images"):
        formats.read(tmp_path / "a.txt", "coco", images=tmp_path / "none")
    (tmp_path / "other.json").write_text('{"shapes": [{"images": 1}], "imagePath": "a.png"}')
    with pytest.raises(FormatError, match="no known label format"):
        formats.detect(tmp_path / "other.json")
    with pytest.raises(FormatError, match=r"name the file$") as caught:
        formats.detect(tmp_path)
    assert "apiece." not in str(caught.value)


def test_the_format_to_write_is_told_by_the_ending(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name it with format="):
        formats.write([], tmp_path / "out.xyz")
    formats.write([], tmp_path / "out.json")
    assert formats.detect(tmp_path / "out.json") == "coco"
    assert len(formats.read(tmp_path / "out.json")) == 0


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    masks = Masks.from_boxes([[0, 0, 2, 2]], (4, 4))
    records = [
        (ref("a.png"), Instances(masks, [0], ("nut", "bolt"))),
        (ref("b.png"), Instances(masks, [0], ("bolt",))),
    ]
    formats.write(records, tmp_path / "out.json", classes=("bolt", "nut"))
    labels = formats.read(tmp_path / "out.json")
    assert labels.classes == ("bolt", "nut")
    assert [i.names for _, i in labels] == [["nut"], ["bolt"]]
    with pytest.raises(DataError, match="class 'nut', which is not among"):
        formats.write(records, tmp_path / "out.json", classes=("bolt",))
    assert formats.read(tmp_path / "out.json").classes == ("bolt", "nut")


def test_images_may_be_given_by_name_or_path(tmp_path: Path) -> None:
    found = plain_instances()
    formats.write([("x/a.png", found), (tmp_path / "b.png", found)], tmp_path / "out.json")
    assert [r.name for r in formats.read(tmp_path / "out.json").refs] == ["x/a.png", "b.png"]


def test_repairs_are_what_they_say(tmp_path: Path) -> None:
    stack = np.zeros((4, 12, 12), bool)
    stack[0] = True
    stack[1, 2:6, 2:6] = True
    stack[2, 3:5, 3:5] = True
    stack[3, 3, 3] = True
    instances = Instances(Masks.from_dense(stack), ids=np.array([9, 8, 7, 7]))
    lost = formats.write([(ref(), instances)], tmp_path / "out.png", allow_lossy=True)
    assert lost == [
        "image 'a.png', ids 9, 8, 7, 7: overlap resolved, smallest on top",
        "image 'a.png', ids 7, 7: ids that do not fit, all renumbered",
    ]
    _, found = formats.read(tmp_path / "out.png")[0]
    assert found.masks.area.tolist() == [128, 12, 3, 1]
    with pytest.raises(ApieceError, match="ids 9, 8, 7, 7 overlap others, which this format cannot hold"):
        formats.write([(ref(), instances)], tmp_path / "b.png")
