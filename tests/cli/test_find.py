"""`apiece find` and `apiece scene` from end to end: answers, exit codes, pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from apiece import ImageRef, Instances, Masks, cli, formats
from apiece.images import read_image, write_image


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main([*map(str, words)])
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    pixels = np.full((40, 80, 3), 120, np.uint8)
    boxes = np.array([[4, 10, 14, 30], [30, 10, 40, 30], [60, 10, 70, 30]])
    pixels[10:30, 30:40] = (200, 30, 40)
    write_image(tmp_path / "a.png", pixels)
    found = Instances(Masks.from_boxes(boxes, (40, 80)), [0, 0, 0], ("door", "window"), ids=[7, 8, 9])
    formats.write([(ImageRef(tmp_path / "a.png", "a.png", (40, 80)), found)], tmp_path / "labels.json", format="coco")
    return tmp_path / "labels.json"


def test_an_answer_is_masks_pictures_and_an_exit_code(labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = run(capsys, "find", "second door from the right", labels, "--json", "--out", labels.parent / "o")
    (answer,) = json.loads(said)["answers"]
    assert (code, answer["status"]) == (0, "found")
    assert [(o["index"], o["id"], o["class"], o["box"]) for o in answer["objects"]] == [
        (1, 8, "door", [30, 10, 40, 30])
    ]
    assert Masks.from_coco([answer["objects"][0]["segmentation"]]).area.tolist() == [200]
    drawn, before = (read_image(labels.parent / name).pixels for name in ("o/a.png", "a.png"))
    changed = (drawn != before).any(2)
    assert changed[12:28, 30:40].all()
    assert json.loads(run(capsys, "find", "the red door", labels, "--json")[1])["answers"][0]["objects"][0]["id"] == 8


@pytest.mark.parametrize(
    ("sentence", "code", "said"),
    [
        ("the largest door", 1, "3 doors are equally large"),
        ("a window", 1, "there is no window"),
        ("the dor", 2, "'dor' is not understood after 'the'. Did you mean 'door'?"),
    ],
)
def test_no_answer_says_why(
    labels: Path, sentence: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, out, err = run(capsys, "find", sentence, labels)
    assert found == code
    assert said in out + err


def test_an_inventory(labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = run(capsys, "scene", labels, "--json")
    (one,) = json.loads(said)["scenes"]
    assert (code, one["counts"], one["objects"][1]["colour"]) == (0, {"door": 3}, "red")
    assert {"subject": 0, "relation": "left of", "object": 1, "gap": 16.0} in one["relations"]
    assert "3 doors" in run(capsys, "scene", labels)[1]


def test_what_counts_is_what_predict_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from apiece.predict import load

    height, width = np.mgrid[:96, :96]
    pixels = np.full((96, 96, 3), 90, np.uint8)
    for k, (y, x) in enumerate([(20, 20), (24, 70), (70, 40)]):
        pixels[(height - y) ** 2 + (width - x) ** 2 < (5 + 5 * k) ** 2] = (220, 60 + 60 * k, 40)
    pixels += np.random.default_rng(0).integers(0, 30, pixels.shape, np.uint8)
    write_image(tmp_path / "a.png", pixels)
    model = load("default")
    shown, doubtful = (len(model.predict(tmp_path / "a.png", conf=conf)) for conf in (None, 0.01))
    assert 0 < shown < doubtful

    def counted(*words: object) -> list[int]:
        scene = json.loads(run(capsys, "scene", tmp_path / "a.png", "--json", *words)[1])["scenes"][0]
        found = json.loads(run(capsys, "find", "all objects", tmp_path / "a.png", "--json", *words)[1])["answers"][0]
        picks = json.loads(run(capsys, "pick", tmp_path / "a.png", "--json", *words)[1])["pictures"][0]
        return [len(scene["objects"]), len(found["objects"]), len(picks["picks"])]

    assert counted() == [shown] * 3
    assert counted("--conf", 0.01) == [doubtful] * 3
    assert run(capsys, "scene", tmp_path / "a.png", "--conf", 2)[0] == 1


def test_low_scores_of_a_file_are_left_out(labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ref, found = next(iter(formats.read(labels)))
    scored = found.replace(scores=[0.9, 0.2, 0.6])
    formats.write([(ref, scored)], labels.parent / "scored.json", format="coco")
    words = ("find", "all doors", labels.parent / "scored.json", "--json", "--conf", 0.5)
    (answer,) = json.loads(run(capsys, *words)[1])["answers"]
    assert [o["id"] for o in answer["objects"]] == [7, 9]


def test_a_photo_on_which_nothing_is_sure_says_how_to_see_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "a.png", np.full((64, 64, 3), 120, np.uint8))
    for more, told in (((), True), (("--conf", 0.9), False)):
        words = ("predict", tmp_path / "a.png", "--out", tmp_path / str(told), *more)
        code, said, err = run(capsys, *words)
        assert (code, "0 instances on 1 image" in said, "--conf 0.1" in err) == (0, True, told)
