"""Who may import whom, who may know AWS, and through which one door time, chance and the environment enter."""

import ast
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

from tests.unit.world import ROOT

PACKAGE = ROOT / "layers" / "domain" / "agent_sessions"
ROOMS = (
    "errors", "clock", "telemetry", "aws_clients", "sessions", "settings", "policies", "wire_format", "messages",
    "events", "erasure", "lists", "sweep", "keys", "api", "bootstrap",
)  # fmt: skip
"""What stands in the package, in the order of its imports: a room imports itself and the rooms before it."""
KNOWS_AWS = re.compile(r"(dynamo|sns|sqs|lambda)_\w+|aws_clients|powertools|bootstrap")
"""The names of the files and rooms that may import AWS's packages: all others are Python and pydantic."""
AWS = {"boto3", "botocore", "aws_lambda_powertools", "s3transfer"}
HTTP = {"http", "urllib", "urllib3", "requests", "httpx", "starlette", "socket"}
TYPES = {"types_boto3_dynamodb", "types_boto3_lambda", "types_boto3_sns", "types_boto3_sqs"}
ALLOWED_HTTP = {
    "api.edge": {"urllib"},
    "aws_clients.lean_access": {"urllib"},
    "aws_clients.tuning": {"urllib"},
    "aws_clients.lean_http": {"http", "socket"},
}
PYDANTIC = {"pydantic", "pydantic_core"}


@dataclass(frozen=True)
class Module:
    """One source file, parsed."""

    name: str
    path: Path
    tree: ast.Module

    @cached_property
    def imported(self) -> set[str]:
        """Every module and every name that is imported anywhere in the file, in full: `a.b` and `a.b.c`."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name} imports by a relative path"
                found.add(str(node.module))
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
        return found

    @property
    def packages(self) -> set[str]:
        """The topmost names of what is imported."""
        return {name.partition(".")[0] for name in self.imported}

    @property
    def ours(self) -> set[str]:
        """The modules of our package that are imported."""
        names = {name.removeprefix("agent_sessions.") for name in self.imported if name.startswith("agent_sessions.")}
        return names & set(modules())

    @property
    def room(self) -> str:
        """The file or folder of the package's top in which it stands."""
        return self.name.partition(".")[0]

    @cached_property
    def reads(self) -> list[str]:
        """Every dotted name that the file uses, such as `time.time`."""
        found: list[str] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute):
                found.append(ast.unparse(node))
            elif isinstance(node, ast.ImportFrom):
                found += [f"{node.module}.{alias.name}" for alias in node.names]
        return found


@cache
def modules() -> dict[str, Module]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__") or "__init__"
        found[name] = Module(name, path, ast.parse(path.read_text("utf-8")))
    return found


NAMES = [name for name in modules() if name != "__init__"]


def test_the_top_of_the_package_reads_like_a_table_of_contents() -> None:
    there = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("__")} - {"py"}
    assert there == set(ROOMS)


@pytest.mark.parametrize("name", NAMES)
def test_no_import_runs_against_the_order_of_the_rooms(name: str) -> None:
    module = modules()[name]
    before = set(ROOMS[: ROOMS.index(module.room) + 1])
    assert {imported.partition(".")[0] for imported in module.ours} <= before


@pytest.mark.parametrize("name", NAMES)
def test_only_files_that_carry_the_service_in_their_name_know_aws(name: str) -> None:
    knows = any(KNOWS_AWS.fullmatch(part) for part in name.split("."))
    assert bool(modules()[name].packages & (AWS | TYPES)) <= knows


@pytest.mark.parametrize("name", NAMES)
def test_no_file_is_longer_than_a_sitting(name: str) -> None:
    assert len(modules()[name].path.read_text("utf-8").splitlines()) <= 350


@pytest.mark.parametrize("name", NAMES)
def test_third_parties_are_aws_and_pydantic_and_http_is_left_to_the_gateway(name: str) -> None:
    import sys  # noqa: PLC0415

    foreign = modules()[name].packages - sys.stdlib_module_names - {"agent_sessions"}
    assert foreign <= AWS | TYPES | PYDANTIC
    assert not modules()[name].packages & (HTTP - ALLOWED_HTTP.get(name, set()))


@pytest.mark.parametrize("name", NAMES)
def test_only_the_composition_root_reads_the_environment(name: str) -> None:
    reads = set(modules()[name].reads)
    assert (name == "bootstrap.wiring") == bool(reads & {"os.environ", "os.getenv", "os.environb"})


@pytest.mark.parametrize("name", NAMES)
def test_only_the_clock_reads_the_time_or_sleeps(name: str) -> None:
    module = modules()[name]
    assert ("time" in module.packages) == (name == "clock")
    calls = {read.rpartition(".")[2] for read in module.reads if "datetime" in read or "date" in read}
    assert not calls & {"now", "utcnow", "today"}


@pytest.mark.parametrize("name", NAMES)
def test_only_ids_keys_and_the_cursors_secret_draw_at_random_and_from_the_operating_system(name: str) -> None:
    module = modules()[name]
    assert not module.packages & {"uuid", "secrets"}
    assert ("random" in module.packages) <= (modules()[name].room == "bootstrap")
    assert ("os.urandom" in set(module.reads)) <= (name in {"sessions.ids", "keys.service", "lists.dynamo_secret"})


@pytest.mark.parametrize("name", NAMES)
def test_only_telemetry_logs_and_nobody_prints(name: str) -> None:
    module = modules()[name]
    assert "logging" not in module.packages
    assert ("aws_lambda_powertools" in module.packages) <= (name in {"telemetry.powertools", "bootstrap.wiring"})
    assert not [node for node in ast.walk(module.tree) if isinstance(node, ast.Name) and node.id == "print"]


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", sources("functions"), ids=lambda path: path.parent.name)
def test_a_function_imports_the_composition_root_and_nothing_else_of_ours(path: Path) -> None:
    module = Module(path.parent.name, path, ast.parse(path.read_text("utf-8")))
    assert module.packages <= {"agent_sessions", "typing"}
    assert {modules()[name].room for name in module.ours} == {"bootstrap"}


@pytest.mark.parametrize("path", sources("functions"), ids=lambda path: path.parent.name)
def test_a_function_is_a_folder_with_one_short_file(path: Path) -> None:
    assert path.name == "app.py"
    assert not (path.parent / "__init__.py").exists()
    assert len(path.read_text("utf-8").splitlines()) <= 40


@pytest.mark.parametrize(
    "path", [*sources("layers"), *sources("functions")], ids=lambda path: str(path.relative_to(ROOT))
)
def test_nothing_that_ships_imports_what_does_not(path: Path) -> None:
    module = Module(path.stem, path, ast.parse(path.read_text("utf-8")))
    assert not module.packages & {"local", "tests", "functions", "docs", "moto", "pytest", "starlette", "uvicorn"}


def test_only_tests_and_the_local_stack_import_a_function() -> None:
    importers = {
        path.relative_to(ROOT).parts[0]
        for folder in ("layers", "functions", "local", "docs", "tests")
        for path in sources(folder)
        if "functions" in Module(path.stem, path, ast.parse(path.read_text("utf-8"))).packages
    }
    assert importers <= {"local", "tests"}
