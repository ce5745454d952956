"""Who may ask a service: address, key, names, other sites, size; each refusal says why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient

from apiece.errors import ConfigError
from apiece.serve import Guard, new_app
from apiece.serve.schema import Answer, Request

ROUTER = APIRouter()
HERE = "http://127.0.0.1:8000"


class Asked(Request):
    size: float
    name: str = ""


class Said(Answer):
    size: float


@ROUTER.post("/double")
def double(asked: Asked) -> Said:
    if asked.size < 0:
        raise ConfigError("size must be above 0")
    if asked.size == 13:
        raise OSError(28, "No space left on device", "journal.jsonl")
    return Said(size=2 * asked.size)


def client(guard: Guard) -> TestClient:
    return TestClient(new_app("test", guard, [ROUTER]), base_url=HERE, raise_server_exceptions=False)


def test_a_request_from_this_machine_is_answered() -> None:
    answer = client(Guard()).post("/double", json={"size": 2.5})
    assert (answer.status_code, answer.json()) == (200, {"size": 5})
    assert "default-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1.example.org:8000", "10.0.0.1", "", "[::2]"])
def test_a_name_that_is_not_this_machines_is_refused(host: str) -> None:
    assert client(Guard()).get("/double", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "127.0.0.1"])
def test_every_name_of_this_machine_is_taken(host: str) -> None:
    assert client(Guard()).post("/double", json={"size": 1}, headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://example.org", "null", "http://127.0.0.1:9999", "file://"])
def test_pages_of_other_sites_are_refused(origin: str) -> None:
    answer = client(Guard()).post("/double", json={"size": 1}, headers={"origin": origin})
    assert answer.status_code == 403
    assert origin in answer.json()["message"]
    assert client(Guard()).post("/double", json={"size": 1}, headers={"origin": HERE}).status_code == 200
    cross = {"sec-fetch-site": "cross-site"}
    assert client(Guard()).post("/double", json={"size": 1}, headers=cross).status_code == 403


@pytest.mark.parametrize("name", ["http://line.example", "line.example:8000", "line.example/", "", "a b"])
def test_a_name_that_no_request_can_say_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="without scheme, port and path"):
        Guard(hosts=(name,))
    assert Guard(hosts=("line.example", "::2", "10.0.0.7")).hosts


@pytest.mark.parametrize("page", ["line.example", "https://line.example/", "https://", ""])
def test_an_origin_that_no_browser_sends_is_refused(page: str) -> None:
    with pytest.raises(ConfigError, match="without a path"):
        Guard(origins=(page,))
    assert Guard(origins=("https://line.example:8443",)).origins


def test_other_machines_need_a_key() -> None:
    with pytest.raises(ConfigError, match="give a key"):
        Guard(host="0.0.0.0")
    with pytest.raises(ConfigError, match="ASCII"):
        Guard(key="sésame")
    guard = Guard(host="0.0.0.0", key="sesame")
    assert "sesame" not in repr(guard)
    asked = client(guard)
    assert asked.post("/double", json={"size": 1}).status_code == 401
    assert asked.post("/double?key=wrong", json={"size": 1}).status_code == 401
    shown = {"authorization": "Bearer sesame"}
    assert asked.post("/double", json={"size": 1}, headers=shown).status_code == 200


def test_a_page_is_opened_once_with_the_key() -> None:
    asked = client(Guard(key="sesame"))
    opened = asked.get("/double?key=sesame", follow_redirects=False)
    assert (opened.status_code, opened.headers["location"]) == (303, "/double")
    assert "HttpOnly" in opened.headers["set-cookie"]
    assert "sesame" not in opened.headers["set-cookie"]
    assert asked.post("/double", json={"size": 1}).status_code == 200  # the client keeps the cookie


def chunks() -> Iterator[bytes]:
    yield b'{"size": 1, "name": "'
    for _ in range(40):
        yield b"x" * 100
    yield b'"}'


@pytest.mark.parametrize("stated", [True, False])
def test_a_body_that_is_too_large_is_not_read(stated: bool) -> None:
    body = b"".join(chunks()) if stated else chunks()
    answer = client(Guard(most_bytes=1000)).post("/double", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["message"] == "the request is larger than 1,000 bytes"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ('{"size": NaN}', "size"),
        ('{"size": Infinity}', "size"),
        ('{"size": 1e999}', "size"),
        ('{"size": "1"}', "size"),
        ('{"size": 1, "sise": 2}', "sise"),
        ("{}", "size"),
        ("[]", ""),
        ('{"size": ', "9"),
    ],
)
def test_what_is_no_sound_request_is_told(body: str, place: str) -> None:
    answer = client(Guard()).post("/double", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["kind"] == "RequestError"
    assert answer.json()["options"] == [place]


def test_errors_are_told_as_problems() -> None:
    asked = client(Guard())
    assert asked.post("/double", json={"size": -1}).json() == {
        "kind": "ConfigError",
        "message": "size must be above 0",
        "options": [],
    }
    full = asked.post("/double", json={"size": 13})
    assert (full.status_code, full.json()["message"]) == (500, "journal.jsonl: No space left on device")
    assert asked.get("/nothing").json()["kind"] == "Refused"
