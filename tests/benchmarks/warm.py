"""Warm requests: the processor's work per create, get, heartbeat and append, below the socket and with sockets."""

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from tests.benchmarks.emulator import stubbed_dynamodb
from tests.benchmarks.requests import APPEND, ROUTES, events
from tests.benchmarks.section import Bars, Ratio, Section
from tests.benchmarks.trees import COUNTED, FASTAPI, FLOOR, OURS, PYTHON, ROOT, USUAL_COMPILED, Tree

STACKS: Final = (USUAL_COMPILED, FASTAPI, OURS, FLOOR)
APPENDING: Final = (USUAL_COMPILED, FASTAPI, OURS)
"""The stacks that take messages too: the floor has the three requests that its point is made with."""
REQUESTS: Final = 40
PROBE: Final = ROOT / "tests" / "benchmarks" / "probe.py"
Counts = dict[str, float]


def run(trees: Mapping[str, Tree]) -> Section:
    with TemporaryDirectory() as scratch, stubbed_dynamodb() as stub:
        requests = Path(scratch) / "events.json"
        requests.write_text(json.dumps(events()))
        counts = {name: instructions(trees[name], requests, routes(name)) for name in STACKS}
        wired = {name: instructions(trees[name], requests, routes(name), "sockets", **stub) for name in STACKS}
        times = {name: milliseconds(trees[name], requests, routes(name)) for name in STACKS}
        without = instructions(trees[OURS], requests, routes(OURS), "without-client")
    ours = counts[OURS]
    own = ", ".join(f"{route} {without[route]:.2f} Mi ({without[route] / ours[route]:.0%})" for route in without)
    every = routes(OURS)
    peers = {name: wired[name] for name in STACKS if name not in {OURS, FLOOR}}
    return Section(
        title="Warm requests",
        intro="Millions of processor instructions (Mi) per request once everything is loaded; in brackets ours divided "
        "by theirs. Less is better. Below the socket DynamoDB is a stub in place of HTTP: signing, serialising and "
        "parsing count. With sockets it is a server on plain HTTP: what the stack sends and reads counts, the "
        "server does not. All stacks are precompiled. An append is two writes, the session's number and the message; "
        "agent-sessions answers it with the message twice more, in the forms that the ElizaOS client reads.",
        columns=("stack", *(f"{route}, Mi" for route in every)),
        rows=[
            *((_short(name), *_cells(ours, counts[name], every)) for name in STACKS),
            *((f"{_short(name)}, with sockets", *_cells(wired[OURS], wired[name], every)) for name in STACKS),
        ],
        ratios=(
            *(
                Ratio(f"warm {route} / usual style, below the socket", ours[route] / theirs[route], at_most=bound)
                for theirs in (counts[USUAL_COMPILED],)
                for route, bound in {"create": 0.20, "get": 0.16, "heartbeat": 0.18, APPEND: 0.25}.items()
            ),
            Ratio("warm append / our own heartbeat", ours[APPEND] / ours["heartbeat"], at_most=1.8),
            Ratio(
                "warm create / usual style, with sockets",
                wired[OURS]["create"] / wired[USUAL_COMPILED]["create"],
                at_most=0.27,
            ),
        ),
        charts=(
            Bars(
                "bench-warm.svg",
                "Warm create, with sockets (less is better)",
                "millions of instructions",
                {_short(name): wired[name]["create"] for name in STACKS},
                "Bars: instructions of a warm create by stack",
                OURS,
            ),
        ),
        notes=(
            f"The service's own share below the socket, with the client of DynamoDB answering at once: {own}.",
            "Processor milliseconds below the socket, which depend on the machine: "
            + "; ".join(f"{_short(name)} {_listed(times[name])}" for name in STACKS)
            + ".",
        ),
        headline={
            name: {route: wired[OURS][route] / spent for route, spent in theirs.items()}
            for name, theirs in peers.items()
        },
    )


def routes(stack: str) -> tuple[str, ...]:
    """What a stack is asked."""
    return (*ROUTES, APPEND) if stack in APPENDING else ROUTES


def _short(stack: str) -> str:
    return stack.replace(", precompiled", "")


def _cells(ours: Counts, theirs: Counts, every: tuple[str, ...]) -> list[str]:
    return [f"{theirs[route]:.2f} ({ours[route] / theirs[route]:.2f})" if route in theirs else "" for route in every]


def _listed(times: Counts) -> str:
    return ", ".join(f"{route} {spent:.2f}" for route, spent in times.items())


def instructions(
    tree: Tree, requests: Path, asked: tuple[str, ...], *options: str, **environment: str
) -> dict[str, float]:
    """Millions of instructions per request: a run with some of the route's, less a run without any."""
    base = _count(tree, requests, dict.fromkeys(asked, 0), *options, **environment)
    return {
        route: (
            _count(tree, requests, {other: REQUESTS * (route == other) for other in asked}, *options, **environment)
            - base
        )
        / REQUESTS
        / 1e6
        for route in asked
    }


def milliseconds(tree: Tree, requests: Path, asked: tuple[str, ...]) -> dict[str, float]:
    """Processor time per request, the median of batches."""
    output = _probe(tree, requests, dict.fromkeys(asked, REQUESTS), "time").stdout
    return {route: median(times) / 1e6 for route, times in json.loads(output.splitlines()[-1]).items()}


def _count(tree: Tree, requests: Path, counts: dict[str, int], *options: str, **environment: str) -> int:
    done = _probe(tree, requests, counts, *options, under=COUNTED, **environment)
    (found,) = re.findall(r"I\s+refs:\s+([0-9,]+)", done.stderr)
    return int(found.replace(",", ""))


def _probe(
    tree: Tree,
    requests: Path,
    counts: dict[str, int],
    *options: str,
    under: tuple[str, ...] = (),
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [*under, PYTHON, "-S", PROBE, requests, json.dumps(counts), *options]
    # As on Lambda: build before the first request.
    settings = tree.environment(AWS_LAMBDA_RUNTIME_API="none", **environment)
    done = subprocess.run(command, env=settings, cwd=tree.task, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{tree.name}: {done.stderr[-2000:]}")
    return done
