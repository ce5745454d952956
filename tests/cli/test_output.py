"""What commands print and write: tables that show text as it is, places that can be written."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from apiece.cli import main
from apiece.cli._output import check_writable, print_json, print_table
from apiece.errors import ConfigError


def test_text_in_a_table_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("data [train]", ("[b]", "count"), [("a[/]b.png", 3), (":smile: [red]", 12)])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["data [train]", "[b]            count", "a[/]b.png          3", ":smile: [red]     12"]


def test_a_title_is_not_broken_to_the_width_of_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("397 instances on 6 images of the line", ("", ""), [("a", 1)])
    assert capsys.readouterr().out == "397 instances on 6 images of the line\na  1\n"


def test_numbers_are_as_people_write_them(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("", ("n", "x"), [(1234, 1234.56), (5, 0.12345), (0, math.nan)])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["    n        x", "1,234  1,234.6", "    5    0.123", "    0        -"]


def test_json_of_what_comes_item_by_item_is_that_of_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    told = {"rows": [{"a": [1, {}], "b": "x\ny é"}, {"c": []}, 2], "none": [], "name": "n", "deep": {"a": {"b": [1]}}}
    print_json({key: iter(value) if isinstance(value, list) else value for key, value in told.items()})
    assert capsys.readouterr().out == json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    print_json({})
    assert capsys.readouterr().out == "{}\n"


def test_a_number_stands_in_one_line_however_narrow_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    row = ("a class of a long name", *(123_456.7 + k for k in range(5)))
    print_table("area", ("class", "count", "mean", "std", "p5", "p25"), [row])
    lines = capsys.readouterr().out.splitlines()
    assert [word for word in lines[2].split() if "," in word] == [f"123,{456.7 + k:.1f}" for k in range(5)]
    assert "".join(line[:8].strip() for line in lines[2:]).replace(" ", "") == "aclassofalongname"
    print_table("", ("picture", "why"), [("a.png", "what does not fit into the line goes on in the next one")])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 40


def test_places_that_cannot_be_written_are_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check_writable(None, tmp_path / "new" / "folder" / "page.html", tmp_path / "file")
    with pytest.raises(ConfigError, match="is a folder; name a file"):
        check_writable(tmp_path)
    with pytest.raises(ConfigError, match=r"page\.html cannot be written: .*file is a file, not a folder"):
        check_writable(tmp_path / "file" / "page.html")


def test_what_the_file_system_refuses_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["info", "a" * 300])
    assert end.value.code == 1
    assert capsys.readouterr().err == f"apiece: {'a' * 300}: File name too long\n"
