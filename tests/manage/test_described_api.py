"""The API against its own description: whatever is sent, by whichever key, the answer is one that is described, and never 500."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.journeys.running import Service, serving

pytestmark = pytest.mark.anyio

LINES = st.sampled_from([
    b'{"app":"shop","sent_at":1760000000123,"heartbeat":15}', b'{"type":"beat.beat","ts":1760000000123}', b"{", b"5",
    b'{"type":"run.failed","ts":1760000000123,"monitor":"task:a","run":"r"}', b'{"type":"run.failed"}', b'{"type":"else"}',
    b'{"type":"schedule.sync","ts":1,"reconcile":true,"entries":[{"name":"a","schedule":{"kind":"every","seconds":60}},{}]}',
])  # fmt: skip
NDJSON = "application/x-ndjson"
schemathesis.openapi.media_type(NDJSON, st.lists(LINES, max_size=4).map(b"\n".join))
CHECKS = [status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance]


@schemathesis.serializer(NDJSON)
def _lines(_: Any, body: Any) -> bytes:
    return body if isinstance(body, bytes) else str(body).encode(errors="replace")


class Tenants:
    """Two projects of a running service: whose keys call, and whose things paths name."""

    def __init__(self, service: Service) -> None:
        self.base_url = service.base_url
        self.session = requests.Session()
        self.session.trust_env = False
        mine, theirs = service.keys, service.new_project("Theirs")
        self.owners = {"mine": mine["api_key"], "theirs": theirs["api_key"]}
        self.things = {owner: self.new_things(owner) for owner in self.owners}
        self.keys = [mine["api_key"], mine["api_key_readonly"], theirs["api_key"], "mb_rw_wrong", ""]

    def api(self, key: str, method: str, path: str, body: Any = None) -> Any:
        """A call that succeeds."""
        answer = self.session.request(method, f"{self.base_url}/api/v3/{path}", json=body, headers={"X-Api-Key": key}, timeout=10)
        assert answer.ok, answer.text
        return answer.json()

    def new_things(self, owner: str) -> dict[str, str]:
        """Something of everything, new, by the names that paths have for them."""
        key = self.owners[owner]
        channel = self.api(key, "POST", "channels/", {"kind": "email", "name": uuid4().hex, "address": "a@example.com"})
        check = self.api(key, "POST", "checks/", {"channels": channel["id"], "name": uuid4().hex})
        self.session.get(f"{check['ping_url']}/fail", data=b"body", timeout=10)
        incident = self.api(key, "GET", f"checks/{check['uuid']}/incidents/")["incidents"][0]["id"]
        delivery = self.api(key, "GET", f"incidents/{incident}/deliveries/")["deliveries"][0]["id"]
        other_key = self.api(key, "POST", "keys/", {"service": "cronitor", "key": uuid4().hex})["id"]
        project = self.api(key, "GET", "projects/")["projects"][0]["id"]
        return {
            "check": check["uuid"], "channel": channel["id"], "incident": incident, "delivery": delivery, "key": other_key,
            "project": project, "n": "1",
        }  # fmt: skip

    def walk(self, operation: APIOperation[Any, Any, Any, Any], examples: int) -> set[int]:
        """Send it much that is allowed and much that is not; returns the answers' numbers."""
        answered: set[int] = set()
        cases = st.one_of(operation.as_strategy(), operation.as_strategy(GenerationMode.NEGATIVE))

        @given(case=cases, whose=st.sampled_from([*self.owners, "nobody's"]), key=st.sampled_from(self.keys))
        @settings(
            max_examples=examples, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],
        )  # fmt: skip
        def send(case: Any, whose: str, key: str) -> None:
            if whose in self.things and case.path_parameters:
                case.path_parameters = {name: self.things[whose][name] for name in case.path_parameters}
            if operation.path.endswith("/test"):
                case.query = {"wait": "0"}
            case.headers = {"X-Api-Key": key}
            answer = case.call(base_url=self.base_url, session=self.session, timeout=15)
            case.validate_response(answer, checks=CHECKS)
            assert answer.status_code != 500
            answered.add(answer.status_code)
            if case.path_parameters and whose in self.things and key != self.owners[whose] and key in self.owners.values():
                assert answer.status_code in (400, 404), (whose, key[:6], answer.status_code)

        send()
        if operation.method == "delete":
            self.things = {owner: self.new_things(owner) for owner in self.owners}
        return answered


@contextmanager
def tenants(service: Service) -> Iterator[Tenants]:
    """Two projects, and their connections closed at the end."""
    both = Tenants(service)
    with both.session:
        yield both


def walk_all(service: Service, examples: int) -> dict[str, set[int]]:
    """Every operation of the document; what each was answered with."""
    with tenants(service) as both:
        document = both.session.get(f"{both.base_url}/api/openapi.json", timeout=10).json()
        schema = schemathesis.openapi.from_dict(document)
        operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
        assert len(operations) >= 30
        return {f"{operation.method} {operation.path}": both.walk(operation, examples) for operation in operations}


@pytest.mark.parametrize("examples", [6, pytest.param(100, marks=[pytest.mark.prove, pytest.mark.timeout(600)])])
async def test_every_answer_is_one_that_is_described(tmp_path: Path, examples: int) -> None:
    """Generated from the document, for two projects: no 500, no number or shape that is not in it, no foreign thing."""
    async with serving(tmp_path / "data") as service:
        answered = await asyncio.to_thread(walk_all, service, examples)
    found = [name for name, numbers in answered.items() if any(number < 300 for number in numbers)]
    assert len(found) > len(answered) * 2 / 3, "most of what was sent must have come through, else this proves little"
