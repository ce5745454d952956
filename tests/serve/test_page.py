"""The studio's page: its own lint, types and tests; and the whole studio, driven in Chromium on a set of cells."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import apiece
from apiece.datasets.synthetic import SceneConfig, write_dataset
from apiece.images import write_image

ROOT = Path(__file__).parents[2]
STUDIO = ROOT / "studio"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
PICTURES = [folder] if (folder := os.environ.get("STUDIO_PICTURES")) else []  # where to keep what the page looks like
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("npm") is None, reason="needs node"),
    pytest.mark.skipif(not (STUDIO / "node_modules").is_dir(), reason="needs npm ci in studio/"),
]
built = pytest.mark.skipif(
    not (Path(apiece.__file__).parent / "serve/static/index.html").is_file(), reason="needs npm run build in studio/"
)


def npm(*words: str) -> None:
    done = subprocess.run(["npm", *words], cwd=STUDIO, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_lint_types_and_unit_tests_of_the_page() -> None:
    npm("run", "check")


@contextmanager
def running(data: Path, out: Path, *more: str) -> Iterator[str]:
    """Run the command as a person does."""
    words = ["studio", str(data), "--out", str(out), "--port", "0", "--json", *more]
    code = "from apiece.cli import main; main()"
    with subprocess.Popen([sys.executable, "-u", "-c", code, *words], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            text = ""
            while not text.rstrip().endswith("}"):
                line = child.stdout.readline()
                assert line, "the studio has ended"
                text += line
            address = json.loads(text)["address"]
            for _ in range(100):
                try:
                    urllib.request.urlopen(address, timeout=5).read()
                    break
                except OSError:
                    time.sleep(0.1)
            yield address
        finally:
            child.send_signal(signal.SIGINT)


def twice(labels: Path) -> None:
    """Label the first object of each image once more."""
    told = json.loads(labels.read_text())
    first = {one["image_id"]: one for one in reversed(told["annotations"])}
    told["annotations"] += [{**one, "id": 10_000 + k} for k, one in enumerate(first.values())]
    labels.write_text(json.dumps(told))


def driven(script: str, address: str) -> dict[str, Any]:
    """What a script saw in Chromium, which told of no error."""
    done = subprocess.run(
        ["node", f"browser/{script}.mjs", address, *PICTURES], cwd=STUDIO, capture_output=True, text=True, timeout=600,
        env={**os.environ, "CHROMIUM": str(CHROMIUM)},
    )  # fmt: skip
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["wrong"] == []
    return dict(told["done"])


@built
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_person_looks_corrects_and_is_told_of_another_tab(tmp_path: Path) -> None:
    config = SceneConfig(size=(600, 600), objects=(12, 16), seed=3)
    write_dataset(tmp_path / "data", train=2, val=1, config=config)
    twice(tmp_path / "data" / "train.json")
    with running(tmp_path / "data", tmp_path / "work") as address:
        seen = driven("drive", address)
    assert seen["polygon"] == seen["before"] + 1
    assert seen["split"] == seen["redone"] == seen["undone"] + 1
    assert "changed elsewhere" in seen["stale"]
    assert seen["sentAgain"] == 1
    assert (seen["front"], seen["back"], seen["wand"]) == ("true", "true", 1)
    assert "Ada Ł" in seen["report"]
    assert "it is so" in seen["report"]


def slide(folder: Path, side: int = 36_000) -> None:
    """A grey picture of which no pixel is stored, with discs, of which the largest is the last."""
    import zarr

    group = zarr.open_group(str(folder / "slide.zarr"), mode="w")
    for k in range(4):
        group.create_array(str(k), shape=(side >> k,) * 2, chunks=(1024, 1024), dtype="uint8", fill_value=120)
    axes = [{"name": name, "type": "space"} for name in "yx"]
    scales = [{"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": [2**k] * 2}]} for k in range(4)]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": scales}]}
    rng = np.random.default_rng(0)
    middle, radius = rng.uniform(2000, side - 2000, (400, 2)), np.append(rng.uniform(5, 40, 399), 900)
    angles = np.arange(32) / 32 * 2 * np.pi
    rings = middle[:, None] + radius[:, None, None] * np.stack([np.cos(angles), np.sin(angles)], -1)
    found = apiece.Instances(apiece.Masks.from_polygons([[ring] for ring in rings], (side, side)))
    ref = apiece.ImageRef(folder / "slide.zarr", "slide.zarr", (side, side))
    apiece.write([(ref, found)], folder / "labels.geojson")


@built
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_slide_is_looked_at_and_corrected(tmp_path: Path) -> None:
    slide(tmp_path)
    with running(tmp_path / "labels.geojson", tmp_path / "work", "--images", str(tmp_path)) as address:
        seen = driven("slide", address)
    assert seen["objects"] == "400 objects"
    assert seen["far"] > 0  # dots on the whole slide
    assert seen["near"] > 0.5  # the largest object fills the middle
    assert seen["clicked"] == seen["listed"]
    assert seen["drawn"] == "401 objects"
    assert seen["undone"] == "400 objects"
    assert seen["tabs"] == ["Objects", "Picture"]


@built
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_images_unlike_the_baseline_are_accepted_and_dismissed(tmp_path: Path) -> None:
    config = SceneConfig(size=(160, 160), objects=(4, 6), seed=3)
    write_dataset(tmp_path / "good", train=1, val=40, config=config)
    write_dataset(tmp_path / "data", train=10, val=1, config=replace(config, seed=4))
    found = [(ref, apiece.Instances(one.masks)) for ref, one in apiece.read(tmp_path / "good" / "val.json")]
    apiece.write(found, tmp_path / "good" / "val.json")
    rng = np.random.default_rng(0)
    for file in sorted((tmp_path / "data").rglob("train_*.png"))[:3]:
        write_image(file, rng.integers(0, 255, (160, 160, 3), np.uint8))
    words = ["monitor", "--model", "default", "--baseline", str(tmp_path / "good" / "val.json")]
    code = "from apiece.cli import main; main()"
    good = tmp_path / "good.json"
    subprocess.run([sys.executable, "-c", code, *words, "--save-baseline", str(good)], check=True)
    given = ("--model", "default", "--baseline", str(good))
    with running(tmp_path / "data", tmp_path / "work", *given) as address:
        seen = driven("unlike", address)
    assert len(seen["listed"]) >= 3
    assert "as unlike the others" in seen["message"]
    assert seen["open"] == f"{len(seen['listed']) - 2} findings"
    assert sum("accepted" in text for text in seen["all"]) == 1
    assert sum("dismissed" in text and "a new camera" in text for text in seen["all"]) == 1
    assert len(seen["report"]) == 2


def film(folder: Path, count: int = 30) -> None:
    """Two objects that cross, a third one that leaves for some frames, and one that is in the first frame only."""
    rng = np.random.default_rng(0)
    ground = rng.integers(70, 110, (240, 320, 3), np.uint8)
    rows, columns = np.mgrid[:240, :320]
    records = []
    (folder / "images" / "0000").mkdir(parents=True)
    for k in range(count):
        places = {1: (60 + 2 * k, 40 + 7 * k), 2: (180 - 3 * k, 280 - 7 * k), 5: (200, 160), 7: (30, 30)}
        seen = [i for i in places if not (i == 5 and 8 <= k < 15) and not (i == 7 and k)]
        masks = np.array([(rows - places[i][0]) ** 2 + (columns - places[i][1]) ** 2 < 400 for i in seen])
        pixels = ground.copy()
        for i, mask in zip(seen, masks, strict=True):
            pixels[mask] = (40 * i % 255, 180, 200 - 20 * i)
        name = f"0000/{k:06d}.png"
        write_image(folder / "images" / name, pixels)
        found = apiece.Instances(
            apiece.Masks.from_dense(masks), np.zeros(len(seen), int), ("car", "pedestrian"), ids=seen
        )
        records.append((apiece.ImageRef(folder / "images" / name, name, (240, 320)), found))
    apiece.write(records, folder / "tracks.json", format="coco")


@built
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_frames_are_played_and_tracks_keep_colour_and_id(tmp_path: Path) -> None:
    film(tmp_path)
    with running(tmp_path / "tracks.json", tmp_path / "work", "--images", str(tmp_path / "images")) as address:
        seen = driven("play", address)
    assert seen["tracks"] == "4 tracks"
    assert len(seen["played"]) == 12  # one frame after another, none left out
    assert [int(text.split()[0]) for text in seen["played"]] == list(range(2, 14))
    assert [colour for text, colour in seen["list"] if "#1" in text] == [seen["row"]]
    assert any("#7" in text for text in seen["copied"])
