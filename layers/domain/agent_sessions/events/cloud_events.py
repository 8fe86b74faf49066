"""What subscribers receive: CloudEvents 1.0 in structured JSON mode (docs/contract.md, Events). Knows no topic."""

from collections.abc import Sequence
from enum import Enum
from typing import Final, Literal, NamedTuple, Protocol

from agent_sessions.sessions.model import Session
from agent_sessions.wire_format import compact, timeout_config, timestamp

EventKind = Literal["expiring", "expired"]

TYPE_PREFIX: Final = "agent-sessions.session."


class SessionEvent(NamedTuple):
    """One event: its id, the body, and the attributes that subscribers filter on."""

    event_id: str
    body: str
    attributes: dict[str, str]


class PublishOutcome(Enum):
    """The outcome of a publication; `REFUSED` means that the topic will never take this event."""

    SENT = "sent"
    BUSY = "busy"
    REFUSED = "refused"


class EventPublisher(Protocol):
    """Where events go. Raises `ServiceUnavailable`."""

    def publish(self, events: Sequence[SessionEvent]) -> list[PublishOutcome]:
        """Publish up to ten events."""
        ...


def session_event(kind: EventKind, session: Session, now_ms: int, source: str) -> SessionEvent:
    """Make the event about `session`'s present lease at `now_ms`.

    The same fact always has the same id, so that a subscriber can drop repeats. The creation time is part of it, as an
    idempotency key can bring a deleted session's id back. Metadata is left out: it may be personal.
    """
    event_id = f"{session.session_id}:{session.created_at_ms}:{session.lease}:{kind}"
    event_type = TYPE_PREFIX + kind
    body = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": event_type,
        "subject": session.session_id,
        "time": timestamp(now_ms),
        "datacontenttype": "application/json",
        "data": {
            "sessionId": session.session_id,
            "tenantId": session.tenant_id,
            "agentId": session.agent_id,
            "userId": session.user_id,
            "createdAt": timestamp(session.created_at_ms),
            "lease": session.lease,
            "expiresAt": timestamp(session.expires_at_ms),
            "endsAt": timestamp(session.ends_at_ms),
            "reason": session.reason,
            "renewable": session.reason == "idle_timeout",
            "renewalCount": session.renewal_count,
            "timeRemaining": session.time_remaining_ms(now_ms),
            "timeoutConfig": timeout_config(session.timeout),
        },
    }
    attributes = {
        "type": event_type,
        "tenantId": session.tenant_id,
        "agentId": session.agent_id,
        "userId": session.user_id,
        "reason": session.reason,
    }
    return SessionEvent(event_id, compact(body), attributes)
