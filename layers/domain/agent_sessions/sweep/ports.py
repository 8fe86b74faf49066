"""What the sweep works with: the values that it passes around, and what it asks of a store and a topic.

Knows neither SNS nor DynamoDB.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol

from agent_sessions.sessions.model import Session
from agent_sessions.sessions.service import ReadMany
from agent_sessions.sweep.health import ShardSweep

INTERVAL_MS: Final = 60_000
"""From one sweep to the next."""
ON_TIME_MS: Final = 65_000
"""A session met so soon after it fell due was not met late: a sweep comes every minute, and an expiry is published five
seconds after it at the earliest. A PATCH may order a warning for now, and no sweep can come sooner than the next."""

PageKey = Mapping[str, Any]
"""Where a page of the index ended, as the store itself wrote it: it may name an entry that we cannot read."""


class DueEntry(NamedTuple):
    """One entry of the due index."""

    session_id: str
    due_at_ms: int


class PassedOver(NamedTuple):
    """One thing that a run could not do: which session, what was wrong (one of a few words), and the details."""

    session_id: str
    what: str
    details: str = ""


class DuePage(NamedTuple):
    """Entries in order, those among them that cannot be read, and where to read on, None at the end."""

    entries: list[DueEntry]
    damaged: list[PassedOver]
    next: PageKey | None


class MarkKind(Enum):
    """What a mark records. A session is closed before its expiry is published, and announced after it."""

    WARNED = "warned"
    REARMED = "rearmed"
    CLOSED = "closed"
    ANNOUNCED = "announced"


class Mark(NamedTuple):
    """One change to make to a session, if it is still in the lease it was read in.

    `met_ms` is when the run met the session.
    """

    kind: MarkKind
    session: Session
    met_ms: int = 0


class MarkOutcome(Enum):
    """How a mark fared: `REFUSED` means that the session changed meanwhile, which is in order."""

    DONE = "done"
    REFUSED = "refused"
    BUSY = "busy"
    FAILED = "failed"


class DueStore(Protocol):
    """What the sweep asks of the store. Every method raises `ServiceUnavailable` when the store does not answer."""

    def due(self, shard: int, until_ms: int, after: PageKey | None, limit: int) -> DuePage:
        """Read up to `limit` entries of a shard, oldest first."""
        ...

    def count(
        self, shard: int, until_ms: int | None, after: PageKey | None = None, max_calls: int | None = None
    ) -> int:
        """Count a shard's entries behind `after`, all or those due by `until_ms`; `max_calls` bounds the work."""
        ...

    def read_many(self, session_ids: Iterable[str]) -> ReadMany:
        """Read up to 100 sessions as they are now."""
        ...

    def mark(self, marks: Sequence[Mark]) -> list[MarkOutcome]:
        """Carry out up to 25 marks."""
        ...


class SweepClaims(Protocol):
    """The record by which runs keep out of each other's way. Raises `ServiceUnavailable`."""

    def claim(self, shards: Sequence[int], run_id: str, now_ms: int, until_ms: int) -> bool:
        """Claim all of `shards` or none; a run renews its own claim in the same way."""
        ...

    def release(self, shards: Sequence[int], run_id: str, swept: Mapping[int, ShardSweep]) -> bool:
        """Give the claim up and record how the shards fared."""
        ...


@dataclass(slots=True)
class SweepSummary:
    """What a run did, in sessions.

    `left` is what it knows to be still due for want of time or of a service, and `failed` the part of it that was
    tried in vain. What was passed over stays due as well, and is counted apart. `oldest_lag_seconds` is how late the
    run came for the oldest session that it could read and publish.
    """

    shards: list[int]
    claimed: bool = True
    due: int = 0
    warned: int = 0
    expired: int = 0
    rearmed: int = 0
    waiting: int = 0
    gone: int = 0
    failed: int = 0
    left: int = 0
    passed_over: list[PassedOver] = field(default_factory=list)
    oldest_lag_seconds: float = 0.0
    unfinished_shards: list[int] = field(default_factory=list)
    crashes: list[Exception] = field(default_factory=list)
    """Errors that nobody foresaw and that kept the run from doing a part of its work."""
    mishaps: list[Exception] = field(default_factory=list)
    """Errors that nobody foresaw, the first of each kind, whether or not the run got over them."""

    def add(self, other: "SweepSummary") -> None:
        """Add the counts of other shards; lags do not add up."""
        for name in _ADDED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.oldest_lag_seconds = max(self.oldest_lag_seconds, other.oldest_lag_seconds)

    def came_late(self, due_at_ms: int, now_ms: int, expires_at_ms: int = 0) -> None:
        """Count a session that fell due at `due_at_ms` and was met at `now_ms`.

        The lag of a session that waited for 65 s is none; of one that waited for 70 s it is 70 s. Where a lease ends
        50 s after its warning fell due, no sweep may come in between: then 65 s after its end are in time as well.
        """
        since_ms = expires_at_ms if 0 < expires_at_ms - due_at_ms < INTERVAL_MS else due_at_ms
        if now_ms - since_ms > ON_TIME_MS:
            self.oldest_lag_seconds = max(self.oldest_lag_seconds, (now_ms - due_at_ms) / 1000)

    def as_json(self) -> dict[str, Any]:
        """Return the summary as the function returns and logs it."""
        return {
            "shards": self.shards,
            "claimed": self.claimed,
            "due": self.due,
            "warned": self.warned,
            "expired": self.expired,
            "rearmed": self.rearmed,
            "waiting": self.waiting,
            "gone": self.gone,
            "failed": self.failed,
            "left": self.left,
            "passedOver": len(self.passed_over),
            "oldestLagSeconds": round(self.oldest_lag_seconds, 3),
            "unfinishedShards": sorted(self.unfinished_shards),
        }


_ADDED: Final = (
    "shards",
    "due",
    "warned",
    "expired",
    "rearmed",
    "waiting",
    "gone",
    "failed",
    "left",
    "passed_over",
    "unfinished_shards",
    "crashes",
    "mishaps",
)
