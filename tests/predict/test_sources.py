"""What sources mean: order, names, errors."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from apiece.core.image import Image
from apiece.errors import DataError, ImageError
from apiece.predict.sources import Source, find_sources, iter_sources


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(*args: object, **options: object) -> list[str]:
    return [s.name for s in find_sources(*args, **options)]  # type: ignore[arg-type]


def test_folder_in_natural_order_with_subfolders(tmp_path: Path) -> None:
    touch(
        tmp_path, "img10.png", "img2.png", "IMG3.JPG", "b/1.tif", "notes.txt", ".hidden.png", ".cache/x.png", "img2.xml"
    )
    assert names(tmp_path) == ["b/1.tif", "img2.png", "IMG3.JPG", "img10.png"]
    assert names(str(tmp_path)) == names(tmp_path)


def test_glob(tmp_path: Path) -> None:
    touch(tmp_path, "a/img10.png", "a/img2.png", "b/img1.png", "b/c.txt")
    assert names(f"{tmp_path}/a/*.png") == ["img2.png", "img10.png"]
    assert names(f"{tmp_path}/*/img*") == ["a/img2.png", "a/img10.png", "b/img1.png"]
    assert names(f"{tmp_path}/**/*.png") == ["a/img2.png", "a/img10.png", "b/img1.png"]
    assert names(f"{tmp_path}/*") == ["a/img2.png", "a/img10.png", "b/img1.png"]
    with pytest.raises(DataError, match=r"'.*jpg' matches nothing"):
        find_sources(f"{tmp_path}/*.jpg")
    with pytest.raises(DataError, match="matches 1 paths, none of them an image"):
        find_sources(f"{tmp_path}/b/*.txt")


def test_a_file_may_be_called_anything(tmp_path: Path) -> None:
    touch(tmp_path, "scan.dat", "what[1].png")
    assert names(tmp_path / "scan.dat") == ["scan.dat"]
    assert names(tmp_path / "what[1].png") == ["what[1].png"]


def test_missing_file_is_an_image_error_when_read(tmp_path: Path) -> None:
    (source,) = find_sources(tmp_path / "none.png")
    with pytest.raises(ImageError, match="does not exist"):
        source.read()
    with pytest.raises(DataError, match="neither pixels nor a path"):
        Source("x").read()


def test_empty_folder_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt")
    with pytest.raises(DataError, match=f"{tmp_path} has no image"):
        find_sources(tmp_path)
    with pytest.raises(DataError, match="no images"):
        find_sources([])


def test_links_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.png", "elsewhere/b.png")
    (tmp_path / "in" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "self").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "c.png").symlink_to(tmp_path / "elsewhere" / "b.png")
    assert names(tmp_path / "in") == ["a.png", "c.png", "more/b.png"]


def test_arrays_and_images(tmp_path: Path) -> None:
    array = np.zeros((3, 4), np.uint8)
    (source,) = find_sources(array)
    assert source.path is None
    assert source.read().size == (3, 4)
    assert names([array, Image(array, path=Path("a/b.png")), array]) == ["image_000000", "b.png", "image_000002"]
    for wrong in (3, [3], [None]):
        with pytest.raises(DataError):
            find_sources(wrong)  # type: ignore[arg-type]


def test_same_names_in_two_folders_are_told_apart(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/1.png", "b/2.png")
    assert names([tmp_path / "a", tmp_path / "b"]) == ["a/1.png", "b/1.png", "b/2.png"]


def test_a_file_named_twice_is_taken_once(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "2.png")
    assert names([tmp_path / "2.png", tmp_path, f"{tmp_path}/*.png"]) == ["2.png", "1.png"]


def test_results_are_not_sources(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "overlays/1.png")
    assert names(tmp_path, exclude=[tmp_path / "overlays"]) == ["1.png"]


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a/1.png")
    monkeypatch.chdir(tmp_path)
    assert names(".") == ["a/1.png"]
    assert names("a/*.png") == ["1.png"]
    assert names("*/1.png") == ["a/1.png"]
    assert os.path.samefile(find_sources("a")[0].path, "a/1.png")  # type: ignore[arg-type]


def test_an_endless_iterator_is_never_gathered() -> None:
    endless = (np.full((2, 2), i, np.uint8) for i in itertools.count())
    first = list(itertools.islice(iter_sources(endless), 3))
    assert [s.name for s in first] == ["image_000000", "image_000001", "image_000002"]


def test_images_of_one_file_are_not_taken_for_one(tmp_path: Path) -> None:
    pages = [Image(np.full((4, 4), k, np.uint8), path=tmp_path / "stack.tif") for k in range(2)]
    with pytest.raises(DataError, match=r"both called 'stack\.tif'"):
        find_sources(pages)
    assert len(find_sources([pages[0], tmp_path / "other.tif", tmp_path / "other.tif"])) == 2


@pytest.mark.parametrize("name", ["line.mp4", "rtsp://10.0.0.7/live", "clips", "clips/*.mp4"])
def test_a_video_is_sent_to_track(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    touch(tmp_path, "line.mp4", "clips/a.mp4")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"{re.escape(name)} is video.*`apiece track {re.escape(name)}`"):
        find_sources(name)


def test_an_empty_name_is_not_the_folder_one_is_in() -> None:
    with pytest.raises(DataError, match="name of an image is empty"):
        find_sources(["a.png", ""])


def test_images_of_pillow_are_images() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    colour = np.stack([grey, grey + 1, grey + 2, np.full_like(grey, 255)], 2)
    turned = PillowImage.fromarray(grey)
    turned.getexif()[0x0112] = 6
    plain = PillowImage.fromarray(grey)
    for given in (plain, [plain]):
        (source,) = iter_sources(given)
        assert (source.read().pixels[..., 0] == grey).all()
    (source,) = iter_sources(PillowImage.fromarray(colour))
    assert source.read().alpha == "unassociated"
    (source,) = iter_sources(turned)
    assert (source.read().pixels[..., 0] == np.rot90(grey, -1)).all()
    with pytest.raises(DataError, match=r"mode 'P' are no colours; give image\.convert\('RGB'\)"):
        list(iter_sources(plain.convert("P")))


def test_pictures_that_are_not_read_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.png", "b.gif", "deep/c.GIF", "deep/d.heic", "slide.svs", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    assert [source.name for source in find_sources(tmp_path)] == ["a.png", "slide.svs"]
    assert "left out (2 .gif, 1 .heic); save them as PNG or TIFF" in caplog.text
    caplog.clear()
    assert [source.name for source in find_sources(str(tmp_path / "*"))] == ["a.png", "slide.svs"]
    assert "(2 .gif, 1 .heic)" in caplog.text
