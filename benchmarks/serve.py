"""How much of the offline speed is left behind HTTP: throughput of 32 clients, and how long each waits.

apiece export default --to onnx --photos PHOTOS --out line-out
python benchmarks/serve.py --model line-out/onnx --photos PHOTOS

The same photos go through `Model.stream` in one process, and through a server in another one, as files. The server's
answer is COCO JSON. Both run on the same cores with the same threads.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import apiece
from apiece.predict import find_sources
from apiece.serve import Client


def offline(model: str, photos: list[Path]) -> float:
    """Return images per second of the offline loop, one after another."""
    loaded = apiece.load(model, device="cpu")
    list(loaded.stream(photos[:2]))
    begin = time.perf_counter()
    count = sum(1 for _ in loaded.stream(photos))
    return count / (time.perf_counter() - begin)


def served(model: str, photos: list[Path], clients: int) -> tuple[float, np.ndarray]:
    """Return images per second of a server, and the seconds that each request took."""
    code = "from apiece.cli import main; main()"
    line = [sys.executable, "-c", code, "serve", model, "--port", "0", "--json", "--device", "cpu"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ)
    assert process.stdout is not None
    text = ""
    for part in process.stdout:
        text += part
        if part.startswith("}") or part.rstrip().endswith("}"):
            break
    client = Client(json.loads(text)["url"])

    def ask(photo: Path) -> float:
        begin = time.perf_counter()
        client.answer([photo])
        return time.perf_counter() - begin

    try:
        ask(photos[0])
        begin = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            seconds = np.array(list(pool.map(ask, photos)))
        return len(photos) / (time.perf_counter() - begin), seconds
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--photos", required=True)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 32])
    options = parser.parse_args()
    found = [source.path for source in find_sources(options.photos) if source.path is not None]
    photos = (found * -(-options.requests // len(found)))[: options.requests]
    alone = offline(options.model, photos)
    print(f"offline loop: {alone:.2f} images per second")
    for clients in options.clients:
        rate, seconds = served(options.model, photos, clients)
        p50, p99 = np.percentile(seconds, [50, 99])
        print(
            f"{clients} clients: {rate:.2f} images per second, {rate / alone:.2f} of the loop; "
            f"p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms ({p99 / p50:.1f} times)"
        )


if __name__ == "__main__":
    main()
