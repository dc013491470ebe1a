"""What docs/operations tells an operator is true: its rules and its dashboard parse, and name what is really there."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from app.cli import cli
from app.notify.heartbeat import Heartbeat
from app.store.audit import AUDITS, PARTITIONS
from app.sweeper.audit import audit_once
from tests.world import MARGIN, World

pytestmark = pytest.mark.anyio

DOCS = Path(__file__).resolve().parents[2] / "docs"
FOLDER = DOCS / "operations"
METRIC = re.compile(r"\bmissedbeat_[a-z_]+\b")
SPAN = re.compile(r"(\d+)(s|m|h)")


def rules() -> list[dict[str, Any]]:
    """Every alert of the rule file."""
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    assert all(set(group) == {"name", "rules"} for group in groups)
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> list[str]:
    """Every query of the dashboard."""
    board = json.loads((FOLDER / "dashboard.json").read_text())
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def balanced(expr: str) -> bool:
    """Whether every bracket is closed by its own kind."""
    stack = []
    for char in re.sub(r'"[^"]*"', "", expr):
        if char in "([{":
            stack.append(char)
        elif char in ")]}" and (not stack or stack.pop() + char not in ("()", "[]", "{}")):
            return False
    return not stack


async def served(world: World) -> set[str]:
    """The names of all series that /metrics may hold, with those of histograms."""
    names = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\w+)$", (await world.client.get("/metrics")).text, re.M):
        names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return names


def test_every_rule_is_one_that_prometheus_takes() -> None:
    """Fields, spans, brackets; each has a summary and a severity, and no two the same name."""
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names) > 10
    for rule in rules():
        assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        assert SPAN.fullmatch(rule.get("for", "1m"))
        assert balanced(rule["expr"]), rule["expr"]
        assert METRIC.search(rule["expr"])


def test_every_alert_has_its_line_in_the_runbook_and_every_audit_too() -> None:
    """And none that is not."""
    text = (FOLDER / "README.md").read_text()
    assert set(re.findall(r"^\| (Missedbeat\w+) \|", text, re.M)) == {rule["alert"] for rule in rules()}
    table = text.partition("## Audits")[2]
    listed = {name for line in re.findall(r"^\| (`.+?`) \|", table, re.M) for name in re.findall(r"`(\w+)`", line)}
    assert listed == {*AUDITS, PARTITIONS}


async def test_every_metric_that_is_named_is_served(world: World) -> None:
    """In the rules, on the dashboard, in the docs; and the dashboard leaves none out."""
    there = await served(world)
    shown = {name for expr in expressions() for name in METRIC.findall(expr)}
    alerted = {name for rule in rules() for name in METRIC.findall(rule["expr"])}
    told = {name for name in METRIC.findall((FOLDER / "README.md").read_text())}
    assert shown | alerted | told <= there
    ours = {
        name for name in there if name.startswith("missedbeat_") and not name.endswith(("_created", "_bucket", "_sum", "_count"))
    }
    assert ours <= shown
    assert all(balanced(expr) for expr in expressions())


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    """Ids and places of panels differ, and each asks the data source that is chosen on top."""
    board = json.loads((FOLDER / "dashboard.json").read_text())
    panels = board["panels"]
    assert board["title"] == "Missedbeat"
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource"]
    assert len({panel["id"] for panel in panels}) == len({(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels}) == len(panels)
    for panel in panels:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


async def test_labels_that_the_rules_ask_for_are_the_labels_that_are_set(world: World) -> None:
    """A rule on a label that nobody sets never fires."""
    await audit_once(world.sessions)
    heartbeat = Heartbeat("http://127.0.0.1:1/", MARGIN)
    await world.sweep()
    await world.deliver()
    assert await heartbeat.beat_once(world.sessions) == "failed"
    await heartbeat.aclose()
    text = (await world.client.get("/metrics")).text
    assert 'missedbeat_audit_findings{audit="chain_broken"} 0' in text
    assert 'missedbeat_heartbeats_total{outcome="failed"}' in text
    said = (Path(__file__).resolve().parents[2] / "app/ingest/answers.py").read_text()
    assert all(f'"{result}"' in said for result in ("refused", "late", "error"))


def test_the_page_for_self_hosting_names_settings_and_commands_that_exist() -> None:
    """So that nobody copies what is not there."""
    text = (DOCS / "self-hosting.md").read_text() + (FOLDER / "README.md").read_text()
    example = (DOCS.parent / ".env.example").read_text()
    for name in set(re.findall(r"MISSEDBEAT_[A-Z_]*[A-Z]", text)):
        assert f"#{name}=" in example, name
    commands = get_command(cli).commands  # type: ignore[attr-defined]
    for name, word in set(re.findall(r"missedbeat-server (\w+)(?: (\w+))?", text)):
        assert name in commands, name
        assert word in getattr(commands[name], "commands", {word}), f"{name} {word}"
