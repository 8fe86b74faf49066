"""A month's bill of this design by component, and what finding the due sessions costs in it and in the alternatives."""

from collections.abc import Callable
from typing import Final, NamedTuple

from agent_sessions.sweep.calls import PUBLISH_BATCH

from tools.cost.prices import (
    ALARM,
    API_CALL,
    DASHBOARD,
    DATA_OUT,
    LAMBDA_CALL,
    LAMBDA_TIME,
    LOGS,
    METRIC,
    PUBLISH,
    READ_UNIT,
    RECOVERY,
    SCHEDULE,
    STORAGE,
    WRITE_UNIT,
)
from tools.cost.workload import (
    ANNOUNCE_UNITS,
    CALL_SECONDS,
    CREATE_UNITS,
    DUE_ENTRY_BYTES,
    DUE_SHARDS,
    DUE_UNITS_OF_CREATE,
    GAUGE_INTERVAL,
    IDLE_RUN_SECONDS,
    LOG_BYTES,
    MEMORY_GB,
    MIB,
    MONTH,
    MOST_SHARDS,
    MOVED_ENTRY_UNITS,
    PAGE_SECONDS,
    PARTITION_READS,
    PARTITION_WRITES,
    REARM_UNITS,
    RESPONSE_BYTES,
    SWEEP_INTERVAL,
    SWEEP_RATE,
    UNLIST_UNITS,
    USUAL,
    WARN_UNITS,
    Workload,
    load,
    meetings,
    plan,
    query_units,
    runs_filled,
    shards_filled,
)

METRICS: Final = 14
ALARM_METRICS: Final = 20
MINUTES: Final = MONTH / SWEEP_INTERVAL
SCHEDULER_CALL_SECONDS: Final = 0.025
"""For one call to EventBridge Scheduler, within a function."""
SCHEDULER_QUOTA: Final = 1_000
"""Invocations a second, unless more is asked for."""
NEW_TABLE_PARTITIONS: Final = 4


def components(live: int, workload: Workload = USUAL) -> dict[str, float]:
    """Price a month of this design, by component."""
    of, sized = load(live, workload), plan(live, workload)
    calls = of.requests * MONTH
    listed = CREATE_UNITS - DUE_UNITS_OF_CREATE + UNLIST_UNITS
    counts = MONTH / GAUGE_INTERVAL
    return {
        "API Gateway": API_CALL.of(calls),
        "API function": _function(calls * CALL_SECONDS, calls),
        "heartbeats, a write unit each": WRITE_UNIT.of(of.heartbeats * MONTH),
        "creating, reading and unlisting": WRITE_UNIT.of(of.created * listed * MONTH)
        + READ_UNIT.of(of.created * workload.reads * MONTH),
        "finding what is due: entries and marks": _entries_and_marks(live, workload),
        "finding what is due: reads": _reads(live, workload),
        "finding what is due: function": _runs(live, workload),
        "publishing events": _batches(of.created, sized.stacks * sized.due_shards),
        "gauge": READ_UNIT.of(2 * live * query_units(DUE_ENTRY_BYTES) * counts)
        + _function(sized.stacks * sized.gauge_seconds * counts, sized.stacks * counts),
        "storage and recovery": STORAGE.of(of.stored_gb) + RECOVERY.of(of.stored_gb),
        "logs": LOGS.of(calls * LOG_BYTES / 1e9),
        "data out": DATA_OUT.of(calls * RESPONSE_BYTES / 1e9),
        "metrics, alarms, dashboard": METRIC.of(METRICS * sized.stacks)
        + ALARM.of(ALARM_METRICS * sized.stacks)
        + DASHBOARD.of(sized.stacks),
    }


def total(live: int, workload: Workload = USUAL) -> float:
    """Price a month of this design."""
    return sum(components(live, workload).values())


def this_design(live: int, workload: Workload = USUAL) -> float:
    """Price finding and telling what is due: entries move when a sweep meets them."""
    of, sized = load(live, workload), plan(live, workload)
    return (
        _entries_and_marks(live, workload)
        + _reads(live, workload)
        + _runs(live, workload)
        + _batches(of.created, sized.stacks * sized.due_shards)
    )


def _entries_and_marks(live: int, workload: Workload) -> float:
    sized = plan(live, workload)
    units = DUE_UNITS_OF_CREATE + REARM_UNITS * meetings(workload).rearms + WARN_UNITS + ANNOUNCE_UNITS
    claims = 2 * sized.stacks * sized.fan_out * MINUTES
    return WRITE_UNIT.of(load(live, workload).created * units * MONTH + claims)


def _reads(live: int, workload: Workload) -> float:
    sized = plan(live, workload)
    return _met(load(live, workload).met) + _queries(sized.stacks * sized.due_shards)


def _runs(live: int, workload: Workload) -> float:
    sized = plan(live, workload)
    return _sweeper(load(live, workload).met, sized.stacks * sized.fan_out)


def moved_index(live: int, workload: Workload = USUAL) -> float:
    """Price the same where each heartbeat moves its session's entry, so that nothing is ever re-armed."""
    of = load(live, workload)
    units = DUE_UNITS_OF_CREATE + workload.beats * MOVED_ENTRY_UNITS + WARN_UNITS + ANNOUNCE_UNITS
    met = of.created * (meetings(workload).waits + 2)
    return (
        WRITE_UNIT.of(of.created * units * MONTH)
        + _met(met)
        + _queries(DUE_SHARDS)
        + _sweeper(met, 1)
        + _batches(of.created, DUE_SHARDS)
    )


def scan(live: int, workload: Workload = USUAL) -> float:
    """Price the same without an index: every stored item is read every minute, and filtered by DynamoDB."""
    of = load(live, workload)
    items = of.created * workload.stored
    pages = items * workload.item_bytes / MIB
    return (
        READ_UNIT.of(items * query_units(workload.item_bytes) * MINUTES)
        + _function(pages * PAGE_SECONDS * MINUTES, 0)
        + WRITE_UNIT.of(of.created * MONTH)
        + _sweeper(of.events, 1)
        + _batches(of.created, 1)
    )


def scheduler(live: int, workload: Workload = USUAL) -> float:
    """Price an entry of EventBridge Scheduler a session, moved as lazily as here; each firing is an invocation."""
    created = load(live, workload).created * MONTH
    firings = created * (meetings(workload).rearms + 2)
    return (
        SCHEDULE.of(firings)
        + _function(firings * (CALL_SECONDS + SCHEDULER_CALL_SECONDS) + created * SCHEDULER_CALL_SECONDS, firings)
        + READ_UNIT.of(firings)
        + WRITE_UNIT.of(created)
        + PUBLISH.of(2 * created)
    )


def _met(a_second: float) -> float:
    """Price the sessions that sweeps read, and their entries."""
    return READ_UNIT.of(a_second * (1 + query_units(DUE_ENTRY_BYTES)) * MONTH)


def _queries(shards: int) -> float:
    """Price a query of each shard every minute, at its least."""
    return READ_UNIT.of(shards * MINUTES / 2)


def _sweeper(met_a_second: float, runs_a_minute: int) -> float:
    runs = runs_a_minute * MINUTES
    return _function(met_a_second / SWEEP_RATE * MONTH + runs * IDLE_RUN_SECONDS, runs)


def _function(seconds: float, calls: float) -> float:
    return LAMBDA_TIME.of(seconds * MEMORY_GB) + LAMBDA_CALL.of(calls)


def _batches(created: float, groups: int) -> float:
    """Price two events a session in batches, each of one kind, one group and one minute."""
    events = created * SWEEP_INTERVAL / groups
    calls = events / PUBLISH_BATCH + min(events, 1.0) * (1 - 1 / PUBLISH_BATCH)
    return PUBLISH.of(2 * groups * calls * MINUTES)


class Design(NamedTuple):
    """One way of finding out what is due: its monthly cost, how many live sessions it bears, and what ends it."""

    name: str
    cost: Callable[[int], float]
    reach: float
    end: str


ONE: Final = load(1)
"""What one live session adds to the load."""

DESIGNS: Final = (
    Design(
        "index moved at each heartbeat",
        moved_index,
        MOST_SHARDS * PARTITION_WRITES / (ONE.heartbeats * MOVED_ENTRY_UNITS),
        f"{MOST_SHARDS} shards of an index, {PARTITION_WRITES:,} writes a second each",
    ),
    Design(
        "scan every minute",
        scan,
        NEW_TABLE_PARTITIONS
        * PARTITION_READS
        * SWEEP_INTERVAL
        / (ONE.created * USUAL.stored * query_units(USUAL.item_bytes)),
        f"what a new table's {NEW_TABLE_PARTITIONS} partitions can read in a minute",
    ),
    Design(
        "this design: index moved when a sweep meets it",
        this_design,
        MOST_SHARDS / max(shards_filled(ONE), runs_filled(ONE)),
        f"{MOST_SHARDS} shards, each swept by a run of its own; then a second stack",
    ),
    Design(
        "one scheduler entry per session",
        scheduler,
        SCHEDULER_QUOTA / (ONE.created * (meetings(USUAL).rearms + 2)),
        f"{SCHEDULER_QUOTA:,} invocations a second, a quota that can be raised",
    ),
)
