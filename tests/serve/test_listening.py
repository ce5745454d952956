"""The socket of a service: an answer is sent at once."""

from __future__ import annotations

import asyncio
import socket

from apiece.serve import Guard
from apiece.serve.listening import listen


def test_answers_do_not_wait_to_be_joined_with_later_ones() -> None:
    async def accepted(listening: socket.socket) -> int:
        taken: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            taken.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(take, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname()[:2])
            found = await taken
            writer.close()
            return found

    with listen(Guard(port=0)) as (listening, _):
        assert asyncio.run(accepted(listening))
