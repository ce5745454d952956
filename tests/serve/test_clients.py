"""Programs of others against the server: a client of Triton, and a tester that reads the server's own description."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.predict.known_graph import picture, write
from tests.serve.test_server import server

import apiece
from apiece.core.masks import Masks

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("model") / "m")


@pytest.fixture(scope="module")
def url(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place = tmp_path_factory.mktemp("more")
    (place / "rules.yaml").write_text("rules:\n  - count: bolt\n    equals: 2\n")
    more = ("--jobs", str(place / "jobs"), "--rules", str(place / "rules.yaml"), "--backend", "watershed")
    with server(folder, "--timeout", "20", *more) as (url, _):
        yield url


@pytest.mark.parametrize("binary", [True, False])
def test_a_client_of_triton_gets_what_prediction_gives(binary: bool, url: str, folder: Path) -> None:
    triton: Any = pytest.importorskip("tritonclient.http")
    with triton.InferenceServerClient(url.removeprefix("http://")) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("model", "1")
        assert client.get_server_metadata()["name"] == "apiece"
        assert [one["name"] for one in client.get_model_metadata("model")["inputs"]] == ["image"]
        image = triton.InferInput("image", list(picture().shape), "UINT8")
        image.set_data_from_numpy(picture(), binary_data=binary)
        some = [triton.InferRequestedOutput(name, binary_data=False) for name in ("masks", "boxes")]
        answer = client.infer("model", [image], outputs=None if binary else some, request_id="7")
        found = apiece.load(folder).predict(picture())
        np.testing.assert_allclose(answer.as_numpy("boxes"), found.boxes)
        counts = [str(one) for one in answer.as_numpy("masks")]
        assert Masks.from_coco([{"size": [12, 20], "counts": one} for one in counts]) == found.masks
        assert answer.get_response()["id"] == "7"
        assert (answer.as_numpy("scores") is None) is not binary
        wrong = triton.InferInput("image", [4], "FP64")
        wrong.set_data_from_numpy(np.zeros(4))
        with pytest.raises(triton.InferenceServerException, match="datatype"):
            client.infer("model", [wrong])


def test_the_server_keeps_to_its_own_description(url: str, tmp_path: Path) -> None:
    """Schemathesis sends what the description allows and what it forbids; a server error is never an answer.

    One check is left out: a description cannot say which bytes are an image, so sound requests may be refused. A queue
    that is full answers 503, as the description says, and bad requests may be refused for their size.
    """
    pytest.importorskip("schemathesis")
    rejected = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, "5xx"]
    (tmp_path / "schemathesis.toml").write_text(
        'checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 503]\n'
        f"checks.negative_data_rejection.expected-statuses = {rejected}\n"
    )
    code = "from schemathesis.cli import schemathesis; schemathesis()"
    options = (
        "--phases examples,coverage,fuzzing -n 10 --max-time 120 --seed 1 --warnings off --suppress-health-check all"
    )
    line = [sys.executable, "-c", code, "run", f"{url}/openapi.json", *options.split()]
    line += ["--exclude-checks", "positive_data_acceptance"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "COLUMNS": "120"})
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert int(re.findall(r"(\d+) generated", done.stdout)[-1]) > 100
    assert 'status="500"' not in httpx.get(f"{url}/metrics", timeout=30).text
