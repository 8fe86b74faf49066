"""What the service answers, as frozen dataclasses.

`raw` is the answer as it came, with fields that are newer than this package.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict
from uuid import UUID

from agent_sessions_client.timestamps import parse_time

Json = Mapping[str, Any]
Role = Literal["user", "agent", "system", "tool"]
Reason = Literal["idle_timeout", "max_duration", "deleted"]


def _time_or_none(text: str | None) -> datetime | None:
    return None if text is None else parse_time(text)


@dataclass(frozen=True)
class TimeoutConfig:
    """The timeout settings in force."""

    timeout_minutes: float
    auto_renew: bool
    max_duration_minutes: float
    warning_threshold_minutes: float

    @classmethod
    def from_json(cls, body: Json) -> "TimeoutConfig":
        return cls(
            timeout_minutes=body["timeoutMinutes"],
            auto_renew=body["autoRenew"],
            max_duration_minutes=body["maxDurationMinutes"],
            warning_threshold_minutes=body["warningThresholdMinutes"],
        )


@dataclass(frozen=True)
class Session:
    """A session as it was when the service answered."""

    session_id: str
    agent_id: str
    user_id: str
    created_at: datetime
    last_activity: datetime
    expires_at: datetime
    ends_at: datetime
    renew_after: datetime | None
    """A heartbeat before this moment gains nothing worth its cost. None where no heartbeat can renew."""
    metadata: Json
    metadata_version: str
    timeout_config: TimeoutConfig
    lease: int
    renewal_count: int
    last_sequence: int
    last_message_at: datetime | None
    awaiting_reply: bool
    time_remaining_ms: int
    is_near_expiration: bool
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, body: Json) -> "Session":
        return cls(
            session_id=body["sessionId"],
            agent_id=body["agentId"],
            user_id=body["userId"],
            created_at=parse_time(body["createdAt"]),
            last_activity=parse_time(body["lastActivity"]),
            expires_at=parse_time(body["expiresAt"]),
            ends_at=parse_time(body["endsAt"]),
            renew_after=_time_or_none(body.get("renewAfter")),
            metadata=body["metadata"],
            metadata_version=body["metadataVersion"],
            timeout_config=TimeoutConfig.from_json(body["timeoutConfig"]),
            lease=body["lease"],
            renewal_count=body["renewalCount"],
            last_sequence=body["lastSequence"],
            last_message_at=_time_or_none(body.get("lastMessageAt")),
            awaiting_reply=body["awaitingReply"],
            time_remaining_ms=body["timeRemaining"],
            is_near_expiration=body["isNearExpiration"],
            raw=body,
        )

    @property
    def server_time(self) -> datetime:
        """The server's time at the answer."""
        return self.expires_at - timedelta(milliseconds=self.time_remaining_ms)


@dataclass(frozen=True)
class SessionPage:
    """A page of sessions, newest first. The last page has no `next_cursor`."""

    sessions: tuple[Session, ...]
    next_cursor: str | None

    @classmethod
    def from_json(cls, body: Json) -> "SessionPage":
        return cls(tuple(map(Session.from_json, body["sessions"])), body.get("nextCursor"))


@dataclass(frozen=True)
class Deletion:
    """What a DELETE did. `pending`: messages are left that the service removes after the answer."""

    session_id: str
    messages_deleted: int
    pending: bool


@dataclass(frozen=True)
class Message:
    """A message. `sequence` is its number in the session."""

    id: str
    sequence: int
    session_id: str
    content: str
    role: str
    author_id: str
    in_reply_to: str | None
    created_at: datetime
    parts: tuple[Json, ...]
    attachments: tuple[Json, ...]
    metadata: Json
    raw: Json = field(repr=False, compare=False)

    @property
    def is_agent(self) -> bool:
        return self.role == "agent"

    @classmethod
    def from_json(cls, body: Json) -> "Message":
        return cls(
            id=body["id"],
            sequence=body["sequence"],
            session_id=body["sessionId"],
            content=body["content"],
            role=body["role"],
            author_id=body["authorId"],
            in_reply_to=body.get("inReplyTo"),
            created_at=parse_time(body["createdAt"]),
            parts=tuple(body.get("parts") or ()),
            attachments=tuple(body.get("attachments") or ()),
            metadata=body.get("metadata") or {},
            raw=body,
        )


@dataclass(frozen=True)
class MessagePage:
    """A page of messages.

    `skipped` are numbers that no message will have, `redacted` those of messages that were emptied.
    A reader goes on from `after_sequence`.
    """

    messages: tuple[Message, ...]
    has_more: bool
    after_sequence: int
    before_sequence: int | None
    skipped: tuple[int, ...]
    redacted: tuple[int, ...]
    last_sequence: int
    awaiting_reply: bool
    poll_after_ms: int | None

    @classmethod
    def from_json(cls, body: Json) -> "MessagePage":
        cursors = body["cursors"]
        return cls(
            messages=tuple(Message.from_json(each) for each in body["messages"] if not each.get("redacted")),
            has_more=body["hasMore"],
            after_sequence=cursors["afterSequence"],
            before_sequence=cursors.get("beforeSequence"),
            skipped=tuple(body.get("skipped") or ()),
            redacted=tuple(each["sequence"] for each in body["messages"] if each.get("redacted")),
            last_sequence=body["lastSequence"],
            awaiting_reply=body["awaitingReply"],
            poll_after_ms=body.get("pollAfterMs"),
        )


@dataclass(frozen=True)
class Reply:
    """An agent's reply as the service returns it to a caller who waited."""

    text: str
    message_id: str
    sequence: int
    in_reply_to: str | None
    metadata: Json

    @classmethod
    def from_json(cls, body: Json) -> "Reply":
        return cls(body["text"], body["messageId"], body["sequence"], body.get("inReplyTo"), body.get("metadata") or {})


@dataclass(frozen=True)
class _Arrival:
    """What the arrival of messages did to the session."""

    expires_at: datetime
    renewal_count: int
    was_renewed: bool
    is_near_expiration: bool
    last_sequence: int
    idempotency_key: str


def _arrival(body: Json, key: str) -> dict[str, Any]:
    status = body["sessionStatus"]
    return {
        "expires_at": parse_time(status["expiresAt"]),
        "renewal_count": status["renewalCount"],
        "was_renewed": status["wasRenewed"],
        "is_near_expiration": status["isNearExpiration"],
        "last_sequence": status["lastSequence"],
        "idempotency_key": key,
    }


@dataclass(frozen=True)
class Sent(_Arrival):
    """A stored message, and what its arrival did to the session.

    `reply` and `pending` are for those who asked to wait: `pending` means that no reply came in time.
    """

    message: Message
    reply: Reply | None
    pending: bool

    @classmethod
    def from_json(cls, body: Json, key: str) -> "Sent":
        return cls(
            message=Message.from_json(body["message"]),
            reply=Reply.from_json(body["agentResponse"]) if body.get("agentResponse") else None,
            pending=bool(body.get("pending")),
            **_arrival(body, key),
        )


class _Content(TypedDict):
    content: str


class NewMessage(_Content, total=False):
    """A message of a batch: what `send_message` takes."""

    role: Role
    author_id: str | UUID
    in_reply_to: str
    parts: Iterable[Json]
    attachments: Iterable[Json]
    metadata: Json


@dataclass(frozen=True)
class SentBatch(_Arrival):
    """The messages of a batch as stored, in order, and what their arrival did to the session."""

    messages: tuple[Message, ...]

    @classmethod
    def from_json(cls, body: Json, key: str) -> "SentBatch":
        return cls(messages=tuple(Message.from_json(each) for each in body["messages"]), **_arrival(body, key))


@dataclass(frozen=True)
class Health:
    """The state of the service. `status` is `healthy`, `degraded` or `unhealthy`."""

    status: str
    timestamp: datetime
    active_sessions: int | None
    expiring_soon: int | None
    last_sweep_at: datetime | None
    sweep_lag_seconds: float | None
    passed_over: int | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, body: Json) -> "Health":
        return cls(
            status=body["status"],
            timestamp=parse_time(body["timestamp"]),
            active_sessions=body.get("activeSessions"),
            expiring_soon=body.get("expiringSoon"),
            last_sweep_at=_time_or_none(body.get("lastSweepAt")),
            sweep_lag_seconds=body.get("sweepLagSeconds"),
            passed_over=body.get("passedOver"),
            raw=body,
        )
