"""A long list of a JSON file in batches: the values and errors of the whole file, wherever it is cut."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from apiece.errors import FormatError
from apiece.formats._kit import json_stream
from apiece.formats._kit.json_files import load_json
from apiece.formats._kit.json_stream import JsonList


def value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.random()
    if depth > 3 or kind < 0.3:
        return rng.choice([1, -2.5, 1e300, 'é\\"x\n', "", None, True, 12345678901234567890, [], {}])
    if kind < 0.6:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice("abc") + str(k): value(rng, depth + 1) for k in range(rng.randrange(4))}


def damaged(rng: random.Random, text: bytes) -> bytes:
    at = rng.randrange(len(text) + 1)
    sign = rng.choice([b",", b"]", b"}", b"x", b"\xff", b'"', b"1", b"NaN", b"\\"])
    return rng.choice([text[:at], text[:at] + sign + text[at:], text[:at] + text[at + 1 :]])


def outcome(read: Any) -> tuple[Any, str]:
    try:
        return read(), ""
    except FormatError as error:
        return None, str(error)


def in_batches(path: Path) -> Any:
    found = JsonList(path, "features")
    items = [item for batch in found.batches() for item in batch]
    if found.members is None:
        return items if found.found else found.whole
    return found.members | ({"features": items} if found.found else {})


@pytest.mark.parametrize("seed", range(8))
def test_it_reads_what_the_whole_file_says(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, path = random.Random(seed), tmp_path / "a.json"
    for _ in range(60):
        monkeypatch.setattr(json_stream, "_BLOCK", rng.choice([1, 2, 7, 50, 500]))
        features = [value(rng) for _ in range(rng.randrange(rng.choice([5, 30])))]
        document = rng.choice([features, {"type": 1, "features": features, "z": value(rng)}, {"a": value(rng)}, {}, 3])
        text = json.dumps(document, indent=rng.choice([None, 1]), ensure_ascii=rng.random() < 0.5).encode()
        path.write_bytes(damaged(rng, text) if rng.random() < 0.5 else text)
        assert outcome(lambda: in_batches(path)) == outcome(lambda: load_json(path)), path.read_bytes()


def test_batches_do_not_hold_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "_BLOCK", 1000)
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"features": [{"n": k} for k in range(10_000)], "type": "late"}))
    found = JsonList(path, "features")
    lengths = [len(batch) for batch in found.batches()]
    assert sum(lengths) == 10_000
    assert max(lengths) <= 1000 / 10
    assert found.members == {"type": "late"}
