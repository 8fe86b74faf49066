"""Who may import whom, who may know AWS, and through which one door time, chance and the environment enter."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.unit.world import ROOT

PACKAGE = ROOT / "layers" / "domain" / "agent_sessions"
RULES = {
    "clock",
    "due",
    "errors",
    "events",
    "formats",
    "gauge",
    "health",
    "ids",
    "key_settings",
    "keys",
    "leases",
    "listing",
    "metrics",
    "model",
    "schedule",
    "sessions",
    "settings",
    "sweep",
    "telemetry_port",
}
"""Python and pydantic, nothing else."""
ADAPTERS = {
    "aws",
    "due_store",
    "invoker",
    "items",
    "key_store",
    "listing_store",
    "publisher",
    "records",
    "store",
    "telemetry",
}
"""What knows AWS or Powertools: looks inwards to the rules, never to HTTP."""
API = {"api", "api.authorizer", "api.http", "api.json_body", "api.list_query", "api.requests", "api.responses"}
"""What knows HTTP: looks inwards to the rules, never to AWS."""
ROOT_OF_COMPOSITION = {"bootstrap"}
LAYERS = {"rules": RULES, "adapters": ADAPTERS, "api": API, "composition": ROOT_OF_COMPOSITION}
MAY_IMPORT = {
    "rules": RULES,
    "adapters": RULES | ADAPTERS,
    "api": RULES | API,
    "composition": RULES | ADAPTERS | API,
}
AWS = {"boto3", "botocore", "aws_lambda_powertools", "s3transfer"}
HTTP = {"http", "urllib", "urllib3", "requests", "httpx", "starlette", "socket"}
THIRD_PARTIES = {
    "rules": {"pydantic"},
    "adapters": AWS | {"types_boto3_dynamodb", "types_boto3_lambda", "types_boto3_sns"},
    "api": {"pydantic", "pydantic_core"},
    "composition": {"botocore", "aws_lambda_powertools"},
}


@dataclass(frozen=True)
class Module:
    """One source file, parsed."""

    name: str
    path: Path
    tree: ast.Module

    @property
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
        return names & {name for layer in LAYERS.values() for name in layer}

    def reads(self) -> Iterator[str]:
        """Every dotted name that the file uses, such as `time.time`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute):
                yield ast.unparse(node)
            elif isinstance(node, ast.ImportFrom):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def modules() -> dict[str, Module]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__") or "__init__"
        found[name] = Module(name, path, ast.parse(path.read_text("utf-8")))
    return found


def layer_of(name: str) -> str:
    return next(layer for layer, names in LAYERS.items() if name in names)


NAMES = [name for name in modules() if name != "__init__"]


def test_every_module_has_its_place() -> None:
    assert set(NAMES) == {name for layer in LAYERS.values() for name in layer}


@pytest.mark.parametrize("name", NAMES)
def test_dependencies_point_inwards(name: str) -> None:
    assert modules()[name].ours <= MAY_IMPORT[layer_of(name)]


@pytest.mark.parametrize("name", sorted(RULES))
def test_the_rules_know_neither_aws_nor_http(name: str) -> None:
    module = modules()[name]
    assert not module.packages & (AWS | HTTP)
    assert not {imported for imported in module.imported if imported.startswith("agent_sessions.api")}


@pytest.mark.parametrize("name", NAMES)
def test_third_parties_stay_where_they_belong(name: str) -> None:
    import sys  # noqa: PLC0415

    foreign = modules()[name].packages - sys.stdlib_module_names - {"agent_sessions"}
    assert foreign <= THIRD_PARTIES[layer_of(name)]


@pytest.mark.parametrize("name", NAMES)
def test_only_the_composition_root_reads_the_environment(name: str) -> None:
    reads = set(modules()[name].reads())
    assert (name == "bootstrap") == bool(reads & {"os.environ", "os.getenv", "os.environb"})


@pytest.mark.parametrize("name", NAMES)
def test_only_the_clock_reads_the_time_or_sleeps(name: str) -> None:
    module = modules()[name]
    assert ("time" in module.packages) == (name == "clock")
    calls = {read.rpartition(".")[2] for read in module.reads() if "datetime" in read or "date" in read}
    assert not calls & {"now", "utcnow", "today"}


@pytest.mark.parametrize("name", NAMES)
def test_only_ids_keys_and_records_draw_at_random_and_from_the_operating_system(name: str) -> None:
    module = modules()[name]
    assert not module.packages & {"uuid", "secrets"}
    assert ("random" in module.packages) <= (name == "bootstrap")
    assert ("os.urandom" in set(module.reads())) <= (name in {"ids", "keys", "records"})


@pytest.mark.parametrize("name", NAMES)
def test_only_telemetry_logs_and_nobody_prints(name: str) -> None:
    module = modules()[name]
    assert "logging" not in module.packages
    assert ("aws_lambda_powertools" in module.packages) <= (name in {"telemetry", "bootstrap"})
    assert not [node for node in ast.walk(module.tree) if isinstance(node, ast.Name) and node.id == "print"]


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", sources("functions"), ids=lambda path: path.parent.name)
def test_a_function_imports_the_composition_root_and_nothing_else_of_ours(path: Path) -> None:
    module = Module(path.parent.name, path, ast.parse(path.read_text("utf-8")))
    assert module.packages <= {"agent_sessions", "typing"}
    assert module.ours == {"bootstrap"}


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
