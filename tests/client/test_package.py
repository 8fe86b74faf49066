"""The wheel: small, typed, quick to import, and free of what its users did not ask for."""

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Final

import pytest

from tests.client.conftest import FOLDER, unpacked_wheel
from tools.build_client import CLIENT, ROOT, build

TREE: Final = unpacked_wheel()
[WHEEL] = TREE.glob("*.whl")


def python(*arguments: str) -> str:
    """Run Python with the wheel and the packages of this environment; a warning is an error."""
    command = [sys.executable, "-W", "error", *arguments]
    done = subprocess.run(command, env={"PYTHONPATH": str(TREE)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_is_small_and_has_its_types() -> None:
    assert WHEEL.stat().st_size < 100_000
    names = zipfile.ZipFile(WHEEL).namelist()
    assert "agent_sessions_client/py.typed" in names
    sources = {path.relative_to(CLIENT / "src").as_posix() for path in (CLIENT / "src").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources


def test_the_sdist_has_all_that_the_wheel_is_made_of(tmp_path: Path) -> None:
    _, sdist = build(tmp_path)
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {path.relative_to(CLIENT).as_posix() for path in CLIENT.rglob("*.py")} <= names
    assert {"pyproject.toml", "README.md", "LICENSE", "src/agent_sessions_client/py.typed"} <= names


def test_an_import_loads_no_http_no_event_loop_and_no_framework(record_property: Any) -> None:
    script = """
import resource, sys
loaded, before = set(sys.modules), resource.getrusage(resource.RUSAGE_SELF)
import agent_sessions_client
after = resource.getrusage(resource.RUSAGE_SELF)
spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
import json
print(json.dumps([spent, sorted(set(sys.modules) - loaded)]))
"""
    runs = [json.loads(python("-c", script)) for _ in range(5)]
    modules = set(runs[0][1])
    assert not {"httpx", "asyncio", "ssl", "cryptography", "boto3", "agents", "google"} & modules
    assert len(modules) <= 110
    least = min(spent for spent, _ in runs)
    record_property(
        "measured", f"import agent_sessions_client: {least * 1000:.0f} ms of a processor, the least of five"
    )


def test_the_package_needs_no_python_newer_than_it_promises_and_users_get_types(tmp_path: Path) -> None:
    """mypy, strict and for Python 3.10, finds the deliberate mistakes of a user and no others."""
    program = tmp_path / "user.py"
    program.write_text((Path(__file__).parent / "typed_user.txt").read_text("utf-8"))
    kept = ["--cache-dir", str(FOLDER / "mypy")]
    command = [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.10", *kept, str(program)]
    environ = {"MYPYPATH": str(TREE)}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    expected = [number for number, line in enumerate(program.read_text().splitlines(), 1) if "# wrong" in line]
    found = [int(number) for number in re.findall(r"^user\.py:(\d+): error", done.stdout, re.MULTILINE)]
    assert expected
    assert found == expected, done.stdout


@pytest.mark.parametrize("page", [ROOT / "README.md", CLIENT / "README.md"])
def test_the_readme_shows_the_client_in_few_lines(page: Path) -> None:
    [example] = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    assert "agent_sessions_client" in example
    assert len(example.splitlines()) <= 15
    compile(example, str(page), "exec")
