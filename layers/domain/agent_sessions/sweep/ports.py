"""What the sweep works with: the values that it passes around, and what it asks of a store and a topic.

Knows neither SNS nor DynamoDB.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, Protocol

from agent_sessions.sessions.model import Session
from agent_sessions.sessions.service import ReadMany
from agent_sessions.sweep.health import ShardSweep


class DamagedSession(Exception):
    """An item in the table is no session that we can read; it stays due until it is mended, deleted or purged."""

    def __init__(self, session_id: str) -> None:
        """Name the item."""
        super().__init__(f"The item of session {session_id} cannot be read.")


class DueEntry(NamedTuple):
    """One entry of the due index."""

    session_id: str
    due_at_ms: int


class DuePage(NamedTuple):
    """Entries in order, and the one to read on from, None at the end."""

    entries: list[DueEntry]
    next: DueEntry | None


class MarkKind(Enum):
    """What a mark records."""

    WARNED = "warned"
    REARMED = "rearmed"
    UNLISTED = "unlisted"
    ANNOUNCED = "announced"


class Mark(NamedTuple):
    """One change to make to a session, if it is still in the lease it was read in."""

    kind: MarkKind
    session: Session


class MarkOutcome(Enum):
    """How a mark fared: `REFUSED` means that the session changed meanwhile, which is in order."""

    DONE = "done"
    REFUSED = "refused"
    BUSY = "busy"
    FAILED = "failed"


class DueStore(Protocol):
    """What the sweep asks of the store. Every method raises `ServiceUnavailable` when the store does not answer."""

    def due(self, shard: int, until_ms: int, after: DueEntry | None, limit: int) -> DuePage:
        """Read what is due in a shard, oldest first."""
        ...

    def count(
        self, shard: int, until_ms: int | None, after: DueEntry | None = None, max_calls: int | None = None
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
        """Claim all of `shards` or none."""
        ...

    def release(self, shards: Sequence[int], run_id: str, swept: Mapping[int, ShardSweep]) -> bool:
        """Give the claim up and tell how the shards fared."""
        ...


@dataclass(slots=True)
class SweepSummary:
    """What a run did. `left` is what it knows to be still due; `oldest_lag_seconds` is how late it came at worst."""

    claimed: bool = True
    due: int = 0
    warned: int = 0
    expired: int = 0
    rearmed: int = 0
    waiting: int = 0
    gone: int = 0
    failed: int = 0
    left: int = 0
    oldest_lag_seconds: float = 0.0
    unfinished_shards: list[int] = field(default_factory=list)

    def add(self, other: "SweepSummary") -> None:
        """Add another's counts; lags do not add up."""
        for name in ("due", "warned", "expired", "rearmed", "waiting", "gone", "failed", "left", "unfinished_shards"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.oldest_lag_seconds = max(self.oldest_lag_seconds, other.oldest_lag_seconds)

    def as_json(self) -> dict[str, Any]:
        """Return the summary as the function answers and logs it."""
        return {
            "claimed": self.claimed,
            "due": self.due,
            "warned": self.warned,
            "expired": self.expired,
            "rearmed": self.rearmed,
            "waiting": self.waiting,
            "gone": self.gone,
            "failed": self.failed,
            "left": self.left,
            "oldestLagSeconds": round(self.oldest_lag_seconds, 3),
            "unfinishedShards": sorted(self.unfinished_shards),
        }
