"""Evaluation of predictions in a file: one pass, each metric given what it judges, intervals, comparison."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_tools
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tests.metrics import coco_oracle as oracle

from apiece import formats, metrics
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError, DataError, FormatError, UnknownNameError
from apiece.evaluation._compare import Difference, _sentence, compare
from apiece.evaluation._evaluate import Judged, evaluate, join, open_truth
from apiece.evaluation.tables import difference_row
from apiece.images import write_image
from apiece.predict import Model
from apiece.testing import _pairs

SIZE = (40, 40)
CLASSES = ("bolt", "nut")

SQUARE = Instances(Masks.from_boxes([[2, 2, 10, 8]], (20, 60)))


def write(path: Path, sets: list[Instances], first: int = 0, classes: tuple[str, ...] = CLASSES) -> Path:
    records = [(ImageRef(path.parent / f"{i}.png", f"{i}.png", s.size, i + 1), s) for i, s in enumerate(sets, first)]
    formats.write(records, path, classes=classes)
    return path


def scenes(images: int, seed: int = 0) -> list[Instances]:
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(images):
        corner = rng.choice(4, 3, replace=False)[:, None] * (9, 9) + rng.integers(0, 3, (3, 2))
        out.append(Instances(Masks.from_boxes(np.concatenate([corner, corner + 8], 1), SIZE), [0, 1, 0], CLASSES))
    return out


def moved(truth: list[Instances], most: int, seed: int) -> list[Instances]:
    """Each object up to ``most`` pixels off, with a score."""
    rng = np.random.default_rng(seed)
    out = []
    for one in truth:
        parts = [one.masks[[i]].shift(*rng.integers(-most, most + 1, 2).tolist()) for i in range(len(one))]
        out.append(one.replace(masks=Masks.concatenate(parts), scores=rng.random(len(one))))
    return out


@pytest.fixture
def data(tmp_path: Path) -> Path:
    truth = scenes(30)
    write(tmp_path / "truth.json", truth)
    write(tmp_path / "good.json", moved(truth, 1, 1))
    write(tmp_path / "poor.json", moved(truth, 3, 2))
    write(tmp_path / "alike.json", moved(truth, 3, 3))
    return tmp_path


def test_each_metric_gets_what_it_judges(data: Path) -> None:
    result = evaluate(data / "poor.json", data / "truth.json", conf=(0.5, 0.9), metrics=["coco", "ap_tau"])
    pairs = list(zip(*([s for _, s in formats.read(data / f"{n}.json")] for n in ("truth", "poor")), strict=True))
    ranked = metrics.evaluate(pairs, CLASSES)
    answered = metrics.evaluate(pairs, CLASSES, metrics=["ap_tau"], conf=(0.5, 0.9))
    assert {key: result[key] for key in ranked} == dict(ranked)
    assert {key: result[key] for key in answered} == pytest.approx(dict(answered), nan_ok=True)
    assert answered["ap_tau50"] < metrics.evaluate(pairs, CLASSES, metrics=["ap_tau"])["ap_tau50"]
    assert list(result.extras) == ["coco", "ap_tau"]


def test_nothing_is_kept_and_answers_can_be_had_again(data: Path) -> None:
    truth = open_truth(data / "truth.json")
    joined = join(data / "poor.json", truth, conf=0.5)
    answers = []
    evaluate(joined, watch=lambda there, answer: answers.append(answer))
    assert len(answers) == 30
    assert [joined.answer(i) for i in range(30)] == answers
    assert any(len(a) < 3 for a in answers)
    # where no prediction falls away the answer is what is ranked: matched once
    everything = join(data / "poor.json", truth)
    assert all(answer is ranked for *_, ranked, answer in everything)


def test_images_that_the_predictions_leave_out_are_said(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    document = json.loads((data / "good.json").read_text())
    document["images"] = document["images"][:20]
    document["annotations"] = [row for row in document["annotations"] if row["image_id"] <= 20]
    (data / "some.json").write_text(json.dumps(document))
    result = evaluate(data / "some.json", data / "truth.json")
    assert result.notes[0] == "10 of 30 images are not in the predictions, as if nothing was found on them"
    assert result.notes[0] in caplog.messages
    assert result["mask_ap"] < evaluate(data / "good.json", data / "truth.json")["mask_ap"]
    assert evaluate(data / "good.json", data / "truth.json").notes == ()


def test_a_class_that_the_data_has_not_is_named(data: Path) -> None:
    document = json.loads((data / "good.json").read_text())
    document["categories"][1]["name"] = "Nut"
    (data / "case.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"class 'Nut' was predicted, which the data has not; it has bolt, nut\. "):
        evaluate(data / "case.json", data / "truth.json")


def test_objects_without_classes_are_judged_without_classes(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    blind = [s.replace(labels=[0] * len(s), classes=("object",)) for _, s in formats.read(data / "poor.json")]
    write(data / "blind.json", blind, classes=("object",))
    found = evaluate(data / "blind.json", data / "truth.json")
    truth = [s.replace(labels=[0] * len(s), classes=("object",)) for _, s in formats.read(data / "truth.json")]
    wanted = metrics.evaluate(list(zip(truth, blind, strict=True)), ("object",))
    assert {key: found[key] for key in wanted} == dict(wanted)
    assert found.notes[0] in caplog.messages
    assert "judged as one" in found.notes[0]


def test_images_are_taken_one_at_a_time(data: Path) -> None:
    joined, taken = join(data / "poor.json", open_truth(data / "truth.json")), []

    class Counting:
        truth = joined.truth
        notes, kinds = (), ("mask", "box")

        def __iter__(self) -> Iterator[Judged]:
            for record in joined:
                taken.append(len(taken))
                yield record

    seen: list[int] = []
    evaluate(Counting(), watch=lambda *_: seen.append(len(taken)))  # type: ignore[arg-type]
    assert seen == list(range(1, 31))


def test_all_metrics_but_those_the_data_is_nothing_for(data: Path) -> None:
    result = evaluate(data / "poor.json", data / "truth.json", metrics="all")
    assert {"coco", "ap_tau", "confusion", "errors", "panoptic"} <= set(result.extras)
    assert not {"hota", "mots", "identity"} & set(result.extras)
    assert any(note.startswith("left out: lvis: ") for note in result.notes)
    with pytest.raises(DataError, match="searched"):
        evaluate(data / "poor.json", data / "truth.json", metrics=["lvis"])
    assert "hota" in evaluate(data / "poor.json", data / "truth.json", metrics=["hota"])
    with pytest.raises(UnknownNameError, match=r"no metric named 'ap_tua'\. Did you mean 'ap_tau'"):
        evaluate(data / "poor.json", data / "truth.json", metrics=["ap_tua"])
    with pytest.raises(ConfigError, match="list of names or 'all', got 'coco'"):
        evaluate(data / "poor.json", data / "truth.json", metrics="coco")


def test_a_model_without_a_class_of_the_data_is_refused(model: Model, tmp_path: Path) -> None:
    strange = write(tmp_path / "trees.json", [SQUARE.replace(classes=("tree",))], classes=("tree",))
    with pytest.raises(DataError, match="the model knows bolt, nut, the data has tree: with no class in common"):
        join(model, open_truth(strange))


def test_a_better_model_is_called_better_and_a_worse_one_worse(data: Path) -> None:
    found = compare(data / "poor.json", data / "good.json", data / "truth.json", bootstrap=300)
    assert found.numbers["mask_ap"].verdict == "higher"
    assert found.verdict.startswith("B is better: mask AP ")
    assert found.numbers["mask_ap"].p < 1e-4
    assert found.per_class["nut"]["mask_ap"].verdict == "higher"
    back = compare(data / "good.json", data / "poor.json", data / "truth.json", bootstrap=300)
    assert back.verdict.startswith("B is worse")
    there, here = found.numbers["mask_ap"], back.numbers["mask_ap"]
    assert (here.low, here.high) == pytest.approx((-there.high, -there.low))
    assert found.a["mask_ap"] == evaluate(data / "poor.json", data / "truth.json")["mask_ap"]


def test_a_model_is_not_better_than_itself_nor_than_its_like(data: Path) -> None:
    same = compare(data / "poor.json", data / "poor.json", data / "truth.json", bootstrap=100)
    assert {d.verdict for d in same.numbers.values() if np.isfinite(d.a)} == {"same"}
    assert same.verdict.startswith("No difference")
    assert {c.difference for c in same.images} == {0.0}
    like = compare(data / "poor.json", data / "alike.json", data / "truth.json", bootstrap=300)
    assert like.numbers["mask_ap"].verdict == "open"
    assert like.verdict.startswith("No clear difference")


def test_of_errors_less_is_better(data: Path) -> None:
    sides = data / "good.json", data / "poor.json", data / "truth.json"
    found = compare(*sides, metrics=["errors"], by="errors75_localisation", bootstrap=100)
    assert found.numbers["errors75_localisation"].verdict == "higher"
    assert found.verdict.startswith("B is worse")
    back = compare(sides[1], sides[0], sides[2], metrics=["errors"], by="errors75_localisation", bootstrap=100)
    assert back.verdict.startswith("B is better")
    with pytest.raises(ConfigError, match="neither more nor less count_bias is better"):
        compare(*sides, metrics=["counts"], by="count_bias", bootstrap=100)


def test_images_that_changed_come_first(data: Path) -> None:
    truth = scenes(30)
    found = moved(truth, 1, 1)
    write(data / "one_off.json", [*found[:7], found[7][[0]], *found[8:]])
    result = compare(data / "good.json", data / "one_off.json", data / "truth.json", bootstrap=100)
    first, *others = result.images
    assert (first.index, first.name) == (7, "7.png")
    assert first.difference < 0
    assert {c.difference for c in others} == {0.0}
    assert len(others) == 29


def test_what_cannot_be_compared_is_said(data: Path) -> None:
    sides = data / "poor.json", data / "good.json", data / "truth.json"
    with pytest.raises(ConfigError, match="100 half-samples or more"):
        compare(*sides, bootstrap=10)
    with pytest.raises(ConfigError, match="no intervals are known for 'mask_app'"):
        compare(*sides, bootstrap=100, by="mask_app")


def test_few_images_are_no_proof(tmp_path: Path) -> None:
    truth = scenes(5)
    write(tmp_path / "truth.json", truth)
    write(tmp_path / "a.json", moved(truth, 4, 1))
    write(tmp_path / "b.json", moved(truth, 0, 1))
    found = compare(tmp_path / "a.json", tmp_path / "b.json", tmp_path / "truth.json", bootstrap=100)
    assert found.verdict.startswith("Too few images to tell")
    assert any("they need 8 images at the least, and there are 5" in note for note in found.notes)


def test_a_count_that_is_one_short_is_a_number_like_others(tmp_path: Path) -> None:
    truth = scenes(8)
    write(tmp_path / "truth.json", truth)
    short = write(tmp_path / "short.json", [one[:2] for one in moved(truth, 0, 1)])
    found = compare(short, short, tmp_path / "truth.json", metrics=["coco", "counts"], bootstrap=100)
    assert found.a["count_bias"] == found.numbers["count_bias"].a == -1
    assert found.a["mask_ap_large"] == -1
    assert np.isnan(found.numbers["mask_ap_large"].a)


def test_words() -> None:
    open_ = Difference(0.5, 0.51, -0.009, 0.029, 0.3)
    assert open_.verdict == "open"
    # half the interval is 0.019, the difference 0.01: 3.61 times as many images
    assert "about 370 images would show it" in _sentence(open_, "mask_ap", 100)
    tiny = Difference(0.5, 0.5001, -0.01, 0.01, 1.0)
    assert "too small" in _sentence(tiny, "mask_ap", 100)
    undefined = Difference(math.nan, math.nan, math.nan, math.nan, math.nan)
    assert "undefined" in _sentence(undefined, "mask_ap_large", 100)
    unknown = Difference(0.5, 0.6, math.nan, math.nan, math.nan)
    assert unknown.verdict == "unknown"
    assert _sentence(unknown, "mask_ap", 100).startswith("No verdict: mask AP 0.600 against 0.500, but too few ")
    assert difference_row(unknown)[2:] == ("+0.100", "-", "not known")


def test_equal_scores_rank_by_image_id_however_the_file_lists_its_images(tmp_path: Path) -> None:
    wanted, beside = SQUARE, SQUARE.replace(masks=SQUARE.masks.shift(40, 0))
    images = [(ImageRef(Path(name), name, (20, 60), number), wanted) for name, number in (("b.png", 2), ("a.png", 1))]
    formats.write(images, tmp_path / "truth.json", format="coco")
    found = [("b.png", beside.replace(scores=[0.9])), ("a.png", wanted.replace(scores=[0.9]))]
    formats.write(found, tmp_path / "found.json", format="coco")
    # a.png has the lower id: its right prediction comes first, so precision is 1 up to recall 0.5
    assert evaluate(tmp_path / "found.json", tmp_path / "truth.json")["mask_ap"] == pytest.approx(51 / 101)


def test_results_of_a_detector_without_masks_have_the_box_numbers_of_pycocotools(tmp_path: Path) -> None:
    pairs = _pairs.pairs(5, images=6)
    (tmp_path / "truth.json").write_text(json.dumps(oracle.truth_json(pairs)))
    results = oracle.results_json(pairs)
    for row in results:
        if "bbox" not in row:
            x, y, w, h = mask_tools.toBbox(row["segmentation"]).tolist()
            row["bbox"] = [x, y, w, h]
        del row["segmentation"]
    (tmp_path / "found.json").write_text(json.dumps(results))
    truth = COCO(tmp_path / "truth.json")
    expected = COCOeval(truth, truth.loadRes(results), "bbox")
    for step in (expected.evaluate, expected.accumulate, expected.summarize):
        step()
    found = evaluate(tmp_path / "found.json", tmp_path / "truth.json")
    keys = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100")
    assert [found[f"box_{key}"] for key in keys] == pytest.approx(expected.stats[:9].tolist(), abs=1e-12)
    assert not [key for key in found if key.startswith(("mask", "ap_tau"))]
    assert any("boxes and no masks" in note for note in found.notes)
    with pytest.raises(DataError, match="coco alone judges boxes"):
        evaluate(tmp_path / "found.json", tmp_path / "truth.json", metrics=["aji"])


def test_boxes_without_masks_are_compared_by_their_box_ap(data: Path, tmp_path: Path) -> None:
    """On one side or on both; without a word about images, of which boxes tell no accuracy."""
    masks = json.loads((data / "good.json").read_text())["annotations"]
    rows = [{key: row[key] for key in ("image_id", "category_id", "bbox", "score")} for row in masks]
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    for other in ("poor.json", tmp_path / "boxes.json"):
        found = compare(data / other, tmp_path / "boxes.json", data / "truth.json", bootstrap=100)
        assert (found.by, found.images) == ("box_ap", ())
        assert found.verdict.startswith("No difference: box AP" if other != "poor.json" else "B is better: box AP")
        assert not [key for key in found.numbers if not key.startswith("box")]
    with pytest.raises(ConfigError, match="no intervals are known for 'mask_ap'; there are: box_ap,"):
        compare(data / "poor.json", tmp_path / "boxes.json", data / "truth.json", bootstrap=100, by="mask_ap")


def test_an_empty_list_of_results_is_nothing_found(tmp_path: Path) -> None:
    formats.write([("a.png", SQUARE)], tmp_path / "truth.json", format="coco")
    (tmp_path / "found.json").write_text("[]")
    assert evaluate(tmp_path / "found.json", tmp_path / "truth.json")["mask_ap"] == 0


@pytest.mark.parametrize("saved", ["predictions.json", "tracks.json", "geojson"])
def test_a_folder_of_results_is_read_by_what_says_most_in_it(data: Path, saved: str) -> None:
    truth = open_truth(data / "truth.json")
    found = [(ref, one.replace(scores=np.full(len(one), 0.9))) for ref, one in formats.read(data / "truth.json")]
    out = data / "results"
    formats.write(found, out / saved, format="geojson" if saved == "geojson" else "coco")
    (out / "predictions.csv").write_text("image,id\n")
    for ref, _ in found:  # called as the images are, and no label maps
        write_image(out / "overlays" / f"{Path(ref.name).stem}.png", np.zeros((*SIZE, 3), np.uint8))
    assert evaluate(out, truth, metrics=["coco"])["mask_ap"] == 1
    (data / "empty").mkdir()
    with pytest.raises(FormatError, match="is of no known label format"):
        join(data / "empty", truth)
