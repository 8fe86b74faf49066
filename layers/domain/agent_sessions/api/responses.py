"""Bodies of answers. Metadata is spliced in as the text that was stored, so that it comes back as it was sent."""

import hashlib
from typing import TYPE_CHECKING, Any, Final

from agent_sessions.errors import (
    MISSING,
    FieldProblem,
    IdempotencyKeyReused,
    InvalidRequest,
    PreconditionFailed,
    SessionExpired,
    SessionRenewalFailed,
    SessionServiceError,
)
from agent_sessions.sessions.leases import renew_after_ms
from agent_sessions.sessions.model import Session
from agent_sessions.wire_format import compact, timeout_config, timestamp

if TYPE_CHECKING:
    from agent_sessions.erasure.service import Ended
    from agent_sessions.lists.pages import SessionPage
    from agent_sessions.sweep.health import Health

MAX_VALUE_CHARACTERS: Final = 100
"""A value longer than this is cut before it is echoed (docs/contract.md, Errors)."""

_METADATA: Final = 0
"""Stands in for the metadata until its text is put in."""


def session_json(session: Session, now_ms: int) -> str:
    """Return a session as seen at `now_ms` (docs/contract.md, The Session)."""
    renew_after = renew_after_ms(session)
    body = {
        "sessionId": session.session_id,
        "channelId": session.session_id,
        "agentId": session.agent_id,
        "userId": session.user_id,
        "createdAt": timestamp(session.created_at_ms),
        "lastActivity": timestamp(session.last_activity_ms),
        "expiresAt": timestamp(session.expires_at_ms),
        "endsAt": timestamp(session.ends_at_ms),
        "renewAfter": None if renew_after is None else timestamp(renew_after),
        "metadata": _METADATA,
        "timeoutConfig": timeout_config(session.timeout),
        "lease": session.lease,
        "renewalCount": session.renewal_count,
        "metadataVersion": metadata_version(session.metadata_json),
        "lastSequence": session.last_sequence,
        "lastMessageAt": None if session.last_message_at_ms is None else timestamp(session.last_message_at_ms),
        "awaitingReply": session.open_sequence is not None,
        "timeRemaining": session.time_remaining_ms(now_ms),
        "isNearExpiration": session.is_near_expiration(now_ms),
    }
    # No string in JSON holds the placeholder: its inner quotes would be escaped.
    return compact(body).replace(f'"metadata":{_METADATA}', f'"metadata":{session.metadata_json}', 1)


def metadata_version(metadata_json: str) -> str:
    """Return what changes when the metadata does: 16 hexadecimal digits of the stored text's SHA-256."""
    return hashlib.sha256(metadata_json.encode()).hexdigest()[:16]


def page_json(page: "SessionPage") -> str:
    """Return a page of a list; the counts describe the page, not the tenant."""
    count = len(page.sessions)
    rest: dict[str, Any] = {
        "total": count,
        "stats": {"totalSessions": count, "activeSessions": count, "expiredSessions": 0},
    }
    if page.next_cursor is not None:
        rest["nextCursor"] = page.next_cursor
    sessions = ",".join(session_json(session, page.now_ms) for session in page.sessions)
    return f'{{"sessions":[{sessions}],{compact(rest)[1:]}'


def deletion_json(session_id: str, ended: "Ended") -> str:
    """Return the answer to a DELETE; `data` is what the ElizaOS client hands to its caller."""
    return compact(
        {
            "success": True,
            "message": "The session has ended.",
            "data": {
                "success": True,
                "sessionId": session_id,
                "messagesDeleted": ended.messages_deleted,
                "pending": ended.pending,
            },
        }
    )


def health_json(health: "Health") -> str:
    """Return the service's state (docs/contract.md, Health)."""
    swept_at_ms = health.last_sweep_at_ms
    return compact(
        {
            "status": health.status,
            "timestamp": timestamp(health.now_ms),
            "activeSessions": health.active_sessions,
            "expiringSoon": health.expiring_soon,
            "lastSweepAt": None if swept_at_ms is None else timestamp(swept_at_ms),
            "sweepLagSeconds": health.sweep_lag_seconds,
            "passedOver": health.passed_over,
            "eventLagSeconds": health.event_lag_seconds,
        }
    )


def error_json(error: SessionServiceError, now_ms: int) -> str:
    """Return the one error shape."""
    details = _details(error)
    message = printable(str(error))
    if isinstance(error, SessionRenewalFailed):
        message = f"{message} It ends at {details['endsAt']}."
    body: dict[str, Any] = {"code": error.code, "message": message, "timestamp": timestamp(now_ms)}
    if details:
        body["details"] = details
    return compact({"success": False, "error": body})


def printable(text: str) -> str:
    """Return `text` with lone surrogates escaped, as UTF-8 cannot encode them."""
    return text.encode("utf-8", "backslashreplace").decode()


def _details(error: SessionServiceError) -> dict[str, Any]:
    match error:
        case InvalidRequest(problems=problems):
            return {"fields": [_field(problem) for problem in problems]}
        case SessionExpired(expires_at_ms=expires_at_ms, reason=reason, of_key=session_id):
            details = {"expiresAt": timestamp(expires_at_ms), "reason": reason}
            return details if session_id is None else details | {"sessionId": session_id}
        case IdempotencyKeyReused(differing=differing):
            return {"differing": list(differing)}
        case PreconditionFailed(field=field, present=present):
            return {field: present}
        case SessionRenewalFailed(ends_at_ms=ends_at_ms):
            return {"endsAt": timestamp(ends_at_ms)}
        case _:
            return {}


def _field(problem: FieldProblem) -> dict[str, Any]:
    field = {"field": problem.field, "message": problem.message}
    return field if problem.value is MISSING else field | {"value": _echo(problem.value)}


def _echo(value: object) -> object:
    """Return a value as sent or, where it is long or no Unicode text, the beginning of it as text."""
    try:
        text = value if isinstance(value, str) else compact(value)
    except RecursionError:
        return "(nested too deeply to show)"
    shown = printable(text)
    if shown != text or len(shown) > MAX_VALUE_CHARACTERS:
        return shown[:MAX_VALUE_CHARACTERS]
    return value
