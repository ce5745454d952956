"""A server under 200 clients that send good and broken requests at once: no 500, no wrong answer, flat memory.

python benchmarks/serve_load.py --photos PHOTOS --minutes 10
python benchmarks/serve_load.py --photos PHOTOS --minutes 2 --kill-every 20 --reload-every 5

Good requests are photos; each answer is compared with that of a quiet server before. Broken ones are cut files, noise,
headers that claim 40,000 x 40,000 pixels, bodies that are too long, other types, bodies that never end, and connections
that are cut. With ``--kill-every`` the process that answers is killed (SIGKILL), and the script measures how long the
next answer takes; connections that break then are counted apart. It ends with exit code 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apiece.predict import find_sources
from apiece.serve import Client

LIMITS = ("--max-bytes", "4000000", "--image-pixels", "8000000", "--timeout", "20", "--queue", "64")
CODES = {"good": {200, 503, 504}, "cut file": {422}, "noise": {422}, "huge": {413}, "long": {413}, "other type": {422},
         "slow": {408}, "left": set()}  # fmt: skip
"""What each kind of request may be answered with; 503 tells to come again, 504 that there was too much to do."""


@dataclass
class Seen:
    """What all clients saw."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, status: int, wrong: str = "") -> None:
        with self.lock:
            self.answers[kind, status] += 1
            if wrong:
                self.wrong.append(wrong)


@contextmanager
def server(model: str) -> Iterator[tuple[str, int]]:
    """Start a server, and give its address and process."""
    code = "from apiece.cli import main; main()"
    line = [sys.executable, "-c", code, "serve", model, "--port", "0", "--json", "--device", "cpu", *LIMITS]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        text = ""
        while not text.rstrip().endswith("}"):
            text += process.stdout.readline()
        yield json.loads(text)["url"].rstrip("/"), process.pid
    finally:
        process.terminate()
        process.wait()


def worker_of(keeper: int) -> int:
    """Return the process that answers: a child of the fork server, which is a child of the keeper."""

    def children(pid: int) -> list[int]:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    return next(worker for child in children(keeper) for worker in children(child))


def memory_of(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    (line,) = [row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def huge() -> bytes:
    """Return a PNG whose header claims 40,000 x 40,000 pixels."""
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(b"0"), b"IEND")
    parts = [struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def form(data: bytes) -> tuple[bytes, dict[str, str]]:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    return head + data + b"\r\n--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}


def alike(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> bool:
    """Return whether answers are the same but for the last digits of scores, which photos of one batch change."""
    plain = [
        [{name: value for name, value in row.items() if name != "score"} for row in rows] for rows in (found, wanted)
    ]
    scores = zip(found, wanted, strict=False)
    return plain[0] == plain[1] and all(abs(a["score"] - b["score"]) < 1e-5 for a, b in scores)


@dataclass
class Asker:
    """One client, which sends one request after another."""

    address: tuple[str, int]
    photos: list[bytes]
    wanted: list[list[dict[str, Any]]]
    seen: Seen
    rng: random.Random
    lossy: bool  # whether the server is killed now and then, so that answers are lost

    def run(self, until: float) -> None:
        kinds = ["good"] * 6 + [kind for kind in CODES if kind != "good"]
        while time.monotonic() < until:
            kind = self.rng.choice(kinds)
            try:
                self.ask(kind)
            except (OSError, http.client.HTTPException) as error:
                cut = self.lossy or kind == "long"  # the server hangs up before a long body was sent
                self.seen.note(kind, 0, "" if cut else f"{kind}: no answer, {error!r}")
            time.sleep(self.rng.uniform(0, 0.5))

    def ask(self, kind: str) -> None:
        if kind in ("slow", "left"):
            self.unended(kind)
            return
        k = self.rng.randrange(len(self.photos))
        photo = self.photos[k]
        data = {
            "good": photo, "cut file": photo[: len(photo) // 3], "noise": self.rng.randbytes(3000), "huge": huge(),
            "long": b"x" * 4_100_000, "other type": b"",
        }[kind]  # fmt: skip
        body, headers = form(data) if kind != "other type" else (b'{"file": 1}', {"Content-Type": "application/json"})
        line = http.client.HTTPConnection(*self.address, timeout=90)
        try:
            line.request("POST", "/v1/predict", body, headers)
            answer = line.getresponse()
            told, status = answer.read(), answer.status
        finally:
            line.close()
        wrong = ""
        if status not in CODES[kind]:
            wrong = f"{kind}: {status} {told[:100]!r}"
        elif status == 200 and not alike(json.loads(told)["annotations"], self.wanted[k]):
            wrong = f"photo {k} is answered otherwise"
        elif status == 503 and answer.getheader("retry-after") is None:
            wrong = "503 without Retry-After"
        self.seen.note(kind, status, wrong)

    def unended(self, kind: str) -> None:
        """Send the beginning of a body, and wait for the refusal, or leave."""
        with socket.create_connection(self.address, 90) as line:
            line.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900\r\n\r\nabc")
            status = 0
            if kind == "slow":
                told = line.recv(4096)
                status = int(told.split()[1]) if told else 0
            wrong = f"{kind}: {status}" if status and status not in CODES[kind] else ""
            self.seen.note(kind, status, wrong)


def ask(address: tuple[str, int], method: str, path: str) -> tuple[int, bytes]:
    """Return the status of an answer, 0 if there is none, and its body."""
    line = http.client.HTTPConnection(*address, timeout=90)
    try:
        line.request(method, path)
        answer = line.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        line.close()


def back_after(address: tuple[str, int], begin: float) -> float:
    """Return how many seconds after ``begin`` the server answers again."""
    while ask(address, "GET", "/v1/model")[0] != 200:  # the connection was taken by the process that died
        time.sleep(0.02)
    return time.monotonic() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--photos", required=True)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--kill-every", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--reload-every", type=float, default=0, metavar="SECONDS")
    options = parser.parse_args()
    photos = [source.path.read_bytes() for source in find_sources(options.photos)[:8] if source.path is not None]
    seen, back, reloads = Seen(), list[float](), Counter[int]()
    memory: list[tuple[float, float]] = []
    with server(options.model) as (url, keeper):
        client = Client(url)
        wanted = [json.loads(client.answer([photo]))["annotations"] for photo in photos]
        host, port = url.removeprefix("http://").split(":")
        begin = time.monotonic()
        until = begin + 60 * options.minutes
        address, lossy = (host, int(port)), options.kill_every > 0
        askers = [Asker(address, photos, wanted, seen, random.Random(k), lossy) for k in range(options.clients)]
        threads = [threading.Thread(target=asker.run, args=(until,), daemon=True) for asker in askers]
        for thread in threads:
            thread.start()
        kill, reload = begin + options.kill_every, begin + options.reload_every
        while (now := time.monotonic()) < until:
            time.sleep(0.5)
            if options.kill_every and now > kill:
                os.kill(worker_of(keeper), signal.SIGKILL)
                back.append(back_after(address, time.monotonic()))
                kill = time.monotonic() + options.kill_every
            if options.reload_every and now > reload:
                reloads[ask(address, "POST", "/v1/model/reload")[0]] += 1
                reload = time.monotonic() + options.reload_every
            memory.append((now - begin, memory_of(worker_of(keeper))))
        for thread in threads:
            thread.join(100)
        counts = ask(address, "GET", "/metrics")[1].decode()
    tell(seen, memory, back, reloads, 'status="500"' in counts, 60 * options.minutes)


def tell(
    seen: Seen,
    memory: list[tuple[float, float]],
    back: list[float],
    reloads: Counter[int],
    broken: bool,
    seconds: float,
) -> None:
    """Print what was seen, and end with exit code 1 where a bar is missed."""
    for kind in CODES:
        told = ", ".join(
            f"{n} x {status or 'no answer'}" for (k, status), n in sorted(seen.answers.items()) if k == kind
        )
        print(f"{kind}: {told or 'none'}")
    late = [mb for when, mb in memory if when >= seconds / 2]
    warm = min(120, seconds * 0.3)
    early = [mb for when, mb in memory if warm <= when < warm + seconds * 0.1]
    growth = max(late) / max(early) - 1
    print(f"memory of the worker: {max(early):.0f} MB after {warm:.0f} s, {max(late):.0f} MB later: {growth:+.1%}")
    if back:
        print(f"killed {len(back)} times: answers again after {', '.join(f'{one:.1f}' for one in back)} s")
    if reloads:
        print("read again:", ", ".join(f"{n} x {status or 'no answer'}" for status, n in reloads.items()))
    print(f"wrong: {len(seen.wrong)}, 500: {'yes' if broken else 'none'}")
    print("\n".join(sorted(set(seen.wrong))[:10]))
    sys.exit(bool(seen.wrong or broken or (not back and growth > 0.05) or any(one > 3 for one in back)))


if __name__ == "__main__":
    main()
