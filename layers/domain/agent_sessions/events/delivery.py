"""Publishes the events of a stream's records, those of a session in their order. Knows neither AWS nor what they say.

    the topic takes the event         the record is done
    the topic refuses it for good     a dead letter is kept, and the record is done
    the topic is busy with it         the later records of its session wait; those of others do not
    the topic does not answer         all that is left waits

What waits comes again: the stream hands over once more everything from the first record that is not done. So events
may be repeated, and none is lost or overtaken by a later one of its session.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from agent_sessions.clock import Clock
from agent_sessions.errors import ServiceUnavailable
from agent_sessions.events.cloud_events import MAX_BYTES, BatchRefused, Event, EventPublisher, PublishOutcome
from agent_sessions.events.stream import StreamRecord

MAX_EVENTS: Final = 10
"""Events of one publication."""
DELIVERY_MS: Final = 40_000
"""How long one delivery begins new publications; the function's own timeout leaves room for the last of them."""


class Pending(NamedTuple):
    """A record, and its event; or, where none can be made of it, the reason."""

    record: StreamRecord
    event: Event | None
    problem: str = ""


class DeadLetter(NamedTuple):
    """A record whose event will never be published, by the key of its item. It holds no content."""

    key: Mapping[str, str]
    sequence_number: str
    event_id: str | None
    reason: str


class DeadLetters(Protocol):
    """Where dead letters are kept for the operator. Raises `ServiceUnavailable` where they cannot be kept now."""

    def keep(self, letter: DeadLetter) -> None:
        """Keep a letter."""
        ...


@dataclass
class Delivery:
    """What became of the records: `left` are those that are not done, in their order."""

    left: list[StreamRecord] = field(default_factory=list)
    published: int = 0
    dead: list[DeadLetter] = field(default_factory=list)
    crashes: list[Exception] = field(default_factory=list)


class EventDelivery:
    """Takes records to the topic."""

    def __init__(self, publisher: EventPublisher, dead_letters: DeadLetters, clock: Clock) -> None:
        """Publish to `publisher`."""
        self._publisher = publisher
        self._dead_letters = dead_letters
        self._clock = clock

    def deliver(self, records: Sequence[Pending]) -> Delivery:
        """Publish the records' events. Never raises: what could not be done is left."""
        run = _Run(self._publisher, self._dead_letters, records)
        stop_at_ms = self._clock.now_ms() + DELIVERY_MS
        try:
            while self._clock.now_ms() < stop_at_ms and (batch := run.next_batch()):
                run.send(batch)
        except ServiceUnavailable:
            pass
        except Exception as crash:  # noqa: BLE001 - nobody foresaw it: the stream hands the records over again
            run.delivery.crashes.append(crash)
        run.delivery.left = [pending.record for pending in run.waiting.values()]
        return run.delivery


class _Run:
    """One delivery under way. `waiting` are the records that are not done, by their place among those given."""

    def __init__(self, publisher: EventPublisher, dead_letters: DeadLetters, records: Sequence[Pending]) -> None:
        self.waiting = dict(enumerate(records))
        self.delivery = Delivery()
        self._publisher = publisher
        self._dead_letters = dead_letters
        self._blocked: set[str] = set()

    def next_batch(self) -> list[int]:
        """Return the places of what can be published next: of each session its first event, as much as fits.

        Two events of a session are never in one batch: the topic may take the second and be busy with the first.
        """
        batch: list[int] = []
        partitions = set(self._blocked)
        bytes_left = MAX_BYTES
        for place, (record, event, _) in self.waiting.items():
            if record.partition in partitions:
                continue
            partitions.add(record.partition)
            bytes_left -= 0 if event is None else event.weight
            if bytes_left < 0 and batch:
                break
            batch.append(place)
            if len(batch) == MAX_EVENTS:
                break
        return batch

    def send(self, batch: Sequence[int]) -> None:
        """Publish a batch; of one that is refused as a whole, each half."""
        events = [(place, event) for place in batch if (event := self.waiting[place].event) is not None]
        try:
            outcomes = self._publisher.publish([event for _, event in events]) if events else []
        except BatchRefused:
            middle = len(batch) // 2
            self.send(batch[:middle])
            self.send(batch[middle:])
            return
        by_place = dict(zip((place for place, _ in events), outcomes, strict=True))
        for place in batch:
            match by_place.get(place):
                case PublishOutcome.SENT:
                    del self.waiting[place]
                    self.delivery.published += 1
                case PublishOutcome.BUSY:
                    self._blocked.add(self.waiting[place].record.partition)
                case _:
                    self._set_aside(place)

    def _set_aside(self, place: int) -> None:
        """Keep a dead letter; where that fails, the record waits as if the topic were busy."""
        record, event, problem = self.waiting[place]
        reason = problem or "refused by the topic"
        letter = DeadLetter(record.key, record.sequence_number, event.event_id if event else None, reason)
        try:
            self._dead_letters.keep(letter)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other sessions do not wait for it
            self._blocked.add(record.partition)
            if not isinstance(error, ServiceUnavailable):
                self.delivery.crashes.append(error)
            return
        del self.waiting[place]
        self.delivery.dead.append(letter)
