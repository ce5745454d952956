#!/usr/bin/env bash
# uvicorn 0.54.0 on Python 3.11: a server of masks and tiles that listens on a socket bound beforehand.
#
# Guess: it does not matter who binds the socket. A service binds it first to learn its port or to say "in use" early,
#   with `socket.socket(AF_INET, SOCK_STREAM)`, or with `Config.bind_socket`, as `--workers` and `--reload` do.
# Happens: asyncio turns Nagle's algorithm off (TCP_NODELAY) only where the socket's protocol is TCP by number. Such a
#   socket has protocol 0, and so have the connections it accepts: a small answer may wait for the client's
#   acknowledgement, 40 ms on Linux, which a page that asks for many small masks feels.
# Seen: TCP_NODELAY is 1 with `host` and `port`; 0 with `bind_socket()` and with a socket of one's own; 1 again with
#   `socket.socket(AF_INET, SOCK_STREAM, IPPROTO_TCP)`.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q uvicorn==0.54.0
cd "$folder"
venv/bin/python - <<'EOF'
import asyncio
import socket

import uvicorn


async def app(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"mask"})


async def nodelay(own=None):
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    sockets = None if own is None else [config.bind_socket() if own == "uvicorn's" else own]
    await server.startup(sockets=sockets)
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(0.1)
    (connection,) = server.server_state.connections
    found = connection.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    writer.close()
    await server.shutdown(sockets=sockets)
    return found


def bound(protocol):
    own = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    own.bind(("127.0.0.1", 0))
    return own


seen = {
    "host and port": asyncio.run(nodelay()),
    "bind_socket()": asyncio.run(nodelay("uvicorn's")),
    "own socket": asyncio.run(nodelay(bound(0))),
    "own socket, IPPROTO_TCP": asyncio.run(nodelay(bound(socket.IPPROTO_TCP))),
}
print(seen)
assert list(seen.values()) == [1, 0, 0, 1]
EOF
