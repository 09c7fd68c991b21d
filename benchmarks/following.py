"""Follow the stream of a server with many clients, and count who got a change."""

import asyncio
from collections.abc import Callable

_PATIENCE_S = 60
# The server allows a hundred.
_OF_AN_ADDRESS = 50


def followed(port: int, clients: int, change: Callable[[], bytes], cpu: Callable[[], float]) -> dict[str, float]:
    """Connect clients, change the lake, and return how many got the change and what the server spent until all had it.

    Args:
        port: of the server on 127.0.0.1.
        clients: how many.
        change: changes the lake; returns bytes that are in the event of that change.
        cpu: returns the server's CPU seconds until now.
    """
    return asyncio.run(_followed(port, clients, change, cpu))


async def _followed(port: int, clients: int, change: Callable[[], bytes], cpu: Callable[[], float]) -> dict[str, float]:
    connected = [await _connected(port, f"127.0.0.{2 + number // _OF_AN_ADDRESS}") for number in range(clients)]
    begun = cpu()
    wanted = await asyncio.to_thread(change)
    got = await asyncio.gather(*(_got(reader, wanted) for reader, _ in connected))
    spent = cpu() - begun
    for _, writer in connected:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for _, writer in connected), return_exceptions=True)
    return {"clients": clients, "got": sum(got), "cpu": spent}


async def _connected(port: int, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    writer.write(b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"event: snapshot"), _PATIENCE_S)
    return reader, writer


async def _got(reader: asyncio.StreamReader, wanted: bytes) -> bool:
    try:
        await asyncio.wait_for(reader.readuntil(wanted), _PATIENCE_S)
    except (TimeoutError, asyncio.IncompleteReadError):
        return False
    return True
