"""A server of its own process: right answers, the promised refusals, and an end that loses nothing."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import cv2
import httpx
import numpy as np
import pytest
from tests.predict.known_graph import CARD, picture, write

import apiece
from apiece.core.prompts import Prompts
from apiece.datasets import AnythingConfig, any_scene
from apiece.errors import ConfigError
from apiece.models import model_folder
from apiece.rules import judge, read_rules
from apiece.serve import Client, ServerError
from apiece.serve.state import Served

LIMITS = (
    "--backend",
    "watershed",
    "--max-bytes",
    "300000",
    "--image-pixels",
    "200000",
    "--max-images",
    "3",
    "--timeout",
    "5",
)


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
def server(
    folder: Path, *options: str, log: IO[str] | None = None, **environment: str
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
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
                threading.Thread(target=_copy, args=(process.stderr, log), daemon=True).start()
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


def _copy(lines: IO[str], log: IO[str] | None) -> None:
    for line in lines:
        if log is not None:
            log.write(line)
            log.flush()


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


def test_images_are_judged_by_the_rules_of_the_server(folder: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n  - count: bolt\n    equals: 2\n  - dimension: bolt\n    of: area\n    min: 30 px2\n")
    with server(folder, "--rules", str(rules)) as (url, _):
        client = Client(url)
        assert client.model()["rules"] == ["count bolt", "dimension bolt area"]
        verdict = client.inspect(png(picture()))
        assert verdict["verdict"] == "fail"
        assert "area 8 px" in verdict["reasons"][0]
        finding = verdict["rules"][1]["findings"][0]
        assert (finding["objects"][0]["box"], finding["max"]) == ([10, 6, 12, 10], None)  # no limit is no number
        rules.write_text("rules:\n  - count: bolt\n    equals: 2\n")
        assert httpx.post(f"{url}/v1/model/reload", timeout=60).status_code == 200
        assert client.inspect(png(picture()))["verdict"] == "pass"
        rules.write_text("rules:\n  - count: nut\n    equals: 2\n")
        refused = httpx.post(f"{url}/v1/model/reload", timeout=60)
        assert (refused.status_code, "no class named 'nut'" in refused.json()["message"]) == (409, True), refused.text
        assert client.inspect(png(picture()))["verdict"] == "pass"


def test_verdicts_are_those_of_the_command_for_a_model_that_knows_its_outlines(tmp_path: Path) -> None:
    shutil.copytree(model_folder("default"), tmp_path / "m")
    card = json.loads((tmp_path / "m" / "model.json").read_text())
    (tmp_path / "m" / "model.json").write_text(json.dumps(card | {"edges": {"point": 16.0, "mean": 25.0}}))
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n  - dimension: object\n    of: feret_max\n    max: 1 px\n")
    photo = any_scene(AnythingConfig((160, 120)), 3)[0].pixels
    model, read = apiece.load(tmp_path / "m"), read_rules(rules)
    own = Served(model).conf
    hard, soft = (
        judge(read, model.predict(photo, conf=read.lowest_scores(own), edges=edges), score=own).verdicts[0].findings
        for edges in (False, True)
    )
    assert hard[0].high < soft[0].high
    with server(tmp_path / "m", "--rules", str(rules), "--timeout", "60") as (url, _):
        told = Client(url).inspect(png(photo[:, :, ::-1]))["rules"][0]
    assert [one["high"] for one in told["findings"]] == pytest.approx([one.high for one in soft], rel=1e-3)


def test_a_server_without_rules_says_so(url: str) -> None:
    with pytest.raises(ServerError, match="404: this server has no rules; start it with --rules FILE"):
        Client(url).inspect(png(picture()))


def test_a_session_answers_points_and_boxes_as_prompt_does(url: str) -> None:
    session = apiece.prompt(picture(), backend="watershed")
    prompts = Prompts.of([(3, 2), (11, 8)], objects=[0, 1])
    with Client(url).session(png(picture())) as asked:
        assert asked.size == (12, 20)
        assert asked.ask(prompts).masks == session.ask(prompts).masks
        box = Prompts.of(boxes=[[1, 0, 8, 6]])
        first = asked.ask(box)
        assert first.masks == session.ask(box).masks
        again = Prompts.of([(3, 2)], masks=first.masks)
        assert asked.ask(again).masks == session.ask(again).masks
        with pytest.raises(ServerError, match="lies outside the image"):
            asked.ask(Prompts.of([(30, 2)]))
    with pytest.raises(ServerError, match="404: there is no such session"):
        asked.ask(prompts)


@pytest.mark.parametrize(
    "body",
    [
        {"prompts": []},
        {"prompts": [{}]},
        {"prompts": [{"points": [[1]]}]},
        {"prompts": [{"points": [[1, "a"]]}]},
        {"prompts": [{"box": [5, 5, 1, 1]}]},
        {"prompts": [{"mask": {"size": [12, 20], "counts": "\u00ff\u0000"}}]},
        {"prompts": [{"mask": {"size": [3, 3], "counts": "9"}}]},
        {"promts": []},
    ],
)
def test_wrong_prompts_are_told(body: dict[str, Any], url: str) -> None:
    session = post(url, "/v1/sessions", png(picture())).json()["session"]
    answer = httpx.post(f"{url}/v1/sessions/{session}/segment", json=body, timeout=60)
    assert (answer.status_code, bool(answer.json()["message"])) == (422, True), answer.text
    assert httpx.delete(f"{url}/v1/sessions/{session}").status_code == 204


def test_sessions_are_bounded_and_end(folder: Path) -> None:
    with server(folder, "--sessions", "1", "--idle", "1") as (url, _):
        assert post(url, "/v1/sessions", png(picture())).status_code == 201
        refused = post(url, "/v1/sessions", png(picture()))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        threading.Event().wait(1.1)
        assert post(url, "/v1/sessions", png(picture())).status_code == 201


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
        assert refused.json()["error"] == refused.json()["message"]


def test_tensors_come_as_bytes_too(url: str) -> None:
    about = {"name": "image", "shape": [12, 20], "datatype": "UINT8", "parameters": {"binary_data_size": 240}}
    head = json.dumps({"inputs": [about], "outputs": [{"name": "labels"}]}).encode()
    path = f"{url}/v2/models/model/versions/1/infer"

    def ask(length: str, data: bytes) -> httpx.Response:
        headers = {"Inference-Header-Content-Length": length}
        return httpx.post(path, content=head + data, headers=headers, timeout=60)

    (labels,) = ask(str(len(head)), picture().tobytes()).json()["outputs"]
    assert (labels["name"], labels["data"]) == ("labels", [0, 0])
    for length, data in ((str(len(head)), b"x" * 239), ("999999", b""), ("-1", b""), ("a", b""), ("5", b"")):
        assert ask(length, data).status_code == 400, (length, data)


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


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("formats=csv", "formats: is not known here. Did you mean 'format'? There are: format, conf."),
        ("format=csv&format=coco", "format: stands 2 times in the query; give it once"),
        ("pixel_size=1mm", "pixel_size: is not known here. There are: format, conf."),
    ],
)
def test_what_the_query_may_not_say_is_told(query: str, said: str, url: str) -> None:
    answer = post(url, f"/v1/predict?{query}", png(picture()))
    assert (answer.status_code, answer.json()["message"]) == (422, said)
    assert answer.json()["options"] == [query.partition("=")[0]]
    assert httpx.get(f"{url}/v1/model?deep=1").json()["message"] == "deep: is not known here. There are: none."


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


@pytest.mark.parametrize("address", ["localhost:8000", "ftp://localhost", "", "http://"])
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(ConfigError, match="is no address of a server; write it as 'http://localhost:8000'"):
        Client(address)


def test_the_server_says_what_a_client_asks_wrongly(url: str) -> None:
    with pytest.raises(ServerError, match="422: conf: Input should be a valid number"):
        Client(url).predict(png(picture()), conf="high")  # type: ignore[arg-type]


def test_a_backend_that_is_none_is_told_at_the_start(folder: Path) -> None:
    code = "from apiece.cli import main; main()"
    line = [sys.executable, "-c", code, "serve", str(folder), "--port", "0", "--backend", "watershd"]
    found = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert (found.returncode, "Did you mean 'watershed'" in found.stderr) == (1, True), found.stderr


def test_texts_for_elsewhere(folder: Path) -> None:
    code = "from apiece.cli import main; main()"
    for option, said in (("--systemd", "[Service]"), ("--docker", "apiece[onnx,serve]")):
        line = [sys.executable, "-c", code, "serve", str(folder), "--host", "0.0.0.0", option]
        found = subprocess.run(line, capture_output=True, text=True)
        assert (found.returncode, said in found.stdout) == (0, True), found.stderr


# --- what stands around it -------------------------------------------------------------------------------------------


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def worker_of(keeper: int) -> int:
    """Return the process that answers: a child of the fork server, which is a child of the keeper."""
    (worker,) = [worker for child in children(keeper) for worker in children(child)]
    return worker


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are looked for in /proc")
def test_a_new_worker_answers_when_one_is_killed(folder: Path) -> None:
    with server(folder) as (url, process):
        for _ in range(2):
            os.kill(worker_of(process.pid), signal.SIGKILL)
            assert len(Client(url).predict(png(picture()))) == 2
        worker = worker_of(process.pid)
        process.kill()
        process.wait()
        for _ in range(100):
            if not Path(f"/proc/{worker}").exists():
                break
            threading.Event().wait(0.1)
        else:
            pytest.fail("a worker outlives its keeper")


def test_the_log_has_a_line_of_json_for_each_request(folder: Path, tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log, server(folder, "--log", "json", log=log) as (url, _):
        httpx.get(f"{url}/v1/model?key=secret", headers={"x-request-id": "order-7"})
        refused = httpx.get(f"{url}/v1/model", headers={"host": "evil.example", "x-request-id": "a b"})
        post(url, "/v1/predict", b"no image")
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if line.startswith("{")]
    seen = {line["status"]: line for line in lines if "status" in line}
    assert seen[200].keys() >= {"time", "level", "method", "seconds", "bytes_in", "bytes_out", "client"}
    assert any(line.get("request") == "order-7" for line in lines)
    assert seen[421]["request"] == refused.headers["x-request-id"] != "a b"
    assert seen[422]["path"] == "/v1/predict"
    assert "secret" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("folder", ["nothing", "."])
def test_what_is_no_model_is_told_at_once(folder: str, tmp_path: Path) -> None:
    code = "from apiece.cli import main; main()"
    line = [sys.executable, "-c", code, "serve", str(tmp_path / folder), "--port", "0"]
    found = subprocess.run(line, capture_output=True, text=True)
    assert found.returncode == 1
    assert str(tmp_path) in found.stderr
    assert "Traceback" not in found.stderr
    assert list(tmp_path.iterdir()) == []


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
def test_the_model_is_read_again_under_load_and_no_request_is_lost(tmp_path: Path) -> None:
    """Every answer is whole, of the old model or of the new one, which has another class and threshold."""
    folder = write(tmp_path / "m")
    nuts = write(tmp_path / "nuts", card=replace(CARD, classes=("nut",), thresholds=(0.6,))) / "model.json"
    cards = [nuts.read_text(), (folder / "model.json").read_text()]
    over = threading.Event()
    with server(folder, "--queue", "256") as (url, _):

        def client() -> set[tuple[int, tuple[str, ...], int]]:
            seen = set()
            while not over.is_set():
                answer = post(url, "/v1/predict", png(picture()))
                told = answer.json()
                names = tuple(one["name"] for one in told.get("categories", ()))
                seen.add((answer.status_code, names, len(told.get("annotations", ()))))
            return seen

        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(client) for _ in range(8)]
            for card in cards * 4:
                (folder / "model.json").write_text(card)
                assert httpx.post(f"{url}/v1/model/reload", timeout=60).status_code == 200
            over.set()
            seen = set[tuple[int, tuple[str, ...], int]]().union(*(found.result() for found in asked))
    assert seen == {(200, ("bolt",), 2), (200, ("nut",), 2)}


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
