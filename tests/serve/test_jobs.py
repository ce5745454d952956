"""Jobs: slides and videos in processes of their own, whose results are whole or absent whatever dies."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from tests.predict.known_graph import write
from tests.serve.test_server import server, worker_of

import apiece
from apiece.errors import ConfigError
from apiece.predict import predict_to
from apiece.serve import Client, ServerError
from apiece.serve.batching import FullError
from apiece.serve.jobs.store import Job, Store


def slide(side: int) -> np.ndarray:
    """Return an image with a bright square every 32 pixels, some of them on the seams of tiles."""
    pixels = np.full((side, side), 20, np.uint8)
    for y in range(5, side - 20, 32):
        for x in range(5, side - 20, 32):
            pixels[y : y + 12, x : x + 12] = 230
    return pixels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("model") / "m")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jobs")


@pytest.fixture(scope="module")
def running(folder: Path, place: Path) -> Iterator[tuple[str, int]]:
    options = ("--jobs", str(place), "--job-bytes", "9000000", "--max-jobs", "2", "--timeout", "10")
    with server(folder, *options) as (url, process):
        yield url, process.pid


@pytest.fixture
def client(running: tuple[str, int]) -> Client:
    return Client(running[0])


def rows(text: str) -> list[list[str]]:
    return [row[1:] for row in csv.reader(io.StringIO(text))]


def test_a_slide_gives_what_prediction_gives(client: Client, folder: Path, place: Path, tmp_path: Path) -> None:
    path = tmp_path / "slide.png"
    cv2.imwrite(str(path), slide(300))
    job = client.job(path, format="csv", tile=128).wait(0.2)
    told = job.state()
    assert told["state"] == "done", told
    assert 0 < told["done"] == told["total"]
    job.result(tmp_path / "found.csv")
    predict_to(apiece.load(folder), path, tmp_path / "wanted", ("csv",), tile=128)
    assert rows((tmp_path / "found.csv").read_text()) == rows((tmp_path / "wanted/predictions.csv").read_text())
    assert sorted(p.name for p in (place / job.id).iterdir()) == ["job.json", "result.csv"]  # the upload is gone
    job.cancel()
    with pytest.raises(ServerError, match="404"):
        job.state()
    assert not (place / job.id).exists()


def test_a_killed_worker_costs_a_job_time_and_nothing_else(
    client: Client, running: tuple[str, int], folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "slide.png"
    cv2.imwrite(str(path), slide(700))
    job = client.job(path, format="csv", tile=96)
    while job.state()["done"] < 5:
        time.sleep(0.05)
    os.kill(worker_of(running[1]), signal.SIGKILL)
    states = []
    while not states or states[-1] in ("waiting", "running"):
        with contextlib.suppress(httpx.TransportError):
            states.append(httpx.get(f"{running[0]}/v1/jobs/{job.id}", timeout=60).json()["state"])
        time.sleep(0.2)
    assert states[-1] == "done", job.state()
    job.result(tmp_path / "found.csv")
    predict_to(apiece.load(folder), path, tmp_path / "wanted", ("csv",), tile=96)
    assert rows((tmp_path / "found.csv").read_text()) == rows((tmp_path / "wanted/predictions.csv").read_text())


def test_jobs_wait_are_bounded_and_can_be_cancelled(client: Client, place: Path, tmp_path: Path) -> None:
    path = tmp_path / "slide.png"
    cv2.imwrite(str(path), slide(1500))
    first, second = (client.job(path, tile=64) for _ in range(2))
    assert second.state()["state"] == "waiting"
    with pytest.raises(ServerError, match="503"):
        client.job(path, tile=64)
    with pytest.raises(ServerError, match="409: the job is"):
        first.result(tmp_path / "nothing")
    for job in (second, first):
        job.cancel()
        job.wait(0.1)
        assert job.state()["state"] == "cancelled"
        assert sorted(p.name for p in (place / job.id).iterdir()) == ["job.json"]
    assert not (tmp_path / "nothing").exists()


def test_an_answer_that_comes_before_all_is_sent(tmp_path: Path) -> None:
    (tmp_path / "slide.tif").write_bytes(bytes(30_000_000))
    said = b'{"message": "too much waits already"}'

    def refuse(listening: socket.socket) -> None:
        line, _ = listening.accept()
        with line:
            line.recv(1000)
            line.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = Client(f"http://127.0.0.1:{listening.getsockname()[1]}")
        server = threading.Thread(target=refuse, args=(listening,))
        server.start()
        with pytest.raises(ServerError, match="503: too much waits already"):
            client.job(tmp_path / "slide.tif")
        server.join()
    with pytest.raises(ServerError, match="no server answers"):
        client.model()


def test_what_a_job_refuses(client: Client, running: tuple[str, int], place: Path, tmp_path: Path) -> None:
    before = sorted(place.iterdir())
    url = f"{running[0]}/v1/jobs"
    for query, status, said in (
        ("?kind=video&format=geojson", 422, "the result of a job of kind video is one of coco, csv"),
        ("?format=video", 422, "of kind image is one of"),
        ("?pixel_size=wide", 422, "pixel"),
        ("?tile=3", 422, "tile"),
        ("?kind=film", 422, "kind"),
    ):
        answer = httpx.post(url + query, content=b"x", timeout=30)
        assert (answer.status_code, said in answer.json()["message"]) == (status, True), answer.text
    assert httpx.post(url, content=b"", timeout=30).status_code == 422
    assert httpx.post(url, content=b"x" * 9_000_001, timeout=30).status_code == 413
    for name in ("0" * 32, "../../etc/passwd", "x"):
        assert httpx.get(f"{url}/{name}", timeout=30).status_code in (404, 422)
    assert sorted(place.iterdir()) == before
    (tmp_path / "noise").write_bytes(b"no image at all")
    for kind in ("image", "video"):
        job = client.job(tmp_path / "noise", kind=kind).wait(0.2)  # type: ignore[arg-type]
        state = job.state()
        assert (state["state"], bool(state["message"])) == ("failed", True)
        assert str(place) not in state["message"]


def test_an_upload_that_is_cut_leaves_nothing(client: Client, running: tuple[str, int], place: Path) -> None:
    before = sorted(place.iterdir())
    host, port = running[0].removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 30) as line:
        line.sendall(f"POST /v1/jobs HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\nabc".encode())
        threading.Event().wait(0.5)
        assert len(list(place.glob("*.part"))) == 1
    for _ in range(50):
        if sorted(place.iterdir()) == before:
            return
        threading.Event().wait(0.1)
    pytest.fail(f"left: {sorted(place.iterdir())}")


def test_a_video_is_followed(client: Client, tmp_path: Path) -> None:
    frames = np.full((6, 24, 40), 20, np.uint8)
    for k in range(6):
        frames[k, 4:10, 4 + 2 * k : 12 + 2 * k] = 230
    ok, data = cv2.imencodemulti(".tiff", list(frames))
    assert ok
    (tmp_path / "film.tif").write_bytes(data.tobytes())
    job = client.job(tmp_path / "film.tif", kind="video", format="coco").wait(0.2)
    assert job.state()["state"] == "done", job.state()
    job.result(tmp_path / "tracks.json")
    frames_found = [found for _, found in apiece.read(tmp_path / "tracks.json")]
    assert [len(found) for found in frames_found] == [1] * 6
    assert len({int(found.ids[0]) for found in frames_found if found.ids is not None}) == 1


def test_a_server_without_a_folder_takes_no_jobs(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "slide.png").write_bytes(b"x")
    with server(folder) as (url, _), pytest.raises(ServerError, match="start it with --jobs FOLDER"):
        Client(url).job(tmp_path / "slide.png")


# --- the folder -------------------------------------------------------------------------------------------------------


def job(store: Store, **fields: object) -> Job:
    made = Job(store.new_id(), "image", "coco", created=time.time(), **fields)  # type: ignore[arg-type]
    with store.upload(made) as path:
        path.write_bytes(b"slide")
    return made


def test_an_earlier_server_s_jobs_are_found_as_they_stand(tmp_path: Path) -> None:
    from dataclasses import replace

    store = Store(tmp_path, 9, 60)
    waits, runs, ready, done = (job(store) for _ in range(4))
    for one in (runs, ready):
        store.update(replace(one, state="running"))
    (tmp_path / ready.id / "result.json").write_text("{}")  # it was put in place just before the server died
    store.update(replace(done, state="done", ended=time.time()))
    (tmp_path / "cut.part").mkdir()
    store._lock.close()
    again = Store(tmp_path, 9, 60)
    states = {one.id: one.state for one in again.jobs()}
    assert states == {waits.id: "waiting", runs.id: "waiting", ready.id: "done", done.id: "done"}
    assert not (tmp_path / "cut.part").exists()


def test_results_are_kept_for_the_stated_time(tmp_path: Path) -> None:
    from dataclasses import replace

    store = Store(tmp_path, 9, 60)
    old, new = job(store), job(store)
    store.update(replace(old, state="done", ended=time.time() - 61))
    store.update(replace(new, state="done", ended=time.time() - 1))
    assert [one.id for one in store.jobs()] == [new.id]
    assert not (tmp_path / old.id).exists()


def test_uploads_count_while_they_come(tmp_path: Path) -> None:
    store = Store(tmp_path, 1, 60)
    with store.upload(Job(store.new_id(), "image", "coco")) as path:
        path.write_bytes(b"slide")
        with pytest.raises(FullError):
            job(store)


def test_two_servers_do_not_share_a_folder(tmp_path: Path) -> None:
    store = Store(tmp_path, 1, 60)
    with pytest.raises(ConfigError, match="belongs to another server"):
        Store(tmp_path, 1, 60)
    assert store.jobs() == []
