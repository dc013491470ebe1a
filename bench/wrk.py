"""Load from Debian's wrk: one thread asks for paths at random over so many connections, each again as soon as it is answered."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE

from tests.sdk.brokers import tied

SCRIPT = Path(__file__).with_name("load.lua")
PATIENCE = "10s"


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it. `rate`: answers a second; `p50` and `p99` in milliseconds; `refused`: answers that were not 2xx or 3xx;
    `broken`: connections that failed, and answers that never came."""

    rate: float
    p50: float
    p99: float
    refused: int
    broken: int


async def drive(port: int, paths: Path, connections: int, seconds: float, key: str = "") -> Load:
    """Load a server on this machine. `paths`: a file with one a line; `key`: the API key to send."""
    wrk = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds:g}s", "--timeout", PATIENCE, "-s", str(SCRIPT)]
    command = [*wrk, f"http://127.0.0.1:{port}", "--", str(paths), *([key] if key else [])]
    process = await asyncio.create_subprocess_exec(*tied(*command), stdout=PIPE)
    printed, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"wrk ended with {process.returncode}: {printed.decode()}")
    told = json.loads(printed.decode().splitlines()[-1])
    return Load(told["answers"] / told["seconds"], told["p50"], told["p99"], told["refused"], told["broken"])
