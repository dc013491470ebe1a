"""A batch is taken in time or not at all: 2xx means that nothing that it disproves was judged meanwhile."""

import pytest

from tests.events.saying import Program, entry
from tests.world import living

pytestmark = pytest.mark.anyio

STALL = """CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.8); RETURN NULL; END $$"""
ON_REGISTERING = "CREATE TRIGGER stall AFTER INSERT ON monitors FOR EACH STATEMENT EXECUTE FUNCTION stall()"


async def test_a_batch_that_waited_longer_than_the_margin_before_its_events_is_refused(dsn: str) -> None:
    """Making what it names took too long: 503, and none of its events is there; what was made stays, and sent again it is
    taken."""
    async with living(dsn, guard_seconds=0.5) as world:
        shop = Program(world)
        batch = [await shop.sync(entry()), await shop.run("succeeded")]
        await world.run(STALL)
        await world.run(ON_REGISTERING)
        world.asking.patient = False
        try:
            answer = await shop.send(*batch)
        finally:
            await world.run("DROP FUNCTION stall CASCADE")
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
        assert await world.rows("SELECT FROM check_ins") == []
        assert (await shop.send(*batch)).status_code == 200
        assert len(await world.rows("SELECT FROM check_ins WHERE signal = 'success'")) == 1
