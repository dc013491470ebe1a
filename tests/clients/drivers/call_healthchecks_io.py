"""Drives the Python package healthchecks-io: everything its synchronous or its asynchronous client has."""

import asyncio
import inspect
import json
import sys

from healthchecks_io import AsyncClient, CheckCreate, CheckTrap, CheckUpdate, Client
from healthchecks_io.client.exceptions import BadAPIRequestError, CheckNotFoundError, HCAPIAuthError

TOLD = json.loads(sys.argv[1])
MISSING = "00000000-0000-4000-8000-000000000000"
SAID = {}


async def value(answer):
    """What either client answers."""
    return await answer if inspect.isawaitable(answer) else answer


async def refusal(client, method, *arguments, **named):
    """The name of the error that a call raises."""
    try:
        await value(getattr(client, method)(*arguments, **named))
    except (BadAPIRequestError, CheckNotFoundError, HCAPIAuthError, TypeError) as error:
        return type(error).__name__
    return "none"


def shown(model):
    """A model of theirs as JSON."""
    return json.loads(model.model_dump_json())


async def manage(client):
    """Checks made, found, changed, paused, deleted."""
    backup = CheckCreate(name="Nightly backup", tags="prod db", timeout=600, grace=60, channels="*")
    made = await value(client.create_check(backup))
    again = CheckCreate(name="Nightly backup", tags="prod db", timeout=700, unique=["name"])
    cron = await value(client.create_check(CheckCreate(name="Weekly", tags="prod", schedule="15 4 * * 1", tz="Europe/Berlin")))
    SAID["made"] = shown(made)
    SAID["cron"] = shown(cron)
    SAID["same"] = (await value(client.create_check(again))).uuid == made.uuid
    SAID["listed"] = [c.name for c in await value(client.get_checks())]
    SAID["tagged"] = [c.name for c in await value(client.get_checks(tags=["prod", "db"]))]
    changed = CheckUpdate(name="Nightly dump", grace=120, manual_resume=False, methods="POST")
    SAID["updated"] = shown(await value(client.update_check(made.uuid, changed)))
    SAID["found"] = shown(await value(client.get_check(made.uuid)))
    SAID["paused"] = (await value(client.pause_check(made.uuid))).status
    await value(client.success_ping(uuid=made.uuid))
    SAID["pinged"] = (await value(client.get_check(made.uuid))).status
    SAID["deleted"] = (await value(client.delete_check(cron.uuid))).name
    SAID["refused"] = {
        "deleted": await refusal(client, "get_check", cron.uuid),
        "pinged": await refusal(client, "success_ping", uuid=MISSING),
        "timeout": await refusal(client, "create_check", CheckCreate(timeout=0)),
        "exit code": await refusal(client, "exit_code_ping", 256, uuid=made.uuid),
    }
    SAID["integrations"] = [shown(i) for i in await value(client.get_integrations())]


async def ping(client):
    """Pings of every kind, by id and by slug, and a trap around work that goes well and work that does not."""
    (check,) = await value(client.get_checks())
    by_id = {"uuid": check.uuid}
    SAID["answers"] = [
        await value(client.start_ping(**by_id)),
        await value(client.success_ping(**by_id, data="went well: 12 Dateien größer")),
        await value(client.fail_ping(**by_id, data="disk full")),
        await value(client.exit_code_ping(0, **by_id)),
        await value(client.exit_code_ping(3, **by_id, data="exit three")),
        await value(client.start_ping(slug="by-id")),
        await value(client.success_ping(slug="by-id", data="by slug")),
    ]
    for goes_well in (True, False):
        trap = CheckTrap(client, slug="by-id", suppress_exceptions=True)
        if isinstance(client, AsyncClient):
            async with trap:
                work(trap, goes_well)
        else:
            with trap:
                work(trap, goes_well)
    SAID["pings"] = [shown(p) for p in await value(client.get_check_pings(by_id["uuid"]))]
    SAID["flips refused"] = await refusal(client, "get_check_flips", by_id["uuid"], seconds=3600)
    path = client._get_api_request_url(f"checks/{by_id['uuid']}/flips/", {"seconds": 3600})
    SAID["flips"] = (await value(client._client.get(path))).json()


def work(trap, goes_well):
    """A job with a line of log."""
    trap.add_log("one line of log")
    if not goes_well:
        raise RuntimeError("the job broke")


async def badges(client):
    """A badge for every tag."""
    SAID["badges"] = {tag: shown(badge) for tag, badge in (await value(client.get_badges())).items()}


async def look(kind):
    """The same checks through a read-only key, which sees no ids; and through none."""
    with_key = connect(kind, TOLD["api_key_readonly"])
    seen = await value(with_key.get_checks())
    SAID["read-only"] = [shown(check) for check in seen]
    SAID["by unique key"] = (await value(with_key.get_check(seen[0].unique_key))).name
    SAID["read-only writes"] = await refusal(with_key, "create_check", CheckCreate(name="no"))
    SAID["wrong key"] = await refusal(connect(kind, "wrong"), "get_checks")


def connect(kind, key):
    """Their client at our address: both URLs are its own options."""
    addresses = {"api_url": f"{TOLD['url']}/api/", "ping_url": f"{TOLD['url']}/ping/", "api_version": TOLD["version"]}
    return kind(api_key=key, ping_key=TOLD["ping_key"], **addresses)


async def main():
    """Do what the test asks for with the client it asks for."""
    kind = {"sync": Client, "async": AsyncClient}[TOLD["kind"]]
    client = connect(kind, TOLD["api_key"])
    steps = {"manage": manage, "ping": ping, "badges": badges}
    for name in TOLD["steps"]:
        await (look(kind) if name == "look" else steps[name](client))
    json.dump(SAID, sys.stdout)


asyncio.run(main())
