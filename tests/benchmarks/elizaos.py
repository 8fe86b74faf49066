"""Processor time per request beside the real ElizaOS server on Node: whole processes, sockets and database included."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Final

from tests.benchmarks.emulator import emulated, stubbed_dynamodb
from tests.benchmarks.requests import ROUTES, events, of_session
from tests.benchmarks.section import Bars, Ratio, Section
from tests.benchmarks.trees import CACHE, OURS, PEERS, Tree
from tests.e2e.cloud import free_port
from tests.unit.world import BASE

REQUESTS: Final = 200  # the server lets a thousand through in fifteen minutes
START_SECONDS: Final = 60
SERVER: Final = "@elizaos/server 1.7.2 on Node"


def run(trees: Mapping[str, Tree]) -> Section:
    ours = measure_ours(trees[OURS])
    theirs = measure_elizaos(install())
    return Section(
        title="Beside the ElizaOS server",
        intro="Processor milliseconds per request of the whole process. Ours: the built function under Lambda's "
        "runtime client and emulator, with its call to DynamoDB (a stub on plain HTTP); API Gateway does the HTTP. "
        "Theirs: HTTP included, sessions in the server's own memory, though a create also makes a channel in its "
        "database. A get or a heartbeat there is a look into a map; ours is a signed call to a database, which "
        "outlives the process and serves many of them.",
        columns=("server", *(f"{route}, ms" for route in ROUTES)),
        rows=[
            (OURS, *(f"{ours[route]:.2f}" for route in ROUTES)),
            (SERVER, *(f"{theirs[route]:.2f}" for route in ROUTES)),
        ],
        ratios=(Ratio("processor time of a create / ElizaOS's", ours["create"] / theirs["create"], at_most=1.0),),
        charts=(
            Bars(
                "bench-elizaos.svg",
                "Processor time of a create",
                "milliseconds",
                {OURS: ours["create"], SERVER: theirs["create"]},
                "Bars: processor milliseconds of a create, ours and the ElizaOS server's",
                OURS,
            ),
        ),
    )


def install() -> Path:
    """The server's packages from npm, installed once; its install scripts are not needed and not run."""
    folder = CACHE / "elizaos"
    shutil.copytree(PEERS / "elizaos", folder, dirs_exist_ok=True)
    if not (folder / "node_modules" / ".package-lock.json").exists():
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=dev"]
        subprocess.run(command, cwd=folder, check=True)
    return folder


def measure_ours(tree: Tree) -> dict[str, float]:
    asked = events()
    with stubbed_dynamodb() as stub, emulated(tree, **stub) as environment:
        answer, _ = environment.invoke(asked["create"])
        session_id = json.loads(answer["body"])["sessionId"]
        found = {}
        for route in ROUTES:
            event = of_session(asked[route], session_id)
            for _ in range(20):
                environment.invoke(event)
            before = environment.cpu_seconds
            for _ in range(REQUESTS):
                environment.invoke(event)
            found[route] = (environment.cpu_seconds - before) / REQUESTS * 1000
    return found


def measure_elizaos(folder: Path) -> dict[str, float]:
    port = free_port()
    environment = os.environ | {"NODE_ENV": "production", "LOG_LEVEL": "error"}
    with TemporaryDirectory() as data:
        command: list[str | Path] = ["node", "serve.mjs", str(port), data]
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

    def used() -> int:
        asks.write("\n")
        asks.flush()
        return int(_line(answers, "CPU ").removeprefix("CPU "))

    session_id = json.loads(request("POST", BASE))["sessionId"]
    ways = {"create": ("POST", BASE), "get": ("GET", f"{BASE}/{session_id}")}
    ways["heartbeat"] = ("POST", f"{BASE}/{session_id}/heartbeat")
    found = {}
    for route, way in ways.items():
        for _ in range(20):
            request(*way)
        before = used()
        for _ in range(REQUESTS):
            request(*way)
        found[route] = (used() - before) / REQUESTS / 1000
    connection.close()
    return found


def _line(output: IO[str], beginning: str) -> str:
    """The next line with that beginning; others are the server's own."""
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up:
        line = output.readline()
        if line.startswith(beginning) or not line:
            return line.strip()
    raise RuntimeError("the server says nothing")
