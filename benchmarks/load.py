"""A load from a process of its own: some connections, each sending the same request again and again."""

import asyncio
import sys
import time


async def _connection(host: str, port: int, request: bytes, until: float) -> int:
    reader, writer = await asyncio.open_connection(host, port)
    done = 0
    while time.monotonic() < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 207")):
            raise RuntimeError(head.decode())
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        done += 1
    writer.close()
    return done


async def _load(host: str, port: int, connections: int, seconds: float, request: bytes) -> float:
    until = time.monotonic() + seconds
    started = time.monotonic()
    counts = await asyncio.gather(*(_connection(host, port, request, until) for _ in range(connections)))
    return sum(counts) / (time.monotonic() - started)


if __name__ == "__main__":
    host, port, connections, seconds = sys.argv[1:]
    payload = sys.stdin.buffer.read()
    sys.stdout.write(str(asyncio.run(_load(host, int(port), int(connections), float(seconds), payload))))
