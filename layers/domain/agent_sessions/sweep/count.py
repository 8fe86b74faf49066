"""Counts sessions, in a pass of its own: it reads the keys of the whole due index. Knows neither HTTP nor AWS."""

from collections.abc import Sequence
from typing import Protocol

from agent_sessions.clock import Clock
from agent_sessions.sweep.health import Gauge
from agent_sessions.sweep.ports import DueStore


class GaugeRecord(Protocol):
    """Where the last count is kept."""

    def write_gauge(self, gauge: Gauge) -> None:
        """Keep a new count. Raises `ServiceUnavailable`."""
        ...


class GaugePass:
    """Counts live sessions, which are those in the due index, and those whose next appointment is close.

    A session is "expiring soon" when its warning, its expiry or its re-arming falls within the service's default
    warning threshold from now. That takes in every session which is near its end under default settings, and some
    that are only about to be warned.
    """

    def __init__(self, store: DueStore, record: GaugeRecord, clock: Clock, soon_ms: int) -> None:
        """Count from `store`, keep the result in `record`; `soon_ms` is the threshold."""
        self._store = store
        self._record = record
        self._clock = clock
        self._soon_ms = soon_ms

    def run(self, shards: Sequence[int]) -> Gauge:
        """Count over `shards` and keep the result.

        Raises:
            ServiceUnavailable: the store does not answer; the last count stays.

        """
        now_ms = self._clock.now_ms()
        gauge = Gauge(
            active_sessions=sum(self._store.count(shard, None) for shard in shards),
            expiring_soon=sum(self._store.count(shard, now_ms + self._soon_ms) for shard in shards),
            taken_at_ms=now_ms,
        )
        self._record.write_gauge(gauge)
        return gauge
