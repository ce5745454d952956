"""What a model says of labels: on masks drawn by hand, with a perfect oracle, and with one that errs as models do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from apiece.check.contract import Finding, Labelled, SetFacts, Settings
from apiece.check.model import CHECK
from apiece.check.model._coverage import coverage_of
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks

CLASSES = ("nut", "pill", "screw")
SIZE = (160, 160)
Box = tuple[float, float, float, float]


def boxes(rows: Sequence[tuple[Box, int]], scores: Sequence[float] | None = None, crowd: object = None) -> Instances:
    corners = np.array([box for box, _ in rows], np.float64).reshape(-1, 4)
    labels = np.array([label for _, label in rows], np.int64)
    return Instances(Masks.from_boxes(corners, SIZE), labels, CLASSES, scores, crowd=crowd)  # type: ignore[arg-type]


def check(images: Sequence[tuple[Instances, Instances | None]]) -> list[Finding]:
    kept = []
    for i, (labels, found) in enumerate(images):
        ref = ImageRef(Path("x"), f"{i}.png")
        kept.append(CHECK.remember(Labelled("train", i, ref, labels, predicted=found), Settings()))
    return list(CHECK.conclude([k for k in kept if k is not None], SetFacts(CLASSES, {"train": ()}, {}), Settings()))


def grid(skip: Sequence[int] = ()) -> list[tuple[Box, int]]:
    """Nine objects of 20 pixels, three of each class."""
    places = [(20 + 50 * (k % 3), 20 + 50 * (k // 3)) for k in range(9)]
    return [((x, y, x + 20, y + 20), k % 3) for k, (x, y) in enumerate(places) if k not in skip]


def good(count: int = 30) -> list[tuple[Instances, Instances | None]]:
    """Images on which labels and predictions agree, so that the model is trusted."""
    return [(boxes(grid()), boxes(grid(), [0.9] * 9)) for _ in range(count)]


def one(labels: Instances, found: Instances) -> list[Finding]:
    return [f for f in check([*good(), (labels, found)]) if f.place.index == 30]


def test_agreement_has_no_finding() -> None:
    assert check(good()) == []
    assert check([]) == []
    nothing = Instances.empty(SIZE, CLASSES, scored=True)
    assert check([(boxes([]), nothing)]) == []
    assert check([(boxes(grid()), None)]) == []


def test_missing() -> None:
    (found,) = one(boxes(grid(skip=[4])), boxes(grid(), [0.95] * 9))
    assert (found.kind, found.place.instances, found.predicted) == ("missing_label", (), (4,))
    assert found.place.box == (70, 70, 90, 90)
    assert found.message.startswith("pill: found with score 0.95")
    assert found.sure > 0.9


def test_an_image_that_was_forgotten() -> None:
    found = one(boxes([]), boxes(grid(), [0.9] * 9))
    assert [f.kind for f in found] == ["missing_label"] * 9


def test_of_two_answers_for_one_missing_object_the_better_counts() -> None:
    twice = [*grid(), ((71, 71, 91, 91), 2)]
    (found,) = one(boxes(grid(skip=[4])), boxes(twice, [0.9] * 9 + [0.95]))
    assert found.predicted == (9,)


def test_a_prediction_in_a_crowd_is_no_missing_label() -> None:
    rows = [*grid(skip=[4]), ((60, 60, 100, 100), 1)]
    assert one(boxes(rows, crowd=[False] * 8 + [True]), boxes(grid(), [0.95] * 9)) == []


def test_spurious() -> None:
    extra = [*grid(), ((5, 135, 25, 155), 0)]
    (found,) = one(boxes(extra), boxes(grid(), [0.9] * 9))
    assert (found.kind, found.place.instances) == ("spurious_label", (9,))
    # a prediction of any score and class is a reason not to say so
    assert one(boxes(extra), boxes([*grid(), ((5, 135, 25, 155), 2)], [0.9] * 9 + [0.05])) == []


def test_where_the_model_sees_nothing_it_says_nothing() -> None:
    assert one(boxes(grid()), Instances.empty(SIZE, CLASSES, scored=True)) == []


def test_swapped() -> None:
    rows = grid()
    rows[4] = (rows[4][0], 2)
    (found,) = one(boxes(rows), boxes(grid(), [0.9] * 9))
    assert (found.kind, found.place.instances, found.predicted) == ("swapped_class", (4,), (4,))
    assert "screw: found as pill with score 0.90" in found.message
    # both classes are found there, its own as surely: no reason to doubt it
    both = [*grid(), (rows[4][0], 2)]
    assert one(boxes(rows), boxes(both, [0.9] * 10)) == []


def test_classes_that_a_model_mixes_up_are_no_reason() -> None:
    """A third of what it calls a screw is labelled nut, so that says nothing; a pill among its screws is news."""
    named = [(box, 2 if label == 0 else label) for box, label in grid()]
    mixing = [(boxes(grid()), boxes(named if k % 3 == 0 else grid(), [0.9] * 9)) for k in range(30)]
    rows = grid()
    rows[5] = (rows[5][0], 1)
    found = check([*mixing, (boxes(rows), boxes(grid(), [0.9] * 9))])
    assert [(f.kind, f.place.index, f.place.instances) for f in found] == [("swapped_class", 30, (5,))]


def test_merged_and_split() -> None:
    two = [((20.0, 20.0, 40.0, 40.0), 0), ((40.0, 20.0, 60.0, 40.0), 0)]
    whole = [((20.0, 20.0, 60.0, 40.0), 0)]
    rest = grid(skip=[0, 1])
    (merged,) = one(boxes(whole + rest), boxes(two + rest, [0.9] * 9))
    assert (merged.kind, merged.place.instances, merged.predicted) == ("merged_label", (0,), (0, 1))
    assert merged.message == "nut: found as 2 objects (scores 0.90, 0.90)"
    (split,) = one(boxes(two + rest), boxes(whole + rest, [0.9] * 8))
    assert (split.kind, split.place.instances, split.predicted) == ("split_label", (0, 1), (0,))
    # the whole is found too, and more surely than its parts
    assert one(boxes(whole + rest), boxes(whole + two + rest, [0.95, 0.9, 0.9] + [0.9] * 7)) == []
    # each part is found too
    assert one(boxes(two + rest), boxes(whole + two + rest, [0.95, 0.94, 0.94] + [0.9] * 7)) == []
    # of another class they are not parts
    others = [(box, 1) for box, _ in two]
    assert [f.kind for f in one(boxes(whole + rest), boxes(others + rest, [0.9] * 9))] in ([], ["swapped_class"])


@pytest.mark.parametrize(
    ("change", "way"),
    [((-4, -4, 4, 4), "outside it"), ((3, 3, -3, -3), "inside it"), ((4, 0, 4, 0), "beside it")],
)
def test_loose(change: Box, way: str) -> None:
    rows = grid()
    rows[4] = (tuple(a + b for a, b in zip(rows[4][0], change, strict=True)), 1)  # type: ignore[assignment]
    (found,) = one(boxes(rows), boxes(grid(), [0.9] * 9))
    assert (found.kind, found.place.instances, found.predicted) == ("loose_outline", (4,), (4,))
    assert found.message.endswith(way)


def test_classes_are_joined_by_name_and_sizes_must_agree() -> None:
    turned = boxes(grid(), [0.9] * 9)
    turned = Instances(turned.masks, 2 - turned.labels, CLASSES[::-1], turned.scores)
    assert check([*good(), (boxes(grid()), turned)]) == []
    foreign = turned.replace(classes=("tree", "sky", "nut"))
    kinds = {f.kind for f in check([*good(), (boxes(grid()), foreign)])}
    assert kinds <= {"spurious_label"}
    other = Instances.empty((10, 10), CLASSES, scored=True)
    labelled = Labelled("train", 0, ImageRef(Path("x"), "x"), boxes(grid()), predicted=other)
    assert coverage_of(labelled, Settings()) is None


def test_scores_mean_what_they_turn_out_to_mean() -> None:
    """A model whose 0.3 is right and whose 0.2 is not: modest, and understood."""
    images = [(boxes(grid()), boxes([*grid(), ((0, 0, 9, 9), 0)], [0.3] * 9 + [0.2])) for _ in range(30)]
    images.append((boxes(grid(skip=[4])), boxes([*grid(), ((0, 0, 9, 9), 0)], [0.3] * 9 + [0.2])))
    (found,) = check(images)
    assert (found.kind, found.place.index, found.predicted) == ("missing_label", 30, (4,))


# ---------------------------------------------------------------- oracles


@dataclass
class Injected:
    """Scenes with mistakes at known places."""

    images: list[tuple[Instances, Instances]] = field(default_factory=list)
    mistakes: list[tuple[str, int, npt.NDArray[np.float32]]] = field(default_factory=list)


def blobs(rng: np.random.Generator) -> Instances:
    """Discs and bars on free ground, some of them touching one of their class."""
    painted = np.zeros(SIZE, np.int32)
    labels: list[int] = []
    for _ in range(40):
        x, y, r = rng.integers(12, SIZE[0] - 12), rng.integers(12, SIZE[1] - 12), rng.integers(7, 13)
        canvas, label = np.zeros(SIZE, np.uint8), int(rng.integers(len(CLASSES)))
        cv2.ellipse(
            canvas, (int(x), int(y)), (int(r), int(r * rng.uniform(0.5, 1))), rng.uniform(0, 180), 0, 360, 1, -1
        )
        if painted[cv2.dilate(canvas, np.ones((5, 5), np.uint8)) > 0].any():
            continue
        pair = rng.random() < 0.2 and x + 3 * r < SIZE[1]
        for shift in (0, 2 * int(r)) if pair else (0,):
            moved = np.roll(canvas, shift, axis=1).astype(bool) & (painted == 0)
            if moved.sum() > 60:
                labels.append(label)
                painted[moved] = len(labels)
    return Instances(Masks.from_label_map(painted), np.array(labels, np.int64)[np.unique(painted)[1:] - 1], CLASSES)


def changed(mask: Masks, by: int, dx: int = 0, dy: int = 0) -> Masks:
    """Moved, then dilated or eroded."""
    dense = mask.shift(dx, dy).to_dense()[0].astype(np.uint8)
    morph = cv2.dilate if by > 0 else cv2.erode
    return Masks.from_dense((morph(dense, np.ones((3, 3), np.uint8), iterations=abs(by)) if by else dense)[None])


def perfect(truth: Instances, rng: np.random.Generator) -> Instances:
    return truth.replace(scores=np.ones(len(truth)))


def noisy(truth: Instances, rng: np.random.Generator) -> Instances:
    """3 in 100 unseen, outlines a pixel off, scores that vary, second opinions, confusions, halves, hallucinations."""
    masks, labels, scores = [Masks.empty(truth.size, 0)], list[int](), list[float]()

    def say(mask: Masks, label: int, score: float) -> None:
        if mask.area[0]:
            masks.append(mask)
            labels.append(label % len(CLASSES))
            scores.append(score)

    for i, label in enumerate(truth.labels.tolist()):
        if rng.random() < 0.03:
            continue
        seen = changed(truth.masks[i], int(rng.integers(-1, 2)), *rng.integers(-1, 2, 2).tolist())
        score, other = float(rng.beta(12, 1.5)), label + int(rng.integers(1, 3))
        if rng.random() < 0.02:
            say(seen, other, float(rng.beta(4, 3)))
            score *= 0.5
        elif rng.random() < 0.2:
            say(seen, other, score * float(rng.uniform(0, 0.4)))
        say(seen, label, score)
        if rng.random() < 0.1:
            middle = int(truth.masks.centroids[i, 0])
            say(seen.crop(0, 0, middle, truth.size[0]).shift(0, 0, truth.size), label, float(rng.beta(1.5, 5)))
    for _ in range(rng.poisson(0.5)):
        x, y = rng.integers(0, 130, 2)
        say(Masks.from_boxes([[x, y, x + 14, y + 14]], truth.size), int(rng.integers(3)), float(rng.beta(1, 5)))
    order = np.argsort(-np.array(scores), kind="stable")
    return Instances(
        Masks.concatenate(masks)[order], np.array(labels, np.int64)[order], CLASSES, np.array(scores)[order]
    )


def inject(truth: Instances, found: Instances, into: Injected, rng: np.random.Generator) -> None:
    """One in five labels gets a mistake; the labels of an image go to ``into`` with its predictions."""
    k, rows, done = len(into.images), list[tuple[Masks, int]](), set[int]()
    near = touching(truth)
    for i, label in enumerate(truth.labels.tolist()):
        if i in done:
            continue
        mask, box, lot = truth.masks[i], truth.boxes[i], rng.random()
        partner = next((a for a, b in near.items() if b == i and a not in done), None)
        if lot < 0.05:
            into.mistakes.append(("missing_label", k, box))
        elif lot < 0.1:
            rows.append((mask, (label + int(rng.integers(1, 3))) % 3))
            into.mistakes.append(("swapped_class", k, box))
        elif lot < 0.14:
            middle, (height, width) = int(truth.masks.centroids[i, 0]), truth.size
            rows += [(mask.crop(0, 0, middle, height).shift(0, 0, truth.size), label)]
            rows += [(mask.crop(middle, 0, width, height).shift(middle, 0, truth.size), label)]
            into.mistakes.append(("split_label", k, box))
        elif lot < 0.18:
            rows.append((changed(mask, 3), label))
            into.mistakes.append(("loose_outline", k, rows[-1][0].boxes[0]))
        elif partner is not None and lot < 0.6:
            done.add(partner)
            rows.append((truth.masks[[i, partner]].union(), label))
            into.mistakes.append(("merged_label", k, rows[-1][0].boxes[0]))
        else:
            rows.append((mask, label))
    free = truth.masks.union().to_dense()[0] == 0
    x, y = next(
        (p for p in rng.integers(0, 140, (30, 2)).tolist() if free[p[1] : p[1] + 14, p[0] : p[0] + 14].all()), (-1, 0)
    )
    if x >= 0 and rng.random() < 0.6:
        rows.append((Masks.from_boxes([[x, y, x + 14, y + 14]], truth.size), int(rng.integers(3))))
        into.mistakes.append(("spurious_label", k, rows[-1][0].boxes[0]))
    labels = Instances(Masks.concatenate([m for m, _ in rows]), np.array([n for _, n in rows], np.int64), CLASSES)
    into.images.append((labels, found))


def touching(truth: Instances) -> dict[int, int]:
    """Masks of one class that share an edge: the later one to the earlier."""
    a = truth.masks.to_label_map(dtype=np.int64)
    pairs = np.concatenate(
        [np.stack([a[:, 1:].ravel(), a[:, :-1].ravel()]), np.stack([a[1:].ravel(), a[:-1].ravel()])], 1
    )
    pairs = np.unique(np.sort(pairs[:, (pairs > 0).all(0) & (pairs[0] != pairs[1])], axis=0), axis=1) - 1
    return {j: i for i, j in pairs.T.tolist() if truth.labels[i] == truth.labels[j]}


def box_iou(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0).prod()
    return float(sides / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - sides))


@pytest.mark.parametrize(
    ("oracle", "bars"),
    [
        (perfect, dict.fromkeys(("missing_label", "swapped_class", "spurious_label", "split_label", "merged_label",
                                 "loose_outline"), (1.0, 1.0))),
        (noisy, {"missing_label": (0.9, 0.9), "swapped_class": (0.85, 0.9), "split_label": (0.7, 0.9),
                 "merged_label": (0.7, 0.9), "loose_outline": (0.7, 0.8), "spurious_label": (0.9, 0.3)}),
    ],
)  # fmt: skip
def test_recall_and_precision(oracle: object, bars: dict[str, tuple[float, float]]) -> None:
    rng, injected = np.random.default_rng(4), Injected()
    for _ in range(45):
        truth = blobs(rng)
        inject(truth, oracle(truth, rng), injected, rng)  # type: ignore[operator]
    found = check(injected.images)

    def hit(kind: str, index: int | None, box: object, others: Sequence[tuple[str, int | None, object]]) -> bool:
        return any(
            (kind, index) == (k, i) and box_iou(np.asarray(box, np.float64), np.asarray(b, np.float64)) > 0.5
            for k, i, b in others
        )

    said = [(f.kind, f.place.index, f.place.box) for f in found]
    for kind, (recall, precision) in bars.items():
        wanted, got = ([one for one in side if one[0] == kind] for side in (injected.mistakes, said))
        assert len(wanted) >= 10, kind
        assert np.mean([hit(*one, said) for one in wanted]) >= recall, kind
        assert np.mean([hit(*one, injected.mistakes) for one in got]) >= precision, kind


def test_a_model_without_classes_judges_all_labels_as_one_class() -> None:
    def blind(found: Instances) -> Instances:
        return found.replace(labels=np.zeros(len(found), np.int64), classes=("object",))

    agreed = [(labels, None if found is None else blind(found)) for labels, found in good()]
    assert check(agreed) == []
    lacking = boxes(grid(skip=[4])), blind(boxes(grid(), [0.9] * 9))
    (missing,) = check([*agreed, lacking])
    assert (missing.kind, missing.place.index, missing.predicted) == ("missing_label", 30, (4,))
    assert missing.message.startswith("object: found")
    left_half, right_half = ((20, 20, 30, 40), 0), ((30, 20, 40, 40), 1)
    split = boxes([left_half, right_half, *grid(skip=[0])]), blind(boxes(grid(), [0.9] * 9))
    assert [f.kind for f in check([*agreed, split])] == ["split_label"]
