"""Act once, and on nothing stale: which events were acted on, and which lease of a session is the latest known.

Delivery is at least once and in no order. A `Store` remembers over all consumers; one process can do with its memory.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from agent_sessions_client.events.kinds import Event, SessionEvent, SessionExpired, SessionExpiring
from agent_sessions_client.timestamps import Clock, SystemClock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

KEEP_SECONDS = 30 * 24 * 3600
"""Longer than a queue and its dead-letter queue together keep a message."""


class Store(Protocol):
    """Numbers under names. They only grow."""

    def read(self, name: str) -> int:
        """Return the number under a name, 0 where there is none."""

    def raise_to(self, name: str, number: int, keep_seconds: int) -> bool:
        """Put the number there unless there is one as high. Return whether it was put."""


class MemoryStore:
    """A store in the memory of this process."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock: Clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._numbers: dict[str, tuple[int, float]] = {}
        self._sweep_at = 0

    def read(self, name: str) -> int:
        """Return the number under a name, 0 where there is none."""
        with self._lock:
            return self._live(name)

    def raise_to(self, name: str, number: int, keep_seconds: int) -> bool:
        """Put the number there unless there is one as high. Return whether it was put."""
        with self._lock:
            if self._live(name) >= number:
                return False
            if len(self._numbers) > self._sweep_at:
                now = self._clock.wall()
                self._numbers = {name: kept for name, kept in self._numbers.items() if kept[1] > now}
                self._sweep_at = 2 * len(self._numbers) + 1000
            self._numbers[name] = (number, self._clock.wall() + keep_seconds)
            return True

    def _live(self, name: str) -> int:
        number, forget_at = self._numbers.get(name, (0, 0.0))
        return number if forget_at > self._clock.wall() else 0


class DynamoStore:
    """A store in a DynamoDB table whose partition key is the string `name`. Its TTL attribute is `forgetAt`."""

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock | None = None) -> None:
        """`client` is boto3's, for DynamoDB."""
        self._client = client
        self._table = table
        self._clock: Clock = clock or SystemClock()

    def read(self, name: str) -> int:
        """Return the number under a name, 0 where there is none."""
        item = self._client.get_item(TableName=self._table, Key={"name": {"S": name}}, ConsistentRead=True).get("Item")
        if item is None or int(item["forgetAt"]["N"]) <= self._clock.wall():
            return 0
        return int(item["number"]["N"])

    def raise_to(self, name: str, number: int, keep_seconds: int) -> bool:
        """Put the number there unless there is one as high. Return whether it was put."""
        now = int(self._clock.wall())
        item: dict[str, Any] = {
            "name": {"S": name},
            "number": {"N": str(number)},
            "forgetAt": {"N": str(now + keep_seconds)},
        }
        try:
            self._client.put_item(
                TableName=self._table,
                Item=item,
                ConditionExpression="attribute_not_exists(#name) OR #number < :number OR forgetAt <= :now",
                ExpressionAttributeNames={"#name": "name", "#number": "number"},
                ExpressionAttributeValues={":number": item["number"], ":now": {"N": str(now)}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True


class Deduplicator:
    """Remembers which events were acted on."""

    def __init__(self, store: Store, *, keep_seconds: int = KEEP_SECONDS) -> None:
        self._store = store
        self._keep_seconds = keep_seconds

    @contextmanager
    def first_time(self, event: Event) -> Iterator[bool]:
        """Yield whether the event is new. It counts as acted on when the block ends without an error.

        A crash in the block repeats the act and loses none. Two consumers that get the same event at the same moment
        may both act.
        """
        name = f"event {event.source} {event.id}"
        is_new = self._store.read(name) == 0
        yield is_new
        if is_new:
            self._store.raise_to(name, 1, self._keep_seconds)


class Leases:
    """Remembers the latest lease of each session, from the events themselves."""

    def __init__(self, store: Store, *, keep_seconds: int = KEEP_SECONDS) -> None:
        self._store = store
        self._keep_seconds = keep_seconds

    def is_stale(self, event: SessionEvent) -> bool:
        """Return whether a later event of the session is known, and remember this one where it is the latest.

        An event of a lower lease is stale, and so is the warning of a lease whose expiry is known. The latest event
        itself is not stale when it comes again: a Deduplicator drops repeats.
        """
        if not isinstance(event, SessionExpiring | SessionExpired):
            return False
        name = f"lease {event.source} {event.session_id} {event.created_at.timestamp():.3f}"
        rank = 2 * event.lease + isinstance(event, SessionExpired)
        return not self._store.raise_to(name, rank, self._keep_seconds) and self._store.read(name) > rank
