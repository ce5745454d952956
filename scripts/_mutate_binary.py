"""Ways to break binary files: any bytes, PNG, TIFF, NumPy, ZIP and ImageJ's ROIs."""

from __future__ import annotations

import io
import math
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from random import Random

from roifile import ImagejRoi

__all__ = ["any_bytes", "broken"]

Change = Callable[[str], str]
_BYTES = (
    b"", b"\0", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x80", b"{", b"[", b'"', b"<", b"-",
    b"\n", b",", b"\xef\xbb\xbf", b"9" * 30, b"[" * 3000,
)  # fmt: skip
_NUMBERS = (b"-1", b"0", b"65536", b"4294967296", b"99999999999999999999", b"1e999", b"nan", b"0.5")


def broken(data: bytes, random: Random, text: Change) -> bytes:
    """A file broken as its kind allows; ``text`` changes the texts in it."""
    change = next((c for head, c in _KINDS.items() if data.startswith(head)), None)
    if change is not None and random.random() < 0.75:
        try:
            return change(data, random, text)
        except Exception:
            pass  # broken before: its structure cannot be taken apart any more
    return any_bytes(data, random)


def any_bytes(data: bytes, random: Random) -> bytes:
    """Any file with some bytes changed, gone, doubled, or more of them."""
    if not data:
        return random.choice(_BYTES)
    # what matters of binary files is mostly at their ends
    reach = random.choice((len(data), len(data), min(len(data), 64)))
    at = random.randrange(reach) if random.random() < 0.8 else len(data) - 1 - random.randrange(reach)
    end = min(at + random.choice((1, 2, 4, 8, 100)), len(data))
    match random.randrange(8):
        case 0:
            return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
        case 1:
            return data[:at] + random.randbytes(1) + data[at + 1 :]
        case 2:
            return data[:at]
        case 3:
            return data[:at] + random.choice(_BYTES) + data[at:]
        case 4:
            return data[:at] + data[end:]
        case 5:
            return data[:end] + data[at:]
        case 6:
            form = random.choice(("<H", ">H", "<I", ">I", "<Q", ">f", "<d"))
            value = (
                random.choice((math.nan, math.inf, -1.0, 1e30)) if form[1] in "fd" else _machine_number(form, random)
            )
            packed = struct.pack(form, value)
            return data[:at] + packed + data[at + len(packed) :]
        case _:
            numbers = list(re.finditer(rb"-?\d+", data[: 1 << 16]))
            if not numbers:
                return data[:at] + data[at:][::-1]
            chosen = random.choice(numbers)
            return data[: chosen.start()] + random.choice(_NUMBERS) + data[chosen.end() :]


def _machine_number(form: str, random: Random) -> int:
    most = 256 ** struct.calcsize(form) - 1
    return random.choice((0, 1, most, most // 2, most // 2 + 1, random.randint(0, most), random.randrange(300) & most))


def _png(data: bytes, random: Random, text: Change) -> bytes:
    chunks, at = [], 8
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append([data[at + 4 : at + 8], data[at + 8 : at + 8 + length]])
        at += 12 + length
    k = 0 if random.random() < 0.4 else random.randrange(len(chunks))
    kind, body = chunks[k]
    if kind == b"IHDR" and random.random() < 0.8:
        offset, form = random.choice(((0, ">I"), (4, ">I"), (8, "B"), (9, "B"), (10, "B"), (11, "B"), (12, "B")))
        values = (
            (1, 2, 4, 8, 16, 0, 3, 6) if form == "B" else (0, 1, 2, 31, 40, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
        )
        chunks[k][1] = body[:offset] + struct.pack(form, random.choice(values)) + body[offset + struct.calcsize(form) :]
    elif kind == b"IDAT" and random.random() < 0.7:
        chunks[k][1] = zlib.compress(any_bytes(zlib.decompress(body), random))
    elif kind in (b"tEXt", b"iTXt"):
        head, _, words = body.rpartition(b"\0")
        chunks[k][1] = head + b"\0" + text(words.decode()).encode(errors="surrogatepass")
    else:
        match random.randrange(4):
            case 0:
                del chunks[k]
            case 1:
                chunks.insert(random.randrange(len(chunks)), list(chunks[k]))
            case 2:
                chunks[k][0] = random.choice(
                    (b"PLTE", b"tRNS", b"IEND", b"IDAT", b"acTL", b"fcTL", b"eXIf", b"\0\0\0\0")
                )
            case _:
                chunks[k][1] = any_bytes(body, random)
    packed = [struct.pack(">I", len(b)) + t + b + struct.pack(">I", zlib.crc32(t + b)) for t, b in chunks]
    return data[:8] + b"".join(packed)


def _tiff(data: bytes, random: Random, text: Change) -> bytes:
    """One field of one entry of the first page's directory, or the text of a description."""
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, at)
    if random.random() < 0.1:
        return data[:at] + struct.pack(order + "H", _machine_number("H", random)) + data[at + 2 :]
    entry = at + 2 + 12 * random.randrange(count)
    offset, form = random.choice(((0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "I"), (8, "H")))
    tags = (256, 257, 258, 259, 262, 270, 273, 277, 278, 279, 284, 317, 322, 323, 324, 330, 339)
    value = random.choice(tags) if offset == 0 else random.choice((*range(17), _machine_number(form, random)))
    packed = struct.pack(order + form, value)
    return data[: entry + offset] + packed + data[entry + offset + len(packed) :]


def _zip(data: bytes, random: Random, text: Change) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        comment, entries = archive.comment, [(i.filename, archive.read(i)) for i in archive.infolist()]
    match random.randrange(6) if entries else 0:
        case 0:
            comment = text(comment.decode()).encode(errors="surrogatepass")[:65535]
        case 1:
            k = random.randrange(len(entries))
            entries[k] = (text(entries[k][0]).replace("\ud800", "?") or "x", entries[k][1])
        case 2:
            entries.insert(random.randrange(len(entries)), random.choice(entries))
        case _:
            k = random.randrange(len(entries))
            entries[k] = (entries[k][0], broken(entries[k][1], random, text))
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # of a name that comes twice
        archive.comment = comment
        for name, content in entries:
            archive.writestr(name, content)
    return out.getvalue()


def _roi(data: bytes, random: Random, text: Change) -> bytes:
    roi = ImagejRoi.frombytes(data)
    if random.random() < 0.6 and roi.props.startswith("apiece: "):
        roi.props = "apiece: " + text(roi.props.removeprefix("apiece: ").strip()) + "\n"
        return bytes(roi.tobytes())
    at = random.choice((6, 8, 10, 12, 14, 16, 18, 22, 26, 30, 34, 36, 48, 50, 54, 56, 60))
    return (
        data[:at]
        + struct.pack(">h", random.choice((-1, 0, 1, 5, -32768, 32767, random.randrange(64))))
        + data[at + 2 :]
    )


def _npy(data: bytes, random: Random, text: Change) -> bytes:
    end = 10 + int.from_bytes(data[8:10], "little")
    if random.random() < 0.5:
        return data[:end] + any_bytes(data[end:], random)
    header = data[10:end].decode("latin-1")
    shapes = ("(5,)", "()", "(0, 3)", "(3, -1)", "(99999, 99999)", "(1, 2, 3)", "(2, 99999999999999999999)", "'a'")
    kinds = ("'<f8'", "'|b1'", "'<u8'", "'<i8'", "'|O'", "'<U9'", "[('a', '<i4')]", "'<M8[s]'", "'>u2'")
    field, values = random.choice((("shape", shapes), ("descr", kinds), ("fortran_order", ("True", "3"))))
    header = re.sub(rf"'{field}': (\([^)]*\)|[^,}}]*)", lambda _: f"'{field}': {random.choice(values)}", header)
    padded = header.rstrip().ljust(end - 11).encode("latin-1") + b"\n"
    return data[:8] + len(padded).to_bytes(2, "little") + padded + data[end:]


_KINDS: dict[bytes, Callable[[bytes, Random, Change], bytes]] = {
    b"\x89PNG": _png, b"II*\0": _tiff, b"MM\0*": _tiff, b"\x93NUMPY": _npy, b"PK\3\4": _zip, b"PK\5\6": _zip,
    b"Iout": _roi,
}  # fmt: skip
