"""Is the service well? Answered from one small record, however many sessions exist. Knows neither HTTP nor AWS."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, Protocol

from agent_sessions.clock import Clock
from agent_sessions.errors import ServiceUnavailable

STALE_SWEEP_MS: Final = 3 * 60_000
"""A sweep older than this, or later than this with its work, is a degraded service (docs/contract.md, Health)."""
STALE_EVENT_LAG_MS: Final = 3 * 60_000
"""A publisher that still lags reports it every minute. An older report says nothing of now."""
STALE_GAUGE_MS: Final = 6 * 60_000
"""A gauge older than this is not shown any more."""

Status = Literal["healthy", "degraded", "unhealthy"]


class ShardSweep(NamedTuple):
    """The last finished sweep of one shard: when, how late it came at worst (seconds), and how many it passed over."""

    swept_at_ms: int
    lag_seconds: float
    passed_over: int = 0


class Gauge(NamedTuple):
    """A count of sessions: live ones, and those whose next warning or expiry is close. Taken at `taken_at_ms`."""

    active_sessions: int
    expiring_soon: int
    taken_at_ms: int


class EventLag(NamedTuple):
    """How late the events of messages were, in seconds, when the publisher last reported it."""

    lag_seconds: float
    reported_at_ms: int


class SweepRecord(NamedTuple):
    """What the background reports of itself: the sweep of each shard, the last gauge, and the lag of events."""

    shards: Mapping[int, ShardSweep] = MappingProxyType({})
    gauge: Gauge | None = None
    event_lag: EventLag | None = None


class SweepRecordReader(Protocol):
    """Where the record is read from."""

    def sweep_record(self) -> SweepRecord:
        """Read the record; empty before the first sweep. Raises `ServiceUnavailable`."""
        ...


class Health(NamedTuple):
    """The service's state at `now_ms`; None stands for what is not known."""

    status: Status
    now_ms: int
    active_sessions: int | None = None
    expiring_soon: int | None = None
    last_sweep_at_ms: int | None = None
    sweep_lag_seconds: float | None = None
    passed_over: int | None = None
    event_lag_seconds: float | None = None
    cause: Exception | None = None
    """What keeps the table from being read: for the log, not for the caller."""


class HealthService:
    """Judges the record by the clock."""

    def __init__(self, records: SweepRecordReader, clock: Clock, due_shards: int) -> None:
        """Expect an entry for each of `due_shards` shards."""
        self._records = records
        self._clock = clock
        self._due_shards = due_shards

    def check(self) -> Health:
        """Read once and judge; never raises for a store that does not answer."""
        try:
            record = self._records.sweep_record()
        except ServiceUnavailable as error:
            return Health("unhealthy", self._clock.now_ms(), cause=error)
        now_ms = self._clock.now_ms()
        sweeps = [record.shards.get(shard) for shard in range(self._due_shards)]
        known = [sweep for sweep in sweeps if sweep is not None]
        last_sweep_at_ms = min((sweep.swept_at_ms for sweep in known), default=None)
        lag_seconds = max((sweep.lag_seconds for sweep in known), default=None)
        well = (
            len(known) == self._due_shards
            and last_sweep_at_ms is not None
            and abs(now_ms - last_sweep_at_ms) <= STALE_SWEEP_MS
            and lag_seconds is not None
            and lag_seconds * 1000 <= STALE_SWEEP_MS
        )
        gauge = record.gauge
        if gauge and abs(now_ms - gauge.taken_at_ms) > STALE_GAUGE_MS:
            gauge = None
        event_lag = record.event_lag
        if event_lag and abs(now_ms - event_lag.reported_at_ms) > STALE_EVENT_LAG_MS:
            event_lag = None
        well = well and (event_lag is None or event_lag.lag_seconds * 1000 <= STALE_SWEEP_MS)
        return Health(
            status="healthy" if well else "degraded",
            now_ms=now_ms,
            active_sessions=gauge.active_sessions if gauge else None,
            expiring_soon=gauge.expiring_soon if gauge else None,
            last_sweep_at_ms=last_sweep_at_ms,
            sweep_lag_seconds=lag_seconds,
            passed_over=sum(sweep.passed_over for sweep in known) if known else None,
            event_lag_seconds=event_lag.lag_seconds if event_lag else None,
        )
