"""What holds for every file in `apiece.check`: a new family is tested by being there."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from apiece import Instances, Masks
from apiece.check import Finding, Labelled, Place, SetFacts, Settings, load, names
from apiece.core.image import Image, ImageRef
from apiece.datasets.synthetic import SceneConfig, scene

every_family = pytest.mark.parametrize("name", names())
SETTINGS = Settings()


def labelled(instances: Instances, image: Image | None = None, index: int = 0, split: str = "train") -> Labelled:
    name = f"{split}{index}.png"
    return Labelled(split, index, ImageRef(Path(name), name, instances.size), instances, image)


def run(name: str, seen: list[Labelled]) -> list[Finding]:
    """All findings, as `check` would have them."""
    family = load(name)
    found: list[Finding] = []
    remembered = []
    for one in seen:
        if family.needs != "labels" and getattr(one, family.needs) is None:
            continue
        if family.look is not None:
            found += family.look(one, SETTINGS)
        if family.remember is not None and (what := family.remember(one, SETTINGS)) is not None:
            remembered.append(pickle.loads(pickle.dumps(what)))
    if family.conclude is not None:
        splits = list(dict.fromkeys(one.split for one in seen))
        refs = {split: tuple(one.ref for one in seen if one.split == split) for split in splits}
        classes = seen[0].instances.classes if seen else ("object",)
        found += family.conclude(remembered, SetFacts(classes, refs, dict.fromkeys(splits, ())), SETTINGS)
    check_findings(name, found, seen)
    return found


def check_findings(name: str, found: list[Finding], seen: list[Labelled]) -> None:
    known = {kind.name for kind in load(name).kinds}
    by_place = {(one.split, one.index): one for one in seen}
    for finding in found:
        assert finding.kind in known
        assert 0 <= finding.sure <= 1
        assert type(finding.sure) is float or finding.sure in (0, 1)
        assert finding.message
        assert "\n" not in finding.message
        assert finding.repair in (None, "drop", "dust", "rewrite")
        assert pickle.loads(pickle.dumps(finding)) == finding
        for place in (finding.place, *finding.others):
            check_place(place, by_place)
        if finding.repair in ("drop", "dust"):
            assert finding.place.instances


def check_place(place: Place, by_place: dict[tuple[str, int], Labelled]) -> None:
    if place.index is None:
        assert not place.instances
        assert place.image is None
        return
    one = by_place[place.split, place.index]
    assert place.image == one.ref.name
    assert all(0 <= i < len(one.instances) for i in place.instances)
    assert len(set(place.instances)) == len(place.instances)
    if place.box is not None:
        x0, y0, x1, y1 = place.box
        assert np.isfinite(place.box).all()
        assert x0 <= x1
        assert y0 <= y1


@pytest.fixture(scope="module")
def scenes() -> list[Labelled]:
    """Clean labels with their images."""
    config = SceneConfig(size=(160, 160), objects=(4, 9), overlap=0.0, touching=0.2, seed=3)
    made = [scene(config, i) for i in range(8)]
    return [
        labelled(s.visible.replace(ids=np.arange(len(s.visible))), s.image, i % 6, "train" if i < 6 else "val")
        for i, s in enumerate(made)
    ]


def hard() -> list[Labelled]:
    """Nothing, one pixel, everything, holes, many parts, an empty mask, crowd, 300 instances."""
    stack = np.zeros((6, 24, 32), bool)
    stack[0, 3, 4] = True
    stack[1] = True
    stack[2, 2:20, 2:20] = True
    stack[2, 6:9, 6:9] = False
    stack[3, ::3, ::3] = True
    stack[5, 10:, 10:] = True
    some = Instances(Masks.from_dense(stack), [0, 1, 0, 1, 0, 1], ("a", "b"), crowd=[False] * 5 + [True])
    corners = np.stack(np.meshgrid(np.arange(20) * 6, np.arange(15) * 6), -1).reshape(-1, 2).astype(float)
    masks = Masks.from_boxes(np.concatenate([corners, corners + 4], 1), (90, 120))
    many = Instances(masks, np.arange(300) % 2, ("a", "b"), ids=np.arange(300))
    none = Instances.empty((24, 32), ("a", "b"))
    one = some[:1]
    return [labelled(instances, None, i) for i, instances in enumerate((none, some, many, one, none))]


def with_images(seen: list[Labelled]) -> list[Labelled]:
    rng = np.random.default_rng(0)
    return [
        labelled(one.instances, Image(rng.integers(0, 60000, (*one.instances.size, 1), np.uint16)), one.index)
        for one in seen
    ]


def test_kinds_are_unique_and_no_family_is_called_like_another_ones_kind() -> None:
    owners = [(kind.name, name) for name in names() for kind in load(name).kinds]
    kinds = [kind for kind, _ in owners]
    assert len(set(kinds)) == len(kinds)
    assert [(kind, name) for kind, name in owners if kind in names() and kind != name] == []


@every_family
def test_it_says_what_it_finds_and_what_to_do(name: str) -> None:
    family = load(name)
    assert family.kinds
    assert family.look or (family.remember and family.conclude)
    assert (family.remember is None) == (family.conclude is None)
    for text in (family.summary, *(t for kind in family.kinds for t in (kind.summary, kind.fix))):
        assert text == text.strip()
        assert "\n" not in text
        assert text[0].isupper()
        assert text.endswith(".")
    for kind in family.kinds:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.name)
        assert kind.level in ("error", "warning", "note")


@every_family
def test_clean_scenes_have_no_errors(name: str, scenes: list[Labelled]) -> None:
    levels = {kind.name: kind.level for kind in load(name).kinds}
    assert [f.message for f in run(name, scenes) if levels[f.kind] == "error"] == []


@every_family
def test_hard_labels_with_and_without_images(name: str) -> None:
    run(name, hard())
    run(name, with_images(hard()))


@every_family
def test_nothing_at_all(name: str) -> None:
    assert run(name, []) == []
    run(name, [labelled(Instances.empty((16, 16)), None, i) for i in range(3)])


@every_family
def test_predictions_of_nothing_and_of_everything(name: str, scenes: list[Labelled]) -> None:
    empty, same = [], []
    for one in scenes[:3]:
        scored = one.instances.replace(scores=np.full(len(one.instances), 0.9))
        for answers, found in ((empty, scored[:0]), (same, scored)):
            answers.append(Labelled(one.split, one.index, one.ref, one.instances, one.image, predicted=found))
    run(name, empty)
    levels = {kind.name: kind.level for kind in load(name).kinds}
    assert [f.message for f in run(name, same) if levels[f.kind] == "error"] == []


@every_family
def test_it_changes_nothing_and_says_the_same_again(name: str, scenes: list[Labelled]) -> None:
    assert run(name, scenes) == run(name, scenes)


@pytest.mark.parametrize("name", [n for n in names() if load(n).remember is not None])
def test_what_is_remembered_is_small(name: str) -> None:
    """A set may have millions of instances: no more than a few hundred bytes of each."""
    rows, columns = np.mgrid[:25, :25] - 12
    corners = np.stack(np.meshgrid(np.arange(14), np.arange(14)), -1).reshape(-1, 2) * 30
    masks = Masks.from_crops([rows**2 + columns**2 <= 144] * len(corners), corners, (420, 420))
    pixels = np.random.default_rng(0).integers(0, 255, (420, 420, 3), dtype=np.uint8)
    instances = Instances(masks, scores=np.linspace(0, 1, len(masks)))
    ref = ImageRef(Path("a.png"), "01/t000.tif")
    labelled = Labelled("train", 0, ref, instances.replace(ids=np.arange(len(masks))), Image(pixels), None, instances)
    kept = load(name).remember
    assert kept is not None
    assert len(pickle.dumps(kept(labelled, Settings()))) < 500 * len(masks)
