"""The service as it is run, with a project that a program reports to and a webhook that hears what people are told."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.clients.driving import Project, new_project
from tests.journeys.running import Service
from tests.sdk.celery_processes import wait_until
from tests.sdk.collector import Collector


@dataclass
class Watch:
    """One project in a running service; everything it tells is in `told`."""

    project: Project
    hook: Collector

    @property
    def key(self) -> str:
        """For MISSEDBEAT_KEY."""
        return self.project.keys["api_key"]

    @property
    def told(self) -> list[tuple[str, str, str]]:
        """What people were told so far: type, monitor, why."""
        messages = [message["data"] | {"type": message["type"]} for message, _ in self.hook.batches]
        return [(m["type"].removeprefix("monitor."), m["monitor"]["name"], m["explain"]) for m in messages]

    def check(self, name: str) -> dict[str, Any] | None:
        """The check of this name, None where there is none."""
        return next((check for check in self.project.checks() if check["name"] == name), None)

    def told_of(self, name: str, kind: str = "down") -> list[str]:
        """Why people were told that this monitor is down (or up)."""
        return [why for type_, monitor, why in self.told if (type_, monitor) == (kind, name)]

    def wait_told(self, name: str, kind: str, within: float) -> str:
        """Return as soon as people are told so; the words."""
        return str(wait_until(lambda: self.told_of(name, kind), within, why=lambda: f"{name} {kind}: only {self.told}")[0])

    def wait_status(self, name: str, status: str, within: float) -> dict[str, Any]:
        """Return as soon as there is such a check with that status."""

        def found() -> dict[str, Any] | None:
            check = self.check(name)
            return check if check is not None and check["status"] == status else None

        def instead() -> str:
            return str([(check["name"], check["status"]) for check in self.project.checks()])

        return dict(wait_until(found, within, why=instead))


@contextmanager
def watch(service: Service, name: str) -> Iterator[Watch]:
    """A project of its own, and a webhook for all of its monitors."""
    with new_project(service, name) as project, Collector() as hook:
        project.api("POST", "channels/", {"kind": "webhook", "name": "hook", "url": f"{hook.url}/hook"})
        yield Watch(project, hook)
