"""Labels on photos with an EXIF orientation: drawn on what is seen, on what is stored, and undecidable."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from PIL import Image as Pillow

from apiece import Image, Instances, Masks
from apiece.check import check
from apiece.core.image import ImageRef
from apiece.datasets.synthetic import SceneConfig, scene
from apiece.images import as_stored, image_orientation, read_image

KINDS = ("exif_ignored", "exif_unclear")


class Labels:
    """One labelled image."""

    metadata: Mapping[str, object] = MappingProxyType({})

    def __init__(self, path: Path, instances: Instances) -> None:
        self.refs = (ImageRef(path, path.name, instances.size, 1),)
        self.classes, self.instances = instances.classes, instances

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> tuple[ImageRef, Instances]:
        return self.refs[index], self.instances


def photo(path: Path, pixels: np.ndarray, orientation: int) -> Path:
    entry = Pillow.Exif()
    entry[274] = orientation
    kind = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF"}[path.suffix]
    Pillow.fromarray(pixels).save(path, kind, exif=entry, quality=90)
    return path


def turned(instances: Instances, orientation: int) -> Instances:
    """Labels of what is stored, as they lie on what is seen."""
    dense = [np.asarray(read_back(mask, orientation)) for mask in instances.masks.to_dense()]
    return instances.replace(masks=Masks.from_dense(np.stack(dense)), full=None)


def read_back(mask: np.ndarray, orientation: int) -> np.ndarray:
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    return as_stored(mask, inverse)


def found(path: Path, instances: Instances) -> list[tuple[str, float]]:
    report = check({"train": Labels(path, instances)}, only=KINDS)  # type: ignore[dict-item]
    return [(f.kind, f.sure) for f in report.findings]


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_labels_of_stored_pixels_are_found_and_right_ones_are_not(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    drawn = scene(SceneConfig(size=(160, 160), objects=(3, 6), overlap=0.0, seed=4), orientation)
    path = photo(tmp_path / f"a{suffix}", drawn.image.pixels, orientation)
    assert image_orientation(path) == orientation
    labels = drawn.visible.replace(ids=None, attributes={})
    ((kind, sure),) = found(path, labels)
    assert kind == "exif_ignored"
    assert sure > 0.5
    assert found(path, turned(labels, orientation)) == []


def test_photos_without_an_entry_and_other_sizes_are_left_alone(tmp_path: Path) -> None:
    drawn = scene(SceneConfig(size=(96, 128), objects=(3, 6), overlap=0.0, seed=4), 0)
    labels = drawn.visible.replace(ids=None, attributes={})
    assert found(photo(tmp_path / "a.png", drawn.image.pixels, 1), labels) == []
    rotated = photo(tmp_path / "b.png", drawn.image.pixels, 6)  # its sides are exchanged: another finding
    assert found(rotated, turned(labels, 6)) == []
    assert found(rotated, labels) == []


def test_what_edges_do_not_tell_is_a_note(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    masks = Masks.from_boxes([[2, 2, 22, 12]], (48, 64))
    assert [kind for kind, _ in found(photo(tmp_path / "a.jpg", noise, 3), Instances(masks))] == ["exif_unclear"]


def test_pixels_go_back_to_how_they_were_stored(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    for orientation in range(1, 9):
        path = photo(tmp_path / "a.png", pixels, orientation)
        seen = read_image(path)
        np.testing.assert_array_equal(as_stored(seen.pixels, image_orientation(path)), pixels)
    assert isinstance(seen, Image)
