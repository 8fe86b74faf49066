"""Sessions to put into a store, the store on an engine's table, and a look at what lies there."""

import uuid
from typing import Any, Final, Protocol

from agent_sessions.lists.dynamo_index import DynamoSessionIndex
from agent_sessions.lists.dynamo_secret import DynamoCursorSecret
from agent_sessions.sessions import dynamo_item as items
from agent_sessions.sessions.dynamo_store import DynamoSessionStore
from agent_sessions.sessions.model import MS_PER_MINUTE, Session, TimeoutConfig
from agent_sessions.sweep.dynamo_record import DynamoSweepRecord

NOW: Final = 1_782_547_200_123
"""2026-06-27T08:00:00.123Z, the moment at which the tests of this suite act."""
MINUTE: Final = MS_PER_MINUTE
RETENTION: Final = 1440 * MINUTE
DUE_SHARDS: Final = 8
TENANT_SHARDS: Final = 4
TENANT: Final = "acme"
TIMEOUT: Final = TimeoutConfig(
    timeout_minutes=30, auto_renew=True, max_duration_minutes=720, warning_threshold_minutes=5
)


class Table(Protocol):
    """An empty sessions table on some engine."""

    @property
    def client(self) -> Any: ...

    @property
    def name(self) -> str: ...


def a_session(**changes: Any) -> Session:
    """A live session in the middle of its first lease: made 20 minutes before NOW, with 10 minutes left.

    `changes` replace its fields one by one; nothing else follows from them.
    """
    created = NOW - 20 * MINUTE
    session = Session(
        session_id=str(uuid.uuid4()),
        tenant_id=TENANT,
        agent_id="b8504bc3-45f8-4a41-a00a-83df46d8555d",
        user_id="6C6F2D1E-0a3b-4f7d-9e58-1b2c3d4e5f60",
        metadata_json='{"title":"Grüße 🌍","n":1.10,"big":123456789012345678901234567890}',
        request_hash=bytes(range(32)),
        attempt=b"\x00\xff\x10\x20",
        timeout=TIMEOUT,
        created_at_ms=created,
        last_activity_ms=created,
        renewed_at_ms=created,
        expires_at_ms=created + TIMEOUT.timeout_ms,
        ends_at_ms=created + TIMEOUT.max_duration_ms,
        renewal_count=0,
        lease=1,
        due_at_ms=created + TIMEOUT.timeout_ms - TIMEOUT.warning_ms,
        purge_at_seconds=4_000_000_000,
    )
    return session._replace(**changes)


def first_lease(expires_at_ms: int, **changes: Any) -> Session:
    """A session that ends its first lease then, and has not been warned."""
    timeout: TimeoutConfig = changes.get("timeout", TIMEOUT)
    created = expires_at_ms - timeout.timeout_ms
    moments = {
        "created_at_ms": created,
        "last_activity_ms": created,
        "renewed_at_ms": created,
        "expires_at_ms": expires_at_ms,
        "ends_at_ms": created + timeout.max_duration_ms,
        "due_at_ms": expires_at_ms - timeout.warning_ms,
    }
    return a_session(**(moments | changes))


def patched(session: Session, timeout: TimeoutConfig) -> Session:
    """The session under other settings, as a patch at NOW should make it (docs/contract.md, Time)."""
    ends = session.created_at_ms + timeout.max_duration_ms
    expires = min(session.renewed_at_ms + timeout.timeout_ms, ends)
    moved = expires != session.expires_at_ms or (expires == ends) != session.capped
    return session._replace(
        timeout=timeout,
        ends_at_ms=ends,
        expires_at_ms=expires,
        lease=session.lease + moved,
        due_at_ms=session.due_at_ms if session.warned and not moved else max(NOW, expires - timeout.warning_ms),
    )


def store_on(table: Table) -> DynamoSessionStore:
    """The store, as bootstrap makes it."""
    return DynamoSessionStore(
        table.client, table.name, retention_ms=RETENTION, due_shards=DUE_SHARDS, tenant_shards=TENANT_SHARDS
    )


def index_on(table: Table) -> DynamoSessionIndex:
    """The store's indexes, as bootstrap makes them."""
    return DynamoSessionIndex(table.client, table.name, TENANT_SHARDS)


def secret_on(table: Table) -> DynamoCursorSecret:
    """The cursors' secret in this table, as a new process would read it."""
    return DynamoCursorSecret(table.client, table.name)


def records_on(table: Table) -> DynamoSweepRecord:
    """The service's records, as a process sees them that has just started."""
    return DynamoSweepRecord(table.client, table.name)


def put(table: Table, session: Session) -> Session:
    """Lay a session down as it is, whatever was there."""
    table.client.put_item(TableName=table.name, Item=item_of(session))
    if session.closed:
        set_attribute(table, session.session_id, items.LISTED_AT, items.number(-session.created_at_ms))
    if session.announced:
        without(table, session.session_id, items.DUE_SHARD)
    return session


def item_of(session: Session) -> Any:
    """What a store should hold for a session that has not been announced."""
    return items.session_item(session, due_shards=DUE_SHARDS, tenant_shards=TENANT_SHARDS)


def item(table: Table, session_id: str) -> Any:
    """What lies in the table under this id; None for nothing."""
    return table.client.get_item(TableName=table.name, Key=items.session_key(session_id), ConsistentRead=True).get(
        "Item"
    )


def set_attribute(table: Table, session_id: str, name: str, value: Any) -> None:
    """Change one attribute behind the store's back."""
    table.client.update_item(
        TableName=table.name,
        Key=items.session_key(session_id),
        UpdateExpression=f"SET {name} = :value",
        ExpressionAttributeValues={":value": value},
    )


def without(table: Table, session_id: str, *names: str) -> None:
    """Remove attributes behind the store's back, as the sweep does when it announces an expiry."""
    table.client.update_item(
        TableName=table.name, Key=items.session_key(session_id), UpdateExpression=f"REMOVE {', '.join(names)}"
    )


def changed(before: Any, after: Any) -> set[str]:
    """The names of the attributes in which two items differ."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
