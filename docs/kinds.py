"""The tables in docs/check-labels.md, made from the checks themselves: ``python docs/kinds.py`` writes them anew."""

from __future__ import annotations

from pathlib import Path

from apiece import check

PAGE = Path(__file__).with_name("check-labels.md")
BEGIN, END = "<!-- tables: python docs/kinds.py -->", "<!-- end -->"
NEEDS = {"labels": "", "image": " Needs the images.", "predicted": " Needs `--model` or `--folds`."}


def tables() -> str:
    """Of each family of checks what it looks at, and what it can find, as Markdown."""
    return "\n\n".join(_family(name) for name in check.names())


def _family(name: str) -> str:
    family = check.load(name)
    rows = [f"| `{kind.name}` | {kind.level} | {_cell(kind.summary)} | {_cell(kind.fix)} |" for kind in family.kinds]
    head = ["| kind | level | what is found | what to do |", "| --- | --- | --- | --- |"]
    return "\n".join([f"**{name}**: {family.summary}{NEEDS[family.needs]}", "", *head, *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def page(text: str) -> str:
    """The page with the tables as they are now."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{tables()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
