"""``apiece serve``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

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
    batch: int | None = None,
    queue: int = 64,
    timeout: float = 60.0,
    max_bytes: int = 64 * 2**20,
    image_pixels: int = 64_000_000,
    max_images: int = 16,
    max_instances: int = 10_000,
    rules: Path | None = None,
    backend: str = "auto",
    weights: str = "",
    sessions: int = 16,
    idle: float = 600.0,
    jobs: Path | None = None,
    max_jobs: int = 16,
    job_bytes: int = 4 * 2**30,
    keep: float = 24.0,
    log: Literal["text", "json"] = "text",
    device: Device = "auto",
    systemd: Annotated[bool, Parameter(negative="")] = False,
    docker: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[Json, Parameter(help="Print one JSON object when it listens: where, and the model.")] = False,
) -> None:
    """Answer over HTTP: which objects are in an image, how large they are, and whether they pass.

    `/openapi.json` describes all that it takes. `/metrics` is for Prometheus, `/v2` speaks the Open Inference Protocol.
    Beyond this machine (`--host`), requests must carry the key of the environment variable `APIECE_KEY`, as
    `Authorization: Bearer KEY`. Nothing that is sent is kept, but in `--jobs`.

    ```
    apiece serve bolts-out/onnx --port 8000
    apiece serve bolts-out/onnx --rules rules.yaml --log json
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
        Images that go through the network together, at most. By default 1 on a CPU, which gains nothing by more, and 4
        elsewhere.
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
    rules
        File of rules by which `/v1/inspect` judges images, see `apiece inspect`.
    backend
        What answers points and boxes at `/v1/sessions`, see `apiece segment`. By default the best that is here.
    weights
        Weights of `--backend`.
    sessions
        Images that are open at a time to be asked about with points and boxes. Further ones are answered with 503.
    idle
        Seconds without a request after which the server closes a session.
    jobs
        Folder for jobs: slides and videos sent to `/v1/jobs`, and their results. By default the server takes none.
    max_jobs
        Jobs that wait or run, at most. Further ones are answered with 503.
    job_bytes
        Largest slide or video of a job.
    keep
        Hours that a job's result is kept after its end.
    log
        The log on standard error: `text`, what goes wrong; `json`, a line for each request, too.
    systemd
        Print a unit of systemd, and end.
    docker
        Print a Dockerfile, and end.
    """
    from apiece.serve import Guard, Limits, dockerfile, systemd_unit

    key = os.environ.get("APIECE_KEY") or ("of its environment" if systemd or docker else "")
    guard = Guard(host, port, key, max_bytes, hosts, origins)
    limits = Limits(
        batch, queue, timeout, image_pixels, max_images, max_instances, sessions, idle, max_jobs, job_bytes, keep
    )
    if systemd:
        say(systemd_unit(model, guard))
        return
    if docker:
        from apiece.models import exported_model

        found = exported_model(model)
        say(dockerfile(model, "pytorch" if found is None else found.graph.runtime, guard))
        return
    from apiece.models import check_model
    from apiece.predict.runtime import modules_of
    from apiece.serve import ServiceRecipe, run_kept, start_log

    start_log(log)
    recipe = ServiceRecipe(model, device, guard, limits, rules, backend, weights, jobs, log)

    def ready(url: str, told: dict[str, str]) -> None:
        note(f"model: {told['is']}, computed by {told['runtime']} in {told['precision']}")
        note(f"listening on {url}; {url}openapi.json says what it takes")
        if json:
            print_json({"url": url, "model": told["model"], "runtime": told["runtime"]})

    check_model(model)
    run_kept(recipe, guard, ready, ["apiece.serve.service", *modules_of(model)])
