"""What the use cases of messages need of a store."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from agent_sessions.messages.model import KeyRecord, Message, Role, Slot
from agent_sessions.sessions.attempts import Write
from agent_sessions.sessions.leases import Renewal
from agent_sessions.sessions.model import Session


class Taking(NamedTuple):
    """What a write asks for that takes a number for each of `roles`.

    `expected` is what `lastSequence` must be, `answered` the lowest it may be, `attempt` the life that it must be.
    `answer_field` is where the caller named what is answered.
    """

    roles: tuple[Role, ...]
    limit: int
    expected: int | None = None
    answered: int | None = None
    attempt: bytes | None = None
    answer_field: str = "inReplyTo"


class TakingAttempt(NamedTuple):
    """One attempt at it: the renewal that goes with it, if any.

    `overtaken_ms` is when an earlier attempt met a message that a clock ahead of ours had dated.
    """

    taking: Taking
    renewal: Renewal | None
    overtaken_ms: int | None = None


class Slots(NamedTuple):
    """What one query gave, in the order asked for; `cut` where more may lie beyond the last."""

    slots: list[Slot]
    cut: bool


class Refusal(NamedTuple):
    """Why nothing of a batch was stored: what stands under some of its numbers, or what is remembered of its key."""

    slots: list[Slot]
    key: KeyRecord | None


class MessageStore(Protocol):
    """Where messages live. Every method is one call to the store and raises `ServiceUnavailable` when it fails."""

    def session(self, session_id: str, *, consistent: bool) -> Session | None:
        """Read a session; as last written where `consistent`."""
        ...

    def take_number(self, session_id: str, tenant_id: str, attempt: TakingAttempt, now_ms: int) -> Write:
        """Give a live session its next numbers, and renew it where the attempt does."""
        ...

    def put(self, message: Message) -> Slot | None:
        """Store a message; return None, or what stands under its number already."""
        ...

    def put_all(self, session: Session, messages: Sequence[Message], record: KeyRecord | None) -> Refusal | None:
        """Store messages of one session, and remember their key: all or nothing. Return None, or why nothing was."""
        ...

    def seal(self, session: Session, sequence: int) -> Slot | None:
        """Seal a number; return None, or what stands under it already."""
        ...

    def get(self, session: Session, sequence: int) -> Slot | None:
        """Read what stands under a number, as last written."""
        ...

    def slots(
        self, session: Session, low: int, high: int, *, newest_first: bool, limit: int, consistent: bool
    ) -> Slots:
        """Read what stands under the numbers from `low` to `high`."""
        ...

    def redact(self, session: Session, sequence: int) -> bool | None:
        """Empty a message; return whether this call did, None where no message stands under the number."""
        ...

    def standing(self, session: Session, low: int, high: int) -> tuple[list[int], int | None]:
        """Return the numbers from `low` to `high` of messages that stand, and are not empty, in order.

        Also return the last number that was looked at, None where that was `high`.
        """
        ...

    def key_record(self, session: Session, key: int, *, consistent: bool) -> KeyRecord | None:
        """Read what the session's life remembers of a key."""
        ...

    def put_key(self, session: Session, record: KeyRecord) -> KeyRecord | None:
        """Remember a key; return None, or what is remembered of it already."""
        ...

    def move_key(self, session: Session, record: KeyRecord, sealed: int) -> bool:
        """Give a key another number than the sealed one; return False where somebody else did."""
        ...
