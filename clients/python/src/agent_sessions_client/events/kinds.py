"""The events, as frozen dataclasses. An event of a type that is newer than this package is a plain `Event`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agent_sessions_client.errors import ClientError
from agent_sessions_client.models import Json, Message
from agent_sessions_client.timestamps import parse_time


class MalformedEvent(ClientError):
    """This is no event of the service."""


@dataclass(frozen=True)
class Event:
    """A CloudEvent. `id` is the same for every repeat of the event; `raw` is the event as it came."""

    id: str
    type: str
    source: str
    subject: str
    time: datetime
    data: Json = field(repr=False)
    raw: Json = field(repr=False, compare=False)


@dataclass(frozen=True)
class SessionEvent(Event):
    """An event about one session."""

    session_id: str
    tenant_id: str
    agent_id: str
    user_id: str
    created_at: datetime
    """When the session was created. A session id may come back under an idempotency key; then this differs."""


@dataclass(frozen=True)
class _LeaseEvent(SessionEvent):
    lease: int
    expires_at: datetime
    ends_at: datetime
    reason: str
    renewable: bool


@dataclass(frozen=True)
class SessionExpiring(_LeaseEvent):
    """The session is about to expire. `renewable`: a renewal would still help."""


@dataclass(frozen=True)
class SessionExpired(_LeaseEvent):
    """The session has expired."""


@dataclass(frozen=True)
class SessionCreated(SessionEvent):
    """A session was created. Published where the deployment asks for it."""


@dataclass(frozen=True)
class SessionEnded(SessionEvent):
    """A session was deleted before it expired. Published where the deployment asks for it."""

    reason: str


@dataclass(frozen=True)
class MessageCreated(SessionEvent):
    """A message was stored. `message` is None unless the deployment puts what was said into its events."""

    message_id: str
    sequence: int
    role: str
    in_reply_to: str | None
    message: Message | None


@dataclass(frozen=True)
class UserErased(Event):
    """A user was erased. `data` has the receipt."""


def event_of(body: Any) -> Event:  # noqa: ANN401 - whatever JSON holds
    """Return the event that a JSON object is.

    Raises:
        MalformedEvent: it is none.

    """
    try:
        return _event_of(body)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"this is no event of the service: {type(error).__name__}: {error}"
        raise MalformedEvent(message) from error


def _event_of(body: Mapping[str, Any]) -> Event:
    if body["specversion"] != "1.0":
        message = f"specversion must be 1.0, not {body['specversion']}"
        raise ValueError(message)
    data = body["data"]
    common: dict[str, Any] = {
        "id": _text(body["id"]),
        "type": _text(body["type"]),
        "source": _text(body["source"]),
        "subject": _text(body["subject"]),
        "time": parse_time(body["time"]),
        "data": data,
        "raw": body,
    }
    kind = common["type"].removeprefix("agent-sessions.")
    if kind == "user.erased":
        return UserErased(**common)
    if kind not in {"session.expiring", "session.expired", "session.created", "session.ended", "message.created"}:
        return Event(**common)
    common |= {
        "session_id": _text(data["sessionId"]),
        "tenant_id": _text(data["tenantId"]),
        "agent_id": _text(data["agentId"]),
        "user_id": _text(data["userId"]),
        "created_at": parse_time(data["createdAt"]),
    }
    if kind == "session.created":
        return SessionCreated(**common)
    if kind == "session.ended":
        return SessionEnded(**common, reason=data["reason"])
    if kind == "message.created":
        message = data["message"]
        return MessageCreated(
            **common,
            message_id=_text(message["id"]),
            sequence=message["sequence"],
            role=_text(message["role"]),
            in_reply_to=message.get("inReplyTo"),
            message=Message.from_json(message) if "content" in message else None,
        )
    return (SessionExpiring if kind == "session.expiring" else SessionExpired)(
        **common,
        lease=data["lease"],
        expires_at=parse_time(data["expiresAt"]),
        ends_at=parse_time(data["endsAt"]),
        reason=_text(data["reason"]),
        renewable=data["renewable"],
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        message = f"a text was expected, not {value!r}"
        raise TypeError(message)
    return value
