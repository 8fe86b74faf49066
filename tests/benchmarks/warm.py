"""Warm requests: the processor's work per create, get and heartbeat, with DynamoDB answering from below botocore."""

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from tests.benchmarks.requests import ROUTES, events
from tests.benchmarks.section import Bars, Ratio, Section
from tests.benchmarks.trees import COUNTED, FASTAPI, FLOOR, OURS, PYTHON, ROOT, USUAL_COMPILED, Tree

STACKS: Final = (USUAL_COMPILED, FASTAPI, OURS, FLOOR)
REQUESTS: Final = 40
PROBE: Final = ROOT / "tests" / "benchmarks" / "probe.py"


def run(trees: Mapping[str, Tree]) -> Section:
    with TemporaryDirectory() as scratch:
        requests = Path(scratch) / "events.json"
        requests.write_text(json.dumps(events()))
        counts = {name: instructions(trees[name], requests) for name in STACKS}
        without = instructions(trees[OURS], requests, "without-sdk")
        times = {name: milliseconds(trees[name], requests) for name in STACKS}
    usual, ours = counts[USUAL_COMPILED], counts[OURS]
    own = ", ".join(f"{route} {without[route]:.2f} Mi ({without[route] / ours[route]:.0%})" for route in ROUTES)
    return Section(
        title="Warm requests",
        intro="Millions of processor instructions (Mi) per request, and processor time, once everything is loaded. "
        "DynamoDB is a stub below botocore: signing, serialising and parsing count, sockets and TLS do not.",
        columns=("stack", *(f"{route}, Mi" for route in ROUTES), *(f"{route}, ms" for route in ROUTES)),
        rows=[
            (
                name.replace(", precompiled", ""),
                *(f"{counts[name][route]:.2f} ({counts[name][route] / usual[route]:.2f})" for route in ROUTES),
                *(f"{times[name][route]:.2f}" for route in ROUTES),
            )
            for name in STACKS
        ],
        ratios=(
            Ratio("warm create / usual style", ours["create"] / usual["create"], at_most=0.52, aim="0.45"),
            Ratio("warm get / usual style", ours["get"] / usual["get"], at_most=0.52),
            Ratio("warm heartbeat / usual style", ours["heartbeat"] / usual["heartbeat"], at_most=0.52),
        ),
        charts=(
            Bars(
                "bench-warm.svg",
                "Warm create",
                "millions of instructions",
                {name.replace(", precompiled", ""): counts[name]["create"] for name in STACKS},
                "Bars: instructions of a warm create by stack",
                OURS,
            ),
        ),
        notes=(f"The service's own share, with the SDK's calls answered at once: {own}.",),
    )


def instructions(tree: Tree, requests: Path, *options: str) -> dict[str, float]:
    """Millions of instructions per request: a run with some of the route's, less a run without any."""
    base = _count(tree, requests, [0, 0, 0], *options)
    return {
        route: (_count(tree, requests, [REQUESTS * (route == other) for other in ROUTES], *options) - base)
        / REQUESTS
        / 1e6
        for route in ROUTES
    }


def milliseconds(tree: Tree, requests: Path) -> dict[str, float]:
    """Processor time per request, the median of batches."""
    output = _probe(tree, requests, [REQUESTS] * len(ROUTES), "time").stdout
    return {route: median(times) / 1e6 for route, times in json.loads(output.splitlines()[-1]).items()}


def _count(tree: Tree, requests: Path, counts: list[int], *options: str) -> int:
    (found,) = re.findall(r"I\s+refs:\s+([0-9,]+)", _probe(tree, requests, counts, *options, under=COUNTED).stderr)
    return int(found.replace(",", ""))


def _probe(
    tree: Tree, requests: Path, counts: list[int], *options: str, under: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [*under, PYTHON, "-S", PROBE, requests, *map(str, counts), *options]
    environment = tree.environment(AWS_LAMBDA_RUNTIME_API="none")  # as on Lambda: build before the first request
    return subprocess.run(command, env=environment, cwd=tree.task, capture_output=True, text=True, check=True)
