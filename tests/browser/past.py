"""A project with a past, so that its pages have something to show: many monitors in every state, a month of runs."""

import random
from typing import Any

from tests.world import World

NAMES = (
    "nightly backup", "invoice export", "rotate logs", "sync stock", "send newsletter", "rebuild search", "close the day",
    "import prices", "purge carts", "certificate renewal",
)  # fmt: skip
PAST = """
    INSERT INTO runs (project_id, monitor_id, at, key, outcome, attempt, slot, count, started_at, ended_at)
    SELECT m.project_id, m.id, at, n, outcome, 1, at, 1,
        CASE WHEN outcome <> 'missed' THEN at END,
        CASE WHEN outcome <> 'missed' THEN at + took * interval '1 second' END
    FROM monitors m, generate_series(1, :runs) AS n
    CROSS JOIN LATERAL (SELECT missedbeat_now() - n * CAST(:every AS interval) AS at) t
    CROSS JOIN LATERAL (SELECT 20 + 400 * power(random() + 0 * n, 3) AS took, random() + 0 * n AS luck) r
    CROSS JOIN LATERAL (SELECT CASE WHEN luck < 0.94 THEN 'success' WHEN luck < 0.97 THEN 'failed' WHEN luck < 0.99 THEN 'missed'
        ELSE 'overrun' END AS outcome) o
    WHERE m.id = CAST(:monitor AS uuid)"""


async def past(world: World, extra: int = 0) -> list[dict[str, Any]]:
    """Ten monitors, one of them down, late, running, paused and new each, and so many more that are up. All have runs behind
    them but the new one."""
    made = await world.api("POST", "channels/", {"kind": "email", "name": "on call", "address": "ops@example.org"})
    assert made.status_code == 201, made.text
    channel = made.json()
    checks = []
    for n in range(len(NAMES) + extra):
        name = NAMES[n] if n < len(NAMES) else f"job {n}"
        fields: dict[str, Any] = {"name": name, "slug": name.replace(" ", "-"), "tags": random.choice(["db", "mail web", "prod"])}
        schedule = {"schedule": "30 2 * * *", "tz": "Europe/Berlin"} if n % 3 else {"timeout": 3600}
        checks.append(await world.check(**fields, **schedule, grace=600, channels=channel["id"] if n != 4 else ""))
    for check in checks[:-1]:
        await world.run(PAST, monitor=check["uuid"], runs=40 + random.randrange(20), every="11 hours")
        assert (await world.ping(check)).status_code == 200
    return checks


async def in_every_state(world: World) -> list[dict[str, Any]]:
    """The same, an hour and some minutes later: one has failed, one is late, one runs, one is paused, one was never heard."""
    checks = await past(world)
    failed, late, running, paused = checks[0], checks[3], checks[1], checks[2]
    await world.advance(3720)
    for check in checks[:-1]:
        if check is not late:
            assert (await world.ping(check)).status_code == 200
    assert (await world.ping(failed, "/fail", content=b"disk full")).status_code == 200
    assert (await world.ping(running, "/start")).status_code == 200
    assert (await world.api("POST", f"checks/{paused['uuid']}/pause")).status_code == 200
    return checks
