"""A way to a port on which all that goes either way is late: ``delay.py HOST PORT MILLISECONDS``.

For kernels without netem: as ssh's ProxyCommand it makes a line long, though not narrow.
"""

import asyncio
import os
import sys
from collections import deque

_PIECE = 1 << 16
_ON_THE_WAY = 32 << 20


async def _main(host: str, port: int, seconds: float) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    loop = asyncio.get_running_loop()
    own = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(own), sys.stdin.buffer)
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(os.dup(1), "wb")
    )
    out = asyncio.StreamWriter(transport, protocol, None, loop)
    there = asyncio.create_task(_late(own, writer, seconds))
    back = asyncio.create_task(_late(reader, out, seconds))
    await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
    if there.done():
        writer.write_eof()
        await back


async def _late(source: asyncio.StreamReader, to: asyncio.StreamWriter, seconds: float) -> None:
    """Pass everything on, each piece so many seconds after it has come."""
    loop = asyncio.get_running_loop()
    waiting: deque[tuple[float, bytes]] = deque()
    size = 0
    moved = asyncio.Event()

    async def read() -> None:
        nonlocal size
        while piece := await source.read(_PIECE):
            waiting.append((loop.time() + seconds, piece))
            size += len(piece)
            moved.set()
            while size > _ON_THE_WAY:
                await asyncio.sleep(seconds / 10)
        waiting.append((loop.time() + seconds, b""))
        moved.set()

    reading = asyncio.create_task(read())
    while True:
        while not waiting:
            moved.clear()
            await moved.wait()
        due, piece = waiting.popleft()
        await asyncio.sleep(max(0.0, due - loop.time()))
        if not piece:
            await reading
            return
        to.write(piece)
        size -= len(piece)
        await to.drain()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1000))
