"""What is installed, here and in Lambda: the locks agree with each other, and make says what it can do."""

import re
from importlib.metadata import requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "layers/dependencies/requirements.txt"
SHIPPED_LOCK = ROOT / "layers/dependencies/requirements.lock"
LOCKS = sorted([SHIPPED_LOCK, *ROOT.glob("requirements/*.lock")])
PIN = re.compile(r"^([a-z0-9-]+)==([^\s;]+)", re.MULTILINE)


def pins(path: Path) -> set[tuple[str, str]]:
    return set(PIN.findall(path.read_text()))


def test_every_package_that_ships_is_pinned_where_the_project_reads_its_dependencies() -> None:
    assert pins(SHIPPED) == pins(SHIPPED_LOCK)
    assert set(requires("agent-sessions") or ()) == {f"{name}=={version}" for name, version in pins(SHIPPED)}


@pytest.mark.parametrize("environment", ["run", "dev"])
def test_the_tests_run_with_the_versions_that_ship(environment: str) -> None:
    assert pins(SHIPPED) <= pins(ROOT / f"requirements/{environment}.lock")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name if lock != SHIPPED_LOCK else "shipped")
def test_every_requirement_of_a_lock_has_its_hash_and_no_lock_names_a_server(lock: Path) -> None:
    text = lock.read_text()
    requirements = re.split(r"^(?=\S)", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
    assert [each.split()[0] for each in requirements if each.strip() and "--hash=sha256:" not in each] == []
    assert re.findall(r"https?://|--(?:extra-)?index-url|--find-links", text) == []


def test_every_exception_from_the_lint_rules_says_why() -> None:
    rules = re.findall(r'^ {4}"[A-Z]+[0-9]*",.*$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert rules
    assert [rule for rule in rules if not re.search(r"# .{8}", rule)] == []
