"""How families are asked: order, processes, images, predictions, what is wanted."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.check.faulty_labels import CLASSES, HEIGHT, WIDTH, clean_set, faulty_set

from apiece import Instances, Masks, _plugins
from apiece import check as package
from apiece.check import Finding, Kind, Place, Report, check, kinds, names, open_labels
from apiece.datasets.dataset import Dataset
from apiece.errors import ConfigError, DataError, FormatError, UnknownNameError

TALE = """
from apiece.check.contract import Check, Finding, Kind, Place

def look(labelled, settings):
    seen = "no" if labelled.image is None else labelled.image.size
    yield Finding("seen", f"{seen} {labelled.problem}", 0.5, labelled.place())
    if labelled.predicted is not None and len(labelled.predicted):
        found = labelled.predicted
        yield Finding("told", f"{found.classes[found.labels[0]]}", 0.9, labelled.place(), predicted=(len(found) - 1,))

def remember(labelled, settings):
    labels = labelled.instances.labels.tolist()
    return None if labelled.index == 1 else (labelled.split, labelled.index, labels, labelled.predicted is not None)

def conclude(remembered, facts, settings):
    for split, index, _, predicted in remembered:
        if predicted:
            yield Finding("late", "late", 0.1, Place(split, facts.refs[split][index].name, index), predicted=(0,))
    yield Finding("end", repr((list(remembered), facts.classes, sorted(facts.unread))), 1.0, Place("train"))

LEVELS = {"seen": "note", "end": "error", "told": "warning", "late": "warning"}
KINDS = tuple(Kind(name, level, "s", "f") for name, level in LEVELS.items())
CHECK = Check("a tale", KINDS, look, remember, conclude)
"""


@pytest.fixture
def tale(tmp_path: Path) -> Iterator[None]:
    """A family that tells what it was shown."""
    (tmp_path / "plugin").mkdir()
    (tmp_path / "plugin" / "tale.py").write_text(TALE)
    package.__path__.append(str(tmp_path / "plugin"))
    _plugins.names.cache_clear()
    yield
    package.__path__.pop()
    sys.modules.pop("apiece.check.tale", None)
    vars(package).pop("tale", None)
    _plugins.names.cache_clear()


@pytest.mark.usefixtures("tale")
def test_families_see_every_image_in_order_and_conclude(tmp_path: Path) -> None:
    steps: list[int] = []
    train, val = clean_set(tmp_path), clean_set(tmp_path, "val", 2, 3)
    (tmp_path / "images" / "1.png").unlink()
    report = check({"train": train, "val": val}, only=["tale"], step=lambda: steps.append(1))
    assert len(steps) == 5
    assert [f.kind for f in report.findings] == ["end"] + ["seen"] * 5
    assert [(f.place.split, f.place.index) for f in report.findings[1:]] == [
        ("train", 0), ("train", 1), ("train", 2), ("val", 0), ("val", 1),
    ]  # fmt: skip
    assert [f.message for f in report.findings[1:3]] == ["(64, 80) None", "no does not exist"]
    labels = [0, 1, 0, 1]
    told = [("train", 0, labels, False), ("train", 2, labels, False), ("val", 0, labels, False)]
    assert report.findings[0].message == repr((told, CLASSES, ["train", "val"]))
    assert report.images == {"train": 3, "val": 2}
    assert report.instances == {"train": 12, "val": 8}


@pytest.mark.usefixtures("tale")
def test_without_images_none_is_read(tmp_path: Path) -> None:
    path = clean_set(tmp_path)
    for image in (tmp_path / "images").iterdir():
        image.unlink()
    report = check({"train": path}, images=False, only=["seen"])
    assert {f.message for f in report.findings} == {"no None"}


@pytest.mark.usefixtures("tale")
def test_splits_with_other_classes_share_one_list(tmp_path: Path) -> None:
    train, val = clean_set(tmp_path), clean_set(tmp_path, "val", 1, 3)
    val.write_text(val.read_text().replace('"bolt"', '"screw"'))
    (end,) = check({"train": train, "val": val}, images=False, only=["end"]).findings
    assert "('val', 0, [2, 1, 2, 1], False)" in end.message
    assert "('bolt', 'nut', 'screw')" in end.message


def found(classes: tuple[str, ...], labels: list[int], size: tuple[int, int] = (HEIGHT, WIDTH)) -> Instances:
    boxes = [[5 * k, 0, 5 * k + 4, 4] for k in range(len(labels))]
    return Instances(Masks.from_boxes(np.array(boxes, float), size), labels, classes, scores=[0.9] * len(labels))


@pytest.mark.usefixtures("tale")
def test_predictions_are_joined_by_class_name_and_kept_where_spoken_of(tmp_path: Path) -> None:
    asked: list[tuple[str, int]] = []

    def predicted(split: str, index: int) -> Instances | None:
        asked.append((split, index))
        answers = [found(("rivet", "nut"), [0, 1, 1]), None, found(("nut",), [0], (8, 8))]
        return answers[index]

    path = clean_set(tmp_path)
    report = check({"train": path}, predicted=predicted, only=["told", "late"], images=False)
    assert asked == [("train", 0), ("train", 1), ("train", 2)]
    finding, late = report.findings  # none of another size, none where there is none
    assert (finding.message, finding.place.index, finding.predicted) == ("nut", 0, (1,))
    assert (late.kind, late.place.index, late.predicted) == ("late", 0, (0,))
    kept = report.predicted["train", 0]
    assert kept.positions.tolist() == [0, 1]
    assert kept.instances.boxes.tolist() == [[5, 0, 9, 4], [10, 0, 14, 4]]
    with pytest.raises(DataError, match="no class in common"):
        check({"train": path}, predicted=lambda s, i: found(("rivet",), [0]), only=["told"], images=False)


def test_several_processes_give_the_same_report(tmp_path: Path) -> None:
    path = faulty_set(tmp_path)
    alone, together = (check({"train": path}, only=["file", "overlaps"], workers=n) for n in (1, 2))
    assert together.to_dict() == alone.to_dict()
    assert alone.counts["duplicate"] == 1


def test_sets_may_be_paths_label_sets_data_sets_or_sources(tmp_path: Path) -> None:
    path = faulty_set(tmp_path)
    source = open_labels(path)
    whole = check({"train": path}, only=["file"], images=False).to_dict()
    assert check({"train": source}, only=["file"], images=False).to_dict() == whole
    clean = clean_set(tmp_path / "clean")
    for given in (open_labels(clean).labels, Dataset(open_labels(clean).labels)):
        assert check({"train": given}, only=["file"]).counts == {}
    with pytest.raises(FormatError, match="no such file"):
        check({"train": tmp_path / "none.json"})


def test_the_report_ranks_counts_and_fails(tmp_path: Path) -> None:
    report = check({"train": faulty_set(tmp_path)}, only=["file", "overlaps"])
    levels = [("error", "warning", "note").index(report.level(f)) for f in report.findings]
    assert levels == sorted(levels)
    for level in set(levels):
        sure = [f.sure for f, own in zip(report.findings, levels, strict=True) if own == level]
        assert sure == sorted(sure, reverse=True)
    assert sum(report.counts.values()) == sum(report.levels.values()) == len(report.findings)
    assert [report.fails(on) for on in ("error", "warning", "note", "never")] == [True, True, True, False]
    only_notes = dataclasses.replace(report, findings=(), kinds=report.kinds)
    assert not only_notes.fails("note")


def test_only_and_skip_take_kinds_and_families(tmp_path: Path) -> None:
    path = faulty_set(tmp_path)
    assert set(check({"train": path}, only=["file"], skip=["refused", "class_name"]).counts) == {
        k for k in check({"train": path}, only=["file"]).counts if k not in ("refused", "class_name")
    }
    assert check({"train": path}, only=["duplicate"]).counts == {"duplicate": 1}
    with pytest.raises(UnknownNameError, match=r"no kind of finding named 'duplicat'\. Did you mean 'duplicate'"):
        check({"train": path}, only=["duplicat"])
    with pytest.raises(ConfigError, match="nothing is left"):
        check({"train": path}, only=["duplicate"], skip=["overlaps"])
    with pytest.raises(ConfigError, match="workers"):
        check({"train": path}, workers=0)


def test_what_cannot_be_looked_for_is_said(tmp_path: Path) -> None:
    path = clean_set(tmp_path)
    needs = {name: package.load(name).needs for name in names()}
    report = check({"train": path}, images=False)
    unasked = {k.name for name, need in needs.items() if need != "labels" for k in package.load(name).kinds}
    assert set(report.unasked) == unasked
    assert set(report.kinds) == set(kinds())


def test_suspects_weigh_everything_said_against_a_label() -> None:
    def at(kind: str, sure: float, *instances: int) -> Finding:
        return Finding(kind, "", sure, Place("train", "a.png", 0, instances, (0.0, 0.0, 1.0, 1.0)))

    told = {k: Kind(k, level, "", "") for k, level in (("bad", "error"), ("odd", "warning"), ("fyi", "note"))}
    findings = [at("bad", 0.5, 1, 0), at("odd", 0.6, 1), at("odd", 0.7, 2), at("fyi", 1.0, 3), at("odd", 0.9)]
    suspects = Report(tuple(findings), told, {"train": 1}, {"train": 4}).suspects
    assert [s.place.instances for s in suspects] == [(1,), (2,)]
    assert [s.sure for s in suspects] == pytest.approx([1 - 0.5 * 0.4, 0.7])
    assert suspects[0].kinds == ("odd", "bad")
