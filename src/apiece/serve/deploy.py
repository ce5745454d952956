"""Texts that start the server elsewhere: a unit of systemd, a Dockerfile."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from apiece import __version__
from apiece.serve.guards import Guard

__all__ = ["dockerfile", "systemd_unit"]


def systemd_unit(model: str, guard: Guard) -> str:
    """Return a unit of systemd that keeps a server running, without rights that it does not need.

    Examples
    --------
    >>> print(systemd_unit("/srv/bolts-out/onnx", Guard()).splitlines()[0])
    [Unit]
    """
    where = str(Path(model).resolve()) if Path(model).exists() else model
    command = [str(Path(sys.executable).parent / "apiece"), "serve", where, "--host", guard.host]
    return f"""[Unit]
Description=apiece: objects in images
After=network.target

[Service]
ExecStart={shlex.join([*command, "--port", str(guard.port)])}
# a key that requests must carry: a line APIECE_KEY=... in this file, readable by root alone
EnvironmentFile=-/etc/apiece.env
Restart=always
RestartSec=1
DynamicUser=yes
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=read-only
NoNewPrivileges=yes
MemoryDenyWriteExecute=no

[Install]
WantedBy=multi-user.target
"""


def dockerfile(model: str, runtime: str, guard: Guard) -> str:
    """Return a Dockerfile of a server with a model in it; nothing here has built it.

    Examples
    --------
    >>> print(dockerfile("bolts-out/onnx", "onnx", Guard()).splitlines()[2])
    FROM python:3.12-slim
    """
    extra = runtime if runtime in ("onnx", "openvino") else "models"
    return f"""# docker build -t apiece-server .
# docker run -e APIECE_KEY=... -p {guard.port}:{guard.port} apiece-server
FROM python:3.12-slim
RUN pip install --no-cache-dir 'apiece[{extra},serve]=={__version__}'
COPY {shlex.quote(model)} /model
USER 65534
EXPOSE {guard.port}
CMD ["apiece", "serve", "/model", "--host", "0.0.0.0", "--port", "{guard.port}"]
"""
