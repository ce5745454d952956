"""`apiece inspect` from end to end: verdicts, exit codes, reports, JUnit, the truth, rules proposed from examples."""

# ruff: noqa: E501 (a case stands on one line)

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from apiece import ImageRef, Instances, Masks, cli, formats
from apiece.images import read_image, write_image

RULES = "rules:\n- count: bolt\n  equals: 2\n- dimension: bolt\n  of: rect_length\n  max: 12 px\n"


def saved(folder: Path, name: str, widths: dict[str, list[int]], scores: bool = False) -> Path:
    """Write images with a row of bolts, each of some width, and their labels; return the label file."""
    records = []
    for image, sizes in widths.items():
        boxes = [[4 + 20 * k, 10, 4 + 20 * k + width, 16] for k, width in enumerate(sizes)]
        masks = Masks.from_boxes(np.array(boxes, np.float64).reshape(-1, 4), (32, 64))
        found = Instances(masks, [0] * len(boxes) if boxes else np.zeros(0, np.int64), ("bolt", "nut"))
        write_image(folder / image, np.zeros((32, 64, 3), np.uint8))
        ref = ImageRef(folder / image, image, (32, 64))
        records.append((ref, found.replace(scores=[0.9] * len(boxes)) if scores else found))
    formats.write(records, folder / name, format="coco")
    return folder / name


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main(["inspect", *map(str, words)])
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


def test_verdicts_reports_and_exit_codes(tmp_path: Path, rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = saved(
        tmp_path, "all.json", {"good.png": [10, 10], "one.png": [10], "long.png": [10, 14], "near.png": [12, 9]}
    )
    out, junit = tmp_path / "report", tmp_path / "out.xml"
    code, said, _ = run(capsys, labels, "--rules", rules, "--out", out, "--junit", junit, "--json")
    told = json.loads(said)
    assert code == 1
    assert {one["image"]: one["verdict"] for one in told["pictures"]} == {
        "good.png": "pass", "one.png": "fail", "long.png": "fail", "near.png": "unsure",
    }  # fmt: skip
    long = next(one for one in told["pictures"] if one["image"] == "long.png")
    assert long["reasons"] == ["dimension bolt rect_length: rect_length 14 px (13.06 to 14.94), at most 12 px"]
    assert long["rules"][1]["findings"][0]["objects"][0]["box"] == [24, 10, 38, 16]
    assert {path.name for path in (out / "pictures").iterdir()} == {"one.png", "long.png", "near.png"}
    drawn = read_image(out / "pictures" / "long.png").pixels
    assert drawn[10, 30, 0] > drawn[10, 30, 2] + 100  # the outline of the long bolt is red
    assert json.loads((out / "verdicts.json").read_text()) == told
    assert "at most 12 px" in (out / "report.html").read_text()
    suite = ElementTree.parse(junit).getroot()
    assert [suite.get(name) for name in ("tests", "failures", "skipped", "errors")] == ["8", "2", "1", "0"]
    assert run(capsys, labels, "--rules", rules, "--out", out)[0] == 2
    assert run(capsys, labels, "--rules", rules, "--out", out, "--overwrite")[0] == 1
    good = saved(tmp_path, "good.json", {"good.png": [10, 10]})
    assert run(capsys, good, "--rules", rules)[0] == 0
    near = saved(tmp_path, "near.json", {"near.png": [12, 9]})
    assert run(capsys, near, "--rules", rules)[0] == 0
    assert run(capsys, near, "--rules", rules, "--fail-on", "unsure")[0] == 1


def test_predictions_against_true_labels(tmp_path: Path, rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"{k}.png" for k in range(8)]
    truth = saved(tmp_path, "truth.json", {name: [10, 14 if k < 2 else 10] for k, name in enumerate(names)})
    # every outline came out three pixels long, so that good parts fail
    found = saved(tmp_path, "found.json", {name: [13, 17 if k < 2 else 13] for k, name in enumerate(names)}, True)
    code, said, _ = run(capsys, found, "--rules", rules, "--truth", truth, "--json")
    told = json.loads(said)
    whole, _, size = told["trust"]
    assert code == 1
    assert (whole["rule"], whole["false_accepts"]["count"], whole["false_rejects"]["count"]) == ("all rules", 0, 6)
    assert (size["false_rejects"]["of"], size["false_rejects"]["high"]) == (6, 1.0)
    assert told["better_tolerances"] == [
        {"rule": "dimension bolt rect_length", "what": "rect_length", "unit": "px", "least": None, "most": 15.0, "wrong": 0, "before": 6}
    ]  # fmt: skip
    table = tmp_path / "truth.csv"
    table.write_text(
        "image,verdict\n" + "".join(f"{name},{'bad' if k < 2 else 'good'}\n" for k, name in enumerate(names))
    )
    assert json.loads(run(capsys, found, "--rules", rules, "--truth", table, "--json")[1])["trust"][0] == whole
    table.write_text("image,verdict\n0.png,perhaps\n")
    assert (
        "line 2: a verdict is pass or fail, not 'perhaps'" in run(capsys, found, "--rules", rules, "--truth", table)[2]
    )
    table.write_text("image,verdict\n0.png,good\n0.png,ok\n0.png,bad\n")
    assert "line 4: '0.png' is said to pass and to fail" in run(capsys, found, "--rules", rules, "--truth", table)[2]
    table.write_text("image,verdict\n0.png,good\n")
    code, _, said = run(capsys, found, "--rules", rules, "--truth", table)
    assert "does not say what is true of the picture '1.png'" in said


def test_rules_learned_from_good_examples_pass_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = saved(tmp_path, "good.json", {f"{k}.png": [10 + k % 2, 10] for k in range(6)})
    learned = tmp_path / "learned.yaml"
    assert run(capsys, "--learn", good, "--out", learned)[0] == 0
    assert run(capsys, good, "--rules", learned)[0] == 0
    bad = saved(tmp_path, "bad.json", {"a.png": [10, 10, 10], "b.png": [10, 19]})
    told = json.loads(run(capsys, bad, "--rules", learned, "--json")[1])
    assert [one["verdict"] for one in told["pictures"]] == ["fail", "fail"]
    assert run(capsys, "--learn", good, "--out", learned)[0] == 2


def test_a_good_picture_without_objects_is_learned_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = saved(tmp_path, "good.json", {"a.png": [], "b.png": [10], "c.png": [10, 11], "d.png": [10]})
    learned = tmp_path / "learned.yaml"
    assert run(capsys, "--learn", good, "--out", learned)[0] == 0
    assert "from 4 good pictures" in learned.read_text()
    code, said, _ = run(capsys, good, "--rules", learned, "--json")
    assert (code, [one["verdict"] for one in json.loads(said)["pictures"]]) == (0, ["pass"] * 4)


def test_learning_judges_nothing(tmp_path: Path, rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = saved(tmp_path, "good.json", {"a.png": [10]})
    for option in ("--rules", "--truth", "--junit"):
        code, _, said = run(capsys, "--learn", good, option, tmp_path / "other.yaml", "--out", tmp_path / "new.yaml")
        assert (code, f"leave out {option}" in said, (tmp_path / "new.yaml").exists()) == (2, True, False)


def test_a_batch_with_pictures_that_cannot_be_judged_is_unsure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = saved(tmp_path, "all.json", {"a.png": [10], "b.png": [10]})
    (tmp_path / "a.png").unlink()
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n- colour: bolt\n  expected: black\n- batch: fail\n  accept: 0\n")
    told = json.loads(run(capsys, labels, "--rules", rules, "--json")[1])
    assert [one["verdict"] for one in told["batch"]] == ["unsure"]


def test_a_picture_that_cannot_be_judged_fails_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = saved(tmp_path, "all.json", {"a.png": [10], "b.png": [10]})
    (tmp_path / "a.png").unlink()
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n- colour: bolt\n  expected: black\n")
    code, said, _ = run(capsys, labels, "--rules", rules, "--json")
    told = json.loads(said)
    assert code == 1
    assert [one["image"] for one in told["pictures"]] == ["b.png"]
    assert told["refused"][0]["image"] == "a.png"
    assert "the image is not there" in told["refused"][0]["reason"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "say what to inspect"),
        (["all.json"], "say by which rules to judge, with --rules FILE"),
        (["all.json", "--rules", "none.yaml"], "none.yaml: cannot be read"),
        (["all.json", "--rules", "all.json"], "all.json: line 1: "),
        (["all.json", "--model", "m", "--predictions", "p.json"], "give one of them"),
        (["all.json", "--rules", "rules.yaml", "--junit", "all.json/x.xml"], "is a file, not a folder"),
    ],
)
def test_what_is_missing_is_told(
    tmp_path: Path, rules: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    saved(tmp_path, "all.json", {"a.png": [10]})
    monkeypatch.chdir(tmp_path)
    code, _, told = run(capsys, *words)
    assert (code, said in told) == (2, True), told
