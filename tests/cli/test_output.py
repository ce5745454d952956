"""What commands print: tables that show text as it is."""

from __future__ import annotations

import math

import pytest

from apiece.cli._output import print_table


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
