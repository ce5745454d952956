"""The table in docs/formats.md, made from the formats themselves: ``python docs/formats.py`` writes it anew."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from apiece import Instances, Masks, formats

PAGE = Path(__file__).with_name("formats.md")
BEGIN, END = "<!-- table: python docs/formats.py -->", "<!-- end -->"
FIELDS = [f.name for f in dataclasses.fields(formats.Holds) if f.name not in ("id_range", "most")]


def table() -> str:
    """What each format holds, where its images lie and how it is known, as Markdown."""
    head = ["format", "a set is", *FIELDS, "image `a.png` of the set `out`"]
    lines = [_row(head), _row(["---", "---", *[":-:"] * len(FIELDS), "---"])]
    lines += [_row(_cells(name)) for name in formats.names()]
    about = [
        f"* **{name}**: {_sentence(formats.load(name).summary)} Detected: {_known(name)}" for name in formats.names()
    ]
    return "\n".join([*lines, "", *about])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(name: str) -> list[str]:
    chosen = formats.load(name)
    kept = ["yes" if getattr(chosen.holds, field) else "-" for field in FIELDS]
    if chosen.holds.id_range not in (None, (-(2**63), 2**63 - 1)):
        kept[FIELDS.index("ids")] = " to ".join(_power(n) for n in chosen.holds.id_range)
    place = "only read" if chosen.write is None else f"`{_place(name)}`"
    return [f"`{name}`", f"`{chosen.ending}` file" if chosen.ending else "folder", *kept, place]


def _power(number: int) -> str:
    """A bound, short: 2^63 - 1."""
    for bits in range(16, 65):
        for shift in (-1, 0):
            if abs(number) == 2**bits + shift:
                return f"{'-' if number < 0 else ''}2^{bits}{' - 1' if shift else ''}"
    return str(number)


def _place(name: str) -> str:
    """Where the format's reader looks for an image of a set that ``apiece convert`` wrote."""
    chosen = formats.load(name)
    found = Instances(Masks.from_boxes([[0, 0, 2, 2]], (4, 4)))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / ("labels" + chosen.ending if chosen.ending else "out")
        formats.write([("a.png", found)], out / chosen.folders[0] if chosen.folders else out, name)
        return formats.read(out, name).refs[0].path.relative_to(folder).as_posix()


def _known(name: str) -> str:
    first = (formats.load(name).detect.__doc__ or "").partition("\n")[0]
    return _sentence(first.removeprefix("Return whether ``path`` is "))


def _sentence(text: str) -> str:
    return text.replace("``", "`").rstrip(".") + "."


def page(text: str) -> str:
    """The page with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
