"""The studio in Chromium, and its journal: ``python benchmarks/studio.py [image] [slide] [clicks] [journal] [killed]
[grid]``.

- ``image``: 4096 x 4096 pixels with 5,000 objects: bytes of masks, seconds to the first picture and to all masks,
  frames a second while zooming and panning, milliseconds from a move of the brush to the next frame.
- ``slide``: 131,072 x 131,072 pixels with 1,015,702 objects, an OME-Zarr with OME-Zarr labels: seconds until the labels
  have been read for the first time; then, opened again, seconds to the first picture and to all masks, frames a second
  while panning from the whole slide down to 512 pixels, with the tiles and the memory of the tab so far; memory of the
  server that is no cached file, before and after.
- ``clicks``: milliseconds from a click to its answer on the screen, the first on a new image and further ones; and
  of CPU that the network takes for each.
- ``journal``: seconds to open a set whose journal has 100,000 changes.
- ``killed``: a studio is killed 50 times while it saves changes; how many confirmed changes are lost.
- ``grid``: 10,000 images: the longest time that a place in the grid stays empty while it is scrolled.

Needs node, Chromium and the page built, but for ``journal`` and ``killed``.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tiles import Lattice

import apiece
from apiece.datasets.synthetic import SceneConfig, write_dataset
from apiece.images import write_image
from apiece.serve.studio.edits import At, Click, Draw, compute
from apiece.serve.studio.journal import Journal
from apiece.serve.studio.sets import Source
from apiece.serve.studio.workspace import Workspace

SIDE, ACROSS = 4096, 71  # 71 x 71 cells, of which 5,000 stay
STUDIO = Path(__file__).parents[1] / "studio"


def cells(folder: Path) -> Path:
    """Write an image of touching cells, and their labels."""
    rng = np.random.default_rng(0)
    step = SIDE / ACROSS
    centres = (np.stack(np.mgrid[:ACROSS, :ACROSS], -1).reshape(-1, 2) + 0.5) * step + rng.uniform(
        -8, 8, (ACROSS**2, 2)
    )
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radii = rng.uniform(18, 30, (len(centres), 1)) * (1 + 0.12 * rng.standard_normal((len(centres), 24)).cumsum(1) / 5)
    outlines = centres[:, None] + radii[..., None] * np.stack([np.cos(angles), np.sin(angles)], -1)
    masks = apiece.Masks.from_polygons([[ring] for ring in outlines[:5000]], (SIDE, SIDE))
    found = apiece.Instances(masks)
    pixels = rng.integers(20, 60, (SIDE, SIDE), np.uint8)
    pixels[masks.to_label_map(overlap="last") > 0] += 120
    write_image(folder / "cells.png", pixels)
    apiece.write([(apiece.ImageRef(folder / "cells.png", "cells.png", (SIDE, SIDE)), found)], folder / "cells.json")
    return folder / "cells.json"


@contextmanager
def running(data: Path, out: Path, *more: str) -> Iterator[tuple[str, int]]:
    """Run the studio, and give its address and process once it has answered."""
    words = ["studio", str(data), "--out", str(out), "--port", "0", "--json", *more]
    code = "from apiece.cli import main; main()"
    with subprocess.Popen([sys.executable, "-u", "-c", code, *words], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        text = ""
        while not text.rstrip().endswith("}"):
            text += child.stdout.readline()
        address = json.loads(text)["address"]
        time.sleep(1)
        urllib.request.urlopen(f"{address}api/set", timeout=60).read()
        try:
            yield address, child.pid
        finally:
            child.terminate()


def in_chromium(what: str, address: str) -> dict[str, Any]:
    """Measure in Chromium."""
    done = subprocess.run(["node", "browser/measure.mjs", address, what], cwd=STUDIO, capture_output=True, text=True)
    return json.loads(done.stdout) if done.stdout else {"error": done.stderr[-800:]}


def image(folder: Path) -> dict[str, Any]:
    """Open a large image with many objects."""
    with running(cells(folder), folder / "work") as (address, _):
        told = in_chromium("image", address)
        with urllib.request.urlopen(f"{address}api/images/0/objects", timeout=60) as answer:
            return {"mask_bytes": len(answer.read()), **told}


def virtual_slide(folder: Path, side: int = 131_072) -> Path:
    """Write a slide of eight textures that return again and again, and the labels of a million discs."""
    import zarr

    ref, span = apiece.ImageRef(folder / "slide.zarr", "slide.zarr", (side, side)), 0
    group, rng = zarr.open_group(str(ref.path), mode="w"), np.random.default_rng(0)
    scales = []
    while side >> span >= 512:
        size = side >> span
        chunk = min(size, 1024)
        encoding = {"name": "v2", "separator": "/"}
        level = group.create_array(
            str(span), shape=(size, size), dtype="uint8", chunks=(chunk, chunk), chunk_key_encoding=encoding
        )
        files: list[Path] = []
        for y, x in np.ndindex(size // chunk, size // chunk):
            file = ref.path / str(span) / str(y) / str(x)
            if len(files) < 8:
                coarse = rng.integers(60, 240, (chunk // 8, chunk // 8), np.uint8)
                part = cv2.resize(coarse, (chunk, chunk), interpolation=cv2.INTER_CUBIC)
                level[y * chunk : (y + 1) * chunk, x * chunk : (x + 1) * chunk] = part
                files.append(file)
            else:
                file.parent.mkdir(exist_ok=True)
                os.link(files[(7 * x + 13 * y) % 8], file)
        transform = {"type": "scale", "scale": [2**span] * 2}
        scales.append({"path": str(span), "coordinateTransformations": [transform]})
        span += 1
    axes = [{"name": name, "type": "space"} for name in "yx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": scales}]}

    discs = Lattice(side, pitch=126)
    rows = discs.block * discs.pitch

    def records() -> Iterator[apiece.formats.Record]:
        count = 0
        for y in range(0, side, rows):
            found = discs.seen(0, y, side, min(y + rows, side))
            masks, ids = found.masks.shift(0, y, (side, side)), np.arange(len(found)) + count + 1
            yield ref, apiece.Instances(masks, ids=ids)
            count += len(found)

    apiece.formats.write(records(), folder / "labels.zarr", "ome_zarr")
    return folder / "labels.zarr"


def asked(address: str) -> bytes:
    """Return what the studio answers, unpacked."""
    with urllib.request.urlopen(address, timeout=60) as answer:
        return gzip.decompress(answer.read())


def server_mb(process: int) -> float:
    """Return the memory of a process in MB that is no file."""
    told = Path(f"/proc/{process}/status").read_text()
    return int(told.split("RssAnon:")[1].split()[0]) / 1024


def slide(folder: Path) -> dict[str, Any]:
    """Open a slide with a million objects."""
    labels = virtual_slide(folder)
    with running(labels, folder / "work", "--images", str(folder)) as (address, _):
        began = time.perf_counter()
        while b'"reading"' in asked(f"{address}api/images/0/objects")[:500]:
            time.sleep(1)
        read = time.perf_counter() - began
    with running(labels, folder / "work", "--images", str(folder)) as (address, process):
        before = server_mb(process)
        told = in_chromium("slide", address)
        return {"read_s": read, **told, "server_mb": [before, server_mb(process)]}


def clicks(folder: Path) -> dict[str, Any]:
    """Click on images of 1024 x 1024 pixels; the first image also loads the model and is not counted."""
    write_dataset(folder / "data", train=3, val=1, config=SceneConfig(size=(1024, 1024), objects=(12, 16), seed=3))
    with running(folder / "data", folder / "work") as (address, _):
        told = in_chromium("clicks", address)
    space = Workspace(Source(folder / "data"), folder / "work")
    clicked = Click(points=[At(x=500, y=500)])
    space.clicks.answer(0, clicked)
    began = time.process_time()
    space.clicks.answer(1, clicked)
    first = time.process_time()
    for k in range(5):
        space.clicks.answer(1, Click(points=[At(x=300 + 90 * k, y=400)]))
    further = (time.process_time() - first) / 5
    return {**told, "first_cpu_ms": 1000 * (first - began), "further_cpu_ms": 1000 * further}


def journal(folder: Path, changes: int = 100_000, images: int = 1000) -> dict[str, Any]:
    """Open a set of 1,000 images with 100,000 changes."""
    square = apiece.Instances(apiece.Masks.from_boxes([[2, 2, 30, 30]], (64, 64)))
    write_image(folder / "a.png", np.zeros((64, 64), np.uint8))
    refs = [apiece.ImageRef(folder / "a.png", f"{n}.png", (64, 64)) for n in range(images)]
    apiece.write([(ref, square) for ref in refs], folder / "labels.json", format="coco")
    space = Workspace(Source(folder / "labels.json"), folder / "work")
    stroke = Draw(how="new", points=[[20.0, 20.0], [40.0, 50.0]], radius=4)
    space.change(0, 0, "Ada", lambda sheet: compute(sheet, stroke))
    space.journal.close()
    (line,) = (folder / "work" / "journal.jsonl").read_text().splitlines()
    entry = json.loads(line)
    with (folder / "work" / "journal.jsonl").open("w") as file:
        for n in range(changes):
            name = f"{entry['image'].split('/')[0]}/{n % images}.png"
            put = [{**entry["put"][0], "key": 1 + n // images}]
            full = {**entry, "image": name, "put": put}
            if n >= images:  # the studio tells once what the label file holds
                del full["base"], full["keys"]
            print(json.dumps(full, separators=(",", ":")), file=file)
    source = Source(folder / "labels.json")
    began, cpu = time.perf_counter(), time.process_time()
    space = Workspace(source, folder / "work")
    opened, opened_cpu = time.perf_counter() - began, time.process_time() - cpu
    began = time.perf_counter()
    objects = len(space.sheet(0)[0].keys)
    first = time.perf_counter() - began
    return {"open_s": opened, "open_cpu_s": opened_cpu, "first_image_s": first, "objects": objects}


def killed(folder: Path, times: int = 50) -> dict[str, Any]:
    """Kill a process that draws and saves, at a random moment, and read its journal again."""
    square = apiece.Instances(apiece.Masks.from_boxes([[2, 2, 30, 30]], (64, 64)))
    write_image(folder / "a.png", np.zeros((64, 64), np.uint8))
    ref = apiece.ImageRef(folder / "a.png", "a.png", (64, 64))
    apiece.write([(ref, square)], folder / "labels.json", format="coco")
    rng = np.random.default_rng(0)
    confirmed = lost = 0
    for _ in range(times):
        out, into = os.pipe()
        child = os.fork()
        if not child:
            _draw(folder, into)
        os.close(into)
        seen = int(os.read(out, 8)[:8].decode())  # the child has begun
        time.sleep(rng.uniform(0.002, 0.08))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(out, "rb") as said:
            seen = max([seen, *map(int, said.read().split())])
        kept = Journal(folder / "work" / "journal.jsonl")
        kept.close()
        lost += max(seen - len(kept.entries), 0)
        confirmed = seen
    space = Workspace(Source(folder / "labels.json"), folder / "work")
    return {"killed": times, "confirmed": confirmed, "lost": lost, "objects": len(space.sheet(0)[0].keys)}


def _draw(folder: Path, into: int) -> None:
    """Draw without end; say how many changes are saved, in 8 characters, each time that the journal has one more."""
    space = Workspace(Source(folder / "labels.json"), folder / "work")
    stroke = Draw(how="new", points=[[20.0, 20.0], [40.0, 50.0]], radius=4)
    while True:
        space.change(0, space.revision(0), "Ada", lambda sheet: compute(sheet, stroke))
        os.write(into, b"%7d\n" % space.revision(0))


def grid(folder: Path, count: int = 10_000) -> dict[str, Any]:
    """Scroll through 10,000 images of 640 x 480 pixels (30 files, each under many names)."""
    write_dataset(folder / "drawn", train=30, val=1, config=SceneConfig(size=(480, 640), objects=(5, 9), seed=3))
    files = sorted((folder / "drawn").rglob("*.png")) + sorted((folder / "drawn").rglob("*.jpg"))
    (folder / "many").mkdir()
    for n in range(count):
        file = files[n % len(files)]
        os.link(file, folder / "many" / f"{n:05d}{file.suffix}")
    with running(folder / "many", folder / "work") as (address, _):
        return in_chromium("grid", address)


def main() -> None:
    parts = {"image": image, "slide": slide, "clicks": clicks, "journal": journal, "killed": killed, "grid": grid}
    for name in sys.argv[1:] or parts:
        with tempfile.TemporaryDirectory() as folder:
            began = os.getloadavg()[0]
            told = parts[name](Path(folder))
        print(json.dumps({name: told, "load": [round(began, 1), round(os.getloadavg()[0], 1)]}, indent=1))


if __name__ == "__main__":
    main()
