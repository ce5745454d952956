"""Small pictures: kept on the disk until their image changes, and made ahead of the person."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from apiece import ImageRef
from apiece.errors import ImageError
from apiece.images import write_image
from apiece.serve.studio.pictures import Pictures
from apiece.serve.studio.thumbs import Thumbs


class Made:
    """Says which thumbnails were made."""

    def __init__(self, folder: Path, count: int) -> None:
        self.refs = [ImageRef(folder / f"{n}.png", f"{n}.png") for n in range(count)]
        self.made: list[int] = []

    def make(self, number: int) -> bytes:
        if not self.refs[number].path.exists():
            raise ImageError(self.refs[number].path, "is gone")
        self.made.append(number)
        return b"%d" % number

    def open(self, file: Path) -> Thumbs:
        return Thumbs(file, self.refs.__getitem__, lambda: len(self.refs), self.make)


def read_image_of(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.float64)


def test_pictures_are_kept_until_their_image_changes(tmp_path: Path) -> None:
    made = Made(tmp_path, 5)
    for ref in made.refs[:4]:
        ref.path.write_bytes(b"x")  # the fifth image is gone
    first = made.open(tmp_path / "thumbs.sqlite")
    assert [first.get(n) for n in range(4)] == [b"0", b"1", b"2", b"3"]
    with pytest.raises(ImageError, match="is gone"):
        first.get(4)
    made.made.clear()
    os.utime(made.refs[2].path, ns=(5, 5))
    again = made.open(tmp_path / "thumbs.sqlite")
    assert [again.get(n) for n in range(4)] == [b"0", b"1", b"2", b"3"]
    assert set(made.made) == {2}


def test_pictures_of_many_images_are_made_ahead_from_where_the_person_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.zeros((20, 30, 3), np.uint8)
    write_image(tmp_path / "0.png", pixels)
    made = Made(tmp_path, 300)
    for ref in made.refs[1:299]:  # the last image is gone
        os.link(made.refs[0].path, ref.path)
    held = made.open(tmp_path / "thumbs.sqlite")
    held.get(200)
    held.get(201)
    seen: list[list[str]] = []
    with sqlite3.connect(tmp_path / "thumbs.sqlite") as other:
        for _ in range(1500):
            rows = other.execute("SELECT name FROM thumbs ORDER BY rowid").fetchall()
            seen.append([Path(name.split("|")[0]).stem for (name,) in rows])
            if len(rows) == 299:
                break
            time.sleep(0.02)
    order = [int(name) for name in seen[-1]]
    assert sorted(order) == list(range(299))
    assert max(abs(number - 201) for number in order[:50]) < 60
    assert made.made == [200, 201]
    monkeypatch.setattr(held, "_make", None)
    assert read_image_of(held.get(250)).shape == (20, 30, 3)
    assert [held.get(n)[:2] for n in (0, 298)] == [b"\xff\xd8"] * 2


def test_thumbnails_are_shown_where_nothing_can_be_kept(tmp_path: Path) -> None:
    made = Made(tmp_path, 1)
    made.refs[0].path.write_bytes(b"x")
    held = made.open(tmp_path / "no such folder" / "thumbs.sqlite")
    assert held.get(0) == held.get(0) == b"0"
    assert made.made == [0]


def test_a_file_that_is_damaged_meanwhile_costs_nothing_but_time(tmp_path: Path) -> None:
    made = Made(tmp_path, 1)
    made.refs[0].path.write_bytes(b"x")
    (tmp_path / "no.sqlite").write_bytes(b"this is no database" * 100)
    assert made.open(tmp_path / "no.sqlite").get(0) == b"0"
    held = made.open(tmp_path / "thumbs.sqlite")
    assert held.get(0) == b"0"
    with sqlite3.connect(tmp_path / "thumbs.sqlite") as other:
        other.execute("DROP TABLE thumbs")
    assert held.get(0) == b"0"
    assert made.made == [0, 0, 0]


def test_a_large_jpeg_is_decoded_at_a_part_of_its_size_and_turned(tmp_path: Path) -> None:
    pixels = np.zeros((1200, 900, 3), np.uint8)
    pixels[:600, :, 0] = 200
    write_image(tmp_path / "a.png", pixels)
    turned = cv2.imencode(".jpg", np.rot90(pixels)[:, :, ::-1])[1].tobytes()  # the camera says: turn it clockwise
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    data = turned[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + turned[2:]
    (tmp_path / "a.jpg").write_bytes(data)
    refs = [ImageRef(tmp_path / name, name) for name in ("a.png", "a.jpg")]
    held = Pictures(refs.__getitem__)
    whole, part = (read_image_of(held.thumb(n)) for n in (0, 1))
    assert whole.shape == part.shape == (256, 192, 3)
    assert abs(whole - part).mean() < 2
