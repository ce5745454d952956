"""LVIS AP against faster-coco-eval's ``lvis_style``, and the federated rules by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.metrics import coco_oracle as oracle

from apiece import formats
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError, DataError, UnknownNameError
from apiece.metrics import Searched, Settings, evaluate
from apiece.metrics._kit.batch import Batch
from apiece.metrics.lvis import best_of_image, frequencies, searched
from apiece.testing import _pairs as scenes

CLASSES = ("a", "b", "c", "d")
FREQUENCY = ("r", "f", "c", "f")


def federated(rng: np.random.Generator, pairs: list[oracle.Pair]) -> list[Searched]:
    """Some classes absent, some partial; LVIS never has a class absent that has truth."""
    out = []
    for truth, _ in pairs:
        there = set(truth.names)
        absent = {name for name in CLASSES if name not in there and rng.random() < 0.5}
        out.append(Searched(frozenset(absent), frozenset(n for n in CLASSES if rng.random() < 0.3)))
    return out


def lvis_json(pairs: list[oracle.Pair], said: list[Searched]) -> dict:
    """The truth as LVIS writes it."""
    data = oracle.truth_json(pairs)
    for image, one in zip(data["images"], said, strict=True):
        image["neg_category_ids"] = [CLASSES.index(name) + 1 for name in sorted(one.absent)]
        image["not_exhaustive_category_ids"] = [CLASSES.index(name) + 1 for name in sorted(one.partial)]
    for category, frequency in zip(data["categories"], FREQUENCY, strict=True):
        category["frequency"] = frequency
    return data


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_equal_to_faster_coco_eval(seed: int, big: bool) -> None:
    from faster_coco_eval import COCO, COCOeval_faster

    class Evaluator(COCOeval_faster):
        def __init__(self, truth, found, kind) -> None:
            super().__init__(truth, found, kind, lvis_style=True)

    rng = np.random.default_rng(seed)
    # faster-coco-eval falls over predictions that do not count in an image without truth
    some = [(t, p) for t, p in scenes.pairs(seed, images=5, classes=CLASSES, big=big) if len(t)]
    pairs = [(t.replace(crowd=np.zeros(len(t), bool)), p) for t, p in some]
    assume(pairs)
    said = federated(rng, pairs)
    ours = evaluate(pairs, metrics=["lvis"], searched=iter(said), frequency=FREQUENCY)
    for kind in ("mask", "box"):
        e = oracle.run(COCO, Evaluator, lvis_json(pairs, said), oracle.results_json(pairs), kind, (300,)).eval
        precision, recall = np.asarray(e["precision"]), np.asarray(e["recall"])
        expected = oracle.numbers(precision, recall, f"lvis_{kind}", (300,))
        for sign, group in (("r", "rare"), ("c", "common"), ("f", "frequent")):
            values = precision[:, :, np.array(FREQUENCY) == sign, 0, -1]
            values = values[values > -1]
            expected[f"lvis_{kind}_ap_{group}"] = values.mean() if values.size else -1.0
        assert {key: ours[key] for key in expected} == pytest.approx(expected, abs=1e-12)


def test_the_best_of_each_image_count_whatever_their_class() -> None:
    rng = np.random.default_rng(3)
    pairs = scenes.pairs(3, images=5, most=20, classes=CLASSES)
    said = federated(rng, pairs)
    kept = []
    for truth, found in pairs:
        order = sorted(range(len(found)), key=lambda i, found=found: -found.scores[i])[:4]
        kept.append((truth, found[np.sort(order)]))
    result = evaluate(pairs, metrics=["lvis"], searched=said, image_dets=4)
    fewer = evaluate(kept, metrics=["lvis"], searched=said)
    assert dict(result) == pytest.approx({key.replace("ar300", "ar4"): value for key, value in fewer.numbers.items()})
    left = sum(max(len(found) - 4, 0) for _, found in pairs)
    assert left > 0
    assert result.notes == (f"image_dets=4 per image left {left} predictions out of LVIS AP and AR",)
    assert best_of_image(_batch(kept, said), 4).all()


def _batch(pairs: list[oracle.Pair], said: list[Searched]) -> Batch:
    from dataclasses import replace

    return replace(Batch.of(0, pairs, CLASSES), searched=tuple(said))


def test_searched_for_everything_it_is_coco() -> None:
    pairs = scenes.pairs(8, classes=CLASSES)
    everything = [Searched(absent=frozenset(CLASSES))] * len(pairs)
    result = evaluate(pairs, metrics=["coco", "lvis"], max_dets=(300,), searched=everything)
    assert result["mask_ap"] == result["lvis_mask_ap"] > 0
    assert result["box_ap50"] == result["lvis_box_ap50"]
    assert "lvis_mask_ap_rare" not in result
    with pytest.raises(DataError, match="these labels do not say"):
        evaluate(pairs, metrics=["lvis"])


@pytest.mark.parametrize("name", ["lvis", "boundary"])
def test_a_draw_is_what_evaluating_the_drawn_images_gives(name: str) -> None:
    from apiece import metrics

    make = metrics.load(name)
    pairs = scenes.pairs(7, images=6, classes=CLASSES)
    # scores that differ, so that copies of one image do not compete with others
    rng = np.random.default_rng(0)
    pairs = [(truth, found.replace(scores=rng.random(len(found)))) for truth, found in pairs]
    said = federated(np.random.default_rng(1), pairs)
    chosen = Settings(frequency=FREQUENCY)
    metric = make(CLASSES, chosen)
    metric.update(_batch(pairs, said))
    weights = np.array([[1, 1, 1, 1, 1, 1], [2, 0, 3, 0, 0, 1]], np.int32)
    drawn = metric.resample(weights).pooled()
    for k, times in enumerate(weights):
        rows = np.repeat(np.arange(len(pairs)), times)
        literal = make(CLASSES, chosen)
        literal.update(_batch([pairs[i] for i in rows], [said[i] for i in rows]))
        expected = {key: np.nan if v == -1 else v for key, v in literal.compute().numbers.items()}
        assert {key: v[k] for key, v in drawn.items()} == pytest.approx(expected, nan_ok=True)


def test_what_is_not_known_is_not_wrong() -> None:
    mask = Masks.from_boxes([[0, 0, 4, 4], [5, 5, 9, 9]], (10, 10))
    truth = Instances(mask[:1], [0], ("a", "b"))
    found = Instances(mask[[1, 0, 1]], [0, 0, 1], ("a", "b"), scores=[0.9, 0.8, 0.7])
    other = Instances(mask[:1], [1], ("a", "b"))

    def ap(*said: Searched) -> list[float]:
        pairs = [(truth, found), (other, other.replace(scores=np.array([0.5])))]
        result = evaluate(pairs, metrics=["lvis"], searched=said)
        return [result.per_class[name]["lvis_mask_ap50"] for name in "ab"]

    whole = Searched()
    assert ap(whole, whole) == pytest.approx([0.5, 1.0])  # b in the first image: not known
    assert ap(Searched(absent=frozenset("b")), whole) == pytest.approx([0.5, 0.5])
    assert ap(Searched(partial=frozenset("a")), whole) == pytest.approx([1.0, 1.0])


def test_an_lvis_file_says_it(tmp_path: Path) -> None:
    import json

    pairs = scenes.pairs(8, classes=CLASSES)
    pairs = [(t.replace(crowd=np.zeros(len(t), bool)), p) for t, p in pairs]
    said = federated(np.random.default_rng(0), pairs)
    (tmp_path / "a.json").write_text(json.dumps(lvis_json(pairs, said)))
    labels = formats.read(tmp_path / "a.json")
    assert searched(labels.refs, labels.metadata) == said
    assert frequencies(labels.metadata) == FREQUENCY
    assert frequencies({"lvis": {"categories": [{"id": 1, "name": "a"}]}}) == ()
    with pytest.raises(DataError, match="no LVIS"):
        searched(labels.refs, {"coco": {}})
    with pytest.raises(DataError, match="neg_category_ids holds"):
        searched(labels.refs, {"lvis": {"categories": []}})


def test_what_does_not_fit_is_refused() -> None:
    pairs = scenes.pairs(1, images=3)
    with pytest.raises(DataError, match="2 images"):
        evaluate(pairs, metrics=["lvis"], searched=[Searched()] * 2)
    with pytest.raises(UnknownNameError, match="yak"):
        evaluate(pairs, metrics=["lvis"], searched=[Searched(absent=frozenset(["yak"]))] * 3)
    with pytest.raises(ConfigError, match="one per class"):
        evaluate(pairs, metrics=["lvis"], searched=[Searched()] * 3, frequency="r")
    with pytest.raises(ConfigError, match="'r', 'c' or 'f'"):
        Settings(frequency=("rare", "c"))
    with pytest.raises(ConfigError, match="image_dets"):
        Settings(image_dets=0)
    unscored = [(truth, truth) for truth, _ in pairs]
    with pytest.raises(DataError, match="no scores"):
        evaluate(unscored, metrics=["lvis"], searched=[Searched()] * 3)
