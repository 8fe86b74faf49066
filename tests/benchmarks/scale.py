"""What a sweep and the frequent requests consume in tables of up to a million sessions, on DynamoDB Local."""

import os
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Final
from unittest import mock

from tests.benchmarks.section import Lines, Ratio, Section
from tests.benchmarks.sweep import ACCOUNT, POWERTOOLS
from tests.integration.sweep_costs import DUE, LISTED, TO_EXPIRE, TO_REARM, TO_WARN, Cost, measure, units

SIZES: Final = (10_000, 100_000, 1_000_000)
REQUESTS: Final = ("create", "get", "heartbeat", "list")


def run() -> Section:
    with mock.patch.dict(os.environ, POWERTOOLS | ACCOUNT), redirect_stdout(StringIO()):
        costs = [measure(size, scan=size == SIZES[0]) for size in SIZES]
    return Section(
        title="Scale",
        intro=f"A sweep with {DUE:,} sessions due ({TO_WARN} to warn, {TO_REARM} to re-arm, {TO_EXPIRE} expired), an "
        f"idle sweep, and the frequent requests, in tables of {SIZES[0]:,} to {SIZES[-1]:,} live sessions on DynamoDB "
        "Local, in capacity units as the engine reports them (an empty query is free there; DynamoDB asks half a unit "
        f"for it). A list is one tenant's newest {LISTED} sessions, of all in the table. A Scan is what a sweep "
        "without an index would do each minute; the engine needs hours for the larger ones, which are estimated by the "
        "page from the smallest.",
        columns=(
            "sessions in the table",
            "sweep: calls",
            "units",
            "units a due session",
            "idle sweep: calls, units",
            *(f"{name}: units" for name in REQUESTS),
            "Scan: calls, units",
        ),
        rows=[_row(cost, costs[0]) for cost in costs],
        ratios=(
            _spread("units a due session", [cost.units for cost in costs]),
            _spread("calls of a sweep", [cost.calls for cost in costs]),
            *(_spread(f"units of a {name}", [units(cost.requests[name]) for cost in costs]) for name in REQUESTS),
        ),
        charts=(
            Lines(
                "bench-scale.svg",
                f"A sweep with {DUE:,} sessions due",
                "live sessions in the table",
                "capacity units",
                _lines(costs),
                f"Lines: a sweep's units stay level from {SIZES[0]:,} to {SIZES[-1]:,} sessions, a Scan's grow with "
                "the table",
                "deployed",
            ),
        ),
    )


def _spread(name: str, values: Sequence[float]) -> Ratio:
    return Ratio(f"scale: {name}, most / fewest, {SIZES[0]:,} to {SIZES[-1]:,}", max(values) / min(values), at_most=1.1)


def _row(cost: Cost, smallest: Cost) -> Sequence[str]:
    calls, consumed = _scan(cost.sessions, smallest)
    return (
        f"{cost.sessions:,}",
        f"{cost.calls}",
        f"{cost.units:,.0f}",
        f"{cost.units / DUE:.3f}",
        f"{len(cost.idle.calls)}, {units(cost.idle):g}",
        *(f"{units(cost.requests[name]):g}" for name in REQUESTS),
        f"{calls:,.0f}, {consumed:,.0f}" + (" (estimated)" if cost.scan is None else ""),
    )


def _lines(costs: Sequence[Cost]) -> Mapping[str, Sequence[tuple[float, float]]]:
    scan = f"a Scan, before any mark, estimated from {SIZES[0]:,}"
    return {
        "deployed": [(cost.sessions, cost.units) for cost in costs],
        "deployed, nothing due": [(cost.sessions, units(cost.idle)) for cost in costs],
        scan: [(cost.sessions, _scan(cost.sessions, costs[0])[1]) for cost in costs],
    }


def _scan(sessions: int, smallest: Cost) -> tuple[float, float]:
    """Calls and units of a Scan, which costs what there is to read."""
    assert smallest.scan is not None
    times = sessions / smallest.sessions
    return times * len(smallest.scan.calls), times * units(smallest.scan)
