"""Brokers for whoever asks: one of each kind for the whole test run, with a database or virtual host for each test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sdk.brokers import Broker, Redis, shared


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this test run share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def redis_server(run_folder: Path) -> Iterator[Broker]:
    """Redis, started when first asked for."""
    with shared("redis", run_folder / "redis") as broker:
        yield broker


@pytest.fixture(scope="session")
def rabbitmq_server(run_folder: Path) -> Iterator[Broker]:
    """RabbitMQ, started when first asked for."""
    with shared("rabbitmq", run_folder / "rabbitmq") as broker:
        yield broker


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """A fresh place on a broker; each test that asks runs on both kinds."""
    return str(request.getfixturevalue(f"{request.param}_server").fresh())


@pytest.fixture
def redis_url(redis_server: Broker) -> str:
    """A fresh place on Redis."""
    return redis_server.fresh()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis that this test may stop and start."""
    with Redis(tmp_path / "redis") as broker:
        yield broker
