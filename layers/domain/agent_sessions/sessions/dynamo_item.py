"""How a session lies in DynamoDB: the attribute names, one builder per key, one writer and one reader per item.

Values are DynamoDB's typed JSON. Numbers are written by hand, metadata as JSON text: DynamoDB's own number type would
change floats. Knows the format, not the client.
"""

import hashlib
from typing import Any, Final

from agent_sessions.sessions.model import Minutes, Session, TimeoutConfig

Item = dict[str, Any]

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
AGENT_ID: Final = "agentId"


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


def purge_at_seconds(ends_at_ms: int, retention_ms: int) -> int:
    """Return the TTL in epoch seconds: no renewal can pass `ends_at_ms`, so TTL never meets a live session."""
    return -((ends_at_ms + retention_ms) // -1000)


def session_item(session: Session, *, retention_ms: int, due_shards: int, tenant_shards: int) -> Item:
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
        **end_attributes(session.ends_at_ms, timeout, retention_ms),
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
        "warnAfterMs": {"N": str(timeout.timeout_ms - timeout.warning_ms)},
    }


def end_attributes(ends_at_ms: int, timeout: TimeoutConfig, retention_ms: int) -> Item:
    """Write what follows from the end of the maximum duration."""
    return {
        "endsAt": {"N": str(ends_at_ms)},
        "renewableUntil": {"N": str(ends_at_ms - timeout.timeout_ms)},
        TTL: {"N": str(purge_at_seconds(ends_at_ms, retention_ms))},
    }


def session_from_item(item: Item) -> Session:
    """Read a session's item."""
    return Session(
        session_id=item[SESSION_ID]["S"],
        tenant_id=item["tenantId"]["S"],
        agent_id=item[AGENT_ID]["S"],
        user_id=item["userId"]["S"],
        metadata_json=item["metadata"]["S"],
        request_hash=bytes(item["requestHash"]["B"]),
        attempt=bytes(item["attempt"]["B"]),
        timeout=TimeoutConfig(
            timeout_minutes=_minutes(item["timeoutMinutes"]["N"]),
            auto_renew=item["autoRenew"]["BOOL"],
            max_duration_minutes=_minutes(item["maxDurationMinutes"]["N"]),
            warning_threshold_minutes=_minutes(item["warningThresholdMinutes"]["N"]),
        ),
        created_at_ms=int(item["createdAt"]["N"]),
        last_activity_ms=int(item["lastActivity"]["N"]),
        renewed_at_ms=int(item["renewedAt"]["N"]),
        expires_at_ms=int(item["expiresAt"]["N"]),
        ends_at_ms=int(item["endsAt"]["N"]),
        renewal_count=int(item["renewalCount"]["N"]),
        lease=int(item["lease"]["N"]),
        due_at_ms=int(item[DUE_AT]["N"]),
        announced=DUE_SHARD not in item,
    )


def _minutes(text: str) -> Minutes:
    """Read a number as JSON would: an integer where it is one (at most 15 digits reach here), else a double."""
    return int(text) if text.isdigit() else float(text)
