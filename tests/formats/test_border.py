"""Outlines beyond the border: one rule for all formats. Nothing is lost unsaid."""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from roifile import ROI_TYPE, ImagejRoi

from apiece import formats
from apiece.errors import FormatError
from apiece.images import write_image

HEIGHT, WIDTH = 60, 400  # 2 pixels below, and 4, a hundredth, to the right


def _json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def _coco(folder: Path, x: float, y: float, **image: Any) -> Path:
    ring = [10, 10, x, 10, x, y, 10, y]
    note = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [ring]}
    images = [{"id": 1, "file_name": "a.png", "height": HEIGHT, "width": WIDTH} | image]
    return _json(folder / "a.json", {"images": images, "annotations": [note], "categories": [{"id": 1, "name": "nut"}]})


def coco(folder: Path, x: float, y: float) -> Path:
    return _coco(folder, x, y)


def lvis(folder: Path, x: float, y: float) -> Path:
    return _coco(folder, x, y, neg_category_ids=[], not_exhaustive_category_ids=[])


def _cvat(folder: Path, shape: str) -> Path:
    (folder / "a.xml").write_text(
        f'<annotations><version>1.1</version><meta/><image id="0" name="a.png" width="{WIDTH}" height="{HEIGHT}">'
        f"{shape}</image></annotations>"
    )
    return folder / "a.xml"


def cvat_polygon(folder: Path, x: float, y: float) -> Path:
    return _cvat(folder, f'<polygon label="nut" points="10,10;{x},10;{x},{y};10,{y}"/>')


def cvat_box(folder: Path, x: float, y: float) -> Path:
    return _cvat(folder, f'<box label="nut" xtl="10" ytl="10" xbr="{x}" ybr="{y}"/>')


def cvat_mask(folder: Path, x: float, y: float) -> Path:
    width, height = round(x) - 10, round(y) - 10
    return _cvat(
        folder, f'<mask label="nut" rle="0, {width * height}" left="10" top="10" width="{width}" height="{height}"/>'
    )


def cvat_ellipse(folder: Path, x: float, y: float) -> Path:
    middle, half = ((10 + x) / 2, (10 + y) / 2), ((x - 10) / 2, (y - 10) / 2)
    return _cvat(folder, '<ellipse label="nut" cx="{}" cy="{}" rx="{}" ry="{}"/>'.format(*middle, *half))


def label_studio(folder: Path, x: float, y: float) -> Path:
    box = {"x": 1000 / WIDTH, "y": 1000 / HEIGHT, "width": 100 * (x - 10) / WIDTH, "height": 100 * (y - 10) / HEIGHT}
    size = {"original_width": WIDTH, "original_height": HEIGHT}
    region = {"id": "r", "type": "rectanglelabels", "value": box | {"rectanglelabels": ["nut"]}} | size
    return _json(folder / "a.json", [{"data": {"image": "a.png"}, "annotations": [{"result": [region]}]}])


def datumaro(folder: Path, x: float, y: float) -> Path:
    note = {"id": 1, "type": "bbox", "label_id": 0, "bbox": [10, 10, x - 10, y - 10]}
    item = {"id": "a", "image": {"path": "a.png", "size": [HEIGHT, WIDTH]}, "annotations": [note]}
    return _json(folder / "a.json", {"categories": {"label": {"labels": [{"name": "nut"}]}}, "items": [item]})


def geojson(folder: Path, x: float, y: float) -> Path:
    ring = [[10, 10], [x, 10], [x, y], [10, y], [10, 10]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"class": "nut"},
    }
    note = {"image": "a.png", "size": [HEIGHT, WIDTH]}
    return _json(folder / "a.geojson", {"type": "FeatureCollection", "apiece": note, "features": [feature]})


def imagej_roi(folder: Path, x: float, y: float) -> Path:
    write_image(folder / "a.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    roi = ImagejRoi(roitype=ROI_TYPE.RECT, left=10, top=10, right=round(x), bottom=round(y))
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("nut.roi", roi.tobytes())
    return folder / "a.zip"


def labelme(folder: Path, x: float, y: float) -> Path:
    shape = {"label": "nut", "points": [[10, 10], [x, y]], "shape_type": "rectangle", "group_id": None, "flags": {}}
    document = {"version": "5", "shapes": [shape], "imagePath": "a.png", "imageData": None}
    return _json(folder / "a.json", document | {"imageHeight": HEIGHT, "imageWidth": WIDTH})


def via(folder: Path, x: float, y: float) -> Path:
    shape = {"name": "rect", "x": 10, "y": 10, "width": x - 10, "height": y - 10}
    said = {"image_height": str(HEIGHT), "image_width": str(WIDTH)}
    regions = [{"shape_attributes": shape, "region_attributes": {"class": "nut"}}]
    image = {"filename": "a.png", "size": 1, "regions": regions, "file_attributes": said}
    return _json(folder / "a.json", {"_via_img_metadata": {"a.png1": image}})


def supervisely(folder: Path, x: float, y: float) -> Path:
    points = {"exterior": [[10, 10], [round(x) - 1, round(y) - 1]], "interior": []}
    found = {"geometryType": "rectangle", "classTitle": "nut", "points": points}
    _json(folder / "set/meta.json", {"classes": [{"title": "nut", "shape": "any"}], "tags": []})
    size = {"height": HEIGHT, "width": WIDTH}
    return _json(folder / "set/ds0/ann/a.png.json", {"size": size, "objects": [found]}).parents[2]


def yolo(folder: Path, x: float, y: float) -> Path:
    for name in ("set/images", "set/labels"):
        (folder / name).mkdir(parents=True)
    write_image(folder / "set/images/a.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    points = [(10, 10), (x, 10), (x, y), (10, y)]
    row = " ".join(f"{px / WIDTH:.10f} {py / HEIGHT:.10f}" for px, py in points)
    (folder / "set/labels/a.txt").write_text(f"0 {row}\n")
    (folder / "set/data.yaml").write_text("train: images\nnames: [nut]\n")
    return folder / "set"


MAKERS: tuple[Callable[[Path, float, float], Path], ...] = (
    coco, lvis, cvat_polygon, cvat_box, cvat_mask, cvat_ellipse, label_studio, datumaro, geojson, imagej_roi, labelme,
    via, supervisely, yolo,
)  # fmt: skip
every = pytest.mark.parametrize("make", MAKERS)
Make = Callable[[Path, float, float], Path]


@every
@pytest.mark.parametrize(("x", "y", "beyond"), [(WIDTH + 4, 40, 4), (200, HEIGHT + 2, 2), (WIDTH, HEIGHT, 0)])
def test_a_little_is_cut_and_counted(
    make: Make, x: float, y: float, beyond: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels = formats.read(make(tmp_path, x, y))
    with caplog.at_level(logging.WARNING):
        _, found = labels[0]
        again = labels[0][1]  # is told and counted once
    assert again == found
    assert found.boxes.tolist() == [[10, 10, min(x, WIDTH), min(y, HEIGHT)]]
    if beyond:
        ((image, (cut,)),) = labels.cut.items()
        assert (image, cut.instance, cut.beyond, cut.far) == (0, 0, pytest.approx(beyond), False)
        assert cut.box == pytest.approx((10, 10, min(x, WIDTH), min(y, HEIGHT)))
        (record,) = caplog.records
        assert "outlines reach beyond the border of their image and are cut there" in record.getMessage()
        assert record.facts["cut"] == {"outlines": 1, "images": 1}  # type: ignore[attr-defined]
    else:
        assert not labels.cut
        assert not caplog.records


@every
@pytest.mark.parametrize(("x", "y", "beyond"), [(WIDTH + 5, 40, 5), (200, HEIGHT + 3, 3)])
def test_more_needs_clip(make: Make, x: float, y: float, beyond: int, tmp_path: Path) -> None:
    path = make(tmp_path, x, y)
    with pytest.raises(
        FormatError, match=rf"reaches {beyond} pixels outside the image of 400 x 60 .*clip_outlines=True"
    ):
        formats.read(path)[0]
    told: list[FormatError] = []
    assert len(formats.read(path, on_bad=told.append)[0][1]) == 0
    assert len(told) == 1
    clipped = formats.read(path, clip_outlines=True)
    assert clipped[0][1].boxes.tolist() == [[10, 10, min(x, WIDTH), min(y, HEIGHT)]]
    assert clipped.cut[0][0].far


@every
def test_an_object_wholly_outside_is_named_never_dropped_in_silence(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.WIDTH", 9)
    path = make(tmp_path, 18, 40)
    for clip in (False, True):
        with pytest.raises(FormatError, match=r"lies wholly outside the image of 9 x 60 pixels"):
            formats.read(path, clip_outlines=clip)[0]


def test_outlines_beyond_among_others_keep_their_places(tmp_path: Path) -> None:
    """Annotations on several images, one of them refused: positions are those of the instances read."""
    rings = [[10, 10, 50, 10, 50, 40], [10, 10, 500, 10, 500, 40], [10, 10, 402, 10, 402, 40], [-1, 0, 9, 0, 9, 9]]
    notes = [
        {"id": 10 * image + k, "image_id": image, "category_id": 1, "segmentation": [ring]}
        for image in (1, 2)
        for k, ring in enumerate(rings[image - 1 :])
    ]
    images = [{"id": i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH} for i in (1, 2)]
    path = _json(
        tmp_path / "a.json", {"images": images, "annotations": notes, "categories": [{"id": 1, "name": "nut"}]}
    )
    told: list[FormatError] = []
    labels = formats.read(path, on_bad=told.append)
    assert [i.ids.tolist() for _, i in labels if i.ids is not None] == [[10, 12, 13], [21, 22]]
    assert [str(error).split(":")[1].strip() for error in told] == [
        "annotations[1].segmentation",
        "annotations[4].segmentation",
    ]
    assert {image: [cut.instance for cut in cuts] for image, cuts in labels.cut.items()} == {0: [1, 2], 1: [0, 1]}
