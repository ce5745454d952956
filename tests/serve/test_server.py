"""A server of its own process: right answers, the promised refusals, and an end that loses nothing."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from tests.predict.known_graph import picture, write

import apiece
from apiece.serve import Client, ServerError

LIMITS = ("--max-bytes", "300000", "--image-pixels", "200000", "--max-images", "3", "--timeout", "5")


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def huge() -> bytes:
    """Return a PNG whose header claims 40,000 x 40,000 pixels."""
    small = bytearray(png(np.zeros((1, 1), np.uint8)))
    small[16:24] = (40_000).to_bytes(4, "big") * 2
    import zlib

    small[29:33] = zlib.crc32(bytes(small[12:29])).to_bytes(4, "big")
    return bytes(small)


@contextmanager
def server(folder: Path, *options: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start a server on a free port, and end it."""
    code = "from apiece.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", str(folder), "--port", "0", *options],
        stderr=subprocess.PIPE, text=True, env={**os.environ, **environment},
    )  # fmt: skip
    said = []
    try:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"listening on (http://\S+:\d+)/", line):
                url = found[1].replace("0.0.0.0", "127.0.0.1")
                threading.Thread(target=process.stderr.read, daemon=True).start()
                break
        else:
            pytest.fail("".join(said))
        for _ in range(100):
            try:
                httpx.get(f"{url}/v2/health/ready", timeout=10)
                break
            except httpx.TransportError:
                threading.Event().wait(0.1)
        yield url, process
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("model") / "m")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with server(folder, *LIMITS) as (url, _):
        yield url


def post(url: str, path: str, *files: bytes, **more: Any) -> httpx.Response:
    return httpx.post(url + path, files=[("file", ("../../etc/x.png", data)) for data in files], timeout=60, **more)


# --- answers ----------------------------------------------------------------------------------------------------------


def test_the_client_gets_what_prediction_gives(url: str, folder: Path, tmp_path: Path) -> None:
    client, wanted = Client(url), apiece.load(folder).predict(picture())
    found = client.predict(png(picture()))
    assert found.masks == wanted.masks
    assert found.scores == pytest.approx(wanted.scores, abs=1e-6)
    (tmp_path / "a.png").write_bytes(png(picture()))
    assert client.predict(tmp_path / "a.png", conf=1.0).masks == wanted.masks[:0]
    assert client.model()["classes"] == ["bolt"]
    measured = client.measure(png(picture()), pixel_size="0.5 mm")
    assert sorted(row["area"] for row in measured["rows"]) == [2.0, 3.0]
    assert measured["units"]["area"] == "mm2"


def test_formats_and_several_images(url: str) -> None:
    answer = post(url, "/v1/predict?format=csv", png(picture()), png(picture()[:, ::-1]))
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["image"] for row in rows] == ["image_000000"] * 2 + ["image_000001"] * 2
    overlay = post(url, "/v1/predict?format=overlay", png(picture()))
    assert overlay.headers["content-type"] == "image/png"
    assert cv2.imdecode(np.frombuffer(overlay.content, np.uint8), cv2.IMREAD_COLOR).shape == (12, 20, 3)
    labelmap = post(url, "/v1/predict?format=labelmap", png(picture()), png(picture()))
    with zipfile.ZipFile(io.BytesIO(labelmap.content)) as archive:
        assert len(archive.namelist()) == 2
    geojson = post(url, "/v1/predict?format=geojson", png(picture())).json()
    assert geojson["type"] == "FeatureCollection"


def test_the_open_inference_protocol(url: str) -> None:
    assert httpx.get(f"{url}/v2/models/model").json()["inputs"][0]["name"] == "image"
    data = {"name": "image", "shape": [12, 20], "datatype": "UINT8", "data": picture().ravel().tolist()}
    answer = httpx.post(f"{url}/v2/models/model/infer", json={"id": "7", "inputs": [data]}, timeout=60).json()
    assert answer["id"] == "7"
    outputs = {one["name"]: one for one in answer["outputs"]}
    assert outputs["boxes"]["shape"] == [2, 4]
    assert len(outputs["masks"]["data"]) == 2
    for change in ({"shape": [12, 21]}, {"datatype": "BYTES"}, {"data": ["a"] * 240}, {"data": [300] * 240}):
        refused = httpx.post(f"{url}/v2/models/model/infer", json={"inputs": [{**data, **change}]}, timeout=60)
        assert refused.status_code == 400, change


def test_counts(url: str) -> None:
    post(url, "/v1/predict", png(picture()))
    httpx.get(f"{url}/nothing/{random.random()}")
    text = httpx.get(f"{url}/metrics").text
    assert re.search(r'apiece_requests_total\{path="/v1/predict",status="200"\} [1-9]', text)
    assert "nothing" not in text
    assert 'path="other",status="404"' in text
    assert re.search(r"apiece_images_total [1-9]", text)


def test_the_model_is_read_again(url: str, folder: Path) -> None:
    assert httpx.post(f"{url}/v1/model/reload", timeout=60).status_code == 200
    before = (folder / "model.json").read_text()
    (folder / "model.json").write_text("{")
    refused = httpx.post(f"{url}/v1/model/reload", timeout=60)
    (folder / "model.json").write_text(before)
    assert refused.status_code == 409
    assert len(Client(url).predict(png(picture()))) == 2


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        (b"no image", 422, "image 0 "),
        (b"", 422, "image 0 "),
        (png(picture())[:60], 422, "image 0 "),
        (huge(), 413, "image 0 has 40000 x 40000 pixels; 200,000 are allowed"),
        (b"x" * 400_000, 413, "larger than 300,000 bytes"),
        (png(np.zeros((8, 8, 3), np.uint8) + np.arange(3, dtype=np.uint8)), 422, "3 channels"),
    ],
)
def test_what_is_no_image_or_too_large(data: bytes, status: int, said: str, url: str) -> None:
    answer = post(url, "/v1/predict", data)
    assert (answer.status_code, said in answer.json()["message"]) == (status, True), answer.text
    assert "/tmp" not in answer.text


def test_a_body_without_a_length_is_bounded_too(url: str) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(8):
            yield b"x" * 100_000

    with contextlib.suppress(httpx.TransportError):  # the server may hang up before all was sent
        assert httpx.post(f"{url}/v1/predict", content=parts(), timeout=60).status_code == 413


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/predict?conf=2", {}, 422),
        ("/v1/predict?conf=nan", {}, 422),
        ("/v1/predict?format=../../etc", {}, 422),
        ("/v1/measure?pixel_size=wide", {}, 422),
        ("/v1/predict", {"host": "evil.example"}, 421),
        ("/v1/predict", {"origin": "https://evil.example"}, 403),
        ("/v1/predict", {"origin": "null"}, 403),
    ],
)
def test_what_is_asked_wrongly(path: str, headers: dict[str, str], status: int, url: str) -> None:
    assert post(url, path, png(picture()), headers=headers).status_code == status


def test_too_many_images_and_none(url: str) -> None:
    assert post(url, "/v1/predict", *[png(picture())] * 4).status_code == 413
    assert httpx.post(f"{url}/v1/predict", timeout=60).status_code == 422


def test_a_request_that_does_not_arrive(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 30) as line:
        line.sendall(f"POST /v1/predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\nx".encode())
        assert b" 408 " in line.recv(4096)


def test_a_key_is_needed_beyond_this_machine(folder: Path) -> None:
    code = "from apiece.cli import main; main()"
    line = [sys.executable, "-c", code, "serve", str(folder), "--host", "0.0.0.0"]
    found = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "APIECE_KEY": ""})
    assert found.returncode == 1
    assert "give a key" in found.stderr
    with server(folder, "--host", "0.0.0.0", APIECE_KEY="secret") as (url, _):
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "secret"}):
            assert httpx.get(f"{url}/v1/model", headers=headers).status_code == 401
        assert Client(url, key="secret").model()["name"] == "semantic"
        with pytest.raises(ServerError, match="401: this service needs its key"):
            Client(url).predict(png(picture()))


def test_a_port_in_use(folder: Path, url: str) -> None:
    code = "from apiece.cli import main; main()"
    line = [sys.executable, "-c", code, "serve", str(folder), "--port", url.rpartition(":")[2]]
    found = subprocess.run(line, capture_output=True, text=True)
    assert found.returncode == 1
    assert "Address already in use" in found.stderr
    assert "Traceback" not in found.stderr


def test_no_server_is_told() -> None:
    with pytest.raises(ServerError, match="no server answers at http"):
        Client("http://127.0.0.1:9").model()


def test_texts_for_elsewhere(folder: Path) -> None:
    code = "from apiece.cli import main; main()"
    for option, said in (("--systemd", "[Service]"), ("--docker", "apiece[onnx,serve]")):
        line = [sys.executable, "-c", code, "serve", str(folder), "--host", "0.0.0.0", option]
        found = subprocess.run(line, capture_output=True, text=True)
        assert (found.returncode, said in found.stdout) == (0, True), found.stderr


# --- load -------------------------------------------------------------------------------------------------------------


def test_a_signal_ends_it_after_what_was_asked(folder: Path) -> None:
    with server(folder) as (url, process), ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(post, url, "/v1/predict", png(picture())) for _ in range(8)]
        asked[0].result()
        process.send_signal(signal.SIGTERM)
        codes = []
        for one in asked:
            try:
                codes.append(one.result().status_code)
            except httpx.TransportError:
                codes.append(0)  # came too late to be taken
        assert set(codes) <= {200, 0}
        assert codes[0] == 200
        assert process.wait(30) in (0, -signal.SIGTERM)


@pytest.mark.slow
def test_32_clients_with_broken_requests_among_good_ones(folder: Path) -> None:
    """Every good request is answered rightly, every broken one as promised, and nothing is a 500."""
    wanted = json.loads(post_once(folder))
    kinds = {
        "good": (png(picture()), {200, 503}), "cut": (png(picture())[:60], {422}), "huge": (huge(), {413}),
        "noise": (os.urandom(2000), {422}), "long": (b"x" * 400_000, {413}),
    }  # fmt: skip
    with server(folder, *LIMITS, "--queue", "16") as (url, _):

        def client(seed: int) -> list[str]:
            rng, wrong = random.Random(seed), []
            for _ in range(20):
                kind = rng.choice(["good", "good", *kinds])
                data, codes = kinds[kind]
                try:
                    answer = post(url, "/v1/predict", data)
                except httpx.TransportError:
                    if kind != "long":
                        wrong.append(f"{kind}: no answer")
                    continue
                if answer.status_code not in codes:
                    wrong.append(f"{kind}: {answer.status_code} {answer.text[:80]}")
                elif answer.status_code == 200 and answer.json()["annotations"] != wanted["annotations"]:
                    wrong.append("another answer")
                elif answer.status_code == 503 and "retry-after" not in answer.headers:
                    wrong.append("no retry-after")
            return wrong

        with ThreadPoolExecutor(32) as pool:
            assert [w for found in pool.map(client, range(32)) for w in found] == []
        assert 'status="500"' not in httpx.get(f"{url}/metrics").text


def post_once(folder: Path) -> str:
    with server(folder) as (url, _):
        return post(url, "/v1/predict", png(picture())).text
