"""What the SDK says of everything that can happen to a task, on both brokers and in every pool, against golden.txt. A newer
Celery shows here, as a diff of sentences, what it does differently; older ones are played by `make matrix`."""

from pathlib import Path

import pytest

from tests.sdk.brokers import Broker
from tests.sdk.cases import ENDINGS, ENFORCED, QUIET, played
from tests.sdk.golden import Where
from tests.sdk.playing import difference, play, play_endings

OTHER_POOLS = [pool for pool in ENFORCED if pool != "prefork"]


def test_what_is_said_of_every_end_that_a_worker_survives(broker_url: str, redis_server: Broker, tmp_path: Path) -> None:
    """One worker, all cases at once: what each of them says, and nothing else."""
    where = Where(kind(broker_url))
    blocks = play(QUIET, where, broker_url, redis_server.fresh(), tmp_path, "-c", "6")
    assert not difference(QUIET, blocks, where), difference(QUIET, blocks, where)


@pytest.mark.parametrize(
    "pool", ["threads", "gevent", *(pytest.param(pool, marks=pytest.mark.prove) for pool in ("solo", "eventlet"))]
)
def test_what_is_said_in_the_other_pools(redis_url: str, tmp_path: Path, pool: str) -> None:
    """The same where tasks run in the main process: threads, one after another, or greenlets."""
    where, cases = Where("redis", pool), played(QUIET, pool)
    blocks = play(cases, where, redis_url, redis_url, tmp_path, "-c", "6")
    assert not difference(cases, blocks, where), difference(cases, blocks, where)


@pytest.mark.prove
def test_what_is_said_when_a_worker_ends(broker_url: str, redis_server: Broker, tmp_path: Path) -> None:
    """A worker for each case, for it does not survive it."""
    where = Where(kind(broker_url))
    blocks = play_endings(ENDINGS, where, broker_url, redis_server.fresh(), tmp_path)
    assert not difference(ENDINGS, blocks, where), difference(ENDINGS, blocks, where)


@pytest.mark.prove
@pytest.mark.parametrize("pool", OTHER_POOLS)
def test_what_is_said_when_a_worker_with_another_pool_ends(redis_url: str, tmp_path: Path, pool: str) -> None:
    """Nobody is left there to tell what became of a task."""
    where, cases = Where("redis", pool), played(ENDINGS, pool)
    blocks = play_endings(cases, where, redis_url, redis_url, tmp_path)
    assert not difference(cases, blocks, where), difference(cases, blocks, where)


def kind(url: str) -> str:
    """Of a broker."""
    return "rabbitmq" if url.startswith("amqp") else "redis"
