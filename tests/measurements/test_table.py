"""The table: columns, units, files, summary, several images."""

from __future__ import annotations

import csv
import json
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from apiece import Image, ImageRef, Instances, Masks, PixelSize
from apiece.errors import ConfigError, InvalidInstancesError, MissingExtraError, UnknownNameError
from apiece.measurements import Property, Table, families, measure, measure_many

CLASSES = ("bolt", "nut", "ring")


def found(scored: bool = True) -> Instances:
    """A 2 x 2 bolt, a 1 x 4 nut and an empty bolt, 5 x 5."""
    dense = np.zeros((3, 5, 5), bool)
    dense[0, 1:3, 1:3] = dense[1, 4, :4] = True
    return Instances(
        Masks.from_dense(dense), [0, 1, 0], CLASSES, scores=[0.5, 0.25, 0.125] if scored else None, ids=[7, 8, 9]
    )


def test_columns_in_order() -> None:
    table = measure(found(), properties=["holes", "area", "centroid"])
    assert list(table.columns) == ["id", "class", "score", "crowd", "holes", "area", "centroid_x", "centroid_y"]
    assert table["id"].tolist() == [7, 8, 9]
    assert table["class"].tolist() == ["bolt", "nut", "bolt"]
    assert table.units == {"area": "px2", "centroid_x": "px", "centroid_y": "px"}
    assert len(table) == 3
    assert "score" not in measure(found(scored=False)).columns
    with pytest.raises(ValueError, match="read-only"):
        table["area"][0] = 1
    with pytest.raises(UnknownNameError, match="Did you mean 'area'"):
        table["aera"]
    again = pickle.loads(pickle.dumps(table))
    assert again.units == table.units
    assert again["area"].tolist() == table["area"].tolist()


def test_properties_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'perimeter'"):
        measure(found(), properties=["perimetre"])
    with pytest.raises(ConfigError, match=r"\['area'\]"):
        measure(found(), properties="area")


def test_every_family_measures_what_it_declares() -> None:
    names = [p.name for family in families() for p in family.properties]
    assert len(names) == len(set(names))
    image = Image(np.zeros((5, 5, 3), np.uint8), PixelSize(0.5, 0.5))
    for family in families():
        for prop in family.properties:
            assert isinstance(prop, Property)
            assert prop.summary
            table = measure(found().replace(full=found().masks), image, properties=[prop.name])
            new = [c for c in table.columns if c not in ("id", "class", "score", "crowd")]
            assert new
            assert all(c.startswith(prop.name) for c in new)
            unit = {"length": "um", "area": "um2", "pixel": "px", "degree": "deg", "none": ""}[prop.dimension]
            assert all(table.units.get(c, "") == unit for c in new)


def test_pixel_size_is_given_or_comes_with_the_image() -> None:
    image = Image(np.zeros((5, 5)), PixelSize(2, 2, "mm"))
    assert measure(found(), image)["area"].tolist() == [16, 16, 0]
    assert measure(found(), image).units["area"] == "mm2"
    assert measure(found(), image, pixel_size="0.5um/px")["area"].tolist() == [1, 1, 0]
    assert measure(found(), pixel_size=PixelSize(1, 3, "cm")).units["perimeter"] == "cm"
    with pytest.raises(ConfigError, match="pixel size"):
        measure(found(), pixel_size="half a micron")
    with pytest.raises(ConfigError, match=r"pixel_size needs a unit: .* got 0\.5"):
        measure(found(), pixel_size=0.5)  # type: ignore[arg-type]
    with pytest.raises(InvalidInstancesError, match=r"read it with apiece.read_image\(.photo.jpg.\)"):
        measure(found(), "photo.jpg")  # type: ignore[arg-type]


def test_extra_measurements() -> None:
    image = Image(np.arange(25).reshape(5, 5))

    def first(masks: Masks, pixels: np.ndarray | None) -> np.ndarray:
        assert pixels is not None
        assert pixels.shape == (5, 5, 1)
        return masks.area * 2

    table = measure(found(), image, properties=["area"], extra={"double": first, "box": lambda m, _: m.boxes})
    assert table["double"].tolist() == [8, 8, 0]
    assert table["box_2"].tolist() == [3, 4, 0]
    with pytest.raises(ConfigError, match=r"'short'.*3 instances.*shape \(2,\)"):
        measure(found(), extra={"short": lambda m, _: [1, 2]})
    with pytest.raises(ConfigError, match="replace column 'area'"):
        measure(found(), extra={"area": lambda m, _: m.area})


def test_csv(tmp_path: Path) -> None:
    table = measure(found(), pixel_size="0.5 um", properties=["area", "feret_max", "rect_angle", "solidity", "holes"])
    table.to_csv(tmp_path / "t.csv")
    rows = list(csv.reader((tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()))
    header = "id class score crowd area_um2 feret_max_um rect_angle_deg solidity holes"
    assert rows[0] == header.split()
    assert rows[1][:5] == ["7", "bolt", "0.5", "false", "1.0"]
    assert float(rows[1][5]) == table["feret_max"][0]
    assert rows[3][5:] == ["", "", "", "0"]
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        table.to_csv(tmp_path / "folder")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "t.csv"]


def test_json_has_no_nan(tmp_path: Path) -> None:
    table = measure(found(), properties=["area", "solidity", "cut_by_border"])
    data = json.loads(table.to_json(tmp_path / "t.json"))
    assert json.loads((tmp_path / "t.json").read_text()) == data == table.to_dict()
    assert data["units"] == {"area": "px2"}
    assert data["rows"][2] == {
        "id": 9, "class": "bolt", "score": 0.125, "crowd": False, "area": 0, "solidity": None, "cut_by_border": False
    }  # fmt: skip


def test_text() -> None:
    text = str(measure(found(), properties=["area", "solidity"]))
    assert text.splitlines() == [
        "id  class  score  crowd  area  solidity",
        "                          px2",
        " 7  bolt     0.5     no     4         1",
        " 8  nut     0.25     no     4         1",
        " 9  bolt   0.125     no     0       nan",
    ]
    long = Table({"n": np.arange(50)})
    lines = str(long).splitlines()
    assert len(lines) == 23
    assert lines[11].strip() == "..."
    assert lines[-1] == "50 rows"
    assert lines[-2].strip() == "49"
    assert len(long.to_text().splitlines()) == 51


def test_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match="pandas"):
        measure(found()).to_pandas()
    monkeypatch.undo()
    pandas = pytest.importorskip("pandas")
    frame = measure(found(), pixel_size="1 mm").to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["area"].tolist() == [4, 4, 0]
    assert frame.attrs["units"]["area"] == "mm2"
    assert frame.groupby("class")["area"].sum()["nut"] == 4


def test_summary() -> None:
    rng = np.random.default_rng(0)
    area, label = rng.integers(1, 500, 60), rng.integers(0, 2, 60)
    boxes = np.stack((np.zeros(60), np.zeros(60), area, np.ones(60)), 1)
    crowd = np.arange(60) == 5
    table = measure(Instances(Masks.from_boxes(boxes, (1, 500)), label, CLASSES, crowd=crowd), pixel_size="0.1 mm")
    summary = table.summary()
    assert summary["class"].tolist() == [*CLASSES, "all"]
    counts = [((label == k) & ~crowd).sum() for k in range(3)]
    assert summary["count"].tolist() == [*counts, 59]
    for row, chosen in enumerate([label == 0, label == 1, None, label >= 0]):
        for name in ("area", "equivalent_diameter"):
            if chosen is None:
                assert np.isnan(summary[f"{name}_mean"][row])
                assert np.isnan(summary[f"{name}_p50"][row])
                continue
            values = table[name][chosen & ~crowd]
            assert summary[f"{name}_mean"][row] == pytest.approx(values.mean())
            assert summary[f"{name}_std"][row] == pytest.approx(values.std())
            for q in (5, 25, 50, 75, 95):
                assert summary[f"{name}_p{q}"][row] == pytest.approx(np.percentile(values, q))
    assert summary.units["area_p5"] == "mm2"
    assert summary.units["equivalent_diameter_std"] == "mm"
    assert len(measure(Instances.empty((4, 4), CLASSES)).summary()) == 4
    with pytest.raises(UnknownNameError, match="column"):
        table.summary(by="shape")


def test_summary_by_a_column_of_many_values() -> None:
    count = 2_000
    table = Table({"image": np.arange(count) // 2, "area": np.arange(count, dtype=np.float64)})
    found = table.summary(by="image", of=("area",))
    assert len(found) == count // 2 + 1
    assert found["area_mean"][:3].tolist() == [0.5, 2.5, 4.5]
    assert set(found["count"][:-1].tolist()) == {2}
    none = Table({"image": np.zeros(0, np.str_), "area": np.zeros(0)}, levels={"image": ("a", "b")})
    assert none.summary(by="image", of=("area",))["count"].tolist() == [0, 0, 0]
    with pytest.raises(ConfigError, match="'class' holds no numbers"):
        Table({"class": np.array(["a"])}).summary(of=("class",))


def test_several_images(tmp_path: Path) -> None:
    ref = ImageRef(tmp_path / "b.png", "sub/b.png")
    grey, colour = Image(np.ones((5, 5))), Image(np.ones((5, 5, 3)), path=tmp_path / "c.png")
    records = [("a", found()), (ref, found()), (colour, found())]
    assert [t["image"][0] for t in measure_many(records)] == ["a", "sub/b.png", "c.png"]
    tables = list(measure_many(records[1:], read=lambda r: grey))
    joined = Table.concatenate(tables)
    assert next(iter(joined.columns)) == "image"
    assert len(joined) == 6
    assert np.isnan(joined["intensity_mean_2"][:3]).all()
    assert joined["intensity_mean_2"][3] == 1
    assert joined.summary(by="image")["count"].tolist() == [3, 3, 6]
    assert joined.summary()["class"].tolist() == [*CLASSES, "all"]
    assert len(Table.concatenate([])) == 0


def test_units_of_several_images() -> None:
    micro, milli, none = (Image(np.ones((5, 5)), s) for s in (PixelSize(500, 500), PixelSize(0.5, 0.5, "mm"), None))
    tables = list(measure_many([(micro, found()), (milli, found())], properties=["area"]))
    assert [t.units["area"] for t in tables] == ["um2", "um2"]
    np.testing.assert_allclose(tables[0]["area"], tables[1]["area"])
    with pytest.raises(ConfigError, match="image '1' has no pixel size"):
        list(measure_many([(micro, found()), (none, found())]))
    with pytest.raises(ConfigError, match="different units"):
        Table.concatenate([measure(found(), micro), measure(found(), milli)])
    with pytest.raises(ConfigError, match="'holes' is missing"):
        Table.concatenate([measure(found(), properties=["holes"]), measure(found(), properties=["area"])])


def test_table_is_validated() -> None:
    given = np.zeros(2)
    table = Table({"a": given})
    given[0] = 1
    assert table["a"].tolist() == [0, 0]
    with pytest.raises(InvalidInstancesError, match="one length"):
        Table({"a": np.zeros(2), "b": np.zeros(3)})
    with pytest.raises(UnknownNameError):
        Table({"a": np.zeros(2)}, units={"b": "um"})


def test_real_nuclei(shared_data: Path) -> None:
    data = json.loads((shared_data / "nuclei" / "val.json").read_text())
    image = data["images"][0]
    rows = [a for a in data["annotations"] if a["image_id"] == image["id"]]
    size = (image["height"], image["width"])
    if isinstance(rows[0]["segmentation"], dict):
        masks = Masks.from_coco([a["segmentation"] for a in rows], size)
    else:
        masks = Masks.from_polygons([a["segmentation"] for a in rows], size)
    table = measure(Instances(masks), properties=["area", "feret_max", "solidity", "circularity"])
    assert (table["area"] > 0).all()
    assert (table["feret_max"] >= np.sqrt(table["area"])).all()
    assert np.median(table["solidity"]) > 0.8
    assert np.median(table["circularity"]) > 0.6


def test_excel_and_parquet_hold_what_the_csv_file_holds(tmp_path: Path) -> None:
    table = Table(
        {"class": np.array(["=1+1", "https://a"]), "area": np.array([2.5, np.nan]), "crowd": np.array([True, False])},
        {"area": "um2"},
    )
    table.to_parquet(tmp_path / "a.parquet")
    found = parquet.read_table(tmp_path / "a.parquet")
    assert found.column_names == table.header()
    assert found.to_pydict()["class"] == ["=1+1", "https://a"]
    assert found.schema.field("area_um2").metadata == {b"unit": b"um2"}
    table.to_xlsx(tmp_path / "a.xlsx")
    with zipfile.ZipFile(tmp_path / "a.xlsx") as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
        texts = book.read("xl/sharedStrings.xml").decode()
    assert "<f>" not in sheet
    assert "hyperlink" not in sheet
    assert "<v>2.5</v>" in sheet
    assert all(text in texts for text in ("=1+1", "https://a", "area_um2"))
    first = (tmp_path / "a.xlsx").read_bytes()
    table.to_xlsx(tmp_path / "a.xlsx")
    assert (tmp_path / "a.xlsx").read_bytes() == first


def test_columns_that_were_measured_are_not_copied(tmp_path: Path) -> None:
    own = found()
    table = Table.concatenate(measure_many([("a.png", own)]))
    assert np.shares_memory(table["pixels"], own.masks.area)
    assert table["image"].strides == (0,)  # one text, not one for each object
    assert np.shares_memory(table.with_column("batch", [1, 2, 3])["area"], table["area"])
    given = np.array([1.0, 2.0, 3.0])
    other = table.with_column("mine", given)
    given[0] = 9
    assert other["mine"].tolist() == [1, 2, 3]
    table.to_parquet(tmp_path / "table.parquet")
    assert parquet.read_table(tmp_path / "table.parquet")["image"].to_pylist() == ["a.png"] * 3
    assert pickle.loads(pickle.dumps(table))["image"].tolist() == ["a.png"] * 3
