"""The publisher's events: a batch of a stream's records, answered with the first that is not done. Knows no AWS."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from agent_sessions.clock import Clock
from agent_sessions.errors import ServiceUnavailable
from agent_sessions.events.delivery import Delivery, EventDelivery, Pending
from agent_sessions.events.stream import EventOf, RawRecord, StreamRecord, record_of
from agent_sessions.telemetry.metrics import MESSAGE_EVENTS_PUBLISHED, MESSAGE_EVENTS_REFUSED, TelemetryPort

REPORT_EVERY_MS: Final = 60_000
"""How often one process reports its lag."""


class LagRecord(Protocol):
    """Where health reads how late events are. Raises `ServiceUnavailable`."""

    def report_event_lag(self, lag_seconds: float, now_ms: int) -> None:
        """Keep the lag, unless a larger one was reported in the last minute."""
        ...


class StreamHandler:
    """Answers Lambda's event for a batch of records."""

    def __init__(
        self, event_of: EventOf, delivery: EventDelivery, lag: LagRecord, clock: Clock, telemetry: TelemetryPort
    ) -> None:
        """Publish what `event_of` makes of the records."""
        self._event_of = event_of
        self._delivery = delivery
        self._lag = lag
        self._clock = clock
        self._telemetry = telemetry
        self._reported_ms: int | None = None

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Publish a batch. The stream hands over once more what comes from the first failure on."""
        found = [self._pending(raw) for raw in event["Records"]]
        delivery = self._delivery.deliver([pending for pending in found if pending is not None])
        late = delivery.left or [pending.record for pending in found if pending is not None]
        lag_seconds = self._lag_seconds(late)
        self._log(delivery, lag_seconds)
        if lag_seconds is not None:
            self._report(lag_seconds)
        return {"batchItemFailures": [{"itemIdentifier": record.sequence_number} for record in delivery.left[:1]]}

    def _pending(self, raw: RawRecord) -> Pending | None:
        """Return the record with its event, or with what is wrong with it; None where it stands for no event."""
        record = record_of(raw)
        try:
            made = self._event_of(raw)
        except Exception as fault:  # noqa: BLE001 - one record that cannot be read must not hold up the others
            return Pending(record, None, f"{type(fault).__name__}: {fault}")
        return None if made is None else Pending(record, made)

    def _lag_seconds(self, records: list[StreamRecord]) -> float | None:
        """Return how long ago the oldest of the records was made, in seconds; None where no record says when."""
        made = [record.created_at_ms for record in records if record.created_at_ms is not None]
        return max(0, self._clock.now_ms() - min(made)) / 1000 if made else None

    def _log(self, delivery: Delivery, lag_seconds: float | None) -> None:
        for letter in delivery.dead:
            self._telemetry.line("dead letter", letter._asdict())
        facts = {"published": delivery.published, "left": len(delivery.left), "lag_seconds": lag_seconds}
        crash = delivery.crashes[0] if delivery.crashes else None
        counts = {MESSAGE_EVENTS_PUBLISHED: delivery.published, MESSAGE_EVENTS_REFUSED: len(delivery.dead)}
        self._telemetry.line("publication", facts, crash, {name: count for name, count in counts.items() if count})

    def _report(self, lag_seconds: float) -> None:
        now_ms = self._clock.now_ms()
        if self._reported_ms is not None and now_ms - self._reported_ms < REPORT_EVERY_MS:
            return
        try:
            self._lag.report_event_lag(lag_seconds, now_ms)
        except ServiceUnavailable:  # health shows less for a while; the events were published
            return
        self._reported_ms = now_ms
