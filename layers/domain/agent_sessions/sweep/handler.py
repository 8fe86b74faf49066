"""The sweeper's events: which pass over which shards, and the fan-out of a run. Knows neither SNS nor DynamoDB."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, Protocol

from agent_sessions.metrics import (
    ACTIVE_SESSIONS,
    SESSIONS_EXPIRED,
    SESSIONS_EXPIRING_SOON,
    SWEEP_BACKLOG,
    SWEEP_FAILURES,
    SWEEP_LAG_SECONDS,
    SWEEP_RUNS,
    WARNINGS_PUBLISHED,
    TelemetryPort,
)
from agent_sessions.sweep.count import GaugePass
from agent_sessions.sweep.engine import Sweep

GAUGE_PASS: Final = "gauge"  # noqa: S105 - a pass over the table, not a password
HIGHEST_SHARD: Final = 31
"""An event may name shards up to here, beyond those in use, to drain what an earlier setting left."""


class SelfInvoker(Protocol):
    """Starts this function once more, asynchronously."""

    def invoke(self, payload: Mapping[str, Any]) -> None:
        """Hand `payload` over as the event of another run."""
        ...


class ScheduledSweeps:
    """Answers EventBridge's minute, and events that name shards or the gauge."""

    def __init__(
        self,
        *,
        sweep: Sweep,
        gauge: GaugePass,
        invoker: Callable[[], SelfInvoker],
        telemetry: TelemetryPort,
        shards: int,
        fan_out: int,
    ) -> None:
        """Sweep `shards` shards, in `fan_out` runs; `invoker` is asked for only where there is more than one."""
        self._sweep = sweep
        self._gauge = gauge
        self._invoker = invoker
        self._telemetry = telemetry
        self._shards = range(shards)
        self._fan_out = fan_out

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Do what the event asks for and answer with a summary, which is logged as well.

        Raises:
            ValueError: the event names a pass or shards that do not exist.
            ServiceUnavailable: the store does not answer; the next minute is the retry.

        """
        try:
            summary = self._pass(event)
        except Exception as crash:
            self._telemetry.line("sweep", {"failed": True}, crash)
            self._telemetry.count({SWEEP_RUNS: 1, SWEEP_FAILURES: 1})
            raise
        self._telemetry.line("sweep", summary)
        return summary

    def _pass(self, event: Mapping[str, Any]) -> dict[str, Any]:
        if "pass" in event:
            if event["pass"] != GAUGE_PASS:
                message = f"there is no pass called {event['pass']!r}; there is {GAUGE_PASS!r}"
                raise ValueError(message)
            return self._count()
        if "shards" in event:
            return self._sweep_shards(_named_shards(event["shards"]))
        if self._fan_out > 1:
            return self._hand_out()
        return self._sweep_shards(self._shards)

    def _count(self) -> dict[str, Any]:
        gauge = self._gauge.run(self._shards)
        self._telemetry.count({ACTIVE_SESSIONS: gauge.active_sessions, SESSIONS_EXPIRING_SOON: gauge.expiring_soon})
        return {"pass": GAUGE_PASS, "activeSessions": gauge.active_sessions, "expiringSoon": gauge.expiring_soon}

    def _hand_out(self) -> dict[str, Any]:
        """Start one run for each range of shards. A run that is named its shards never hands out: no loops."""
        ranges = split(self._shards, self._fan_out)
        for shards in ranges:
            self._invoker().invoke({"shards": list(shards)})
        return {"fanOut": [list(shards) for shards in ranges]}

    def _sweep_shards(self, shards: Sequence[int]) -> dict[str, Any]:
        summary = self._sweep.run(shards)
        if summary.claimed:
            self._telemetry.count(
                {
                    SWEEP_RUNS: 1,
                    SWEEP_LAG_SECONDS: summary.oldest_lag_seconds,
                    SWEEP_BACKLOG: summary.left,
                    SWEEP_FAILURES: summary.failed,
                    WARNINGS_PUBLISHED: summary.warned,
                    SESSIONS_EXPIRED: summary.expired,
                }
            )
        return {"shards": list(shards), **summary.as_json()}


def split(shards: range, parts: int) -> list[range]:
    """Split a range of shards into `parts` ranges whose sizes differ by one at most."""
    bounds = [len(shards) * part // parts for part in range(parts + 1)]
    return [shards[low:high] for low, high in pairwise(bounds)]


def _named_shards(named: object) -> list[int]:
    """Check the shards that an event names.

    Raises:
        ValueError: not a list of shard numbers, empty, or with repeats.

    """
    well = (
        isinstance(named, list)
        and len(named) > 0
        and all(type(shard) is int and 0 <= shard <= HIGHEST_SHARD for shard in named)
        and len(set(named)) == len(named)
    )
    if not isinstance(named, list) or not well:
        message = f"shards must be a list of different numbers from 0 to {HIGHEST_SHARD}, not {named!r}"
        raise ValueError(message)
    return named
