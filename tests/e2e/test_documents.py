"""The commands in README.md and docs/local-stack.md work as printed: bash gets them as a reader pastes them.

Only the port differs, which is a free one, and two more things: `REPOSITORY`, which a reader sets, leads to an empty
repository, and `make run` skips the installation and starts the stack of this checkout.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
START_SECONDS: Final = 300
BLOCK_SECONDS: Final = 300
PORT: Final = "3000"
NEEDS_MORE: Final = ("sam deploy", "STACK=", "aws ", "docker ", "sam local", "dynamodb-local")
"""A block with one of these needs AWS, Docker or Java."""


def blocks(page: Path) -> list[str]:
    """Return the page's shell blocks, without the indentation of a list."""
    found = re.findall(r"^([ \t]*)```sh\n(.*?)^[ \t]*```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [re.sub(f"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def starts_a_stack(block: str) -> bool:
    return "make run" in block


class Terminals:
    """A reader's two terminals: one in which the stack runs, one for all other commands of a page."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])
        self.folder = folder
        self.environ = os.environ | self._stand_ins()

    def _stand_ins(self) -> Mapping[str, str]:
        origin, programs = self.folder / "origin", self.folder / "programs"
        identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.com"]
        subprocess.run(["git", "init", "--quiet", origin], check=True)
        commit = ["commit", "--quiet", "--allow-empty", "--message", "empty"]
        subprocess.run(["git", "-C", origin, *identity, *commit], check=True)
        programs.mkdir()
        make = programs / "make"
        python, root = shlex.quote(sys.executable), shlex.quote(str(ROOT))
        make.write_text(
            f'#!/bin/sh\ncd {root}\nif [ "$1" != run ]; then PATH=${{PATH#*:}} exec make "$@"; fi\n'
            f'shift\nexec env "$@" {python} -m local\n'
        )
        make.chmod(0o755)
        return {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PORT": self.port,
            "PYTHONUNBUFFERED": "1",
            "REPOSITORY": str(origin),
        }

    @contextmanager
    def stack(self, block: str) -> Iterator[None]:
        """Run a block that starts the stack until the stack is ready; stop it at the end."""
        running = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        said: list[str] = []
        ready = threading.Event()

        def read() -> None:
            assert running.stdout
            with running.stdout as lines:
                for line in lines:
                    said.append(line)
                    if line.startswith("Ctrl-C"):
                        ready.set()
            ready.set()

        reader = threading.Thread(target=read)
        reader.start()
        try:
            assert ready.wait(START_SECONDS), said
            assert running.poll() is None, said
            yield
        finally:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            reader.join()

    def paste(self, text: str) -> str:
        """Paste commands into one shell of the checkout; return what they print."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text.replace(f":{PORT}", f":{self.port}")],
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=BLOCK_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        assert '"success":false' not in done.stdout, f"{text}\n{done.stdout}"
        return done.stdout


def walk(page: Path, terminals: Terminals) -> str:
    """Run a page's blocks in their order; return what the commands beside the stack print."""
    printed = ""
    runnable = [block for block in blocks(page) if not any(word in block for word in NEEDS_MORE)]
    assert starts_a_stack(runnable[0])
    while runnable:
        first, *rest = runnable
        until = next((number for number, block in enumerate(rest) if starts_a_stack(block)), len(rest))
        with terminals.stack(first):
            printed += terminals.paste("\n".join(rest[:until]))
        runnable = rest[until:]
    return printed


@pytest.fixture
def terminals(tmp_path: Path) -> Terminals:
    return Terminals(tmp_path)


def test_the_readme_creates_a_session_keeps_it_and_renews_it_when_it_is_warned(terminals: Terminals) -> None:
    printed = walk(ROOT / "README.md", terminals)
    assert '"renewalCount":1' in printed
    assert '"events"' in printed
    assert '"renewalCount":2' in printed


def test_every_command_of_the_local_stacks_page_works(terminals: Terminals) -> None:
    walk(ROOT / "docs" / "local-stack.md", terminals)


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda page: page.name)
def test_a_block_can_be_pasted_as_it_is(page: Path) -> None:
    assert "```console" not in page.read_text("utf-8")
    for block in blocks(page):
        lines = block.strip().splitlines()
        assert not [line for line in lines if line.startswith("$ ")]
        assert "make run" not in "\n".join(lines[:-1]), "the stack keeps its terminal: nothing can follow in its block"
