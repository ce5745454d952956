"""Messages that name options: one text, spelled as Python or as the command line spells it."""

from __future__ import annotations

import ast
import dataclasses
import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from apiece import Instances, Masks, benchmark, check, cli, errors, formats, training
from apiece.errors import ApieceError, FormatError, Message, Option, UnknownNameError, on_command_line
from apiece.images import write_image


def test_an_option_has_two_spellings() -> None:
    spelled = {
        Option("max_dets"): ("max_dets", "--max-dets"),
        Option("format", ...): ("format=...", "--format"),
        Option("device", "cpu"): ("device='cpu'", "--device cpu"),
        Option("clip", 1): ("clip=1", "--clip 1"),
        Option("overwrite", True): ("overwrite=True", "--overwrite"),
        Option("format", ..., flag="--to"): ("format=...", "--to"),
    }
    assert {option: (str(option), option.on_command_line) for option in spelled} == spelled


def test_a_message_keeps_its_options_wherever_text_is_added() -> None:
    message = "lower " + Option("crop") + " or " + Option("imgsz", 64) + "."
    assert isinstance(message, Message)
    assert message == "lower crop or imgsz=64."
    assert on_command_line("a: " + message + " b") == "a: lower --crop or --imgsz 64. b"
    assert on_command_line("no option") == "no option"


def test_an_error_says_its_options_and_keeps_them_on_its_way() -> None:
    error = FormatError("a.json", "could be two; say which with " + Option("format", ...))
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert str(one) == "a.json: could be two; say which with format=..."
        assert on_command_line(one) == "a.json: could be two; say which with --format"
        assert one.options == (Option("format", ...),)
    assert on_command_line(error.at("b.json")) == "b.json: could be two; say which with --format"
    assert on_command_line(ApieceError("on b: " + error.message)).endswith("--format")
    assert UnknownNameError("class", "a", ["b"]).options == ApieceError().options == ()


# ---------------------------------------------------------------- every message there is

SOURCE = Path(errors.__file__).parent
ERRORS = {name for name in errors.__all__ if name.endswith("Error")}
LIBRARY = [path for path in sorted(SOURCE.rglob("*.py")) if "cli" not in path.relative_to(SOURCE).parts]


def options_of_commands() -> set[str]:
    found = set()
    for command in cli.commands():
        app = cli._app(command)
        collection = app[command].assemble_argument_collection(default_parameter=app.default_parameter)
        found |= {name for argument in collection for name in argument.names if name.startswith("--")}
    return found


OWN_NAMES = ("core", "draw", "models", "transforms")
"""Rooms whose arguments share names with options: those of arrays and pictures, and a model's settings (``--set``)."""
FLAGS = options_of_commands()
NAMES = {flag[2:].replace("-", "_") for flag in FLAGS} - {"key"}  # settings are written as key=value


def is_message(node: ast.Call) -> bool:
    """An error that is made, or a line of the log."""
    function = node.func
    if isinstance(function, ast.Attribute):
        log = isinstance(function.value, ast.Name) and function.value.id in ("log", "_log")
        return log and function.attr in ("info", "warning", "error")
    return isinstance(function, ast.Name) and function.id in ERRORS


def texts(node: ast.AST) -> Iterator[str]:
    """The text of a message, without the options in it."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Option":
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        yield from texts(child)


def calls(path: Path) -> Iterator[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_no_message_spells_an_option_itself(path: Path) -> None:
    """Neither as Python does (``format=...``, ``max_dets``), nor as the command line does, outside a whole command."""
    python = re.compile(rf"\b({'|'.join(NAMES)})=|\b({'|'.join(name for name in NAMES if '_' in name)})\b")
    bare = re.compile(rf"({'|'.join(NAMES)}) (must|needs|takes)\b")
    shell = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
    for call in filter(is_message, calls(path)):
        for text in (text for argument in call.args for text in texts(argument)):
            place = f"line {call.lineno}: {text!r}"
            if path.relative_to(SOURCE).parts[0] not in OWN_NAMES:
                assert not python.search(text), place
                assert not bare.match(text), place
            assert not shell.search(re.sub(r"(apiece|hf) \w+ .*", "", text)) or text == " --revision ", place


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_every_option_in_a_message_is_one_of_a_command(path: Path) -> None:
    for call in calls(path):
        if (
            not isinstance(call.func, ast.Name)
            or call.func.id != "Option"
            or not isinstance(call.args[0], ast.Constant)
        ):
            continue
        flag = next((ast.literal_eval(word.value) for word in call.keywords if word.arg == "flag"), "")
        shown = Option(call.args[0].value, flag=flag).on_command_line
        flags = {way.split()[0] for way in shown.split(" or ")}  # a value may follow
        assert shown.startswith("apiece ") or flags <= FLAGS, f"line {call.lineno}: {shown}"


def test_options_that_are_checked_by_their_field_are_of_a_command() -> None:
    for settings in (check.Settings, benchmark.BenchmarkConfig, training.TrainConfig):
        assert {field.name for field in dataclasses.fields(settings)} - {"model_settings"} <= NAMES


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("info", "empty.json", "--format", "coc"), "Did you mean 'coco'"),
        (("info", "text.json"), "name it with --format\n"),
        (("convert", "labels.json", "out.xyz"), "name it with --to: cellpose"),
        (("convert", "labels.json", "labels.json"), "choose another place, or --overwrite\n"),
        (("split", "labels.json", "--seed", "-1"), "--seed must be 0 or more"),
        (("merge", "labels.json", "again/labels.json", "--out", "x.json"), "count: --same first or --same unite\n"),
        (("evaluate", "labels.json", "--predictions", "labels.json", "--max-dets", "0"), "--max-dets must be distinct"),
        (("evaluate", "labels.json", "--predictions", "labels.json", "--bootstrap", "-1"), "--bootstrap must be 0"),
        (("evaluate", "labels.json", "--predictions", "x", "--split", "tset"), "has no --split tset; it has train"),
        (("compare", "labels.json", "labels.json", "labels.json", "--bootstrap", "5"), "got --bootstrap 5\n"),
        (("convert", "results.json", "x.json"), "read it with apiece evaluate --predictions\n"),
        (("info", "sizeless.json"), "name the folder of the images with --images\n"),
        (("check", "labels.json", "--duplicate-iou", "2"), "--duplicate-iou must be above 0"),
        (("check", "labels.json", "--only", "dust", "--skip", "dust"), "name other kinds in --only or --skip\n"),
        (("measure", "labels.json", "--conf", "2"), "--conf must be from 0 to 1, got 2\n"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_the_command_line_speaks_its_own_words(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    other = Instances(Masks.from_boxes([[1, 1, 8, 8]], (20, 20)), [0], ("nut",), scores=[0.5])
    found = Instances(Masks.from_boxes([[2, 2, 8, 8]], (20, 20)), [0], ("nut",), scores=[0.5])
    for folder, instances in ((tmp_path, found), (tmp_path / "again", other)):
        folder.mkdir(exist_ok=True)
        write_image(folder / "a.png", np.zeros((20, 20), np.uint8))
        formats.write([("a.png", instances)], folder / "labels.json", classes=("nut",))
    Path("results.json").write_text(json.dumps([{"image_id": 1, "category_id": 1, "score": 1, "segmentation": []}]))
    Path("text.json").write_text('"text"')
    Path("empty.json").write_text("[]")
    Path("sizeless.json").write_text(json.dumps({"version": "5.0", "shapes": [], "imagePath": "gone.png"}))
    with pytest.raises(SystemExit) as end:
        cli.main(list(words))
    assert end.value.code
    err = capsys.readouterr().err
    assert said in err
    assert "..." not in err
