"""The sweep: sessions warned a second beside a loop and beside the same calls on threads; memory under a backlog."""

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
ONE_BY_ONE: Final = {"loop": 320, "threads": 1_600}
"""How many each of the other ways is given, so that it takes about as long."""
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
    ours, loop, threads = (speeds[way] for way in ("ours", "loop", "threads"))
    few_mb, many_mb = memory(USUAL_BACKLOG), memory(LARGEST_BACKLOG)
    return Section(
        title="Sweep",
        intro=f"One process warns sessions; each call takes {LATENCY_MS} ms in a stub below botocore, so that signing, "
        f"serialising and parsing count. The best of {ROUNDS} alternating rounds. The loop makes the same reads and "
        "decisions, then a `Publish` and an `UpdateItem` for each session, with clients tuned alike; the threads make "
        "the same calls as the loop, a thread for each of eight shards. More sessions a second are better, less "
        "processor time is.",
        columns=("way", "sessions a second", "processor, ms a session"),
        rows=[
            (name, f"{speed.a_second:,.0f}", f"{speed.processor_ms:.2f}")
            for name, speed in (
                ("pages, batches, 8 threads (deployed)", ours),
                ("the loop's calls on 8 threads", threads),
                ("a loop", loop),
            )
        ],
        ratios=(
            Ratio("sweep: sessions a second / 8 threads", ours.a_second / threads.a_second, at_least=2),
            Ratio("sweep: processor time / 8 threads", ours.processor_ms / threads.processor_ms, at_most=0.5),
            Ratio("sweep: sessions a second / a loop", ours.a_second / loop.a_second, at_least=18),
            Ratio(
                f"sweep: peak memory with {LARGEST_BACKLOG:,} due / {USUAL_BACKLOG:,}", many_mb / few_mb, at_most=1.2
            ),
        ),
        charts=(
            Bars(
                "bench-sweep.svg",
                "Sessions warned by one process (more is better)",
                "sessions a second",
                {"deployed": ours.a_second, "8 threads": threads.a_second, "a loop": loop.a_second},
                "Bars: sessions warned a second by the deployed sweep, by threads and by a loop",
                "deployed",
            ),
        ),
        notes=(f"Peak memory: {few_mb:.0f} MB with {USUAL_BACKLOG:,} due, {many_mb:.0f} MB with {LARGEST_BACKLOG:,}.",),
    )


def throughput() -> dict[str, Speed]:
    """The best of some rounds for each way, taken in turns: what else the machine does hits both."""
    given = {"ours": BACKLOG, **ONE_BY_ONE}
    found: dict[str, list[Speed]] = {way: [] for way in given}
    for _ in range(ROUNDS):
        for way, sessions in given.items():
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
