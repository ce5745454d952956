"""Features whose coordinates are read apart: the values and errors that `json` has, however the file is written."""

from __future__ import annotations

import json
import random
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apiece.errors import FormatError
from apiece.formats._kit import json_stream
from apiece.formats._kit.json_files import load_json
from apiece.formats.geojson._coordinates import read_outlines
from apiece.formats.geojson._features import Features
from apiece.formats.geojson._outlines import Outline, plain

NUMBERS = (
    "0", "-0", "7", "-12", "3.5", "0.1", "-0.25", "1234567.89", "12345678", "123456789.125", "0.30000000000000004",
    "-73.98765432109876", "9007199254740993", "9007199254740991.5", "12345678901234567890.5", "1.7976931348623157",
    "0.00000000000000000000000001", "0.1234567890123456789012345678",
)  # fmt: skip
NOT_PLAIN = ("1e3", "-2.5E-1", "01", "-01.5", "1.", ".5", "-", "--1", "1.2.3", "+1", "1 2", "null", '"1"', "[]", "1-2")


def polygon(rng: random.Random, number: Any) -> str:
    space = rng.choice(["", " ", "", "\n  "])

    def listed(items: list[str]) -> str:
        return f"[{space}" + f"{space},{space}".join(items) + f"{space}]"

    def ring() -> str:
        points = [listed([number(), number()]) for _ in range(rng.randrange(3, 6))]
        return listed([*points, points[0]] if rng.random() < 0.7 else points)

    def part() -> str:
        return listed([ring() for _ in range(rng.randrange(1, 3))])

    return listed([part() for _ in range(rng.randrange(1, 3))]) if rng.random() < 0.4 else part()


def expected(text: str) -> tuple[str, list[list[np.ndarray]]]:
    given = json.loads(text)
    kind = "MultiPolygon" if isinstance(given[0][0][0], list) else "Polygon"
    parts = given if kind == "MultiPolygon" else [given]
    rings = [[r[:-1] if r[0] == r[-1] else r for r in part] for part in parts]
    return kind, [[np.array(r, np.float64) for r in part] for part in rings]


@pytest.mark.parametrize("seed", range(4))
def test_numbers_and_lists_are_those_of_json(seed: int) -> None:
    rng = random.Random(seed)

    def number() -> str:
        if rng.random() < 0.5:
            return rng.choice(NUMBERS)
        return f"{rng.uniform(-(10 ** rng.randrange(6)), 1e5):.{rng.randrange(1, 18)}f}"

    for _ in range(40):
        texts = [polygon(rng, number) for _ in range(rng.randrange(1, 6))]
        drawing, kinds = read_outlines(texts, None)
        for k, text in enumerate(texts):
            kind, parts = expected(text)
            assert kinds[k] == kind
            for own, part in zip(drawing.shape(k), parts, strict=True):
                for ring, wanted in zip(own, part, strict=True):
                    assert np.array_equal(ring, wanted), text


@pytest.mark.parametrize("seed", range(4))
def test_what_is_not_plain_is_refused(seed: int) -> None:
    rng = random.Random(seed)
    for bad in NOT_PLAIN:
        text = polygon(rng, lambda: "4.5")
        at = rng.choice([k for k in range(len(text)) if text.startswith("4.5", k)])
        with pytest.raises(ValueError):  # noqa: PT011
            read_outlines(["[[[1,2],[3,4],[5,6]]]", text[:at] + bad + text[at + 3 :]], None)
    for bad in (
        "[[[1,2],[3,4]]]", "[[[1,2],[3,4],[1,2]]", "[[1,2],[3,4],[5,6]]", "[[[1,2],[3,4],[5,6]]],[[[1,2]]]",
        "[[[1,2,3],[4,5,6],[7,8,9]]]", "[[[1],[2],[3]]]", "[[[1,2],[3,4],[5,6]],[]]", "[[[1,2],,[5,6]]]",
        "[[[1,2],[3,4],[5,6]],[1,2]]", "[[[1,2],[3,4],[5,6]]]]", "[[[1,2][3,4],[5,6]]]", "[[[[[1,2],[3,4],[5,6]]]]]",
    ):  # fmt: skip
        with pytest.raises(ValueError):  # noqa: PT011
            read_outlines(["[[[1,2],[3,4],[5,6]]]", bad], None)


def feature(rng: random.Random, number: Any, shuffled: bool, space: str) -> str:

    def pairs(*items: tuple[str, str]) -> str:
        given = rng.sample(items, len(items)) if shuffled else items
        return "{" + f"{space},{space}".join(f'"{key}"{space}:{space}{value}' for key, value in given) + space + "}"

    def geometry() -> str:
        kind = rng.choice(["Polygon", "Polygon", "MultiPolygon", "MultiLineString", "Other"])
        given = polygon(rng, number) if rng.random() < 0.9 else rng.choice(["[1,2]", "null", "[]", "[[1,2],[3,4]]"])
        return pairs(("type", f'"{kind}"'), ("coordinates", given), *[("plane", '{"z":1}')][: rng.randrange(2)])

    texts = (
        r'"a}, {\"type\": \"Feature\""', r'"\"coordinates\": [[[1,2]]]"', '"coordinates"', '"[[[é]]]"', "null", "1.5",
        '{"coordinates":[[[1,2]]]}', '[{"type":"Feature"}, {"type":"Feature"}]', '{"a":{"coordinates":[[["x"]]]}}',
    )  # fmt: skip
    properties = pairs(*[(f"p{k}", rng.choice(texts)) for k in range(rng.randrange(3))])
    members = [("type", '"Feature"'), ("geometry", geometry()), ("properties", properties)]
    members += [("id", rng.choice(['"x"', "3"]))][: rng.randrange(2)]
    members += [("nucleusGeometry", geometry())] if rng.random() < 0.2 else []
    members += [("geometry", geometry())] if rng.random() < 0.1 else []  # the last one counts
    return pairs(*members)


def damaged(rng: random.Random, text: str) -> str:
    at = rng.randrange(1, len(text))
    sign = rng.choice([",", "]", "}", "x", '"', "1", "NaN", "Infinity", "\\", " ", "-", "."])
    return rng.choice([text[:at], text[:at] + sign + text[at:], text[:at] + text[at + 1 :]])


def outcome(read: Any) -> tuple[Any, str]:
    try:
        return read(), ""
    except FormatError as error:
        return None, str(error)


@pytest.mark.parametrize("seed", range(8))
def test_features_are_those_of_the_whole_file(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, path, apart = random.Random(seed), tmp_path / "a.json", 0
    for _ in range(40):
        monkeypatch.setattr(json_stream, "_BLOCK", rng.choice([300, 3000, 30_000]))
        how = rng.random() < 0.3, rng.choice(["", " ", "\n\t"])
        features = [feature(rng, lambda: rng.choice(NUMBERS[:8]), *how) for _ in range(rng.randrange(1, 20))]
        between = rng.choice([",", ", ", ",\n"])
        text = f"[{between.join(features)}{rng.choice(['', ' '])}]"
        whole = rng.random() < 0.5
        path.write_text(text if whole else damaged(rng, text), encoding="utf-8")

        def found(**how: Any) -> Any:
            nonlocal apart
            read = Features(path, **how)
            batches = [one for batch in read for one in batch]
            apart += sum(isinstance(one.get("geometry", {}).get("coordinates"), Outline) for one in batches)
            return [plain(one) for one in batches]

        wanted = outcome(lambda: load_json(path))
        assert outcome(lambda: found(outlines=partial(read_outlines, place=None))) == wanted, path.read_text()
        if whole:
            assert outcome(found) == wanted, path.read_text()
    assert apart > 50


def alike(rng: random.Random) -> list[str]:
    """Features of a few texts, each with an id and an outline of its own."""
    space = rng.choice(["", " ", "\n "])
    ids = rng.choice(["text", "number", "either", "none", "inside", "behind"])
    kinds = ["Polygon", "MultiPolygon"][: rng.randrange(1, 3)]
    said = [f'{{"class":"{c}","color":[1,2,{k}]}}' for k, c in enumerate("AéB")][: rng.randrange(1, 4)]
    tails = [f'"properties":{space}{text}' for text in said]
    found = []
    for k in range(rng.randrange(2, 60)):
        kind = rng.choice(kinds)
        given = polygon(rng, lambda: rng.choice(NUMBERS[:8]))
        own = {
            "text": f'"{k}"',
            "number": f"{k}",
            "either": rng.choice(['"x"', '"a"', "7", "-0", "1.5", "null", '"\\\\"']),
        }
        lead = f'"id":{space}{own[ids]}, ' if ids in own else f'"own":{{"id":"{k}"}}, ' if ids == "inside" else ""
        tail = rng.choice(tails) + (f', "id": {k}' if ids == "behind" else "")
        geometry = f'{{"type": "{kind}", "coordinates":{space}{given}}}'
        found.append(f'{{"type": "Feature", {lead}"geometry": {geometry}, {tail}}}')
    return found


@pytest.mark.parametrize("seed", range(8))
def test_features_that_are_alike_are_those_of_the_whole_file(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, path, shared = random.Random(seed), tmp_path / "a.json", 0
    for _ in range(60):
        monkeypatch.setattr(json_stream, "_BLOCK", rng.choice([300, 3000, 30_000]))
        text = f"[{rng.choice([',', ', ', chr(10).join([',', ''])]).join(alike(rng))}]"
        whole = rng.random() < 0.5
        path.write_text(text if whole else damaged(rng, text), encoding="utf-8")

        def found(**how: Any) -> Any:
            nonlocal shared
            blocks = list(Features(path, **how))
            shared += sum(len(set(block.which)) < len(block) for block in blocks)
            items = [(plain(one), own) for block in blocks for one, own in zip(block, block.ids, strict=True)]
            assert all(own == (one.get("id") if isinstance(one, dict) else None) for one, own in items)
            return [one for one, _ in items]

        wanted = outcome(lambda: load_json(path))
        assert outcome(lambda: found(outlines=partial(read_outlines, place=None))) == wanted, path.read_text()
        if whole:
            assert outcome(found) == wanted, path.read_text()
    assert shared > 30


def test_texts_without_end_are_not_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "_BLOCK", 20_000)
    path = tmp_path / "a.json"
    geometry = {"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [5, 7], [1, 2]]]}
    for lead, behind in ((40, 1), (1, 3000)):
        given = [{"at": k % lead, "geometry": geometry, "of": k % behind} for k in range(6000)]
        path.write_text(json.dumps(given))
        features = Features(path)
        assert [plain(one) for block in features for one in block] == given
        assert len(features._alike.features) <= 1000
        assert len(features._alike._leads) <= 16
