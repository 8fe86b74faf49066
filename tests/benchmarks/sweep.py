"""The sweep: sessions warned a second beside one call after another, and memory under a backlog."""

import json
import os
import subprocess
import sys
from typing import Final, NamedTuple

from tests.benchmarks.section import Bars, Ratio, Section
from tests.benchmarks.trees import ROOT

LATENCY_MS: Final = 5
ROUNDS: Final = 3
BACKLOG: Final = 8_000
ONE_BY_ONE: Final = 320
USUAL_BACKLOG: Final = 16_000
"""Twenty pages in each of eight shards: every thread is busy for long enough to reach its peak."""
LARGEST_BACKLOG: Final = 200_000
POWERTOOLS: Final = {
    "POWERTOOLS_SERVICE_NAME": "bench",
    "POWERTOOLS_METRICS_NAMESPACE": "Bench",
    "POWERTOOLS_LOG_LEVEL": "ERROR",
}
ACCOUNT: Final = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "eu-west-1"}


class Speed(NamedTuple):
    """Sessions a second, and milliseconds of processor a session."""

    a_second: float
    processor_ms: float


def run() -> Section:
    speeds = throughput()
    ours, usual = speeds["ours"], speeds["one-by-one"]
    few_mb, many_mb = memory(USUAL_BACKLOG), memory(LARGEST_BACKLOG)
    return Section(
        title="Sweep",
        intro=f"One process warns sessions; each call takes {LATENCY_MS} ms in a stub below botocore, so that signing, "
        f"serialising and parsing count. The best of {ROUNDS} alternating rounds. One after another means: the same "
        "reads and decisions, then a `Publish` and an `UpdateItem` for each session, with clients tuned alike.",
        columns=("way", "sessions a second", "processor, ms a session"),
        rows=[
            ("pages, batches, 8 threads (deployed)", f"{ours.a_second:,.0f}", f"{ours.processor_ms:.2f}"),
            ("one after another", f"{usual.a_second:,.0f}", f"{usual.processor_ms:.2f}"),
        ],
        ratios=(
            Ratio("sweep: sessions a second / one after another", ours.a_second / usual.a_second, at_least=18),
            Ratio(
                f"sweep: peak memory with {LARGEST_BACKLOG:,} due / {USUAL_BACKLOG:,}", many_mb / few_mb, at_most=1.2
            ),
        ),
        charts=(
            Bars(
                "bench-sweep.svg",
                "Sessions warned by one process",
                "sessions a second",
                {"deployed": ours.a_second, "one after another": usual.a_second},
                "Bars: sessions warned a second by the deployed sweep and one after another",
                "deployed",
            ),
        ),
        notes=(f"Peak memory: {few_mb:.0f} MB with {USUAL_BACKLOG:,} due, {many_mb:.0f} MB with {LARGEST_BACKLOG:,}.",),
    )


def throughput() -> dict[str, Speed]:
    """The best of some rounds for each way, taken in turns: what else the machine does hits both."""
    found: dict[str, list[Speed]] = {"ours": [], "one-by-one": []}
    for _ in range(ROUNDS):
        for way, sessions in (("ours", BACKLOG), ("one-by-one", ONE_BY_ONE)):
            measured = _probe(way, sessions, LATENCY_MS)
            found[way].append(
                Speed(sessions / measured["seconds"], 1000 * measured["cpu_seconds"] / sessions),
            )
    return {way: max(speeds) for way, speeds in found.items()}


def memory(sessions: int) -> float:
    """Megabytes that the process has at most, with so many sessions due in one run."""
    return _probe("memory", sessions, 0)["peak_mb"]


def _probe(way: str, sessions: int, latency_ms: float) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.sweep_probe", way, str(sessions), str(latency_ms)],
        cwd=ROOT,
        env={**os.environ, **POWERTOOLS, **ACCOUNT},
        check=True,
        capture_output=True,
        text=True,
    )
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured
