"""What a message is, and the rules of time and size. Plain values; knows no storage, no HTTP, no clock."""

import json
from typing import Any, Final, Literal, NamedTuple

from agent_sessions.messages.ids import message_id
from agent_sessions.sessions.model import MS_PER_DAY, Session

Role = Literal["user", "agent", "system", "tool"]

SEALED_AFTER_MS: Final = 3_000
"""How long a number stays open, in milliseconds, before a reader seals it and passes."""

LONGEST_WRITE_MS: Final = 10_000
"""How long after taking its number a writer may still begin to store its message, in milliseconds."""

SETTLED_AFTER_MS: Final = 30_000
"""After so many milliseconds no writer of a number can be under way any more: twice `LONGEST_WRITE_MS`, the longest
call to the store, and what clocks may differ by."""

MAX_PAGE_BYTES: Final = 1_000_000
"""Bytes of text on one page, as stored."""
MAX_PAGE_WEIGHT: Final = 5_000_000
"""Bytes of one page on its way through Lambda, which takes an answer of 6 MB and writes the body as a JSON string."""

_OPEN_QUESTION_MS: Final = 600_000
_POLL_MS: Final = (300, 5_000)


class NewMessage(NamedTuple):
    """A checked request for a message. The `_json` texts are compact JSON; `request_hash` recognises a repeat of it."""

    role: Role
    content: str
    author_id: str | None = None
    in_reply_to: str | None = None
    parts_json: str = "[]"
    attachments_json: str = "[]"
    metadata_json: str = "{}"
    request_hash: bytes = b""
    idempotency_key: str | None = None
    expected_sequence: int | None = None


class Message(NamedTuple):
    """One message as stored, with what an event says of its session. All `_ms` values are epoch milliseconds.

    `attempt` names the session's life, `write` the request that made the message. `in_reply_to` is a number.
    """

    session_id: str
    attempt: bytes
    sequence: int
    write: bytes
    tenant_id: str
    agent_id: str
    user_id: str
    session_created_at_ms: int
    lease: int
    expires_at_ms: int
    created_at_ms: int
    purge_at_seconds: int
    role: Role
    content: str
    author_id: str
    in_reply_to: int | None
    parts_json: str
    attachments_json: str
    metadata_json: str
    redacted: bool = False

    @property
    def message_id(self) -> str:
        """The id, which carries the number."""
        return message_id(self.session_id, self.attempt, self.sequence)

    @property
    def in_reply_to_id(self) -> str | None:
        """The id of the message that this one answers."""
        return None if self.in_reply_to is None else message_id(self.session_id, self.attempt, self.in_reply_to)

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata as an object."""
        value: dict[str, Any] = json.loads(self.metadata_json)
        return value


class Sealed(NamedTuple):
    """A number whose writer died: a reader sealed it, and nothing can be stored under it."""

    sequence: int


Slot = Message | Sealed


class KeyRecord(NamedTuple):
    """What a life of a session remembers of an Idempotency-Key: the number and moment that its message was given."""

    number: int
    sequence: int
    created_at_ms: int
    request_hash: bytes


def message_of(session: Session, new: NewMessage, in_reply_to: int | None, write: bytes) -> Message:
    """Return the message that takes the last number that the session has given."""
    return Message(
        session_id=session.session_id,
        attempt=session.attempt,
        sequence=session.last_sequence,
        write=write,
        tenant_id=session.tenant_id,
        agent_id=session.agent_id,
        user_id=session.user_id,
        session_created_at_ms=session.created_at_ms,
        lease=session.lease,
        expires_at_ms=session.expires_at_ms,
        created_at_ms=session.last_message_at_ms or 0,
        purge_at_seconds=purge_at_seconds(session),
        role=new.role,
        content=new.content,
        author_id=new.author_id or (session.user_id if new.role == "user" else session.agent_id),
        in_reply_to=in_reply_to,
        parts_json=new.parts_json,
        attachments_json=new.attachments_json,
        metadata_json=new.metadata_json,
    )


def purge_at_seconds(session: Session) -> int:
    """Return when DynamoDB may delete what belongs to a session, in epoch seconds: a day before the session itself."""
    return session.purge_at_seconds - MS_PER_DAY // 1000


def poll_after_ms(session: Session, now_ms: int) -> int | None:
    """Return how long a client that awaits a reply should wait before it asks again, in milliseconds.

    A tenth of the age of the last message: after 10 seconds one second, at least 300 ms, at most 5 s. None where
    nothing is awaited, or for longer than ten minutes.
    """
    if session.open_sequence is None or session.last_message_at_ms is None:
        return None
    age_ms = max(0, now_ms - session.last_message_at_ms)
    if age_ms > _OPEN_QUESTION_MS:
        return None
    least, most = _POLL_MS
    return min(most, max(least, age_ms // 10))


def page_cost(message: Message) -> tuple[int, int]:
    """Return what a message adds to a page: bytes of text as stored, and bytes on its way through Lambda.

    A quote in content is one byte as stored, two in the body and four in Lambda's answer, which holds the body as a
    JSON string: each quote and each backslash of the body gets a backslash more.
    """
    rest = message.parts_json + message.attachments_json + message.metadata_json
    body = json.dumps(message.content, ensure_ascii=False) + rest
    stored = len((message.content + rest).encode())
    return stored, len(body.encode()) + body.count('"') + body.count("\\")
