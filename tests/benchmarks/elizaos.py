"""Processor time per request beside the real ElizaOS server, on Node and on bun: whole processes, sockets included."""

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import IO, Final

from tests.benchmarks.emulator import emulated, stubbed_dynamodb
from tests.benchmarks.requests import ROUTES, events, of_session
from tests.benchmarks.section import Bars, Ratio, Section
from tests.benchmarks.trees import CACHE, OURS, PEERS, Tree
from tests.e2e.serving import free_port
from tests.unit.world import BASE

BATCHES, BATCH, FIRST = 5, 50, 30
"""Of requests a route: the server lets a thousand through in fifteen minutes."""
START_SECONDS: Final = 180
SERVER: Final = "@elizaos/server 1.7.2"
ON_NODE: Final = f"{SERVER} on Node"
ON_BUN: Final = f"{SERVER} on bun"


def run(trees: Mapping[str, Tree]) -> Section:
    folder = install()
    bun = find_bun(folder)
    found = {OURS: measure_ours(trees[OURS]), ON_NODE: measure_elizaos(folder, "node")}
    notes = [f"bun is the {_version(bun)} of npm."] if bun else ["bun could not be had from npm on this machine."]
    if bun:
        found[ON_BUN] = measure_elizaos(folder, bun)
    node = found[ON_NODE]
    return Section(
        title="Beside the ElizaOS server",
        intro="Processor milliseconds per request of the whole process, the median of "
        f"{BATCHES} batches; in brackets ours divided by theirs. Less is better. Ours: the built function under "
        "Lambda's runtime client and emulator, with its call to DynamoDB (a stub on plain HTTP); API Gateway does the "
        "HTTP. Theirs: HTTP included, sessions in the server's own memory, though a create also makes a channel in its "
        "database. A get or a heartbeat there is a look into a map; ours is a signed call to a database, which "
        "outlives the process and serves many of them.",
        columns=("server", *(f"{route}, ms" for route in ROUTES)),
        rows=[
            (name, *(f"{spent[route]:.2f} ({found[OURS][route] / spent[route]:.2f})" for route in ROUTES))
            for name, spent in found.items()
        ],
        ratios=tuple(
            Ratio(f"processor time of a {route} / ElizaOS's on Node", found[OURS][route] / node[route], at_most=1.0)
            for route in ROUTES
        ),
        charts=(
            Bars(
                "bench-elizaos.svg",
                "Processor time of a create (less is better)",
                "milliseconds",
                {name: spent["create"] for name, spent in found.items()},
                "Bars: processor milliseconds of a create, ours and the ElizaOS server's",
                OURS,
            ),
        ),
        notes=notes,
        headline={
            name: {route: found[OURS][route] / spent[route] for route in ROUTES}
            for name, spent in found.items()
            if name != OURS
        },
    )


def install() -> Path:
    """The server's packages and bun from npm, installed once; install scripts are not needed and not run."""
    package = (PEERS / "elizaos" / "package.json").read_bytes()
    folder = CACHE / f"elizaos-{hashlib.sha256(package).hexdigest()[:12]}"
    shutil.copytree(PEERS / "elizaos", folder, dirs_exist_ok=True)
    if not (folder / "node_modules" / ".package-lock.json").exists():
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=dev"]
        subprocess.run(command, cwd=folder, check=True)
    return folder


def find_bun(folder: Path) -> str | None:
    """The bun that runs here, of those that npm brought: packages differ by processor and C library."""
    programs = sorted((folder / "node_modules" / "@oven").glob("bun-*/bin/bun"))
    return next((str(program) for program in programs if _version(program)), None)


def _version(program: str | Path) -> str:
    try:
        return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _milliseconds(ask: Callable[[], object], used_seconds: Callable[[], float]) -> float:
    """Processor time of one request, once the program has met some of them."""
    for _ in range(FIRST):
        ask()
    spent = []
    for _ in range(BATCHES):
        before = used_seconds()
        for _ in range(BATCH):
            ask()
        spent.append((used_seconds() - before) / BATCH * 1000)
    return median(spent)


def measure_ours(tree: Tree) -> dict[str, float]:
    asked = events()
    with stubbed_dynamodb() as stub, emulated(tree, **stub) as running:
        answer, _ = running.invoke(asked["create"])
        session_id = json.loads(answer["body"])["sessionId"]
        found = {}
        for route in ROUTES:
            event = of_session(asked[route], session_id)
            found[route] = _milliseconds(partial(running.invoke, event), lambda: running.cpu_seconds)
        return found


def measure_elizaos(folder: Path, program: str) -> dict[str, float]:
    port = free_port()
    environment = os.environ | {"NODE_ENV": "production", "LOG_LEVEL": "error"}
    with TemporaryDirectory() as data:
        command: list[str | Path] = [program, "serve.mjs", str(port), data]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, cwd=folder, env=environment, stdin=pipe, stdout=pipe, text=True) as server:
            assert server.stdin
            assert server.stdout
            try:
                _line(server.stdout, "READY")
                return _measure(port, server.stdin, server.stdout)
            finally:
                server.terminate()


def _measure(port: int, asks: IO[str], answers: IO[str]) -> dict[str, float]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    body = events()["create"]["body"].encode()

    def request(method: str, path: str) -> bytes:
        content = body if path == BASE else None
        connection.request(method, path, content, {"content-type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {answer[:500]!r}")
        return answer

    def used_seconds() -> float:
        asks.write("\n")
        asks.flush()
        return int(_line(answers, "CPU ").removeprefix("CPU ")) / 1e6

    session_id = json.loads(request("POST", BASE))["sessionId"]
    ways = {"create": ("POST", BASE), "get": ("GET", f"{BASE}/{session_id}")}
    ways["heartbeat"] = ("POST", f"{BASE}/{session_id}/heartbeat")
    found = {route: _milliseconds(partial(request, *way), used_seconds) for route, way in ways.items()}
    connection.close()
    return found


def _line(output: IO[str], beginning: str) -> str:
    """The next line with that beginning; others are the server's own."""
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up:
        line = output.readline()
        if line.startswith(beginning) or not line:
            return line.strip()
    raise RuntimeError("the server printed nothing in time")
