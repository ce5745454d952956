"""Messages that name options: one text, spelled as Python or as the command line spells it."""

from __future__ import annotations

import pickle

from apiece.errors import ApieceError, FormatError, Message, Option, UnknownNameError, on_command_line


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
