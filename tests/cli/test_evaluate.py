"""``apiece evaluate`` and ``apiece compare`` end to end, on predictions in files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from apiece import cli, formats
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.images import write_image

CLASSES = ("bolt", "nut")


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main([str(a) for a in arguments])
    return int(end.value.code or 0)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve images; ``a.json`` misses, merges, splits, makes up and mixes up; ``b.json`` is one pixel off."""
    rng = np.random.default_rng(0)
    truth, a, b = [], [], []
    for i in range(12):
        places = rng.permutation(9)[:5]
        corner = np.stack([places % 3, places // 3], 1) * 20 + rng.integers(2, 6, (5, 2))
        boxes = np.concatenate([corner, corner + 12], 1)
        instances = Instances(Masks.from_boxes(boxes, (64, 64)), rng.integers(0, 2, 5), CLASSES)
        pixels = np.full((64, 64), 20, np.uint8)
        pixels[instances.masks.union().to_dense()[0]] = 200
        write_image(tmp_path / f"{i}.png", pixels)
        ref = ImageRef(tmp_path / f"{i}.png", f"{i}.png", (64, 64), i + 1)
        truth.append((ref, instances))
        b.append((ref, instances.replace(masks=instances.masks.shift(1, 0), scores=rng.random(5))))
        halves = boxes[[1, 1]] + [[0, 0, -7, 0], [7, 0, 0, 0]]
        wide = np.concatenate([boxes[2:4, :2].min(0), boxes[2:4, 2:].max(0)])
        made = np.concatenate([boxes[:1], halves, wide[None], boxes[4:], [[60, 60, 64, 64]]])
        labels = instances.labels[[0, 1, 1, 2, 4, 0]]
        labels[4] = 1 - labels[4]
        a.append((ref, Instances(Masks.from_boxes(made, (64, 64)), labels, CLASSES, rng.random(6))))
    for name, records in (("truth", truth), ("a", a), ("b", b)):
        formats.write(records, tmp_path / f"{name}.json", classes=CLASSES)
    return tmp_path


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("metrics", ["all", "coco", "ap_tau"])
def test_the_page_of_nothing_found(data: Path, there: bool, metrics: str) -> None:
    truth = [(ref, found if there else found[:0]) for ref, found in formats.read(data / "truth.json")]
    nothing = [(ref, found[:0].replace(scores=np.zeros(0))) for ref, found in truth]
    formats.write(truth, data / "some.json", classes=CLASSES)
    formats.write(nothing, data / "none.json", classes=CLASSES)
    asked = ("evaluate", "--predictions", data / "none.json", "--data", data / "some.json", "--metrics", metrics)
    assert run(*asked, "--html", data / "none.html") == 0
    page = (data / "none.html").read_text(encoding="utf-8")
    assert f"12 images, {60 * there} objects, 0 found" in page
    assert ('<section id="confusion"' in page) == (there or metrics != "all")


def test_metrics_and_intervals(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [
        "evaluate",
        "--predictions",
        data / "a.json",
        "--data",
        data / "truth.json",
        "--metrics",
        "coco, confusion",
    ]
    assert run(*asked, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["mask_ap_low"] <= shown["mask_ap"] <= shown["mask_ap_high"]
    assert shown["confusion_recall_low"] is None  # it is the same on every image
    assert "ap_tau" not in shown
    assert {"mask_ap_low", "mask_ap_high", "mask_ap_bias"} < set(shown["per_class"]["nut"])
    assert run(*asked, "--json", "--bootstrap", 0) == 0
    plain = json.loads(capsys.readouterr().out)
    other = ("per_class", "notes")
    assert {k: v for k, v in shown.items() if k in plain and k not in other} == {
        k: v for k, v in plain.items() if k not in other
    }
    assert not [key for key in plain if key.endswith("_low")]
    assert run(*asked, "--max-dets", 2, 5, "--json") == 0
    assert {"mask_ar2", "mask_ar5"} <= set(json.loads(capsys.readouterr().out))
    assert run(*asked) == 0
    out = capsys.readouterr().out
    assert "confusion_f1" in out
    assert "95%" in out
    assert run(*asked[:-1], "cocoa") == 1
    assert "Did you mean 'coco'" in capsys.readouterr().err
    assert run(*asked[:-1], ",") == 1


def test_the_page_shows_every_kind_of_error(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = data / "evaluation.html"
    assert run("evaluate", "--predictions", data / "a.json", "--data", data / "truth.json", "--html", page) == 0
    out, err = capsys.readouterr()
    assert str(page) in err
    assert "dap_class" not in out
    html = page.read_text(encoding="utf-8")
    for anchor in ("accuracy", "curves", "errors", "confusion", "reliability", "counts", "images"):
        assert f'<section id="{anchor}"' in html
    for mark in ("found", "missed", "false", "merged", "split", "class"):
        assert f"</i>{mark}</span>" in html
    assert html.count("<img") == 2 * 10
    assert "12 images, 60 objects, 72 found" in html
    assert "Per class at IoU 0.50" in html


def test_a_count_that_is_one_short_is_shown(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = [(ref, one[:4].replace(scores=np.ones(4))) for ref, one in formats.read(data / "truth.json")]
    formats.write(short, data / "short.json", classes=CLASSES)
    page = data / "short.html"
    asked = ["evaluate", "--predictions", data / "short.json", "--data", data / "truth.json", "--metrics", "counts"]
    assert run(*asked, "--html", page) == 0
    assert ["count_bias", "-1.000"] in [line.split() for line in capsys.readouterr().out.splitlines()]
    assert "count_bias" in page.read_text(encoding="utf-8")


def test_compare(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["compare", data / "a.json", data / "b.json", "--data", data / "truth.json", "--bootstrap", 200]
    page = data / "compare.html"
    assert run(*asked, "--html", page) == 0
    out = capsys.readouterr().out
    assert "B is better: mask AP" in out.splitlines()[-1]
    assert "bolt" in out
    html = page.read_text(encoding="utf-8")
    assert "Is B better than A?" in html
    assert html.count("<img") == 3 * 4
    assert run(*asked, "--json", "--by", "mask_ap50") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["verdict"].startswith("B is better: mask AP50")
    assert shown["numbers"]["mask_ap50"]["verdict"] == "higher"
    assert shown["numbers"]["mask_ap50"]["difference"] > 0
    assert len(shown["changed_images"]) == 12
    assert run(*asked[:-1], 5) == 1
    assert "100 half-samples" in capsys.readouterr().err
    assert run("compare", data / "a.json", data / "none.json", "--data", data / "truth.json") == 1
    assert "none.json" in capsys.readouterr().err


def test_bad_entries_are_left_out_and_listed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, found = json.loads((data / "truth.json").read_text()), json.loads((data / "b.json").read_text())
    truth["annotations"][7]["segmentation"] = {"size": [64, 64], "counts": "0"}
    found["annotations"][2]["category_id"] = 99
    truth["images"].pop()  # its annotations stand alone, and its predictions have no image
    for name, content in (("truth", truth), ("b", found)):
        (data / f"{name}.json").write_text(json.dumps(content))
    asked = ["evaluate", "--predictions", data / "b.json", "--data", data / "truth.json", "--bootstrap", 0]
    assert run(*asked) == 1
    capsys.readouterr()
    assert run(*asked, "--skip-bad", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["images"] == 11
    assert len(shown["bad"]) == 1 + 5 + 1 + 1
    assert any("annotations[2].category_id" in bad["reason"] for bad in shown["bad"])
    assert any("which the data has not" in bad["reason"] for bad in shown["bad"])
    assert shown["mask_ap50"] > 0.9


def test_predictions_without_scores_are_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("evaluate", "--predictions", data / "truth.json", "--data", data / "truth.json", "--bootstrap", 0)
    assert run(*asked) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "image '0.png': predictions have no scores" in said
    assert "with --metrics ap_tau,aji,counts,panoptic, or give predictions with scores, such as COCO results" in said
    assert run(*asked, "--metrics", "ap_tau,aji,counts,panoptic") == 0


def _scores(instances: Instances) -> list[float]:
    assert instances.scores is not None
    return instances.scores.tolist()


def test_yolo_predictions_with_scores_equal_coco_results(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = list(formats.read(data / "a.json"))
    results = [
        {"image_id": ref.id, "category_id": int(k) + 1, "segmentation": rle, "score": score}
        for ref, instances in found
        for rle, k, score in zip(instances.masks.to_coco(), instances.labels, _scores(instances), strict=True)
    ]
    (data / "results.json").write_text(json.dumps(results))
    # as a tool saves them: the outlines and their scores by image, without the images, and the names of the classes
    yolo = data / "yolo"
    formats.write(found, yolo, "yolo", allow_lossy=True)
    (yolo / "apiece.jsonl").unlink()
    (yolo / "train.txt").unlink()
    (yolo / "data.yaml").unlink()
    (yolo / "classes.txt").write_text("bolt\nnut\n")
    for ref, instances in found:
        file = yolo / "labels" / f"{Path(ref.name).stem}.txt"
        rows = zip(file.read_text().splitlines(), _scores(instances), strict=True)
        file.write_text("".join(f"{row} {score!r}\n" for row, score in rows))
    shown = []
    for predictions in ("results.json", "yolo"):
        asked = ("--predictions", data / predictions, "--data", data / "truth.json", "--json")
        assert run("evaluate", *asked, "--bootstrap", 0) == 0
        shown.append(json.loads(capsys.readouterr().out))
    assert 0 < shown[0]["mask_ap"] < 1
    assert shown[0] == shown[1]


def _yolo_rows(folder: Path, found: list[tuple[ImageRef, Instances]], boxes: bool) -> None:
    """Write label files as prediction does: no list of classes, no images."""
    formats.write(found, folder.parent / "whole", "yolo", allow_lossy=True)
    for ref, instances in found:
        stem, (height, width) = Path(ref.name).stem, instances.size
        rows = (folder.parent / "whole" / "labels" / f"{stem}.txt").read_text().splitlines()
        if boxes:
            x0, y0, x1, y1 = (instances.boxes / [width, height, width, height]).T
            centres = np.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], 1).tolist()
            rows = [f"{k} {' '.join(map(repr, v))}" for k, v in zip(instances.labels, centres, strict=True)]
        (folder / "labels").mkdir(parents=True, exist_ok=True)
        text = "".join(f"{row} {score!r}\n" for row, score in zip(rows, _scores(instances), strict=True))
        (folder / "labels" / f"{stem}.txt").write_text(text)


@pytest.mark.parametrize("boxes", [False, True])
def test_yolo_predictions_that_name_no_classes(data: Path, capsys: pytest.CaptureFixture[str], boxes: bool) -> None:
    _yolo_rows(data / "predict", list(formats.read(data / "a.json")), boxes)
    shown = []
    for predictions in ("a.json", "predict", "predict/labels"):
        asked = ("--predictions", data / predictions, "--data", data / "truth.json", "--json", "--bootstrap", 0)
        assert run("evaluate", *asked) == 0
        out, err = capsys.readouterr()
        shown.append({k: v for k, v in json.loads(out).items() if k.startswith("box_" if boxes else ("box_", "mask_"))})
    assert "they are the classes of the data: 0 is bolt, 1 is nut" in err
    assert 0 < shown[0]["box_ap"] < 1
    assert shown[0] == shown[1] == shown[2]


def test_predictions_of_classes_on_label_maps(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    formats.write(formats.read(data / "truth.json"), data / "maps", "labelmap", allow_lossy=True)
    plain = [
        (ref, one.replace(labels=one.labels * 0, classes=("object",))) for ref, one in formats.read(data / "b.json")
    ]
    formats.write(plain, data / "plain.json")
    shown = []
    for predictions in ("plain.json", "b.json"):
        asked = ("--predictions", data / predictions, "--data", data / "maps", "--json", "--bootstrap", 0)
        assert run("evaluate", *asked) == 0
        shown.append(json.loads(capsys.readouterr().out))
    assert shown[1].pop("notes") == ["the data tells no classes apart, so everything found is judged as one class"]
    shown[0].pop("notes")
    assert shown[0] == shown[1]


@pytest.mark.parametrize("name", ["{}.png", "{}.tif", "{}_cp_masks.tif", "masks/{}_label.png", "{}.npy"])
def test_label_maps_that_lie_elsewhere(data: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """As Cellpose and StarDist write them: under the names of the images, with another ending, without the images."""
    shown = []
    found = [
        (ref, one.replace(labels=one.labels * 0, classes=("object",))) for ref, one in formats.read(data / "b.json")
    ]
    formats.write(found, data / "plain.json")
    for ref, instances in found:
        file = data / "maps" / name.format(Path(ref.name).stem)
        file.parent.mkdir(parents=True, exist_ok=True)
        array = instances.masks.to_label_map(np.arange(1, len(instances) + 1)).astype(np.uint16)
        if file.suffix == ".npy":
            np.save(file, array)
        else:
            write_image(file, array)
    for predictions in ("plain.json", "maps"):
        asked = ("--predictions", data / predictions, "--data", data / "truth.json", "--metrics", "ap_tau,counts")
        assert run("evaluate", *asked, "--json", "--bootstrap", 0) == 0
        shown.append(json.loads(capsys.readouterr().out))
    assert (shown[0]["ap_tau80"], shown[0]["ap_tau90"]) == (1, 0)
    assert shown[0] == shown[1]


def test_the_option_for_the_format_of_predictions_is_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "strange").mkdir()
    write_image(data / "strange" / "other.png", np.zeros((64, 64), np.uint8))
    assert run("evaluate", "--predictions", data / "strange", "--data", data / "truth.json") == 1
    assert "name it with --predictions-format" in " ".join(capsys.readouterr().err.split())


def test_predictions_of_label_studio_on_its_uploads(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It puts eight characters before the name of an upload; tasks may have annotations beside the predictions."""
    formats.write(formats.read(data / "a.json"), data / "tasks.json", "label_studio")
    tasks = json.loads((data / "tasks.json").read_text())
    assert all(task["predictions"] for task in tasks)
    for k, task in enumerate(tasks):
        name = task["data"]["image"].rpartition("=")[2]
        task["data"]["image"] = f"/data/upload/1/1234567{k % 10}-{name}"
        task["meta"] = {}
        task["annotations"] = [{"completed_by": 1, "result": task["predictions"][0]["result"][:1]}]
    (data / "tasks.json").write_text(json.dumps(tasks))
    shown = []
    for predictions in ("a.json", "tasks.json"):
        asked = ("--predictions", data / predictions, "--data", data / "truth.json", "--json", "--bootstrap", 0)
        assert run("evaluate", *asked) == 0
        shown.append(json.loads(capsys.readouterr().out))
    assert shown[1].pop("passed_over")[0]["shapes"] == {"annotation": 12}
    assert shown[0] == shown[1]


def test_a_class_spelled_otherwise_is_offered(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (data / "a.json").read_text().replace('"bolt"', '"Bolt"')
    (data / "loud.json").write_text(text)
    assert run("evaluate", "--predictions", data / "loud.json", "--data", data / "truth.json") == 1
    assert "convert --classes Bolt=bolt gives it another name" in " ".join(capsys.readouterr().err.split())
