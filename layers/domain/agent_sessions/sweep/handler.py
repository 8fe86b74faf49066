"""The sweeper's events: which pass over which shards, and the fan-out of a run. Knows neither SNS nor DynamoDB."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, Protocol

from agent_sessions.sweep.count import GaugePass
from agent_sessions.sweep.engine import Sweep
from agent_sessions.sweep.ports import PassedOver, SweepSummary
from agent_sessions.telemetry.metrics import (
    ACTIVE_SESSIONS,
    SESSIONS_EXPIRED,
    SESSIONS_EXPIRING_SOON,
    SWEEP_BACKLOG,
    SWEEP_FAILURES,
    SWEEP_LAG_SECONDS,
    SWEEP_PASSED_OVER,
    SWEEP_RUNS,
    WARNINGS_PUBLISHED,
    TelemetryPort,
)

GAUGE_PASS: Final = "gauge"  # noqa: S105 - a pass over the table, not a password
NAMED: Final = 20
"""Sessions that a run names in the log for each thing that was wrong with them."""
LONGEST_NAME: Final = 200
"""Characters of an id or of details in that line: they may be anything."""
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
        """Do what the event asks for; log a summary and return it.

        Raises:
            ValueError: the event names a pass or shards that do not exist.
            ServiceUnavailable: the store or Lambda does not answer; the next minute is the retry.
            ExceptionGroup: an error that nobody foresaw left something undone. The rest was done and is reported.

        """
        try:
            summary = self._pass(event)
        except Exception as crash:
            self._telemetry.line("sweep", {"failed": True}, crash)
            self._telemetry.count({SWEEP_RUNS: 1, SWEEP_FAILURES: 1})
            raise
        if not isinstance(summary, SweepSummary):
            self._telemetry.line("sweep", summary)
            return summary
        return self._report(summary)

    def _pass(self, event: Mapping[str, Any]) -> dict[str, Any] | SweepSummary:
        if "pass" in event:
            if event["pass"] != GAUGE_PASS:
                message = f"there is no pass called {event['pass']!r}; there is {GAUGE_PASS!r}"
                raise ValueError(message)
            return self._count()
        if "shards" in event:
            return self._sweep.run(_named_shards(event["shards"]))
        if self._fan_out > 1:
            return self._fan_out_runs()
        return self._sweep.run(self._shards)

    def _count(self) -> dict[str, Any]:
        gauge = self._gauge.run(self._shards)
        self._telemetry.count({ACTIVE_SESSIONS: gauge.active_sessions, SESSIONS_EXPIRING_SOON: gauge.expiring_soon})
        return {"pass": GAUGE_PASS, "activeSessions": gauge.active_sessions, "expiringSoon": gauge.expiring_soon}

    def _fan_out_runs(self) -> dict[str, Any]:
        """Start one run for each range of shards; a run that is named its shards starts no others.

        A range that could not be started does not keep the others from it, and is tried once more after them.
        """
        ranges = split(self._shards, self._fan_out)
        failed = [shards for shards in ranges if self._start(shards) is not None]
        errors = [error for shards in failed if (error := self._start(shards)) is not None]
        if errors:
            raise errors[0]
        return {"fanOut": [list(shards) for shards in ranges]}

    def _start(self, shards: range) -> Exception | None:
        try:
            self._invoker().invoke({"shards": list(shards)})
        except Exception as error:  # noqa: BLE001 - raised when the other ranges were started
            return error
        return None

    def _report(self, summary: SweepSummary) -> dict[str, Any]:
        """Publish a run's metrics and log what it did and met; raise what it could not get over."""
        if summary.claimed:
            passed_over = len(summary.passed_over)
            self._telemetry.count(
                {
                    SWEEP_RUNS: 1,
                    SWEEP_LAG_SECONDS: summary.oldest_lag_seconds,
                    SWEEP_BACKLOG: summary.left,
                    SWEEP_FAILURES: summary.failed + passed_over + len(summary.crashes),
                    SWEEP_PASSED_OVER: passed_over,
                    WARNINGS_PUBLISHED: summary.warned,
                    SESSIONS_EXPIRED: summary.expired,
                }
            )
        facts = summary.as_json()
        self._telemetry.line("sweep", facts)
        if summary.passed_over:
            self._telemetry.line("passed over", _named(summary.passed_over))
        for mishap in summary.mishaps:
            self._telemetry.line("sweep met an error", {}, mishap)
        if summary.crashes:
            message = f"Some of the sweep was left undone; of the rest: {facts}"
            raise ExceptionGroup(message, summary.crashes)
        return facts


def _named(passed_over: Sequence[PassedOver]) -> dict[str, Any]:
    """Return, for each thing that was wrong, how many sessions it concerned, and the first of them with details."""
    by_fault: dict[str, list[PassedOver]] = {}
    for one in passed_over:
        by_fault.setdefault(one.what, []).append(one)
    return {
        "passedOver": {
            what: {
                "count": len(sessions),
                "sessions": {one.session_id[:LONGEST_NAME]: one.details[:LONGEST_NAME] for one in sessions[:NAMED]},
            }
            for what, sessions in by_fault.items()
        }
    }


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
