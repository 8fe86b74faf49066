"""What sessions are like, what that asks of the service in a second, and what it takes to bear it."""

import math
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from agent_sessions.settings import SessionSettings, SweepSettings
from agent_sessions.sweep.decision import EXPIRY_GRACE_MS
from agent_sessions.sweep.engine import WORK_MS

MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE
MONTH: Final = 730 * HOUR
KIB: Final = 1_024
MIB: Final = KIB * KIB
SWEEP_INTERVAL: Final = MINUTE
GAUGE_INTERVAL: Final = 5 * MINUTE
PEAK: Final = 2.0
"""Times the average that everything must bear."""

# What one call takes of DynamoDB's units, for items of up to 1 KB. An index entry that moves is deleted and written.
CREATE_UNITS: Final = 4.0  # the item, and an entry in each of three indexes, of which one is `due`
DUE_UNITS_OF_CREATE: Final = 1.0
REARM_UNITS: Final = 3.0  # the item, and its entry in `due` moved
WARN_UNITS: Final = 3.0  # the item, and its entry in `due` moved
UNLIST_UNITS: Final = 3.0  # the item, and an entry of each list
ANNOUNCE_UNITS: Final = 2.0  # the item, and its entry in `due`
MOVED_ENTRY_UNITS: Final = 2.0
DUE_ENTRY_BYTES: Final = 75
LIST_ENTRY_BYTES: Final = 230
ENTRY_OVERHEAD_BYTES: Final = 100

# What Lambda takes. CPU comes with memory.
MEMORY_GB: Final = 0.5
WHOLE_PROCESSOR_MB: Final = 1_769
CALL_SECONDS: Final = 0.015
"""Billed for one call of the API function: its own work on a share of a processor, and DynamoDB's answer."""
PROCESSOR_RATE: Final = 2_000
"""Sessions that a run of the sweep handles in a second, on a whole processor."""
SWEEP_RATE: Final = PROCESSOR_RATE * MEMORY_GB * KIB / WHOLE_PROCESSOR_MB
"""The same with the usual memory. Work costs the same either way."""
IDLE_RUN_SECONDS: Final = 0.3
PAGE_SECONDS: Final = 0.06
"""For a query or scan that reads its full megabyte."""

# What a call leaves behind: our lines as measured, Lambda's three and the gateway's one as AWS documents them.
LOG_BYTES: Final = 460 + 330 + 470
RESPONSE_BYTES: Final = 500 + 300

# What one partition bears, and what the service goes up to by itself.
PARTITION_WRITES: Final = 1_000
PARTITION_READS: Final = 3_000
MOST_SHARDS: Final = 32


def default(settings: type[SessionSettings | SweepSettings], name: str) -> float:
    """Return the default of a setting."""
    return float(settings.model_fields[name].default)


DUE_SHARDS: Final = int(default(SweepSettings, "due_shards"))
TENANT_SHARDS: Final = int(default(SessionSettings, "tenant_shards"))


@dataclass(frozen=True)
class Workload:
    """What a session is like. Times are in seconds; the service's own settings have their defaults."""

    heartbeat: float = MINUTE
    active: float = HOUR
    """From creation to the last heartbeat; then the session idles out. None is ended by its caller."""
    reads: float = 2
    """GETs in the life of a session."""
    timeout: float = default(SessionSettings, "session_default_timeout_minutes") * MINUTE
    warning: float = default(SessionSettings, "session_warning_threshold_minutes") * MINUTE
    longest: float = 2 * default(SessionSettings, "session_max_timeout_minutes") * MINUTE
    """The longest duration that a patch may give a session: its item is kept for that."""
    retention: float = default(SessionSettings, "session_retention_minutes") * MINUTE
    look_ahead: float = default(SweepSettings, "sweep_look_ahead_seconds")
    purge_lag: float = 24 * HOUR
    """DynamoDB deletes what its TTL names within days."""
    item_bytes: int = 700
    """With some 150 bytes of metadata, without DynamoDB's own 100."""

    @property
    def beats(self) -> float:
        """Heartbeats in the life of a session."""
        return self.active // self.heartbeat

    @property
    def last_activity(self) -> float:
        """When the last heartbeat falls, from creation."""
        return self.beats * self.heartbeat

    @property
    def lifetime(self) -> float:
        """From creation to expiry."""
        return self.last_activity + self.timeout

    @property
    def stored(self) -> float:
        """From creation until the item is gone."""
        return self.longest + self.retention + 24 * HOUR + self.purge_lag


USUAL: Final = Workload()


class Meetings(NamedTuple):
    """How often sweeps meet one session, on average: to re-arm it, and to leave it alone until its end."""

    rearms: float
    waits: float

    @property
    def all(self) -> float:
        """With the one warning and the one expiry."""
        return self.rearms + self.waits + 2


@cache
def meetings(workload: Workload) -> Meetings:
    """Follow one session through its sweeps as `agent_sessions.due` decides, for each second a minute may begin at."""
    lives = [_life(workload, float(phase)) for phase in range(int(SWEEP_INTERVAL))]
    return Meetings(
        sum(life.rearms for life in lives) / len(lives),
        sum(life.waits for life in lives) / len(lives),
    )


def _life(workload: Workload, phase: float) -> Meetings:
    def sweep_from(moment: float) -> float:
        return math.ceil((moment - phase) / SWEEP_INTERVAL) * SWEEP_INTERVAL + phase

    warn_after = workload.timeout - workload.warning
    due = warn_after
    rearms = 0
    while True:
        met = sweep_from(due - workload.look_ahead)
        beaten = min(met // workload.heartbeat * workload.heartbeat, workload.last_activity)
        if beaten + warn_after <= met + workload.look_ahead:
            break
        rearms += 1
        due = beaten + warn_after
    waits_from = max(sweep_from(workload.lifetime - workload.look_ahead), met + SWEEP_INTERVAL)
    waits_until = sweep_from(workload.lifetime + EXPIRY_GRACE_MS / 1_000)
    return Meetings(rearms, max(0.0, (waits_until - waits_from) / SWEEP_INTERVAL))


def query_units(octets: float) -> float:
    """Return the read units of so many bytes in an eventually consistent query or scan."""
    return octets / (4 * KIB) / 2


class Load(NamedTuple):
    """What live sessions ask of the service in a second, on average, and the room they take."""

    live: int
    created: float
    heartbeats: float
    requests: float
    met: float
    """Sessions that sweeps meet."""
    events: float
    item_writes: float
    due_writes: float
    reads: float
    stored_gb: float


@cache
def load(live: int, workload: Workload = USUAL) -> Load:
    """Work out the load of a steady number of live sessions: as many are created as end."""
    created = live / workload.lifetime
    met = meetings(workload)
    heartbeats = created * workload.beats
    marks = met.rearms + 3  # warned, unlisted, announced
    entries_written = DUE_UNITS_OF_CREATE + MOVED_ENTRY_UNITS * (met.rearms + 1) + 1
    return Load(
        live=live,
        created=created,
        heartbeats=heartbeats,
        requests=heartbeats + created * (1 + workload.reads),
        met=created * met.all,
        events=created * 2,
        item_writes=heartbeats + created * (1 + marks),
        due_writes=created * entries_written,
        reads=created * (workload.reads + met.all * (1 + query_units(DUE_ENTRY_BYTES))),
        stored_gb=(
            created * workload.stored * (workload.item_bytes + ENTRY_OVERHEAD_BYTES)
            + live * (DUE_ENTRY_BYTES + 2 * LIST_ENTRY_BYTES + 3 * ENTRY_OVERHEAD_BYTES)
        )
        / 1e9,
    )


class Plan(NamedTuple):
    """What bears a load at its peak: so many stacks, each with these settings and this concurrency."""

    stacks: int
    due_shards: int
    sweeper_megabytes: int
    fan_out: int
    tenant_shards: int
    concurrency: float
    gauge_seconds: float


def shards_filled(of: Load) -> float:
    """Return how many shards of `due` take the writes."""
    return of.due_writes / PARTITION_WRITES


def runs_filled(of: Load, rate: float = PROCESSOR_RATE) -> float:
    """Return how many runs a minute get through what is met, in the time that each works."""
    return of.met * SWEEP_INTERVAL / (WORK_MS / 1_000) / rate


@cache
def plan(live: int, workload: Workload = USUAL) -> Plan:
    """Size a deployment: memory for the sweeper before more runs of it, several stacks where one reaches its end."""
    of = load(live, workload)
    enough = PEAK * runs_filled(of, SWEEP_RATE) <= 1
    shards, runs = PEAK * shards_filled(of), PEAK * runs_filled(of)
    stacks = max(1, math.ceil(max(shards, runs) / MOST_SHARDS))
    fan_out = max(1, math.ceil(runs / stacks))
    return Plan(
        stacks=stacks,
        due_shards=max(DUE_SHARDS, math.ceil(shards / stacks), fan_out),
        sweeper_megabytes=round(MEMORY_GB * KIB) if enough else WHOLE_PROCESSOR_MB,
        fan_out=fan_out,
        tenant_shards=max(TENANT_SHARDS, math.ceil(PEAK * 2 * of.created / stacks / PARTITION_WRITES)),
        concurrency=PEAK * of.requests * CALL_SECONDS / stacks,
        gauge_seconds=2 * live / stacks * DUE_ENTRY_BYTES / MIB * PAGE_SECONDS,
    )
