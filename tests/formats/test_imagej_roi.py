"""ImageJ ROIs, in the layout that ImageJ 1.54's RoiEncoder and ROI Manager write."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from apiece import Instances, Masks, formats
from apiece.errors import FormatError, LossyFormatError

POLYGON, RECT, OVAL, LINE, FREEHAND, TRACED, POINT = 0, 1, 2, 3, 7, 8, 10


def roi(
    kind: int,
    box: tuple[int, int, int, int],
    points: list[tuple[float, float]] | None = None,
    *,
    path: list[float] | None = None,
    fine: bool = False,
    options: int = 0,
    subtype: int = 0,
    arc: int = 0,
    position: int = 0,
    group: int = 0,
    name: str = "",
    count: int | None = None,
) -> bytes:
    """Bytes of a ROI: a head of 64, coordinates, a second head of 64, the name; ``box`` is left, top, right, bottom."""
    left, top, right, bottom = box
    points = points or []
    middle = struct.pack(">16x")
    body = b""
    if points:
        whole = [(int(x) - left, int(y) - top) for x, y in points]
        body = struct.pack(f">{2 * len(points)}h", *(x for x, _ in whole), *(y for _, y in whole))
        if fine:
            body += struct.pack(f">{2 * len(points)}f", *(x for x, _ in points), *(y for _, y in points))
    elif fine:
        middle = struct.pack(">4f", left + 0.25, top + 0.25, right - left, bottom - top)
    if path:
        body = struct.pack(f">{len(path)}f", *path)
    head = b"Iout" + struct.pack(
        ">hBx4hH", 227, kind, top, left, bottom, right, len(points) if count is None else count
    )
    head += middle + struct.pack(
        ">hi4x4x2h2BhI", 0, len(path or []), subtype, options | (128 if fine else 0), 0, 0, arc, 0
    )
    head = head[:56] + struct.pack(">2i", position, 64 + len(body))
    text = name.encode("utf-16-be")
    second = struct.pack(">4x3i2i4xhBx", 0, position, 0, 64 + len(body) + 64 if name else 0, len(name), 0, group)
    return head + body + second.ljust(64, b"\0") + text


def archive(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Pillow.new("L", (10, 8)).save(tmp_path / "cells.png")
    return tmp_path


SQUARE = [(1, 1), (4, 1), (4, 3), (1, 3)]


def square() -> np.ndarray:
    a = np.zeros((8, 10), bool)
    a[1:3, 1:4] = True
    return a


def ring_path(points: list[tuple[float, float]]) -> list[float]:
    out: list[float] = []
    for k, (x, y) in enumerate(points):
        out += [min(k, 1), x, y]
    return [*out, 4]


def test_every_kind_of_shape(folder: Path) -> None:
    hole = [(3, 3), (3, 4), (4, 4), (4, 3)]
    outer = [(2, 2), (6, 2), (6, 6), (2, 6)]
    part = [(8, 0), (9, 0), (9, 1), (8, 1)]
    composite = [v for r in (outer, hole, part) for v in ring_path(r)]
    path = archive(
        folder / "cells_RoiSet.zip",
        {
            "a.roi": roi(POLYGON, (1, 1, 4, 3), SQUARE, name="kern ü", position=3),
            "b.roi": roi(TRACED, (1, 1, 4, 3), SQUARE),
            "c.roi": roi(FREEHAND, (1, 1, 4, 3), [(1.2, 1.1), (3.9, 1.2), (4.1, 3.1), (0.8, 2.9)], fine=True),
            "d.roi": roi(RECT, (1, 1, 4, 3)),
            "e.roi": roi(OVAL, (3, 2, 7, 6)),
            "f.roi": roi(RECT, (2, 0, 9, 6), path=composite),
            "g.roi": roi(RECT, (1, 1, 4, 3), fine=True),
            "h.roi": roi(LINE, (1, 1, 4, 3)),
            "i.roi": roi(POINT, (1, 1, 1, 1), [(1, 1)]),
            "j.roi": roi(RECT, (1, 1, 4, 3), subtype=1),
        },
    )
    assert formats.detect(path) == "imagej_roi"
    assert formats.detect(folder) == "imagej_roi"
    labels = formats.read(path)
    assert labels.shape_counts() == {"line": 1, "point": 1, "text": 1}
    assert labels.classes == ("object",)
    ref, found = labels[0]
    assert ref.name == "cells.png"
    dense = found.masks.to_dense()
    for k in (0, 1, 2, 3, 6):
        assert (dense[k] == square()).all(), k
    disc = [[0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0]]
    assert (dense[4, 2:6, 3:7] == disc).all()
    assert dense[4].sum() == 12
    shape = np.zeros((8, 10), bool)
    shape[2:6, 2:6] = shape[0, 8] = True
    shape[3, 3] = False
    assert (dense[5] == shape).all()
    assert found.attributes["name"].tolist() == ["kern ü", "b", "c", "d", "e", "f", "g"]
    assert found.attributes["position"].tolist() == [3, *[None] * 6]


def test_curves_of_a_composite(folder: Path) -> None:
    k = 0.5522847498 * 3
    cubic = [0, 8, 4, 3, 8, 4 + k, 5 + k, 7, 5, 7, 3, 5 - k, 7, 2, 4 + k, 2, 4]
    cubic += [3, 2, 4 - k, 5 - k, 1, 5, 1, 3, 5 + k, 1, 8, 4 - k, 8, 4, 4]
    (folder / "cells.roi").write_bytes(roi(RECT, (2, 1, 8, 7), path=cubic))
    _, found = formats.read(folder / "cells.roi")[0]
    oval = archive(folder / "cells.zip", {"a.roi": roi(OVAL, (2, 1, 8, 7))})
    _, wanted = formats.read(oval)[0]
    assert np.logical_xor(found.masks.to_dense(), wanted.masks.to_dense()).sum() <= 4


def test_one_roi_and_what_lies_outside(folder: Path) -> None:
    path = folder / "cells.roi"
    path.write_bytes(roi(RECT, (-2, -1, 4, 3), name="x"))
    assert formats.detect(path) == "imagej_roi"
    assert formats.read(path)[0][1].boxes.tolist() == [[0, 0, 4, 3]]
    path.write_bytes(roi(OVAL, (-4, -4, 4, 4)))
    assert formats.read(path, clip_outlines=True)[0][1].boxes.tolist() == [[0, 0, 4, 4]]


def test_groups_are_classes(folder: Path) -> None:
    rois = {f"{k}.roi": roi(RECT, (1, 1, 4, 3), group=g) for k, g in enumerate((7, 0, 2))}
    labels = formats.read(archive(folder / "RoiSet.zip", rois))
    assert labels.classes == ("object", "group 2", "group 7")
    ref, found = labels[0]
    assert ref.name == "cells.png"  # the only one
    assert found.names == ["group 7", "object", "group 2"]


def test_a_missing_image(tmp_path: Path) -> None:
    labels = formats.read(archive(tmp_path / "a.zip", {"a.roi": roi(RECT, (1, 1, 4, 3))}))
    with pytest.raises(FormatError, match=r"a\.zip: image 'a\.png': its size is not stated"):
        labels[0]


GOOD = roi(RECT, (1, 1, 4, 3))
BAD_ROIS = {
    "short": (GOOD[:40], "no whole ROI"),
    "no roi": (b"hello" * 30, "no whole ROI"),
    "points cut": (roi(POLYGON, (1, 1, 4, 3), SQUARE, count=60000), "no whole ROI"),
    "path cut": (roi(RECT, (1, 1, 4, 3), path=[0, 1, 1, 1, 5]), "outline is cut short"),
    "path huge": (GOOD[:36] + struct.pack(">i", 2**31 - 1) + GOOD[40:], "no whole ROI"),
    "path kind": (roi(RECT, (1, 1, 4, 3), path=[0, 1, 1, 9, 5, 5]), "unknown kind 9"),
    "path nan": (roi(RECT, (1, 1, 4, 3), path=[0, 1, 1, float("nan"), 5, 5]), "unknown kind nan"),
    "path lost": (roi(RECT, (1, 1, 4, 3), path=[1, 1, 1, 1, 5, 5]), "begin with a move"),
    "two points": (roi(POLYGON, (1, 1, 4, 3), SQUARE[:2]), "has 2 points"),
    "spline": (roi(POLYGON, (1, 1, 4, 3), SQUARE, options=1), "is a spline"),
    "rounded": (roi(RECT, (1, 1, 4, 3), arc=5), "rounded corners"),
    "no pixel": (roi(RECT, (4, 4, 4, 6)), "without a pixel"),
    "inverted": (roi(OVAL, (6, 4, 4, 6)), "-2 wide"),
}


@pytest.mark.parametrize("case", BAD_ROIS)
def test_a_bad_roi(folder: Path, case: str) -> None:
    bad, reason = BAD_ROIS[case]
    path = archive(folder / "cells.zip", {"bad.roi": bad, "good.roi": GOOD})
    with pytest.raises(FormatError, match=rf"bad\.roi: .*({reason})"):
        list(formats.read(path))
    told: list[FormatError] = []
    _, found = formats.read(path, on_bad=told.append)[0]
    assert found.attributes["name"].tolist() == ["good"]
    assert len(told) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../up.roi", "leaves the archive"),
        ("/root.roi", "leaves the archive"),
        ("C:/x.roi", "leaves the archive"),
        ("a/../../x.roi", "leaves the archive"),
        ("x" * 600 + ".roi", "no ROI has"),
        ("bell\7.roi", "no ROI has"),
        ("bomb.roi", "claims to unpack to"),
    ],
)
def test_names_and_bombs(folder: Path, name: str, reason: str) -> None:
    data = bytes(70 << 20) if name == "bomb.roi" else GOOD
    path = archive(folder / "cells.zip", {name: data, "good.roi": GOOD})
    with pytest.raises(FormatError, match=reason):
        list(formats.read(path))
    told: list[FormatError] = []
    assert len(formats.read(path, on_bad=told.append)[0][1]) == 1
    assert len(told) == 1


def test_archives_that_lie(folder: Path) -> None:
    path = archive(folder / "cells.zip", {"a.roi": GOOD})
    data = path.read_bytes()
    # the size after unpacking, in the directory at the end
    place = data.index(b"PK\1\2") + 24
    path.write_bytes(data[:place] + struct.pack("<I", 2**31 - 1) + data[place + 4 :])
    with pytest.raises(FormatError, match="claims to unpack to 2147483647 bytes"):
        formats.read(path)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match="no whole ZIP archive"):
        formats.read(path, "imagej_roi")
    path.write_bytes(
        data.replace(b"PK\1\2", b"PK\1\2", 1)[: data.index(b"PK\1\2") + 8] + b"\1" + data[data.index(b"PK\1\2") + 9 :]
    )
    with pytest.raises(FormatError, match="is encrypted"):
        list(formats.read(path, "imagej_roi"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("a.roi", GOOD)
    with pytest.raises(FormatError, match="does not know"):
        list(formats.read(path))
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.roi", GOOD)
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("a.roi", GOOD)
    with pytest.raises(FormatError, match="in the archive twice"):
        list(formats.read(path))
    place = data.index(b"PK\1\2") + 28
    path.write_bytes(data[:place] + b"\0\0" + data[place + 2 :].replace(b"a.roi", b"", 1))  # no name at all
    with pytest.raises(FormatError):
        list(formats.read(path, "imagej_roi"))
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.txt", "hello")
    assert not formats.load("imagej_roi").detect(path)


def test_what_is_written_is_what_imagej_reads(tmp_path: Path) -> None:
    a = np.zeros((2, 8, 10), bool)
    a[0] = square()
    a[1, 2:6, 2:6] = True
    a[1, 3, 3] = False
    instances = Instances(Masks.from_dense(a), [1, 0], ("nut", "細胞"), attributes={"position": [4, 5]})
    formats.write([("cells.png", instances)], tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as file:
        one, two = (file.read(name) for name in ("00001.roi", "00002.roi"))
    assert one[:4] == b"Iout"
    assert one[6] == TRACED
    assert struct.unpack(">4hH", one[8:18]) == (1, 1, 3, 4, 4)
    assert struct.unpack(">i", one[56:60]) == (4,)
    assert two[6] == RECT
    count = struct.unpack(">i", two[36:40])[0]
    path = struct.unpack(f">{count}f", two[64 : 64 + 4 * count])
    assert path[:3] == (0, 2, 2)
    assert path.count(4.0) >= 2
    assert formats.read(tmp_path / "out.zip")[0][1] == instances
    formats.write([("cells.png", instances[[1]])], tmp_path / "one.roi")
    assert formats.read(tmp_path / "one.roi")[0][1] == instances[[1]]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    masks = Masks.from_boxes([[0, 0, 1, 1]] * 2, (2, 2))
    with pytest.raises(LossyFormatError, match=r"a \.roi holds one object, got 2"):
        formats.write([("a.png", Instances(masks))], tmp_path / "o.roi")
    with pytest.raises(FormatError, match="holds one image, got several"):
        formats.write([("a.png", Instances(masks)), ("b.png", Instances(masks))], tmp_path / "o.zip")
    with pytest.raises(LossyFormatError, match="JSON cannot hold"):
        formats.write([("a.png", Instances(masks, attributes={"x": [np.inf, 1]}))], tmp_path / "o.zip")
    with pytest.raises(LossyFormatError, match="longer than an archive can hold"):
        formats.write([("a.png", Instances(masks, [0, 0], ("x" * 70_000,)))], tmp_path / "o.zip")
    assert list(tmp_path.iterdir()) == []


def test_far_coordinates_come_back(tmp_path: Path) -> None:
    masks = Masks.from_boxes([[70_000, 10, 70_004, 12], [40_000, 0, 40_003, 2], [3, 3, 69_000, 5]], (20, 70_010))
    formats.write([("a.png", Instances(masks))], tmp_path / "o.zip")
    assert formats.read(tmp_path / "o.zip")[0][1].masks == masks
