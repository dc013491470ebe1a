"""The rules of the house, held against every file; no database, a second or two.

A rule is a function from a path and its text to complaints. Each test holds a rule against the real files and, so that no rule
can fall asleep, first against a sample that breaks it.
"""

import ast
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from pydantic.fields import FieldInfo

from app.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
Rule = Callable[[str, str], list[str]]

MODULE_LINES = 350
FUNCTION_LINES = 40  # from `def` to the last line, the docstring not counted: a promise may take its room
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "base", "manager", "managers", "service", "services"}

# Where `except Exception` may stand, how often, and why.
BROAD_EXCEPTS = {
    "app/worker.py": (1, "the job wrapper: log, count, carry on with the other jobs"),
    "app/ingest/inbox.py": (1, "the flusher: whoever waits must get an answer"),
    "app/sweeper/sweep.py": (1, "one row: poison is set aside and the sweep goes on"),
    "app/notify/deliver.py": (2, "rendering: a plain fallback goes out instead; sending: our fault is tried again too"),
    "sdk/missedbeat/guard.py": (2, "nothing of the SDK may reach the program that it watches"),
}
# Who opens a transaction and so may commit it; everybody else works inside one.
EDGES = {
    "app/web.py": "one per request",
    "app/ingest/inbox.py": "one per batch",
    "app/ingest/record.py": "one per batch",
    "app/ingest/create.py": "one per batch, for the monitors it makes",
    "app/ingest/tick.py": "one per tick",
    "app/ingest/canary.py": "one per canary that comes in",
    "app/events/record.py": "one for what is made, one per slice of a batch",
    "app/sweeper/sweep.py": "one per look",
    "app/sweeper/hold.py": "one per scheduler, one for those let go",
    "app/sweeper/prune.py": "one per partition, one per round of forgetting",
    "app/sweeper/breaker.py": "one per look, by one sweeper at a time",
    "app/sweeper/unheard.py": "one per round of telling",
    "app/notify/canary.py": "one per canary that goes out",
    "app/notify/deliver.py": "one to claim, one to give back",
    "app/notify/settle.py": "one for those delivered together, one for each other outcome",
    "app/notify/operator.py": "one to claim, one once they are out",
    "app/sweeper/audit.py": "one per round",
    "app/sweeper/count.py": "one per round",
    "app/worker.py": "one per job",
    "app/command_session.py": "one per command",
    "app/notify/pauses.py": "one per round of telling",
    "app/notify/letters.py": "one to claim, one for each outcome",
    "app/store/migrate.py": "the lock under which a schema moves on; there is no session yet",
}
# What may be imported of SQLAlchemy outside the store: the types of what is passed through, and the errors an edge catches.
PASSED_THROUGH = {"AsyncConnection", "AsyncEngine", "AsyncSession", "async_sessionmaker"}
SQL_TEXT = re.compile(r"\s*(SELECT\s|INSERT INTO\s|UPDATE\s+\S+\s+SET\s|DELETE FROM\s|WITH\s+\w+\s+AS\s*\()")

LOCKS_WITH_HOSTS = {"uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml", "package-lock.json", "yarn.lock"}
PINS = ("constraints.txt", "requirements-container.txt", "requirements-build.txt")
PIN = re.compile(r"[a-z0-9][a-z0-9._-]*==[^\s;]+( ; .+)?|    --hash=sha256:[0-9a-f]{64}")
REGISTRY = re.compile(
    r"\b(pypi\.org|pythonhosted\.org|npmjs\.(org|com)|unpkg\.com|jsdelivr\.net|docker\.io|ghcr\.io|quay\.io)", re.I
)
MACHINE_PATH = re.compile(r"(?<![\w.>}$-])(/(work|root|home|Users)/[\w.-]+|[A-Z]:\\\\?Users\b)")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SELF = "tests/test_house.py"  # holds the broken samples


# ---- The files


@cache
def house() -> tuple[str, ...]:
    """The files of the repository that are or would be committed, relative to its root."""
    asked = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    names = answer.stdout.splitlines()
    if answer.returncode:  # an unpacked archive, or somebody else's clone
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")]
    hidden = {".git", ".venv", "data", "build", "dist", "__pycache__"}
    return tuple(sorted(name for name in names if (ROOT / name).is_file() and not hidden & set(Path(name).parts)))


def files(*folders: str) -> Iterator[tuple[str, str]]:
    """Path and text of each Python file below the folders."""
    for name in house():
        if name.endswith(".py") and name.partition("/")[0] in folders:
            yield name, (ROOT / name).read_text(encoding="utf-8")


def texts() -> Iterator[tuple[str, str]]:
    """Path and text of each file that is text, this one left out."""
    for name in house():
        content = (ROOT / name).read_bytes()
        if b"\0" not in content and name != SELF:
            yield name, content.decode("utf-8")


def hold(rule: Rule, found: Iterator[tuple[str, str]]) -> None:
    """Fail with every complaint at once."""
    complaints = [complaint for path, text in found for complaint in rule(path, text)]
    assert not complaints, "\n" + "\n".join(complaints)


@cache
def parse(text: str) -> ast.Module:
    return ast.parse(text)


# ---- The rules


def module_size(path: str, text: str) -> list[str]:
    lines = len(text.splitlines())
    return [f"{path}: {lines} lines, {MODULE_LINES} at most"] if lines > MODULE_LINES else []


def function_size(path: str, text: str) -> list[str]:
    complaints = []
    for node in ast.walk(parse(text)):
        if not isinstance(node, FUNCTIONS):
            continue
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if ast.get_docstring(node, clean=False) is not None:
            lines -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
        if lines > FUNCTION_LINES:
            complaints.append(f"{path}:{node.lineno}: {node.name} has {lines} lines, {FUNCTION_LINES} at most")
    return complaints


def names(path: str, text: str) -> list[str]:
    parts = Path(path).with_suffix("").parts
    return [f"{path}: '{part}' says nothing about what lives there" for part in parts if part in BANNED_NAMES]


def broad_excepts(path: str, text: str) -> list[str]:
    found = [
        node.lineno for node in ast.walk(parse(text)) if isinstance(node, (ast.ExceptHandler, ast.Call)) and catches_all(node)
    ]
    allowed, _ = BROAD_EXCEPTS.get(path, (0, ""))
    return [f"{path}:{line}: catches everything; {allowed} such place(s) here" for line in found] if len(found) > allowed else []


def catches_all(node: ast.ExceptHandler | ast.Call) -> bool:
    """`except:`, `except Exception`, the same in a tuple, and contextlib.suppress(Exception)."""
    if isinstance(node, ast.ExceptHandler):
        caught = [node.type] if not isinstance(node.type, ast.Tuple) else node.type.elts
    elif last_name(node.func) == "suppress":
        caught = list(node.args)
    else:
        return False
    return any(kind is None or last_name(kind) in {"Exception", "BaseException"} for kind in caught)


def commits(path: str, text: str) -> list[str]:
    if path in EDGES:
        return []
    calls = [node for node in ast.walk(parse(text)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    return [f"{path}:{call.lineno}: commit() below the edge" for call in calls if last_name(call.func) == "commit"]


def last_name(node: ast.AST | None) -> str:
    """`c` of `a.b.c` and of `c`."""
    return getattr(node, "attr", "") or getattr(node, "id", "")


def sql_words(path: str, text: str) -> list[str]:
    if path.startswith("app/store/"):
        return []
    complaints = []
    for node in ast.walk(parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL_TEXT.match(node.value):
            complaints.append(f"{path}:{node.lineno}: SQL outside the store")
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            taken = [f"{module} {name}".rstrip() for module, name in imported(node) if not may_import(module, name)]
            complaints += [f"{path}:{node.lineno}: {words} outside the store" for words in taken]
    return complaints


def imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """Module and name of each absolute import in a node."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, "") for alias in node.names)
    elif node.level == 0:
        yield from ((node.module or "", alias.name) for alias in node.names)


def may_import(module: str, name: str) -> bool:
    if module.partition(".")[0] not in {"sqlalchemy", "psycopg", "psycopg_pool"}:
        return True
    return module == "sqlalchemy.exc" or (module == "sqlalchemy.ext.asyncio" and name in PASSED_THROUGH)


def docstrings(path: str, text: str) -> list[str]:
    """Every module that is not empty, every public function and class at its top level."""
    module = parse(text)
    complaints = [f"{path}: the module does not say what lives here"] if module.body and not ast.get_docstring(module) else []
    for node in module.body:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and not node.name.startswith("_") and not ast.get_docstring(node):
            complaints.append(f"{path}:{node.lineno}: {node.name} does not say what it promises")
    return complaints


def hosts(path: str, text: str) -> list[str]:
    return [f"{path}: names the registry {match[0]}" for match in REGISTRY.finditer(text)]


def machine_paths(path: str, text: str) -> list[str]:
    return [f"{path}: names {match[0]}, a path of one machine" for match in MACHINE_PATH.finditer(text)]


def pins(path: str, text: str) -> list[str]:
    if Path(path).name in LOCKS_WITH_HOSTS:
        return [f"{path}: this kind of lock records hosts"]
    if path not in PINS:
        return []
    lines = [line for line in text.splitlines() if not PIN.fullmatch(line.removesuffix(" \\"))]
    return [f"{path}: '{line}' is neither a pin nor a hash" for line in lines]


def decision_size(path: str, text: str) -> list[str]:
    lines = len(text.splitlines())
    return [f"{path}: {lines} lines, 40 at most"] if path.startswith("docs/decisions/") and lines > 40 else []


# ---- The rules can go red

LONG_FUNCTION = 'def long():\n    """A promise."""\n' + "    x = 1\n" * 40
BROKEN: list[tuple[Rule, str, str]] = [
    (module_size, "app/a.py", "x = 1\n" * 351),
    (function_size, "app/a.py", LONG_FUNCTION),
    (
        function_size,
        "app/a.py",
        "class A:\n" + LONG_FUNCTION.replace("def", "async def").replace("\n", "\n  ").join(["  ", "pass"]),
    ),
    (names, "app/domain/utils.py", ""),
    (names, "app/core/monitor.py", ""),
    (broad_excepts, "app/a.py", "try:\n    pass\nexcept Exception:\n    pass"),
    (broad_excepts, "app/a.py", "try:\n    pass\nexcept (ValueError, BaseException) as e:\n    pass"),
    (broad_excepts, "app/a.py", "try:\n    pass\nexcept:\n    pass"),
    (broad_excepts, "app/a.py", "with contextlib.suppress(Exception):\n    pass"),
    (broad_excepts, "app/worker.py", "try:\n    pass\nexcept Exception:\n    pass\n" * 2),
    (commits, "app/store/monitors.py", "async def save(session):\n    await session.commit()"),
    (sql_words, "app/manage/actions.py", "from sqlalchemy import select"),
    (sql_words, "app/manage/actions.py", "import sqlalchemy as sa"),
    (sql_words, "app/manage/actions.py", "from sqlalchemy.ext.asyncio import create_async_engine"),
    (sql_words, "app/ingest/record.py", "QUERY = '''\n  SELECT 1'''"),
    (sql_words, "app/ingest/record.py", "def f():\n    import psycopg"),
    (docstrings, "app/domain/a.py", "x = 1"),
    (docstrings, "app/domain/a.py", '"""Here."""\ndef public(): ...'),
    (docstrings, "app/domain/a.py", '"""Here."""\nclass Public: ...'),
    (hosts, "README.md", "see https://pypi.org/project/missedbeat"),
    (machine_paths, "README.md", "cd /home/alice/missedbeat"),
    (machine_paths, "app/a.py", "DATA = '/home/somebody/data'"),
    (pins, "uv.lock", ""),
    (pins, "constraints.txt", "--index-url https://example.com/simple\nhttpx==0.28.1"),
    (pins, "constraints.txt", "httpx @ https://example.com/httpx.whl"),
    (pins, "constraints.txt", "httpx>=0.28"),
    (decision_size, "docs/decisions/0001-a.md", "line\n" * 41),
]
SOUND: list[tuple[Rule, str, str]] = [
    (module_size, "app/a.py", "x = 1\n" * 350),
    (function_size, "app/a.py", LONG_FUNCTION.replace("    x = 1\n", "", 1)),
    (names, "app/store/monitors.py", ""),
    (broad_excepts, "app/a.py", "try:\n    pass\nexcept ValueError:\n    pass"),
    (broad_excepts, "app/worker.py", "try:\n    pass\nexcept Exception:\n    pass"),
    (commits, "app/ingest/record.py", "async def save(session):\n    await session.commit()"),
    (sql_words, "app/store/monitors.py", "from sqlalchemy import select"),
    (sql_words, "app/sweeper/sweep.py", "from sqlalchemy.ext.asyncio import AsyncSession"),
    (sql_words, "app/manage/actions.py", "WORDS = 'Select a monitor and update it'"),
    (docstrings, "app/domain/a.py", '"""Here."""\ndef _private(): ...'),
    (hosts, "README.md", "pip install missedbeat"),
    (machine_paths, "README.md", "the folder ./data, /var/lib/postgresql, and/home/or; https://example.com/home/page"),
    (pins, "constraints.txt", "httpx==0.28.1\ncolorama==0.4.6 ; sys_platform == 'win32'"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BROKEN)
def test_every_rule_complains_about_a_sample_that_breaks_it(rule: Rule, path: str, text: str) -> None:
    """A rule that never goes red holds nothing."""
    assert rule(path, text)


@pytest.mark.parametrize(("rule", "path", "text"), SOUND)
def test_no_rule_complains_about_a_sample_that_keeps_it(rule: Rule, path: str, text: str) -> None:
    """A rule that complains about good code is soon switched off."""
    assert rule(path, text) == []


# ---- The house keeps them


def test_the_rules_look_at_the_files_of_the_house() -> None:
    """An empty list of files would keep every rule."""
    assert {"pyproject.toml", "app/errors.py", SELF} <= set(house())


@pytest.mark.parametrize("rule", [module_size, function_size])
def test_modules_and_functions_stay_small(rule: Rule) -> None:
    """What separates good houses from bad ones is not the average but the biggest file."""
    hold(rule, files("app", "sdk"))


def test_names_say_what_lives_there() -> None:
    """A room called after nothing attracts everything."""
    hold(names, files("app", "sdk", "tests", "scripts"))


def test_only_these_places_catch_everything() -> None:
    """Each of them has its reason in BROAD_EXCEPTS."""
    hold(broad_excepts, files("app", "sdk"))


def test_nobody_below_the_edge_commits() -> None:
    """One transaction per request or batch: whoever opened it ends it."""
    hold(commits, files("app"))


def test_sql_stands_in_the_store_only() -> None:
    """Everywhere else a session is passed through, and its errors may be caught."""
    hold(sql_words, files("app"))


def test_every_module_and_public_function_says_what_it_promises() -> None:
    """Docstrings in all of app/."""
    hold(docstrings, files("app"))


def test_no_committed_file_names_a_registry() -> None:
    """The project installs from whatever index its user has."""
    hold(hosts, texts())


def test_no_committed_file_names_a_path_of_one_machine() -> None:
    """What works here only does not belong in the repository."""
    hold(machine_paths, texts())


def test_decisions_are_short() -> None:
    """Forty lines are read; four hundred are not."""
    hold(decision_size, texts())


def test_pins_are_pins_and_nothing_else() -> None:
    """No host, no option, no range; and no kind of lock that records hosts."""
    hold(pins, texts())


def test_every_dependency_is_pinned_within_its_range() -> None:
    """pyproject.toml, constraints.txt and the image's lock cannot drift apart; `make lock` renews them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    constraints, image = pinned("constraints.txt"), pinned("requirements-container.txt")
    for line in [*project["dependencies"], *extras]:
        need = Requirement(line)
        if need.name != project["name"]:
            assert need.specifier.contains(constraints[need.name]), f"{line}: constraints.txt has {constraints[need.name]}"
    for line in project["dependencies"]:
        assert Requirement(line).name in image, f"{line} is missing in requirements-container.txt"
    assert image.items() <= constraints.items(), dict(image.items() - constraints.items())


def pinned(name: str) -> dict[str, str]:
    """Name and version of each pin of a file."""
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / name).read_text(encoding="utf-8"), re.M))


# ---- Settings and .env.example


def test_every_setting_stands_in_the_example_and_nothing_else() -> None:
    """Who reads .env.example knows every setting; a line there that nothing reads would be a lie."""
    compose = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
    assert set(variables()) - set(example()) == set(), "settings that .env.example does not show"
    assert set(example()) - set(variables()) - compose == set(), "lines of .env.example that nothing reads"


def test_the_example_shows_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every line taken as it stands, the settings are what they are without any."""
    for variable in variables():
        monkeypatch.delenv(variable, raising=False)
    plain = Settings(_env_file=None)
    for variable, field in variables().items():
        if field.default_factory is None:  # else the default depends on who asks
            monkeypatch.setenv(variable, example()[variable])
    assert Settings(_env_file=None) == plain


def example() -> dict[str, str]:
    """Variable and value of each line of .env.example, commented out or not."""
    return dict(re.findall(r"^#?([A-Z][A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(encoding="utf-8"), re.M))


def variables() -> dict[str, FieldInfo]:
    """Environment variable and field of each setting."""
    prefix = Settings.model_config["env_prefix"]
    return {str(field.validation_alias or prefix + name.upper()): field for name, field in Settings.model_fields.items()}
