"""What subscribers receive: CloudEvents 1.0 in structured JSON mode (docs/contract.md, Events). Knows no topic."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, Literal, NamedTuple, Protocol

from agent_sessions.messages.model import Message
from agent_sessions.messages.wire_form import message_json, message_without_content_json
from agent_sessions.sessions.model import Session
from agent_sessions.wire_format import compact, timeout_config, timestamp

EventKind = Literal["created", "expiring", "expired", "ended"]

TYPE_PREFIX: Final = "agent-sessions.session."
MESSAGE_CREATED: Final = "agent-sessions.message.created"
MAX_BYTES: Final = 256 * 1024
"""Bytes of all events of one publication, attributes included."""

_ATTRIBUTE_TYPE: Final = "String"
_DATA: Final = '"data":0'
"""Stands in for the data until its text is put in."""


class Event(NamedTuple):
    """One event: its id, the body, and the attributes that subscribers filter on."""

    event_id: str
    body: str
    attributes: dict[str, str]

    @property
    def weight(self) -> int:
        """Bytes that count against `MAX_BYTES`: the body, and the attributes' names, types and values."""
        pairs = self.attributes.items()
        return len(self.body.encode()) + sum(len(f"{name}{_ATTRIBUTE_TYPE}{value}".encode()) for name, value in pairs)


class PublishOutcome(Enum):
    """The outcome of a publication; `REFUSED` means that the topic will never take this event."""

    SENT = "sent"
    BUSY = "busy"
    REFUSED = "refused"


class BatchRefused(Exception):
    """The topic refused several events as a whole; one of them may be the reason. Send fewer at a time."""


class EventPublisher(Protocol):
    """Where events go. Raises `ServiceUnavailable` and, for more than one event, `BatchRefused`."""

    def publish(self, events: Sequence[Event]) -> list[PublishOutcome]:
        """Publish up to ten events of `MAX_BYTES` together."""
        ...


def session_event(kind: EventKind, session: Session, now_ms: int, source: str) -> Event:
    """Make the event about `session`'s present lease at `now_ms`.

    The same fact always has the same id, so that a subscriber can drop repeats. The creation time is part of it, as an
    idempotency key can bring a deleted session's id back. Metadata is left out: it may be personal.
    """
    event_id = f"{session.session_id}:{session.created_at_ms}:{session.lease}:{kind}"
    event_type = TYPE_PREFIX + kind
    reason = "deleted" if kind == "ended" else session.reason
    data = {
        "sessionId": session.session_id,
        "tenantId": session.tenant_id,
        "agentId": session.agent_id,
        "userId": session.user_id,
        "createdAt": timestamp(session.created_at_ms),
        "lease": session.lease,
        "expiresAt": timestamp(session.expires_at_ms),
        "endsAt": timestamp(session.ends_at_ms),
        "reason": reason,
        "renewable": reason == "idle_timeout",
        "renewalCount": session.renewal_count,
        "timeRemaining": session.time_remaining_ms(now_ms),
        "timeoutConfig": timeout_config(session.timeout),
    }
    attributes = {
        "type": event_type,
        "tenantId": session.tenant_id,
        "agentId": session.agent_id,
        "userId": session.user_id,
        "reason": reason,
    }
    context = {
        "id": event_id,
        "source": source,
        "type": event_type,
        "subject": session.session_id,
        "time": timestamp(now_ms),
    }
    return Event(event_id, _body(context, compact(data)), attributes)


def message_event(message: Message, source: str, *, with_content: bool) -> Event:
    """Make the event about a stored message.

    All of it follows from the message: a repeat has the same id and the same body. Content that would make the event
    too large for the topic is left out.
    """
    event_id = f"{message.session_id}:{message.attempt.hex()}:{message.sequence}:created"
    session = {
        "sessionId": message.session_id,
        "tenantId": message.tenant_id,
        "agentId": message.agent_id,
        "userId": message.user_id,
        "createdAt": timestamp(message.session_created_at_ms),
        "lease": message.lease,
        "expiresAt": timestamp(message.expires_at_ms),
    }
    attributes = {
        "type": MESSAGE_CREATED,
        "tenantId": message.tenant_id,
        "agentId": message.agent_id,
        "userId": message.user_id,
        "role": message.role,
    }

    context = {
        "id": event_id,
        "source": source,
        "type": MESSAGE_CREATED,
        "subject": message.session_id,
        "time": timestamp(message.created_at_ms),
    }

    def event(message_text: str) -> Event:
        data = f'{compact(session)[:-1]},"message":{message_text}}}'
        return Event(event_id, _body(context, data), attributes)

    if with_content:
        whole = event(message_json(message))
        if whole.weight <= MAX_BYTES:
            return whole
    return event(message_without_content_json(message))


def _body(context: Mapping[str, str], data: str) -> str:
    head = {"specversion": "1.0", **context, "datacontenttype": "application/json", "data": 0}
    # No string in JSON holds the placeholder: its inner quotes would be escaped.
    body = compact(head).replace(_DATA, f'"data":{data}', 1)
    # SQS takes no text with these two characters. In JSON they can only stand inside a string, where an escape will do.
    return body.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
