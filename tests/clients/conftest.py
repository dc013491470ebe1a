"""One service for all clients, and a project for each test."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.clients.driving import ROOT, Project, new_project, started
from tests.journeys.running import Service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """`serve` in processes of its own; and what is to call it, which `make prove` has installed already."""
    subprocess.run([sys.executable, str(ROOT / "scripts" / "clients.py")], check=True)
    with started(tmp_path_factory.mktemp("clients") / "data") as service:
        yield service


@pytest.fixture
def project(service: Service, request: pytest.FixtureRequest) -> Iterator[Project]:
    """A project nobody else uses."""
    with new_project(service, request.node.name[:100]) as project:
        yield project
