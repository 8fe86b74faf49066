"""What is installed, here and in Lambda: the locks agree with each other, and make says what it can do."""

import re
import shutil
import subprocess
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


def test_make_builds_anew_for_another_processor_and_only_then(tmp_path: Path) -> None:
    sam = tmp_path / ".venv-sam/bin/sam"
    lock, python = tmp_path / "requirements/sam.lock", tmp_path / ".venv/bin/python"
    for path in (sam, lock, python, tmp_path / "template.yaml", tmp_path / ".venv-sam/.installed"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    sam.write_text(
        "#!/bin/sh\necho for $ARCHITECTURE >> built; mkdir -p .aws-sam/build; touch .aws-sam/build/template.yaml\n"
    )
    sam.chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    make = shutil.which("make")
    assert make
    for processor in ("", "", "arm64", "arm64", "x86_64", ""):
        command = [make, "--silent", "build", f"ARCHITECTURE={processor}"]
        subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    assert (tmp_path / "built").read_text().splitlines() == ["for", "for arm64", "for x86_64", "for"]
