"""The commands in the documents work as printed: bash gets them as a reader pastes them.

Only the ports differ, which are free ones, and three more things. `REPOSITORY`, which a reader sets, leads to a
repository of links to this checkout. What `make` has installed here counts as up to date. And pip has no network: the
packages that the Python client needs come from this environment.
"""

import importlib.metadata
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import threading
import time
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement

from tests.e2e.hook import hook
from tests.e2e.serving import BASE, free_port
from tests.unit.world import AGENT, USER

ROOT: Final = Path(__file__).resolve().parents[2]
SECONDS: Final = 300
PORT: Final = "3000"
NEEDS_MORE: Final = {
    "sam deploy": "an AWS account",
    "STACK=": "an AWS account",
    "aws ": "an AWS account, or the AWS CLI and Docker",
    "docker ": "Docker",
    "sam local": "Docker",
    ":3001": "the API of `sam local`",
    "make build": "Python 3.13; tests/e2e/test_build.py runs it",
    "make test": "all tests",
    "dynamodb-local": "Java",
}
"""A block or command with one of these does not run here, for this reason."""
FOLDERS: Final = (".", "docs", "clients", "examples", "local", "tests")
PAGES: Final = sorted(
    {path for folder in FOLDERS for path in (ROOT / folder).glob("*.md" if folder == "." else "**/*.md")}
)
LOCAL_STACK: Final = ROOT / "docs" / "local-stack.md"
CLIENT: Final = ROOT / "clients" / "python" / "pyproject.toml"


def fenced(page: Path) -> list[tuple[str, str]]:
    """Return the page's blocks with their languages, without the indentation of a list."""
    found = re.findall(r"^([ \t]*)```(\w[\w-]*)\n(.*?)^[ \t]*```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [(language, re.sub(f"^{indent}", "", text, flags=re.MULTILINE)) for indent, language, text in found]


def runnable(page: Path) -> list[str]:
    """Return what of a page can be pasted here: shell blocks, and Python that talks to the local stack."""
    pasted = [
        block if language == "sh" else f".venv-client/bin/python - <<'END'\n{block}END\n"
        for language, block in fenced(page)
        if language == "sh" or (language == "python" and f"127.0.0.1:{PORT}" in block)
    ]
    return [block for block in pasted if not any(word in block for word in NEEDS_MORE)]


def commands(page: Path, beginning: str) -> list[str]:
    """Return the commands in a page's sentences that begin so and can run here."""
    spans = re.findall(r"`([^`\n]+)`", page.read_text("utf-8"))
    found = [span for span in spans if span.startswith(beginning)]
    return [command for command in found if not any(word in command for word in NEEDS_MORE)]


def starts_a_stack(block: str) -> bool:
    return "make run" in block or "examples.agent" in block


def pack(requirements: list[str], into: Path) -> None:
    """Pack installed packages into wheels again, with all that they require."""
    for requirement in map(Requirement, requirements):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        installed = importlib.metadata.distribution(requirement.name)
        wheel = into / f"{installed.name.replace('-', '_')}-{installed.version}-py3-none-any.whl"
        if not wheel.exists():
            with zipfile.ZipFile(wheel, "w") as archive:
                for file in installed.files or ():
                    if ".." not in file.parts and file.suffix != ".pyc":
                        archive.write(str(file.locate()), str(file))
            pack(installed.requires or [], into)


class Terminals:
    """A reader's two terminals: one in which a server runs, one for all other commands of a page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkout = folder / "agent-sessions"
        self.ports = {port: str(free_port()) for port in (PORT, "8080", "9000")}
        self.environ = os.environ | self._stand_ins()

    def _stand_ins(self) -> Mapping[str, str]:
        origin, programs, wheels = (self.folder / name for name in ("origin", "programs", "wheels"))
        for made in (origin, programs, wheels):
            made.mkdir()
        for path in ROOT.iterdir():
            if path.name == ".venv" or not path.name.startswith((".", "dist")):
                (origin / path.name).symlink_to(path)
        identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.com"]
        for git in (["init", "--quiet"], ["add", "--force", "."], [*identity, "commit", "--quiet", "--message", "all"]):
            subprocess.run(["git", "-C", origin, *git], check=True)
        make = programs / "make"
        make.write_text('#!/bin/sh\nPATH=${PATH#*:} exec make --old-file=.venv/.run --old-file=.venv/.dev "$@"\n')
        make.chmod(0o755)
        pack(tomllib.loads(CLIENT.read_text("utf-8"))["project"]["dependencies"], wheels)
        return {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PIP_FIND_LINKS": str(wheels),
            "PIP_NO_INDEX": "1",
            "PORT": self.ports[PORT],
            "PYTHONUNBUFFERED": "1",
            "REPOSITORY": str(origin),
        }

    def with_free_ports(self, text: str) -> str:
        """Return the commands with the ports of this test in the place of the printed ones."""
        return re.sub(rf"\b({'|'.join(self.ports)})\b", lambda port: self.ports[port[0]], text)

    def place_of(self, block: str) -> Path:
        """Return where a block is pasted: in the checkout, unless it makes that."""
        if "git clone" in block:
            return self.folder
        if not self.checkout.exists():
            subprocess.run(["git", "clone", "--quiet", self.folder / "origin", self.checkout], check=True)
        return self.checkout

    @contextmanager
    def server(self, block: str, ready: str = "Ctrl-C") -> Iterator[None]:
        """Run a block that keeps its terminal, from the line that says that it is ready; stop it at the end."""
        running = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", self.with_free_ports(block)],
            cwd=self.place_of(block),
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        said: list[str] = []
        is_ready = threading.Event()

        def read() -> None:
            assert running.stdout
            with running.stdout as lines:
                for line in lines:
                    said.append(line)
                    if line.startswith(ready):
                        is_ready.set()
            is_ready.set()

        reader = threading.Thread(target=read)
        reader.start()
        try:
            assert is_ready.wait(SECONDS), said
            assert running.poll() is None, said
            yield
        finally:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            reader.join()

    def paste(self, text: str) -> str:
        """Paste commands into one shell of the checkout; return what they print."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.with_free_ports(text)],
            cwd=self.place_of(text),
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        assert '"success":false' not in done.stdout, f"{text}\n{done.stdout}"
        return done.stdout

    def call(self, path: str, body: Any) -> Any:
        """Post to the stack that runs; return its answer."""
        connection = HTTPConnection("127.0.0.1", int(self.ports[PORT]), timeout=SECONDS)
        try:
            connection.request("POST", BASE + path, json.dumps(body), {"content-type": "application/json"})
            return json.load(connection.getresponse())
        finally:
            connection.close()

    def ask(self, question: str) -> Any:
        """Begin a session and say something in it, as a user who waits for the answer."""
        session_id = self.call("", {"agentId": AGENT, "userId": USER})["sessionId"]
        return self.call(f"/{session_id}/messages", {"content": question, "transport": "http"})


def walk(page: Path, terminals: Terminals) -> str:
    """Run a page's blocks in their order, beside `make run`; return what the commands beside the stack print."""
    printed = ""
    pasted = runnable(page)
    if not starts_a_stack(pasted[0]):
        pasted.insert(0, "make run")
    while pasted:
        first, *rest = pasted
        until = next((number for number, block in enumerate(rest) if starts_a_stack(block)), len(rest))
        with terminals.server(first):
            printed += terminals.paste("\n".join(rest[:until]))
        pasted = rest[until:]
    return printed


@pytest.fixture
def terminals(tmp_path: Path) -> Terminals:
    return Terminals(tmp_path)


def test_the_readme_creates_a_session_renews_it_when_it_is_warned_and_talks_from_python(terminals: Terminals) -> None:
    printed = walk(ROOT / "README.md", terminals)
    assert '"renewalCount":1' in printed
    assert '"events"' in printed
    assert '"renewalCount":2' in printed
    assert "You said: Where is my parcel?" in printed


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "README.md" and runnable(page)], ids=lambda page: page.name
)
def test_every_command_of_a_page_works(page: Path, terminals: Terminals) -> None:
    walk(page, terminals)


def test_pages_with_commands_for_the_local_stack_are_among_those_that_are_walked() -> None:
    names = {page.name for page in PAGES if runnable(page)}
    assert {"client.md", "events.md", "local-stack.md", "README.md", "security.md"} <= names


@pytest.mark.parametrize(
    "command", [each for each in commands(LOCAL_STACK, "make run ") if "9000" not in each], ids=lambda each: each
)
def test_the_stack_starts_with_an_option_as_it_is_printed(command: str, terminals: Terminals) -> None:
    with terminals.server(command):
        assert terminals.ask("Anybody there?")["message"]["content"] == "Anybody there?"


def test_the_agent_on_the_page_answers_with_the_last_word(terminals: Terminals) -> None:
    [agent] = [block for language, block in fenced(LOCAL_STACK) if language == "python"]
    [command] = commands(LOCAL_STACK, "make run AGENT=")
    # The agent prints nothing, so a line before it says that it runs.
    with terminals.server(f"echo started; exec .venv/bin/python - <<'END'\n{agent}END\n", ready="started"):
        wait_for(terminals.ports["9000"])
        with terminals.server(command):
            assert terminals.ask("Where is my parcel")["agentResponse"]["text"] == "parcel"


def wait_for(port: str) -> None:
    """Wait until somebody listens."""
    give_up, pause = time.monotonic() + SECONDS, threading.Event()
    while time.monotonic() < give_up:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(port))) == 0:
                return
        pause.wait(0.05)
    raise AssertionError(f"nobody listens at port {port}")


def test_a_subscriber_gets_its_confirmation_and_with_the_filter_what_the_filter_lets_through(
    terminals: Terminals,
) -> None:
    [command] = commands(LOCAL_STACK, "make run FORWARD_TO=")
    [only_users] = commands(LOCAL_STACK, "FORWARD_FILTER=")
    with hook() as found:
        terminals.ports["9000"] = found.url.rpartition(":")[2].partition("/")[0]
        with terminals.server(f"{command} {only_users}"):
            confirmation = found.next().json
            assert confirmation["Type"] == "SubscriptionConfirmation"
            urllib.request.urlopen(confirmation["SubscribeURL"]).close()  # noqa: S310 - the local stack's
            for question in ("one", "two"):  # the echo agent answers each
                assert terminals.ask(question)["agentResponse"]
                event = json.loads(found.next().json["Message"])
                assert event["data"]["message"]["role"] == "user"


def test_other_programs_of_the_local_stacks_page_run_beside_it(terminals: Terminals) -> None:
    [demo] = commands(LOCAL_STACK, ".venv/bin/python -m local.demo")
    [web_server] = commands(LOCAL_STACK, "python3 -m http.server")
    [demo_on_its_own] = commands(ROOT / "README.md", "make demo")
    with terminals.server("make run"):
        assert "session.expired" in terminals.paste(demo)
    assert "session.expired" in terminals.paste(demo_on_its_own)
    with terminals.server(web_server, ready="Serving HTTP"):
        assert "<title>" in terminals.paste("curl -s http://127.0.0.1:8080/")


def test_contributors_find_their_targets_in_the_help_and_run_one_file_of_tests(terminals: Terminals) -> None:
    page = ROOT / "CONTRIBUTING.md"
    [(_, set_up)] = fenced(page)
    listed = terminals.paste("make help")
    for target in re.findall(r"^make (\S+)", set_up, re.MULTILINE):
        assert f"  make {target} " in listed
    [one_file] = commands(page, ".venv/bin/python -m pytest")
    assert " passed in " in terminals.paste(one_file)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_block_can_be_pasted_as_it_is(page: Path) -> None:
    blocks = fenced(page)
    assert {language for language, _ in blocks} <= {"sh", "python", "json", "yaml", "toml", "text"}
    for _, block in (each for each in blocks if each[0] == "sh"):
        lines = block.strip().splitlines()
        # A comment begins with a capital letter, so a command behind "# " is a root's prompt.
        assert not [line for line in lines if re.match(r"[$>%] |# [a-z./]", line)]
        assert not starts_a_stack("\n".join(lines[:-1])), (
            "the stack keeps its terminal: nothing can follow in its block"
        )
        shlex.split(block, comments=True)
