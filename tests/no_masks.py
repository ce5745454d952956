"""Label files of every format that knows shapes without an area: one instance and such shapes on ``a.png``."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from roifile import ROI_TYPE, ImagejRoi

SQUARE = [[1, 1], [4, 1], [4, 3], [1, 3]]


def _json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def cvat(folder: Path) -> Path:
    """A polyline, points with an attribute, a cuboid, a skeleton, a tag."""
    path = folder / "labels.xml"
    sides = " ".join(f'{k}="{i}"' for i, k in enumerate(("xtl1", "ytl1", "xbl1", "ybl1", "xtr1", "ytr1")))
    path.write_text(f"""<?xml version="1.0"?><annotations><version>1.1</version><meta><task><labels>
        <label><name>nut</name><type>any</type></label><label><name>hand</name><type>skeleton</type>
        <svg>&lt;line/&gt;</svg></label><label><name>thumb</name><type>points</type><parent>hand</parent></label>
        </labels></task></meta><image id="0" name="a.png" width="10" height="8">
        <polygon label="nut" source="manual" occluded="0" points="1,1;4,1;4,3;1,3" z_order="0"></polygon>
        <polyline label="nut" source="manual" points="1.0,2.0;3.0,4.0" z_order="0"></polyline>
        <points label="nut" source="manual" points="1.0,2.0" z_order="1"><attribute name="worn">a &lt; b</attribute>
        </points><cuboid label="nut" {sides} z_order="0"></cuboid>
        <skeleton label="hand" source="manual" z_order="0"><points label="thumb" outside="0" points="1.00,1.00">
        <attribute name="bent">true</attribute></points></skeleton><tag label="nut" source="manual"></tag>
        </image></annotations>""")
    return path


def label_studio(folder: Path) -> Path:
    """A key point, a relation, a choice for the image; a skipped annotation, and a prediction beside drawn regions."""
    where = {"original_width": 10, "original_height": 8, "to_name": "image"}
    box = {"x": 10, "y": 12.5, "width": 30, "height": 25, "rectanglelabels": ["nut"]}
    results: list[Any] = [
        {"id": "r1", "type": "rectanglelabels", "from_name": "label", "value": box} | where,
        {"id": "k", "type": "keypointlabels", "from_name": "tip", "value": {"x": 5, "keypointlabels": ["nut"]}} | where,
        {"type": "relation", "from_id": "r1", "to_id": "k", "direction": "right"},
        {"id": "c", "type": "choices", "from_name": "light", "to_name": "image", "value": {"choices": ["dark"]}},
    ]
    tasks = [
        {
            "id": 3,
            "data": {"image": "a.png"},
            "annotations": [
                {"completed_by": 4, "was_cancelled": False, "result": results},
                {"completed_by": 5, "was_cancelled": True, "result": results[:1]},
            ],
            "predictions": [{"model_version": "m", "score": 0.5, "result": results[:1]}],
        }
    ]
    return _json(folder / "labels.json", tasks)


def datumaro(folder: Path) -> Path:
    """A label of the image, a polyline, a skeleton whose points have labels of their own."""
    notes: list[Any] = [
        {"id": 1, "type": "polygon", "label_id": 0, "points": [1, 1, 4, 1, 4, 3, 1, 3], "group": 0, "attributes": {}},
        {"id": 2, "type": "label", "label_id": 1, "group": 0, "attributes": {"sure": True}},
        {"id": 3, "type": "polyline", "label_id": 0, "points": [1, 1, 4, 2.5], "group": 0},
        {"id": 4, "type": "skeleton", "label_id": 1, "elements": [{"type": "points", "label_id": 0, "points": [1, 2]}]},
    ]
    labels = [{"name": "nut", "parent": "", "attributes": []}, {"name": "hand", "parent": "", "attributes": []}]
    item = {"id": "a", "image": {"path": "a.png", "size": [8, 10]}, "annotations": notes}
    return _json(folder / "labels.json", {"info": {}, "categories": {"label": {"labels": labels}}, "items": [item]})


def geojson(folder: Path) -> Path:
    """A point with a class, a line, a feature without geometry."""

    def feature(kind: str, coordinates: Any, **properties: Any) -> Any:
        return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": properties}

    nut = {"classification": {"name": "nut", "color": [1, 2, 3]}}
    features = [
        feature("Polygon", [[*SQUARE, SQUARE[0]]], objectType="annotation", **nut),
        feature("MultiPoint", [[1, 2], [3, 4.5]], objectType="annotation", isLocked=True, **nut),
        feature("LineString", [[1, 2], [3, 4]], name="scale bar"),
        {"type": "Feature", "geometry": None, "properties": {"note": "ü"}},
    ]
    note = {"image": "a.png", "size": [8, 10]}
    return _json(folder / "a.geojson", {"type": "FeatureCollection", "apiece": note, "features": features})


def imagej_roi(folder: Path) -> Path:
    """Points, a line, and a ROI whose name is one that the writer gives."""
    square = ImagejRoi.frompoints(SQUARE)
    square.roitype = ROI_TYPE.POLYGON
    points = ImagejRoi.frompoints([[1, 2], [3, 4]])
    points.roitype = ROI_TYPE.POINT
    line = ImagejRoi(roitype=ROI_TYPE.LINE, x1=1, y1=2, x2=4, y2=4)
    (folder / "a.png").write_bytes(bytes.fromhex(_PNG))
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for name, roi in (("s.roi", square), ("00001.roi", points), ("line.roi", line)):
            archive.writestr(name, roi.tobytes())
    return folder / "a.zip"


_PNG = (  # grey, 10 x 8
    "89504e470d0a1a0a0000000d494844520000000a000000080800000000e591316a0000000c49444154081d6360a00d000000"
    "5800019153ee380000000049454e44ae426082"
)


def labelme(folder: Path) -> Path:
    """A line, a point, points."""
    own = {"label": "nut", "group_id": None, "description": "", "flags": {}}
    shapes = [
        own | {"points": SQUARE, "shape_type": "polygon"},
        own | {"points": SQUARE[:2], "shape_type": "line", "flags": {"worn": True}},
        own | {"points": SQUARE[:1], "shape_type": "point", "description": "tip"},
        own | {"points": SQUARE, "shape_type": "linestrip", "label": "scratch"},
    ]
    document = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": "a.png", "imageData": None}
    return _json(folder / "set/a.json", document | {"imageHeight": 8, "imageWidth": 10}).parent


def via(folder: Path) -> Path:
    """A point and a polyline."""
    x, y = zip(*SQUARE, strict=True)
    shapes = [
        {"name": "polygon", "all_points_x": x, "all_points_y": y},
        {"name": "point", "cx": 3, "cy": 4},
        {"name": "polyline", "all_points_x": x, "all_points_y": y},
    ]
    regions = [{"shape_attributes": shape, "region_attributes": {"kind": "nut", "worn": "yes"}} for shape in shapes]
    said = {"image_height": "8", "image_width": "10"}
    image = {"filename": "a.png", "size": 5, "regions": regions, "file_attributes": said}
    choices = {"kind": {"type": "dropdown", "options": {"nut": ""}}}
    attributes = {"region": choices, "file": {}}
    return _json(folder / "via.json", {"_via_img_metadata": {"a.png5": image}, "_via_attributes": attributes})


def supervisely(folder: Path) -> Path:
    """A point, a line, a graph of key points; the class of the graph holds nothing else."""

    def figure(kind: str, points: Any, title: str = "nut", **more: Any) -> Any:
        own = {"geometryType": kind, "classTitle": title, "tags": [], "description": ""}
        return own | {"points": {"exterior": points, "interior": []}} | more

    objects = [
        figure("polygon", SQUARE, id=1),
        figure("point", SQUARE[:1], id=2, tags=[{"name": "worn", "value": None}]),
        figure("line", SQUARE, id=3),
        {"geometryType": "graph", "classTitle": "hand", "nodes": {"1": {"loc": [1, 2]}}},
    ]
    classes = [
        {"title": "nut", "shape": "any", "color": "#FF0000"},
        {
            "title": "hand",
            "shape": "graph",
            "color": "#00FF00",
            "geometry_config": {"nodes": {"1": {"label": "thumb"}}},
        },
    ]
    _json(folder / "set/meta.json", {"classes": classes, "tags": [], "projectType": "images"})
    annotation = {"description": "", "tags": [], "size": {"height": 8, "width": 10}, "objects": objects}
    return _json(folder / "set/ds0/ann/a.png.json", annotation).parents[2]


def coco(folder: Path) -> Path:
    """Key points without an outline, as COCO Keypoints exports have them, beside key points with one."""
    keys = {"keypoints": [1, 2, 2, 3, 4, 1], "num_keypoints": 2}
    notes = [
        {"id": 1, "image_id": 1, "category_id": 7, "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]], "iscrowd": 0} | keys,
        {"id": 5, "image_id": 1, "category_id": 7, "segmentation": [], "bbox": [1, 2, 2, 2], "area": 4} | keys,
        {"id": 6, "image_id": 1, "category_id": 7, "bbox": [1, 2, 2, 2], "area": 4} | keys,
    ]
    categories = [{"id": 7, "name": "nut", "keypoints": ["left", "right"], "skeleton": [[1, 2]]}]
    images = [{"id": 1, "file_name": "a.png", "height": 8, "width": 10}]
    return _json(folder / "labels.json", {"images": images, "annotations": notes, "categories": categories})


FILES: dict[str, Callable[[Path], Path]] = {
    f.__name__: f for f in (cvat, label_studio, datumaro, geojson, imagej_roi, labelme, via, supervisely, coco)
}
COUNTS = {
    "cvat": {"polyline": 1, "points": 1, "cuboid": 1, "skeleton": 1, "tag": 1},
    "label_studio": {"keypoint": 1, "relation": 1, "choices": 1, "cancelled": 1, "prediction": 1},
    "datumaro": {"label": 1, "polyline": 1, "skeleton": 1},
    "geojson": {"MultiPoint": 1, "LineString": 1, "null": 1},
    "imagej_roi": {"point": 1, "line": 1},
    "labelme": {"line": 1, "point": 1, "linestrip": 1},
    "via": {"point": 1, "polyline": 1},
    "supervisely": {"point": 1, "line": 1, "graph": 1},
    "coco": {"keypoints": 2},
}


def elements(labels: Any) -> dict[str, Counter[str]]:
    """Everything that is no mask, by image, as its file has it."""
    return {r.name: Counter(f"{s.kind} {s.content!r}" for s in r.shapes) for r in labels.refs}
