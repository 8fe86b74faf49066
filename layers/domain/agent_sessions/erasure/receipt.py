"""What is published of a user that was erased (docs/contract.md, Erase a user): the user's hash, never the id."""

from typing import Final

from agent_sessions.erasure.ports import Erasure
from agent_sessions.events.cloud_events import Event
from agent_sessions.wire_format import compact, timestamp

USER_ERASED: Final = "agent-sessions.user.erased"


def user_erased_event(erasure: Erasure, source: str) -> Event:
    """Make the event of a finished erasure. A repeat has the same id."""
    finished_at = timestamp(erasure.finished_at_ms or 0)
    event_id = f"{erasure.erasure_id}:erased"
    body = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": USER_ERASED,
        "subject": erasure.erasure_id,
        "time": finished_at,
        "datacontenttype": "application/json",
        "data": {
            "erasureId": erasure.erasure_id,
            "tenantId": erasure.tenant_id,
            "userIdHash": erasure.user_hash,
            "requestedAt": timestamp(erasure.requested_at_ms),
            "finishedAt": finished_at,
            "sessions": erasure.sessions,
            "messages": erasure.messages,
            "sessionsDigest": erasure.digest_hex,
        },
    }
    return Event(event_id, compact(body), {"type": USER_ERASED, "tenantId": erasure.tenant_id})
