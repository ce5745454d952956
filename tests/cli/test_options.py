"""Options that all commands spell alike: where data stands, how lists are written, what every command has."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import numpy as np
import pytest

from apiece import ImageRef, Instances, Masks, cli, formats
from apiece.calibration import from_pixel_size
from apiece.cli._options import split_list
from apiece.images import VideoWriter, write_image

from .set_scenes import run, save_set

COMMANDS = cli.commands()
OF_IMAGES = ("calibrate", "demo", "export", "models", "models fetch", "predict", "segment", "serve")
GOES_BY_DATA = [name for name in COMMANDS if name not in (*OF_IMAGES, "monitor", "track")]
LISTS = {
    "runtimes": "torch,onnx",
    "classes": "car,lorry=truck",
    "data": "a.json,b.json",
    "drop": "ids,scores",
    "fractions": "train=0.8,val=0.2",
    "hosts": "a.example,b.example",
    "images": "train=a,val=b",
    "imgsz": "512,swift=640",
    "map": "car=vehicle,1:truck=vehicle",
    "max_dets": "1,10",
    "metrics": "coco,ap_tau",
    "models": "swift,yolact",
    "only": "file,dust",
    "origins": "https://a.example,https://b.example",
    "photos": "a.png,b.png",
    "save": "coco,csv",
    "set": "widths=[8, 16],norm=group",
    "skip": "file,dust",
    "to": "onnx,openvino",
    "trained": "runs/a,runs/b",
}
"""A value for each list option."""
WHOLE = {
    "point": ["812,430", "300,200,-"],
    "box": ["1,2,30,40", "5,6,70,80"],
    "text": ["bolt, hex", "nut"],
    "line": ["exit: 1,2 30,40", "5,6 70,80"],
}
"""Options that are repeated, since a comma belongs to the value."""


def arguments(command: str) -> list[Any]:
    app = cli._app(command)
    found = app[command].assemble_argument_collection(default_parameter=app.default_parameter, parse_docstring=True)
    return [argument for argument in found if argument.show]


def parsed(command: str, *words: str) -> dict[str, Any]:
    """What the command is called with; what else it needs is added."""
    given = cli._one_word([command, *words])
    _, bound, _ = cli._app(command).parse_args(given, exit_on_error=False, print_error=False)
    return {key: value for name, value in bound.arguments.items() for key, value in _fields(name, value)}


def _fields(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if hasattr(value, "__dataclass_fields__"):
        yield from ((key, getattr(value, key)) for key in value.__dataclass_fields__)
    else:
        yield name, value


def needed(command: str, but: str) -> list[str]:
    """Every other argument that the command needs."""
    given = {
        "image": "p.png",
        "data": "x",
        "a": "m",
        "b": "n",
        "out": "o",
        "model": "m",
        "sources": "p",
        "baseline": "g.json",
        "sentence": "s",
    }
    names = [a.field_info.name for a in arguments(command) if a.required and a.field_info.name != but]
    by_place = ("a", "b", "sources", "sentence", "image")
    positional = [given[n] for n in names if n in by_place]
    if command == "merge" and but != "data":
        return ["--data", "x", "y", "--out", "o"]
    return [*positional, *(word for n in names if n not in by_place for word in (f"--{n}", given[n]))]


def is_list(hint: Any) -> bool:
    return get_origin(hint) is tuple or any(is_list(part) for part in get_args(hint) if part is not Ellipsis)


CASES = [(command, argument) for command in COMMANDS for argument in arguments(command) if is_list(argument.hint)]


@pytest.mark.parametrize(("command", "argument"), CASES, ids=lambda v: v if isinstance(v, str) else v.name)
def test_a_list_is_written_with_commas_or_spaces_or_the_option_is_repeated(command: str, argument: Any) -> None:
    name = argument.field_info.name
    if name == "sources":  # files as the shell gives them: a comma belongs to the name
        assert parsed(command, *needed(command, name), "a,b.png", "c.png")[name] == ("a,b.png", "c.png")
        return
    if name in WHOLE:
        words = [word for value in WHOLE[name] for word in (argument.name, value)]
        assert list(parsed(command, *needed(command, name), *words)[name]) == WHOLE[name]
        return
    text = "swift.widths=[8, 16],yolact.norm=group" if (command, name) == ("benchmark", "set") else LISTS[name]
    items, flag, others = split_list(text), argument.name, needed(command, name)
    ways = [[flag, text], [flag, *items], [word for item in items for word in (flag, item)]]
    found = [parsed(command, *others, *way)[name] for way in ways]
    assert found[0] == found[1] == found[2]
    pairs = [f"{key}={value}" for key, value in found[0].items()] if isinstance(found[0], Mapping) else found[0]
    assert [str(item) for item in pairs] == items


def test_commas_stay_within_quotes_and_brackets() -> None:
    assert split_list("a,b , c") == ["a", "b", "c"]
    assert split_list('"nut, hex"=nut,bolt') == ["nut, hex=nut", "bolt"]
    assert split_list(r"nut\, hex,bolt") == ["nut, hex", "bolt"]
    assert split_list("anchors=[[1, 2], [3, 4]],norm=group") == ["anchors=[[1, 2], [3, 4]]", "norm=group"]
    assert split_list(",") == []


def test_class_names_may_hold_commas(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_set(tmp_path / "in.json", classes=("nut, hex", "bolt"))
    assert run("convert", tmp_path / "in.json", tmp_path / "a.json", "--classes", '"nut, hex"=nut,bolt') == 0
    assert (
        run("convert", tmp_path / "in.json", tmp_path / "b.json", "--classes", '"nut, hex"=nut', "--classes", "bolt")
        == 0
    )
    capsys.readouterr()
    for name in ("a.json", "b.json"):
        assert run("info", tmp_path / name, "--json") == 0
        assert '"name": "nut"' in capsys.readouterr().out


@pytest.mark.parametrize("command", GOES_BY_DATA)
def test_data_is_the_first_argument_or_an_option(command: str) -> None:
    others = needed(command, "data")
    before = {"compare": 2, "find": 1}.get(command, 0)
    pairs = [others[:before], others[before:]]
    data = ("x", "y") if command == "merge" else ("x",)
    by_place = parsed(command, *pairs[0], *data, *pairs[1])["data"]
    by_name = parsed(command, *others, "--data", *data)["data"]
    assert by_place == by_name == (tuple(map(Path, data)) if command == "merge" else Path("x"))


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in OF_IMAGES])
def test_wherever_labels_are_read_their_images_and_format_can_be_named(command: str) -> None:
    names = {argument.name for argument in arguments(command)}
    assert {"--images", "--format"} <= names


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_speaks_json_and_explains_every_option(command: str) -> None:
    found = arguments(command)
    assert found[-1].name == "--json"
    for argument in found:
        text = argument.parameter.help or ""
        assert text.rstrip().endswith("."), argument.name
        assert not re.search(r"\bNone\b|\bTrue\b|\bFalse\b", text), argument.name
    assert len({argument.name for argument in found}) == len(found)


def examples(command: str) -> list[str]:
    """The lines of the help's examples."""
    block = cli._app(command)[command].help.partition("```")[2].partition("```")[0]
    return [line.strip() for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_of_the_help_are_commands(command: str) -> None:
    """Each line parses; `test_examples_that_need_no_training_run` runs the lines that need no model."""
    assert examples(command)
    for line in examples(command):
        program, *words = shlex.split(line)
        assert program == "apiece"
        words = cli._one_word(words)
        cli._app(words[0]).parse_args(words, exit_on_error=False, print_error=False)


def test_what_is_missing_or_too_much_is_said_in_one_line() -> None:
    for words, said in (
        (["info"], "DATA is missing\n"),
        (
            ["merge", "--out", "o", "--drop", "ids", "a", "b"],
            "DATA is missing; the words behind a list option are its list, so write it last\n",
        ),
        (["thresholds", "data"], "--model is missing\n"),
        (["info", "a", "b"], "too many arguments: b\n"),
        (["convert", "a", "b", "--drop", "idz"], 'Invalid value "idz" for --drop. Choose from: "classes", "ids"'),
    ):
        err = io.StringIO()
        with contextlib.redirect_stderr(err):
            assert run(*words) == 2
        assert f"apiece: {said}" in err.getvalue()
        assert err.getvalue().endswith(f"apiece {words[0]} --help shows examples\n")


# ---------------------------------------------------------------- examples of the help

NEEDS_A_MODEL = ("train", "demo", "benchmark", "export", "predict", "serve", "studio", "thresholds", "monitor")
EXAMPLES = [
    line
    for command in COMMANDS
    for line in examples(command)
    if not any(
        word in line
        for word in ("runs/", "--folds", "--model ", "--weights ", "models fetch", "track frames/", "rtsp://")
    )
    and line.split()[1] not in NEEDS_A_MODEL
]


def labels(path: Path, seed: int) -> None:
    """Eight images of cars and trucks, and the label file."""
    random = np.random.default_rng(seed)
    records = []
    for number in range(8):
        name = f"{path.parent.name}_{path.stem}_{number}.png"
        corners = np.array([[2, 2], [12, 2], [2, 12], [12, 12]]) + random.integers(-1, 2, (4, 2))
        masks = Masks.from_boxes(np.concatenate([corners, corners + 6], 1), (20, 20))
        write_image(path.parent / name, random.integers(0, 255, (20, 20), np.uint8))
        ref = ImageRef(path.parent / name, name, (20, 20), number + 1, {"source_photo": number // 2})
        records.append((ref, Instances(masks, [0, 1, 0, 1], ("car", "truck"))))
    formats.write(records, path, format="cvat" if path.suffix == ".xml" else "coco", classes=("car", "truck"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every file that the examples name."""
    folder = tmp_path_factory.mktemp("shop")
    names = ("data.json", "a.json", "b.json", "cvat.xml", "data/train.json", "data/val.json", "data/all.json")
    for number, name in enumerate((*names, "monday/labels.json", "tuesday/labels.json", "cells/labels.json")):
        (folder / name).parent.mkdir(exist_ok=True)
        labels(folder / name, number)
    for name in ("predictions.json", "old.json", "new.json"):
        document = json.loads((folder / "data/val.json").read_text())
        for annotation in document["annotations"]:
            annotation["score"] = 0.5 + annotation["id"] % 7 / 20
        (folder / name).write_text(json.dumps(document))
    for path in (folder / "data").glob("*.png"):
        shutil.copy(path, folder)
    assert run("convert", folder / "data/val.json", folder / "yolo-set", "--to", "yolo") == 0
    from_pixel_size((20, 20), "0.5 mm").save(folder / "cam.json")
    (folder / "tracks").mkdir()
    shutil.copy(folder / "predictions.json", folder / "tracks/tracks.json")
    shutil.copy(folder / "data/val.json", folder / "truth.json")
    photo = np.random.default_rng(0).integers(0, 60, (620, 1000, 3), np.uint8)
    photo[400:460, 780:850] = photo[90:320, 90:620] = 200
    for name in ("photo.jpg", "photos/1.jpg"):  # any kind of file under the name of the examples
        write_image(folder / "photo.png", photo)
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(folder / "photo.png", folder / name)
    (folder / "photo.png").rename(folder / "bench.png")
    squares = np.kron(np.indices((7, 10)).sum(0) % 2 * 200, np.ones((40, 40))).astype(np.uint8)
    write_image(folder / "board.png", np.pad(squares, 60, constant_values=230))
    (folder / "board.png").rename(folder / "checker.jpg")
    (folder / "rules.yaml").write_text("rules:\n- count: any\n  min: 0\n")
    with VideoWriter(folder / "line.mp4") as video:
        for k in range(4):
            video.write(np.roll(photo[::8, ::8], 3 * k, 1), k / 10)
    (folder / "centres.csv").write_text("image,object,x,y\n1.jpg,1,812,430\n")
    return folder


@pytest.mark.parametrize("line", EXAMPLES)
def test_examples_that_need_no_training_run(
    line: str, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(line)[1:]
    shutil.copytree(shop, tmp_path / "shop")
    monkeypatch.chdir(tmp_path / "shop")
    if words[0] == "split":
        Path("data/train.json").unlink()
        Path("data/val.json").unlink()
    target = words[words.index("--out") + 1] if "--out" in words else words[2] if words[0] == "convert" else ""
    if target == "yolo-set":
        shutil.rmtree(target)
    code = run(*words)
    assert code == 0 or (words[0] in ("check", "find") and code == 1), capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        "info data",
        "convert data.json x.xml",
        "convert data.json x.xml --check",
        "merge a.json b.json --out x.json",
        "split data.json --out x",
        "check data --no-images --fail-on never",
        "evaluate data/val.json --predictions predictions.json --skip-bad",
        "compare old.json new.json data/val.json",
        "measure data/val.json",
        "models semantic",
    ],
)
def test_json_is_all_that_stands_on_standard_output(
    line: str, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(shop, tmp_path / "shop")
    monkeypatch.chdir(tmp_path / "shop")
    assert run(*line.split(), "--json") == 0
    assert isinstance(json.loads(capsys.readouterr().out), dict)
