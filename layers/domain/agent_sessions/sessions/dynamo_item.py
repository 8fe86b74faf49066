"""How a session lies in DynamoDB: the attribute names, one builder per key, one writer and one reader per item.

Values are DynamoDB's typed JSON. Numbers are written by hand, metadata as JSON text: DynamoDB's own number type would
change floats. Knows the format, not the client.
"""

import hashlib
import json
from typing import Any, Final, NoReturn

from agent_sessions.sessions.model import Minutes, Session, TimeoutConfig

Item = dict[str, Any]

LATEST_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999: later moments have no ISO 8601 form."""
_MOST: Final = 2**53
_MOST_MINUTES: Final = LATEST_MS // 60_000

SESSION_ID: Final = "sessionId"
TTL: Final = "purgeAt"

DUE_INDEX: Final = "due"
DUE_SHARD: Final = "dueShard"
DUE_AT: Final = "dueAt"

USER_INDEX: Final = "byUser"
TENANT_USER: Final = "tenantUser"

TENANT_INDEX: Final = "byTenant"
TENANT_SHARD: Final = "tenantShard"

LISTED_AT: Final = "listedAt"
"""`createdAt` while the session may be renewed, minus `createdAt` once it is closed: lists ask for positive values, and
the erasure of a user finds both."""
CREATED_AT: Final = "createdAt"

LAST_SEQUENCE: Final = "lastSeq"
LAST_MESSAGE_AT: Final = "lastMessageAt"
OPEN_SEQUENCE: Final = "openSeq"
AGENT_ID: Final = "agentId"

LAST_SEQ: Final = "lastSeq"
"""How many messages were accepted; absent before the first."""


class UnreadableItem(Exception):
    """An item is no session that this service can have written. It stays until somebody mends or deletes it."""

    def __init__(self, item: Item, problem: str) -> None:
        """Name the item by its key, as far as it has one, and what is wrong with it."""
        self.session_id = str(item.get(SESSION_ID, {}).get("S", "?"))
        self.problem = problem
        super().__init__(f"The item of session {self.session_id} cannot be read: {problem}.")


def number(value: int) -> Item:
    """Return a number as DynamoDB writes it."""
    return {"N": str(value)}


def session_key(session_id: str) -> Item:
    """Return the table's key."""
    return {SESSION_ID: {"S": session_id}}


def shard_of(session_id: str, shards: int) -> int:
    """Return the shard of a session among `shards`: a hash of its id, the same in every process."""
    return int.from_bytes(hashlib.sha256(session_id.encode()).digest()[:4]) % shards


def tenant_user_key(tenant_id: str, user_id: str) -> str:
    """Return the partition of one user's sessions. UUIDs compare without case (RFC 9562), ids keep theirs."""
    return f"{tenant_id}#{user_id.lower()}"


def tenant_shard_key(tenant_id: str, shard: int) -> str:
    """Return one of the partitions of a tenant's sessions."""
    return f"{tenant_id}#{shard}"


def session_item(session: Session, *, due_shards: int, tenant_shards: int) -> Item:
    """Write the item of a new session."""
    timeout = session.timeout
    return {
        SESSION_ID: {"S": session.session_id},
        "tenantId": {"S": session.tenant_id},
        AGENT_ID: {"S": session.agent_id},
        "userId": {"S": session.user_id},
        "metadata": {"S": session.metadata_json},
        "requestHash": {"B": session.request_hash},
        "attempt": {"B": session.attempt},
        "createdAt": {"N": str(session.created_at_ms)},
        "lastActivity": {"N": str(session.last_activity_ms)},
        "renewedAt": {"N": str(session.renewed_at_ms)},
        "expiresAt": {"N": str(session.expires_at_ms)},
        "renewalCount": {"N": str(session.renewal_count)},
        "lease": {"N": str(session.lease)},
        **timeout_attributes(timeout),
        **end_attributes(session.ends_at_ms, timeout),
        TTL: {"N": str(session.purge_at_seconds)},
        LISTED_AT: {"N": str(session.created_at_ms)},
        TENANT_USER: {"S": tenant_user_key(session.tenant_id, session.user_id)},
        TENANT_SHARD: {"S": tenant_shard_key(session.tenant_id, shard_of(session.session_id, tenant_shards))},
        DUE_SHARD: {"N": str(shard_of(session.session_id, due_shards))},
        DUE_AT: {"N": str(session.due_at_ms)},
    }


def timeout_attributes(timeout: TimeoutConfig) -> Item:
    """Write the settings as sent, and what the renewal's arithmetic needs of them in milliseconds."""
    return {
        "timeoutMinutes": {"N": repr(timeout.timeout_minutes)},
        "autoRenew": {"BOOL": timeout.auto_renew},
        "maxDurationMinutes": {"N": repr(timeout.max_duration_minutes)},
        "warningThresholdMinutes": {"N": repr(timeout.warning_threshold_minutes)},
        "timeoutMs": {"N": str(timeout.timeout_ms)},
        "warningMs": {"N": str(timeout.warning_ms)},
        "warnAfterMs": {"N": str(timeout.warn_after_ms)},
    }


def end_attributes(ends_at_ms: int, timeout: TimeoutConfig) -> Item:
    """Write what follows from the end of the maximum duration."""
    return {
        "endsAt": {"N": str(ends_at_ms)},
        "renewableUntil": {"N": str(ends_at_ms - timeout.timeout_ms)},
    }


def session_from_item(item: Item) -> Session:
    """Read a session's item.

    Raises:
        UnreadableItem: an attribute is missing, of another kind, or holds what this service cannot have written.

    """
    try:
        session = Session(
            session_id=_text(item, SESSION_ID),
            tenant_id=_text(item, "tenantId"),
            agent_id=_text(item, AGENT_ID),
            user_id=_text(item, "userId"),
            metadata_json=_text(item, "metadata"),
            request_hash=bytes(_held(item, "requestHash", "B")),
            attempt=bytes(_held(item, "attempt", "B")),
            timeout=TimeoutConfig(
                timeout_minutes=_minutes(item, "timeoutMinutes"),
                auto_renew=_held(item, "autoRenew", "BOOL"),
                max_duration_minutes=_minutes(item, "maxDurationMinutes"),
                warning_threshold_minutes=_minutes(item, "warningThresholdMinutes"),
            ),
            created_at_ms=moment(item, "createdAt"),
            last_activity_ms=moment(item, "lastActivity"),
            renewed_at_ms=moment(item, "renewedAt"),
            expires_at_ms=moment(item, "expiresAt"),
            ends_at_ms=moment(item, "endsAt"),
            renewal_count=_count(item, "renewalCount"),
            lease=_count(item, "lease"),
            due_at_ms=moment(item, DUE_AT),
            purge_at_seconds=_count(item, TTL),
            closed=item.get(LISTED_AT) != item[CREATED_AT],
            announced=DUE_SHARD not in item,
            last_sequence=_count(item, LAST_SEQUENCE) if LAST_SEQUENCE in item else 0,
            last_message_at_ms=moment(item, LAST_MESSAGE_AT) if LAST_MESSAGE_AT in item else None,
            open_sequence=_count(item, OPEN_SEQUENCE) if OPEN_SEQUENCE in item else None,
        )
        if session.metadata_json != "{}" and not isinstance(_JSON.decode(session.metadata_json), dict):
            raise TypeError("metadata must be a JSON object")  # noqa: TRY301 - reported as the others are
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UnreadableItem(item, f"{type(error).__name__}: {error}") from None
    return session


def moment(item: Item, name: str) -> int:
    """Return an attribute that is a moment: epoch milliseconds, a whole number up to the end of the year 9999.

    Raises:
        TypeError, ValueError: it is missing, or something else.

    """
    return _whole(item, name, LATEST_MS, "a moment from 1970 to 9999")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"metadata must be JSON, which has no {name}")


_JSON: Final = json.JSONDecoder(parse_constant=_refuse_constant)


def _held(item: Item, name: str, kind: str) -> Any:  # noqa: ANN401 - what the kind holds
    """Return the value of an attribute of this kind. A message names the attribute and no text that it holds."""
    try:
        return item[name][kind]
    except (KeyError, TypeError):
        found = " and ".join(item[name]) if name in item else "nothing"
        raise TypeError(f"{name} must hold {kind}, not {found}") from None


def _whole(item: Item, name: str, most: int, what: str) -> int:
    text = _held(item, name, "N")
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value <= most:
        raise ValueError(f"{name} must be {what}, not {text[:40]}")
    return value


def _count(item: Item, name: str) -> int:
    return _whole(item, name, _MOST, f"a whole number from 0 to {_MOST}")


def _text(item: Item, name: str) -> str:
    text = _held(item, name, "S")
    if not isinstance(text, str):
        raise TypeError(f"{name} must be text")
    return text


def _minutes(item: Item, name: str) -> Minutes:
    """Read a number as JSON would: an integer where it is one (at most 15 digits reach here), else a double."""
    text = _held(item, name, "N")
    value: Minutes = int(text) if text.isdigit() else float(text)
    if not 0 <= value <= _MOST_MINUTES:
        raise ValueError(f"{name} must be a number of minutes, not {text[:40]}")
    return value
