"""The item of a session in DynamoDB's own types, what it depends on, and the updates of it: the same for every peer."""

import hashlib
import os
from typing import Any

MS_PER_MINUTE = 60_000
RETENTION_MS = int(os.environ.get("SESSION_RETENTION_MINUTES", "1440")) * MS_PER_MINUTE
DUE_SHARDS = int(os.environ.get("DUE_SHARDS", "8"))
TENANT_SHARDS = int(os.environ.get("TENANT_SHARDS", "4"))
UUID_PATTERN = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"

RENEW = (
    "SET expiresAt = :now + timeoutMs, lastActivity = :now, renewedAt = :now, "
    "renewalCount = renewalCount + :one, lease = lease + :one"
)
RENEWABLE = (
    "tenantId = :tenant AND attribute_exists(dueShard) AND expiresAt > :now "
    "AND lastActivity <= :now AND renewableUntil > :now AND dueAt < expiresAt AND autoRenew = :true"
)
TAKE_NUMBER = (
    f"{RENEW}, lastSeq = if_not_exists(lastSeq, :zero) + :one, lastMessageAt = :now, "
    "openSeq = if_not_exists(lastSeq, :zero) + :one"
)
MAY_TAKE = (
    f"{RENEWABLE} AND (attribute_not_exists(lastMessageAt) OR lastMessageAt < :now) "
    "AND (attribute_not_exists(lastSeq) OR lastSeq < :limit)"
)


def shard_of(session_id: str, shards: int) -> int:
    return int.from_bytes(hashlib.sha256(session_id.encode()).digest()[:4]) % shards


def new_item(
    session_id: str, tenant: str, body: Any, metadata: str, request_hash: bytes | str, attempt: bytes | str, now: int
) -> dict[str, Any]:
    """The item of a new session; `body` has the fields of a request, and octets are as the peer's client takes them."""
    config = body.timeout_config
    timeout_ms = round(config.timeout_minutes * MS_PER_MINUTE)
    warning_ms = round(config.warning_threshold_minutes * MS_PER_MINUTE)
    ends_at = now + round(config.max_duration_minutes * MS_PER_MINUTE)
    expires_at = min(now + timeout_ms, ends_at)
    return {
        "sessionId": {"S": session_id},
        "tenantId": {"S": tenant},
        "agentId": {"S": body.agent_id},
        "userId": {"S": body.user_id},
        "metadata": {"S": metadata},
        "requestHash": {"B": request_hash},
        "attempt": {"B": attempt},
        "createdAt": {"N": str(now)},
        "lastActivity": {"N": str(now)},
        "renewedAt": {"N": str(now)},
        "expiresAt": {"N": str(expires_at)},
        "endsAt": {"N": str(ends_at)},
        "renewalCount": {"N": "0"},
        "lease": {"N": "1"},
        "timeoutMinutes": {"N": str(config.timeout_minutes)},
        "autoRenew": {"BOOL": config.auto_renew},
        "maxDurationMinutes": {"N": str(config.max_duration_minutes)},
        "warningThresholdMinutes": {"N": str(config.warning_threshold_minutes)},
        "timeoutMs": {"N": str(timeout_ms)},
        "warningMs": {"N": str(warning_ms)},
        "warnAfterMs": {"N": str(timeout_ms - warning_ms)},
        "renewableUntil": {"N": str(ends_at - timeout_ms)},
        "purgeAt": {"N": str(-((ends_at + RETENTION_MS) // -1000))},
        "listedAt": {"N": str(now)},
        "tenantUser": {"S": f"{tenant}#{body.user_id.lower()}"},
        "tenantShard": {"S": f"{tenant}#{shard_of(session_id, TENANT_SHARDS)}"},
        "dueShard": {"N": str(shard_of(session_id, DUE_SHARDS))},
        "dueAt": {"N": str(expires_at - warning_ms)},
    }
