"""Put each seeded fault into a copy of the repository, and see whether the unit tests catch it.

    python -m tests.faults                    all faults, two at a time
    python -m tests.faults --only leases      those whose file or snippet contains the text
    python -m tests.faults --sound-first      and before it the unit tests without any fault

Prints a line a fault and the figures at the end. Exits with 1 if a fault was not caught or its snippet not found.
A fault is caught when the tests fail, hang or cannot be collected; so without any fault they must pass. Every fault
meets the likeliest tests first, and the whole of tests/unit when those find nothing.
"""

import argparse
import os
import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import pytest

from tests.faults.seeded import FAULTS, Fault

ROOT = Path(__file__).parents[2]
PACKAGE = "layers/domain/agent_sessions"
LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", ".cache", ".aws-sam", ".hypothesis", ".*_cache", "__pycache__")
OPTIONS = ["-x", "-q", "--timeout=120", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
SLOW_TO_IMPORT = (
    "hypothesis",
    "boto3",
    "pydantic",
    "aws_lambda_powertools",
    "samtranslator.translator.transform",
    "schemathesis.pytest",
)


class Copy:
    """A copy of the repository, in which one fault at a time is made and undone."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.verdict = place.with_suffix(".verdict")
        shutil.copytree(ROOT, place, ignore=LEFT_OUT)
        (place / ".venv").symlink_to(ROOT / ".venv")

    def write(self, file: str, text: str) -> None:
        """Write a file and drop its bytecode: Python takes bytecode of the same second and size for current."""
        path = self.place / PACKAGE / file
        path.write_text(text)
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
            compiled.unlink()

    def run(self, tests: list[str]) -> str | None:
        """Run tests in a process of their own up to the first failure; return its name, or None when all pass."""
        output = self.place.with_suffix(".out")
        process = os.fork()
        if process == 0:
            self._become_pytest(output, tests)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if code == 0:
            return None
        printed = output.read_text()
        failed = [line for line in printed.splitlines() if line.startswith(("FAILED tests/", "ERROR tests/"))]
        return failed[0].split(" - ")[0] if failed else f"(exit {code}) {printed[-300:]}"

    def _become_pytest(self, output: Path, tests: list[str]) -> None:
        """Run pytest on the copy in this process, which has the slow imports behind it, and end the process."""
        os.chdir(self.place)
        package = str(self.place / "layers/domain")
        sys.path = [package, *(path for path in sys.path if Path(path) != ROOT)]
        for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
            del sys.modules[name]
        # CI: hypothesis tries the same examples each time, so that two runs can be compared.
        os.environ |= {"PYTHONPATH": package, "CI": "1"}
        with output.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os._exit(pytest.main([*OPTIONS, *tests]))


def caught_by(copy: Copy, fault: Fault, *, everything: bool) -> str | None:
    """Make the fault, run the likeliest tests or all of them, and undo it."""
    sound = (copy.place / PACKAGE / fault.file).read_text()
    copy.write(fault.file, sound.replace(fault.old, fault.new))
    try:
        likeliest = [f"tests/unit/test_{name}.py" for name in fault.first.split()]
        there = [name for name in likeliest if (copy.place / name).exists()]
        return copy.run(["tests/unit"] if everything or not there else there)
    finally:
        copy.write(fault.file, sound)


def occurrences(fault: Fault) -> int:
    """Count how often the snippet stands in its file; 0 where the file is gone."""
    path = ROOT / PACKAGE / fault.file
    return path.read_text().count(fault.old) if path.exists() else 0


def uncaught(copies: list[Copy], faults: list[Fault], *, everything: bool) -> list[Fault]:
    """Try each fault, one in each copy at a time; print a line for each that is caught and return the others."""
    free, waiting = list(copies), list(faults)
    left: list[Fault] = []
    running: dict[int, tuple[Copy, Fault]] = {}
    while waiting or running:
        while free and waiting:
            copy, fault = free.pop(), waiting.pop(0)
            copy.verdict.unlink(missing_ok=True)
            process = os.fork()
            if process == 0:
                copy.verdict.write_text(caught_by(copy, fault, everything=everything) or "")
                os._exit(0)
            running[process] = copy, fault
        copy, fault = running.pop(os.wait()[0])
        free.append(copy)
        test = copy.verdict.read_text()
        if test:
            say(f"caught      {fault}  {test}")
        else:
            left.append(fault)
    return left


def say(line: str) -> None:
    """Print a line at once, as a run takes minutes."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the faults that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Seed faults, and see them caught.")
    parser.add_argument("--only", default="", help="a text in the file's name or in the snippet")
    parser.add_argument("--jobs", type=int, default=2, help="faults that are tried at a time")
    parser.add_argument("--sound-first", action="store_true", help="run the unit tests without any fault before")
    options = parser.parse_args()

    asked = [fault for fault in FAULTS if options.only in fault.file or options.only in fault.old]
    usable = [fault for fault in asked if occurrences(fault) == 1]
    for fault in asked:
        if fault not in usable:
            say(f"NOT FOUND   {fault}: the snippet stands there {occurrences(fault)} times, not once")
    for name in SLOW_TO_IMPORT:
        import_module(name)
    with tempfile.TemporaryDirectory() as scratch:
        copies = [Copy(Path(scratch) / f"copy{number}") for number in range(options.jobs)]
        broken = copies[0].run(["tests/unit"]) if options.sound_first else None
        if broken:
            say(f"without any fault: {broken}")
            return 1
        left = uncaught(copies, usable, everything=False)
        left = uncaught(copies, left, everything=True)
    for fault in left:
        say(f"NOT CAUGHT  {fault}")
    say(f"{len(usable) - len(left)} of {len(asked)} faults caught, {len(asked) - len(usable)} not found")
    return 0 if not left and usable == asked else 1


if __name__ == "__main__":
    sys.exit(main())
