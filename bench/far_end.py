"""A server for measurements: `python -m bench.far_end 0.05` answers everything after 50 ms, `hang` never. It prints its port."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE, Popen

from tests.sdk.brokers import ROOT, tied

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@contextmanager
def far_end(how: str) -> Iterator[int]:
    """The port of such a server, a process of its own, until the block ends."""
    process = Popen(tied(sys.executable, "-m", "bench.far_end", how), cwd=ROOT, stdout=PIPE, text=True)
    try:
        yield int((process.stdout or sys.stdin).readline())
    finally:
        process.kill()
        process.wait()


async def serve(seconds: float | None) -> None:
    """Answer until we are killed."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                await reader.readexactly(int(lengths[0]) if lengths else 0)
                if seconds is None:
                    await reader.read()
                    break
                await asyncio.sleep(seconds)
                writer.write(ANSWER)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(None if sys.argv[1] == "hang" else float(sys.argv[1])))
