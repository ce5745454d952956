"""The studio beside Label Studio: ``python benchmarks/studio_peers.py path/to/label-studio [--objects 1000]``.

Label Studio goes into an environment of its own (``pip install label-studio``). One image of 2048 x 2048 pixels with
masks, every tenth with a hole and every tenth in two parts, is opened by both in Chromium, one after the other:

- ``open_s``: seconds from the address to picture and all masks on the screen; the person has signed in before.
- ``move_ms``, ``worst_move_ms``: milliseconds from a move of the brush to the next frame, median and longest of 20.
- ``saved_ms``: milliseconds from the end of the stroke until it is saved and shown. The studio saves by itself; in
  Label Studio a button is pressed.
A tool that has not opened the image after 240 seconds is ended. Label Studio's tab took 17 GB of memory by then.

- ``export``: of the objects as they were given, how many are the same after the export, pixel by pixel; and how many
  of those with a hole, and of those in two parts.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from studio import STUDIO, running

import apiece
from apiece.errors import ApieceError
from apiece.images import write_image

SIDE, TOKEN = 2048, "0123456789abcdef0123456789abcdef01234567"
CONFIG = (
    '<View><Image name="image" value="$image"/><BrushLabels name="label" toName="image"><Label value="object"/>'
    "</BrushLabels></View>"
)


def scene(folder: Path, count: int) -> apiece.Instances:
    """Write an image of blobs and their labels, for both tools; return the blobs."""
    across = int(np.ceil(np.sqrt(count)))
    step = SIDE // across
    y, x = np.mgrid[:step, :step] - step / 2
    rng = np.random.default_rng(0)
    crops, corners = [], []
    for k in range(count):
        reach = step * rng.uniform(0.3, 0.42) * (1 + 0.1 * np.sin(5 * np.arctan2(y, x) + rng.uniform(0, 6)))
        blob = np.hypot(x, y) < reach
        if k % 10 == 0:
            blob &= np.hypot(x, y) > 0.4 * reach
        if k % 10 == 5:
            blob &= abs(x) > 2
        crops.append(blob)
        corners.append([k % across * step, k // across * step])
    found = apiece.Instances(apiece.Masks.from_crops(crops, corners, (SIDE, SIDE)), classes=("object",))
    pixels = rng.integers(20, 60, (SIDE, SIDE, 3), np.uint8)
    pixels[found.masks.to_label_map() > 0] += 110
    write_image(folder / "cells.png", pixels)
    record = (apiece.ImageRef(folder / "cells.png", "cells.png", (SIDE, SIDE)), found)
    apiece.write([record], folder / "cells.json")
    apiece.write([record], folder / "tasks.json", format="label_studio")
    return found


class _Files(SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def label_studio(program: Path, folder: Path, port: int = 8765) -> Iterator[str]:
    """Run Label Studio with an empty database, and a server for the image."""
    files = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(folder)))
    threading.Thread(target=files.serve_forever, daemon=True).start()
    words = [
        str(program), "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port),
        "--username", "a@example.com", "--password", "apiece-bench", "--user-token", TOKEN, "--enable-legacy-api-token",
    ]  # fmt: skip
    own = {"LABEL_STUDIO_BASE_DATA_DIR": str(folder / "peer"), "COLLECT_ANALYTICS": "0", "LATEST_VERSION_CHECK": "0"}
    address = f"http://127.0.0.1:{port}"
    with (folder / "log.txt").open("w") as log:
        child = subprocess.Popen(words, env={**os.environ, **own}, stdout=log, stderr=log, cwd=folder)
    try:
        for _ in range(300):
            time.sleep(1)
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).read()
                break
            except (urllib.error.URLError, ConnectionError):
                assert child.poll() is None, (folder / "log.txt").read_text()[-2000:]
        (task,) = json.loads((folder / "tasks.json").read_text())
        task["data"]["image"] = f"http://127.0.0.1:{files.server_port}/cells.png"
        project = asked(address, "projects", {"title": "cells", "label_config": CONFIG})["id"]
        asked(address, f"projects/{project}/import", [task])
        yield f"{address}/projects/{project}/data?task={asked(address, f'tasks?project={project}')['tasks'][0]['id']}"
    finally:
        child.terminate()
        child.wait(30)
        files.shutdown()


def asked(address: str, path: str, body: Any = None) -> Any:
    """Ask Label Studio's API."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{address}/api/{path}", data, headers), timeout=300) as answer:
        raw = answer.read()
    return json.loads(raw) if "json" in answer.headers["Content-Type"] else raw


def exported(address: str, folder: Path, kind: str) -> list[apiece.Instances]:
    """Export from Label Studio, and read what it wrote."""
    project = address.split("/projects/")[1].split("/")[0]
    raw = asked(address.split("/projects/")[0], f"projects/{project}/export?exportType={kind}")
    place = folder / f"peer-{kind}"
    place.mkdir()
    if isinstance(raw, bytes):
        zipfile.ZipFile(io.BytesIO(raw)).extractall(place)
    else:
        (place / "result.json").write_text(json.dumps(raw))
    return [found for _, found in apiece.read(next(place.rglob("*.json")))]


def kept(truth: apiece.Instances, found: list[apiece.Instances]) -> dict[str, Any]:
    """Count the objects that are the same pixel by pixel."""
    one = apiece.Instances.concatenate([apiece.Instances.empty((SIDE, SIDE), truth.classes), *found])
    same = np.zeros(len(truth), bool)
    if len(one):
        shared = apiece.iou(truth.masks, one.masks).tocoo()
        same[shared.row[shared.data == 1]] = True
    holes, parts = same[0::10], same[5::10]
    return {
        "objects": len(one),
        "same": f"{same.sum()} of {len(truth)}",
        "with a hole": f"{holes.sum()} of {len(holes)}",
        "in two parts": f"{parts.sum()} of {len(parts)}",
    }


def in_chromium(what: str, address: str, count: int) -> dict[str, Any]:
    """Open and edit in Chromium."""
    words = ["node", "browser/peers.mjs", what, address, str(count)]
    if folder := os.environ.get("STUDIO_PICTURES"):
        words.append(f"{folder}/peer-{what}.png")
    done = subprocess.run(words, cwd=STUDIO, capture_output=True, text=True)
    return json.loads(done.stdout) if done.stdout else {"error": done.stderr[-800:]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("label_studio", type=Path)
    parser.add_argument("--objects", type=int, default=1000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        truth = scene(folder, args.objects)
        told: dict[str, Any] = {}
        with label_studio(args.label_studio.absolute(), folder) as address:
            told["Label Studio, export"] = {}
            for kind in ("JSON", "COCO", "BRUSH_TO_COCO"):
                try:
                    told["Label Studio, export"][kind] = kept(truth, exported(address, folder, kind))
                except (ApieceError, OSError, StopIteration) as error:
                    told["Label Studio, export"][kind] = f"{type(error).__name__}: {error}"[:300]
            told["Label Studio"] = in_chromium("label_studio", address, args.objects)
        with running(folder / "cells.json", folder / "work") as address:
            told["studio"] = in_chromium("studio", address, args.objects)
            body = json.dumps({"format": "coco", "name": "coco"}).encode()
            request = urllib.request.Request(f"{address}api/export", body, {"Content-Type": "application/json"})
            paths = json.loads(urllib.request.urlopen(request, timeout=300).read())["paths"]
        told["studio, export"] = kept(truth, [found for _, found in apiece.read(Path(paths[0]))])
        print(json.dumps({**told, "load": round(os.getloadavg()[0], 1)}, indent=1))


if __name__ == "__main__":
    main()
