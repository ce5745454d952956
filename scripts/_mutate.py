"""Ways to break label files: their names, and the structure of JSON, YAML, XML and tables."""

from __future__ import annotations

import base64
import binascii
import copy
import itertools
import json
import math
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from random import Random
from typing import Any

import yaml
from _mutate_binary import broken

__all__ = ["Files", "mutated"]

Files = dict[str, bytes]
"""A set of labels: the bytes of each file by its path."""
_ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63,
    -(2**63), 2**64, 10**400, 0.5, -0.0, 1e-320, 1e16, 1e308, math.nan, math.inf, -math.inf, "", " ", "0", "-1",
    "1e999", "nan", "x" * 20_000, "../../up.png", "/etc/passwd", "C:\\a.png", "a\\b.png", "a\0b", "\ud800", "ü 日本",
    "\n", [], {}, [[]], [{}], [None], [0, 0], [[0, 0]] * 3, {"": 0},
)  # fmt: skip


def mutated(files: Files, random: Random, words: Sequence[str], pool: Sequence[Files]) -> Files:
    """The set with one to three things broken; ``words`` are those that the reader knows, ``pool`` further sets."""
    changed = dict(files)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if len(changed) > 1 and random.random() < 0.12:
            changed = _moved(changed, random)
            continue
        name = random.choice(sorted(changed))
        if random.random() < 0.03:
            donor = random.choice(pool)
            changed[name] = random.choice([data for _, data in sorted(donor.items())])
        else:
            changed[name] = _changed(name, changed[name], random, words)
    return changed


def _moved(files: Files, random: Random) -> Files:
    """A file gone, under another name, twice, or with another's content."""
    changed = dict(files)
    name, other = random.choice(sorted(files)), random.choice(sorted(files))
    path = PurePosixPath(name)
    new = random.choice(
        [
            str(path.with_name("." + path.name)),
            str(path.with_name("z" + path.name)),
            str(path.with_name(re.sub(r"\d", "7", path.name))),
            str(path.with_name(path.name.upper())),
            str(path.with_suffix(random.choice((".png", ".tif", ".txt", ".json", ".xml")))),
            f"{path.parent}/below/{path.name}",
            f"{name}/{path.name}",  # a folder where a file should be
            str(PurePosixPath(other).with_name(path.name)),
        ]
    )
    data = changed.pop(name) if random.random() < 0.7 else changed[name]
    if random.random() < 0.6 and not any(_collide(new, known) for known in changed):
        changed[new] = data
    if random.random() < 0.2 and other in changed:
        changed[other] = data
    return changed or dict(files)


def _collide(a: str, b: str) -> bool:
    return a == b or a.startswith(b + "/") or b.startswith(a + "/")


def _changed(name: str, data: bytes, random: Random, words: Sequence[str]) -> bytes:
    """A file broken as its kind allows, which is known by its first bytes or its name."""
    kind = {b"{": ".json", b"[": ".json", b"<": ".xml"}.get(data[:1], PurePosixPath(name).suffix.lower())
    change = _KINDS.get(kind)
    if change is not None and random.random() < 0.75:
        try:
            return change(data, random, words)
        except Exception:
            pass  # broken before: its structure cannot be taken apart any more
    return broken(data, random, lambda text: _text(text, random, words))


def _number(random: Random) -> int | float:
    return random.choice([v for v in _ODD if type(v) in (int, float)])


def _text(text: str, random: Random, words: Sequence[str]) -> str:
    """A string with something else in it: JSON and base64 are changed inside."""
    if text[:1] in ("{", "["):
        try:
            return json.dumps(_tree(json.loads(text), random, words))
        except ValueError:
            pass
    if len(text) > 40 and random.random() < 0.8:
        try:
            return base64.b64encode(_packed(base64.b64decode(text, validate=True), random, words)).decode()
        except (ValueError, binascii.Error):
            pass
    choice = random.randrange(5)
    if choice == 0:
        return random.choice(words)
    if choice == 1:
        return str(random.choice(_ODD))
    at = random.randint(0, len(text))
    insert = random.choice(("", "\0", "\ud800", "..", "/", "\\", '"', "-", " ", "0", "9" * 20, "\n", "é", ","))
    return text[:at] + insert + text[at + random.randrange(3) :]


def _packed(data: bytes, random: Random, words: Sequence[str]) -> bytes:
    if data[:1] == b"\x78":
        return zlib.compress(_changed("", zlib.decompress(data), random, words))
    return _changed("", data, random, words)


def _tree(value: Any, random: Random, words: Sequence[str]) -> Any:
    """A value of lists and dictionaries with one node changed."""
    root = [copy.deepcopy(value)]
    nodes = list(itertools.islice(_nodes(root), 20_000))
    # the many coordinates must not hide the few keys
    keyed = [n for n in nodes if type(n[0]) is dict]
    holder, key = random.choice(keyed if keyed and random.random() < 0.6 else nodes)
    node = holder[key]
    other, other_key = random.choice(nodes)
    choice = random.randrange(12)
    if choice <= 2:
        holder[key] = copy.deepcopy(random.choice(_ODD))
    elif choice == 3 and holder is not root:
        del holder[key]
    elif choice == 4 and type(holder) is list:
        holder.insert(key, copy.deepcopy(node))
    elif choice == 5 and type(holder) is dict:
        holder[random.choice(words)] = holder.pop(key) if random.random() < 0.5 else copy.deepcopy(node)
    elif choice == 6:
        holder[key] = copy.deepcopy(other[other_key])
    elif choice == 7 and type(node) is dict:
        node[random.choice(words)] = copy.deepcopy(random.choice([*_ODD, other[other_key]]))
    elif choice == 8:
        for _ in range(random.choice((1, 2, 500))):
            holder[key] = [holder[key]] if random.random() < 0.5 else {random.choice(words): holder[key]}
    elif choice == 9 and type(node) is list and node:
        holder[key] = (node * random.choice((2, 3000)))[:3000]
    elif type(node) is str:
        holder[key] = _text(node, random, words)
    elif type(node) in (int, float):
        changes = (
            -node,
            node + 1,
            node * 1_000_000,
            str(node),
            node + 0.5,
            [node],
            random.randrange(1 << 22),
            node == 1,
        )
        holder[key] = random.choice(changes)
    else:
        holder[key] = copy.deepcopy(random.choice(_ODD))
    return root[0]


def _nodes(holder: Any) -> Iterator[tuple[Any, Any]]:
    """(list or dictionary, index or key) of every value in it."""
    left = [holder]
    while left:
        current = left.pop()
        for key, value in list(current.items()) if type(current) is dict else enumerate(current):
            yield current, key
            if type(value) in (dict, list):
                left.append(value)


def _json(data: bytes, random: Random, words: Sequence[str]) -> bytes:
    text = _dumped(_tree(json.loads(data), random, words), random)
    if random.random() < 0.1:  # a key twice
        braces = [m.end() for m in re.finditer(r"\{", text)]
        at = random.choice(braces or [0])
        text = text[:at] + f'"{random.choice(words)}": {json.dumps(random.choice(_ODD))}, ' + text[at:]
    return text.encode(errors="surrogatepass")


def _dumped(value: Any, random: Random) -> str:
    return json.dumps(value, ensure_ascii=random.random() < 0.7)


def _json_lines(data: bytes, random: Random, words: Sequence[str]) -> bytes:
    lines = data.split(b"\n")
    k = random.choice([i for i, line in enumerate(lines) if line])
    lines[k] = _json(lines[k], random, words)
    return b"\n".join(lines)


def _yaml(data: bytes, random: Random, words: Sequence[str]) -> bytes:
    if random.random() < 0.2:
        anchors = b"a: &a [x, x]\nb: &b [*a, *a, *a]\n"
        return random.choice((anchors + data, data + b"? [1]\n: 2\n", data + b"!!python/name:os.system x\n", data * 2))
    return yaml.dump(_tree(yaml.safe_load(data), random, words), allow_unicode=True).encode(errors="surrogatepass")


def _xml(data: bytes, random: Random, words: Sequence[str]) -> bytes:
    if random.random() < 0.03:
        doctype = b'<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]>'
        return re.sub(rb"(<\?xml[^>]*>)?", lambda m: m[0] + doctype, data, count=1)
    pieces = re.split(r"(<[^>]*>)", data.decode())
    k = random.randrange(len(pieces))
    if pieces[k].startswith("<"):
        values = list(re.finditer(r'"([^"]*)"', pieces[k]))
        if values and random.random() < 0.7:
            chosen = random.choice(values)
            new = _quoted(_number_text(chosen[1], random, words))
            pieces[k] = pieces[k][: chosen.start(1)] + new + pieces[k][chosen.end(1) :]
        elif values and random.random() < 0.5:
            chosen = random.choice(list(re.finditer(r'\s[\w-]+="[^"]*"', pieces[k])))
            pieces[k] = pieces[k][: chosen.start()] + pieces[k][chosen.end() :]
        elif random.random() < 0.4:
            pieces[k] = re.sub(r"[\w-]+", random.choice(words) or "x", pieces[k], count=1)
        else:
            end = min(k + random.randrange(1, 12), len(pieces))
            stretch = pieces[k:end]
            pieces[k:end] = random.choice(
                ([], stretch * 2, stretch * 100, [f"<{random.choice(words) or 'x'}/>", *stretch])
            )
    else:
        pieces[k] = _quoted(_number_text(pieces[k], random, words))
    return "".join(pieces).encode(errors="surrogatepass")


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


def _number_text(text: str, random: Random, words: Sequence[str]) -> str:
    """Text with one of its numbers changed, or changed as text."""
    numbers = list(re.finditer(r"-?\d+(\.\d+)?", text))
    if not numbers or random.random() < 0.3:
        return _text(text, random, words)
    chosen = random.choice(numbers)
    new = random.choice((str(_number(random)), "-" + chosen[0], chosen[0] + "9", "", f"{chosen[0]},{chosen[0]}"))
    return text[: chosen.start()] + new + text[chosen.end() :]


def _table(separator: str) -> Callable[[bytes, Random, Sequence[str]], bytes]:
    def change(data: bytes, random: Random, words: Sequence[str]) -> bytes:
        rows = [line.split(separator) for line in data.decode().split("\n")]
        row = random.choice(rows)
        k = random.randrange(len(row))
        match random.randrange(9):
            case 0:
                row[k] = str(random.choice(_ODD))
            case 1:
                del row[k]
            case 2:
                row.insert(k, row[k])
            case 3:
                rows.insert(random.randrange(len(rows)), list(row))
            case 4:
                rows.remove(row)
            case 5:
                row[k:] = row[k:] * random.choice((2, 500))
            case 6:
                row[k] = random.choice(words)
            case _:
                row[k] = _number_text(row[k], random, words)
        return "\n".join(separator.join(r) for r in rows).encode(errors="surrogatepass")

    return change


_KINDS: dict[str, Callable[[bytes, Random, Sequence[str]], bytes]] = {
    ".json": _json, ".jsonl": _json_lines, ".xml": _xml, ".yaml": _yaml, ".csv": _table(","), ".txt": _table(" "),
}  # fmt: skip
