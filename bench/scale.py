"""What grows with the tables: pings, sweeps, lists, audits and counts on a million monitors and fifty million check-ins, beside
the same on a thousand monitors in the same PostgreSQL. `make bench-scale`; ends with 1 when a goal is missed.

MONITORS and CHECK_INS make it smaller. FOLDER keeps the data, so that a second run does not load again. Rates are measured in
turns, the median of each round's ratio counts.
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from app.clock import utc_now
from app.store import embedded
from bench.scale_measured import Figure, idle_tick, judged, pings, reads, watching
from bench.scale_tables import Database, filled, sizes

SMALL = 2_000
ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = float(os.environ.get("SECONDS", "8"))
# As whoever runs so many monitors sets it; the same for both.
POSTGRES = {
    "shared_buffers": "4GB", "effective_cache_size": "12GB", "max_wal_size": "16GB", "checkpoint_timeout": "30min",
    "random_page_cost": "1.1", "maintenance_work_mem": "1GB",
    "shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track_planning": "on",
}  # fmt: skip


def main() -> int:
    """Load, measure, print; 1 when a goal is missed."""
    monitors, check_ins = int(os.environ.get("MONITORS", "1000000")), int(os.environ.get("CHECK_INS", "50000000"))
    kept = os.environ.get("FOLDER")
    with tempfile.TemporaryDirectory(prefix="missedbeat-scale-") as other:
        server = embedded.start(Path(kept or other), settings=POSTGRES)
        try:
            large = filled(server.dsn, "large", monitors, check_ins)
            small = filled(server.dsn, "small", SMALL, min(check_ins, SMALL * 50))
            print(sizes(large), flush=True)
            figures = asyncio.run(measure(large, small))
        finally:
            server.stop()
    missed = [figure.name for figure in figures if figure.missed]
    print(f"\n{len(missed)} of the goals missed: {', '.join(missed)}" if missed else "\nAll goals are met.")
    return 1 if missed else 0


async def measure(large: Database, small: Database) -> list[Figure]:
    """Every figure, printed as it comes: what only reads first, what turns monitors down last."""
    found = []
    loads = reads(large, small, ROUNDS), pings(large, small, ROUNDS, SECONDS)
    for measuring in (idle_tick(large), watching(large), *loads, judged(large)):
        async for figure in measuring:
            print(f"{utc_now():%H:%M:%S}  {figure}", flush=True)
            found.append(figure)
    return found


if __name__ == "__main__":
    began = time.monotonic()
    code = main()
    print(f"{time.monotonic() - began:.0f} s")
    sys.exit(code)
