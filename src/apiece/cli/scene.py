"""``apiece scene``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from apiece.cli._options import GROUP, Data, Json
from apiece.cli._output import print_json, print_table
from apiece.cli._seen import Drawn

if TYPE_CHECKING:
    from apiece.cli._inspected import Picture
    from apiece.core.instances import Instances


def scene(data: Data, *, drawn: Annotated[Drawn, GROUP] = Drawn(), json: Json = False) -> None:
    """List what a picture shows: each object with place, size and colour, and how the objects lie to each other.

    ```
    apiece scene photo.jpg
    apiece scene photos/ --model runs/facade --json
    apiece scene predictions.json --json
    ```
    """
    from apiece.language import describe_scene

    told: list[dict[str, Any]] = []

    def seen() -> Iterator[tuple[Picture, Instances]]:
        for one in drawn.pictures(data).each(drawn.conf):
            if one.found is None:
                continue
            found = describe_scene(one.found, None if one.read is None else one.read())
            told.append(
                {"image": one.name, "text": found.text, "counts": found.counts, "objects": found.objects,
                 "relations": found.relations}
            )  # fmt: skip
            yield one, one.found

    drawn.draw(seen())
    if json:
        print_json({"scenes": told})
        return
    print_table("", ("picture", "shows"), [(one["image"], one["text"]) for one in told])
    if len(told) == 1:
        _print_one(told[0])


def _print_one(one: dict[str, Any]) -> None:
    """Print the objects and relations of the one picture."""
    rows = [(o["index"], o["class"], o["place"], o["colour"] or "-", f"{o['share']:.1%}") for o in one["objects"]]
    print_table("", ("#", "class", "place", "colour", "share"), rows)
    names = [f"{o['class']} {o['index']}" for o in one["objects"]]
    said = [(names[r["subject"]], r["relation"], names[r["object"]]) for r in one["relations"]]
    print_table("", ("", "", ""), said)
