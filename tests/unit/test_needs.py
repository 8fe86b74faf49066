"""The programs that tests start: this machine's where they suit, installed ones otherwise, one report of all."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import NEEDED
from tools import needs
from tools.needs import NEEDS, CannotInstallError, main

JAVA = "echo java.specification.version = {} >&2"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "checkout" / ".cache"
    monkeypatch.setattr(needs, "ROOT", cache.parent)
    monkeypatch.setattr(needs, "CACHE", cache)
    monkeypatch.setattr(needs, "STARTERS", cache / "bin")
    monkeypatch.setattr(needs, "LACKING", cache / "lacking.txt")
    monkeypatch.setattr(needs.Chromium, "applications", ())
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path / "nowhere"))
    monkeypatch.delenv("CI", raising=False)
    cache.mkdir(parents=True)
    return cache


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Puts a program of this name onto a PATH that has nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(name: str, script: str) -> Path:
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return program

    return put


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what gets installed, none of which can be."""
    names: list[str] = []

    def install(need: needs.Need) -> None:
        names.append(need.name)
        raise CannotInstallError("no network")

    for need in NEEDS.values():
        monkeypatch.setattr(type(need), "install", install)
    return names


def starters(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "bin").glob("*"))


def test_what_the_machine_has_is_used_and_nothing_is_installed(
    cache: Path, machine: Callable[[str, str], Path], installed: list[str]
) -> None:
    machine("java", JAVA.format(21))
    machine("node", "echo v22.1.0")
    machine("npm", "echo 10.0.0")
    machine("chromium", "echo Chromium 140.0.7339.80")
    machine("python3.13", "echo 3.13.7")
    assert main([*NEEDS]) == 0
    assert (installed, starters(cache)) == ([], [])


def test_a_program_of_another_name_is_started_by_the_name_that_tests_use(
    cache: Path, machine: Callable[[str, str], Path], installed: list[str]
) -> None:
    machine("chromium-browser", "echo install the snap; exit 1")
    chrome = machine("google-chrome", "echo Google Chrome 140.0.7339.80")
    assert main(["chromium"]) == 0
    assert (installed, starters(cache)) == ([], ["chromium"])
    assert needs.ask(str(cache / "bin" / "chromium")) == needs.ask(str(chrome))


@pytest.mark.parametrize(
    "name,script",
    [
        ("java", JAVA.format(11)),
        ("node", "echo v18.20.1"),
        ("chromium", "echo Chromium 140.0.7339.80; exit 1"),
        ("python3.13", "echo not found in this version manager >&2; exit 127"),
    ],
)
def test_a_program_that_does_not_suit_is_as_good_as_none(
    name: str, script: str, cache: Path, machine: Callable[[str, str], Path], installed: list[str]
) -> None:
    machine("npm", "echo 10.0.0")
    machine(name, script)
    assert main([name]) == 1
    assert installed == [name]


def test_node_without_npm_is_as_good_as_none(
    cache: Path, machine: Callable[[str, str], Path], installed: list[str]
) -> None:
    machine("node", "echo v22.1.0")
    assert main(["node"]) == 1
    assert installed == ["node"]


def test_all_are_reported_before_the_first_is_installed_and_the_missing_ones_are_written_for_the_tests(
    cache: Path, machine: Callable[[str, str], Path], installed: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    machine("java", JAVA.format(21))
    assert main(["--tests", *NEEDS]) == 0
    printed, reported = capfd.readouterr()
    first = reported.index("installing")
    assert all(name in reported[:first] for name in NEEDS)
    assert printed.split() == ["java"]
    assert (cache / "lacking.txt").read_text() == "node: no network\nchromium: no network\npython3.13: no network\n"
    machine("chromium", "echo Chromium 140.0.7339.80")
    assert main(["chromium"]) == 0
    assert (cache / "lacking.txt").read_text() == "node: no network\npython3.13: no network\n"


def test_where_ci_is_set_a_missing_program_is_an_error(
    cache: Path, machine: Callable[[str, str], Path], installed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("java", JAVA.format(21))
    monkeypatch.setenv("CI", "true")
    assert main(["--tests", "java"]) == 0
    assert main(["--tests", "java", "node"]) == 1


def test_an_installed_program_is_installed_anew_when_its_pin_changes(
    cache: Path, machine: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    java = machine("java-of-a-package", JAVA.format(25))

    def install(need: needs.Java) -> None:
        made.append(need.pin)
        needs.start(need.name, [str(java)], pin=need.pin)

    monkeypatch.setattr(needs.Java, "install", install)
    for pin in ("one", "one", "other"):
        monkeypatch.setattr(needs.Java, "pin", pin)
        assert main(["java"]) == 0
    assert made == ["one", "other"]


def test_this_machines_program_replaces_an_installed_one(
    cache: Path, machine: Callable[[str, str], Path], installed: list[str]
) -> None:
    needs.start("java", [str(machine("java-of-a-package", JAVA.format(25)))], pin=needs.Java.pin)
    assert main(["java"]) == 0
    assert starters(cache) == ["java"]
    machine("java", JAVA.format(21))
    assert main(["java"]) == 0
    assert starters(cache) == []


def test_a_package_that_does_not_start_here_is_no_program(
    cache: Path, machine: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = machine("java-of-a-package", "exit 1")
    monkeypatch.setattr(needs.Java, "install", lambda need: needs.start(need.name, [str(broken)], pin=need.pin))
    assert main(["--tests", "java"]) == 0
    assert "does not start" in (cache / "lacking.txt").read_text()


ROOT: Final = Path(__file__).resolve().parents[2]
STARTS: Final = {
    "java": r'store="dynamodb-local"',
    "node": r'store="dynamodb-local"|which\("node"\)|\btab: ',
    "chromium": r"\btab: ",
    "python3.13": r'"\.venv-(sam|ministack)"',
}
"""What stands in a test, or in a module of tests that it imports, where a program is started."""


def read(file: Path) -> str:
    """A file of tests, with the other files of tests, and the cloud's, that it imports from."""
    text = file.read_text("utf-8")
    imported = re.findall(r"^from (tests\.[\w.]*(?:test_\w+|cloud)) import", text, re.MULTILINE)
    return "\n".join(
        [text, *(ROOT.joinpath(*name.split(".")).with_suffix(".py").read_text("utf-8") for name in imported)]
    )


@pytest.mark.parametrize("program", NEEDS)
def test_a_test_is_left_out_exactly_where_it_starts_a_program_that_cannot_be_had(program: str) -> None:
    files = [file for folder in ("client", "e2e") for file in (ROOT / "tests" / folder).glob("test_*.py")]
    starting = {str(file.relative_to(ROOT)) for file in files if re.search(STARTS[program], read(file))}
    assert starting == set(NEEDED[program]) - {"tests/integration"}
    assert ("tests/integration" in NEEDED[program]) == (program in {"java", "node"})
