"""``apiece serve``."""

from __future__ import annotations

import os
from typing import Annotated

from cyclopts import Parameter

from apiece.cli._options import LIST, Device, Json, ModelName
from apiece.cli._output import note, print_json, say


def serve(
    model: ModelName = "default",
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    hosts: Annotated[tuple[str, ...], LIST] = (),
    origins: Annotated[tuple[str, ...], LIST] = (),
    batch: int = 4,
    queue: int = 64,
    timeout: float = 60.0,
    max_bytes: int = 64 * 2**20,
    image_pixels: int = 64_000_000,
    max_images: int = 16,
    max_instances: int = 10_000,
    device: Device = "auto",
    systemd: Annotated[bool, Parameter(negative="")] = False,
    docker: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[Json, Parameter(help="Print one JSON object when it listens: where, and the model.")] = False,
) -> None:
    """Answer over HTTP: which objects are in an image, and how large they are.

    `/openapi.json` describes all that it takes. `/metrics` is for Prometheus, `/v2` speaks the Open Inference Protocol.
    Beyond this machine (`--host`), requests must carry the key of the environment variable `APIECE_KEY`, as
    `Authorization: Bearer KEY`. Nothing that is sent is kept.

    ```
    apiece serve bolts-out/onnx --port 8000
    apiece serve bolts-out/onnx --hosts line.example --queue 16
    apiece serve bolts-out/onnx --systemd
    ```

    Parameters
    ----------
    host
        Address to listen at. By default only this machine reaches the server.
    port
        Port to listen at; 0 takes any free one.
    hosts
        Names under which the server is asked, beside `--host` and those of this machine.
    origins
        Pages of other origins whose scripts may ask, such as `https://line.example`.
    batch
        Images that go through the network together, at most.
    queue
        Images that wait, at most. Further ones are answered with 503.
    timeout
        Seconds until an answer must be there, and within which a request must have arrived.
    max_bytes
        Largest request.
    image_pixels
        Largest image, height times width. A larger one is refused before it is decoded.
    max_images
        Images in one request.
    max_instances
        Objects of one image; the best are kept.
    systemd
        Print a unit of systemd, and end.
    docker
        Print a Dockerfile, and end.
    """
    from apiece.serve import Guard, Limits, dockerfile, systemd_unit

    key = os.environ.get("APIECE_KEY") or ("of its environment" if systemd or docker else "")
    guard = Guard(host, port, key, max_bytes, hosts, origins)
    limits = Limits(batch, queue, timeout, image_pixels, max_images, max_instances)
    if systemd:
        say(systemd_unit(model, guard))
        return
    from apiece.models import exported_model

    if docker:
        found = exported_model(model)
        say(dockerfile(model, "pytorch" if found is None else found.graph.runtime, guard))
        return
    from apiece.predict import load
    from apiece.serve import new_service, run

    opened = load(model, device)
    note(f"model: {opened!r}, computed by {opened.runtime.name} in {opened.runtime.precision}")

    def ready(url: str) -> None:
        note(f"listening on {url}; {url}openapi.json says what it takes")
        if json:
            print_json({"url": url, "model": opened.loaded.name, "runtime": opened.runtime.name})

    run(new_service(opened, guard, limits, model), guard, ready)
