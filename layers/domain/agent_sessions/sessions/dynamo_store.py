"""Sessions in DynamoDB. One item a session, one conditional write a change; nothing is read and written back whole.

The conditions are what makes every race safe.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from agent_sessions.aws_clients.failures import FailedCondition, translated
from agent_sessions.sessions import dynamo_item as items
from agent_sessions.sessions.attempts import Write
from agent_sessions.sessions.dynamo_item import Item, UnreadableItem, number
from agent_sessions.sessions.dynamo_renewal import ALIVE, NOT_CLOSED, NOT_WARNED, OWNED, WARNED, Update, renewal_update
from agent_sessions.sessions.leases import Patch, Renewal
from agent_sessions.sessions.model import Session
from agent_sessions.sessions.service import Deletion, ReadMany

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

BATCH_GET_LIMIT: Final = 100
"""Keys of one BatchGetItem (AWS's limit)."""

_SETTINGS: Final = ("timeoutMinutes", "autoRenew", "maxDurationMinutes", "warningThresholdMinutes")


def read_many(client: "DynamoDBClient", table: str, session_ids: Iterable[str]) -> ReadMany:
    """Read up to 100 sessions in one consistent `BatchGetItem`, each id once: a repeat fails the whole call."""
    keys = [items.session_key(session_id) for session_id in dict.fromkeys(session_ids)]
    with translated():
        answer = client.batch_get_item(RequestItems={table: {"Keys": keys, "ConsistentRead": True}})
    found: dict[str, Session] = {}
    damaged: dict[str, str] = {}
    for item in answer["Responses"].get(table, []):
        session_id = str(item[items.SESSION_ID]["S"])
        try:
            found[session_id] = items.session_from_item(item)
        except UnreadableItem as error:  # the others of its batch must not suffer
            damaged[session_id] = error.problem
    left = answer.get("UnprocessedKeys", {}).get(table)
    unread = left["Keys"] if left else []
    return ReadMany(found, [str(key[items.SESSION_ID]["S"]) for key in unread], damaged)


class DynamoSessionStore:
    """`SessionStore` on one table. Raises `ServiceUnavailable` where DynamoDB does not answer."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        *,
        retention_ms: int,
        due_shards: int,
        tenant_shards: int,
    ) -> None:
        """Use `client` on `table`; the rest are the deployment's settings."""
        self._client = client
        self._table = table
        self._retention_ms = retention_ms
        self._due_shards = due_shards
        self._tenant_shards = tenant_shards

    def create(self, session: Session) -> Session | None:
        """Write a new session in one call; return None, or the session that already holds this id.

        A record that has been expired for longer than the retention holds nothing any more and is replaced.
        """
        item = items.session_item(
            session,
            due_shards=self._due_shards,
            tenant_shards=self._tenant_shards,
        )
        unused = f"attribute_not_exists({items.SESSION_ID})"
        retired = "expiresAt <= :retired"
        try:
            with translated():
                self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression=f"{unused} OR {retired}",
                    ExpressionAttributeValues={":retired": number(session.created_at_ms - self._retention_ms)},
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except FailedCondition as error:
            found = error.item
            if found is None:
                raise
            return items.session_from_item(found)
        return None

    def get(self, session_id: str) -> Session | None:
        """Read one session, consistently: a caller reads what it wrote. One read unit up to 4 KB."""
        with translated():
            answer = self._client.get_item(
                TableName=self._table, Key=items.session_key(session_id), ConsistentRead=True
            )
        item = answer.get("Item")
        return items.session_from_item(item) if item else None

    def renew(self, session_id: str, tenant_id: str, attempt: Renewal, now_ms: int) -> Write:
        """Carry out one heartbeat or renewal at `now_ms`, as a single conditional write."""
        return update_session(self._client, self._table, session_id, renewal_update(tenant_id, attempt, now_ms))

    def patch(self, read: Session, patch: Patch, now_ms: int) -> Write:
        """Carry out a patch that was worked out on `read`, if its case still holds.

        Heartbeats in between do no harm: times are counted from the `renewedAt` that DynamoDB finds, and the condition
        compares the settings, which only patches change, and which side of the cap the lease is on.
        """
        timeout = patch.timeout
        changes = items.timeout_attributes(timeout) | items.end_attributes(patch.ends_at_ms, timeout)
        read_settings = items.timeout_attributes(read.timeout)
        values = {f":new{name}": value for name, value in changes.items()} | {
            ":tenant": {"S": read.tenant_id},
            ":now": number(now_ms),
            **{f":read{name}": read_settings[name] for name in _SETTINGS},
        }
        sets = [f"{name} = :new{name}" for name in changes]
        conditions = [OWNED, NOT_CLOSED, ALIVE, *(f"{name} = :read{name}" for name in _SETTINGS)]
        conditions.append("expiresAt = endsAt" if patch.was_capped else "expiresAt < endsAt")
        if patch.is_capped:
            conditions.append("renewedAt >= :newrenewableUntil")
            expiry, appointment = ":newendsAt", ":newendsAt - :newwarningMs"
        else:
            conditions += ["renewedAt < :newrenewableUntil", "renewedAt > :livesFrom"]
            values[":livesFrom"] = number(now_ms - timeout.timeout_ms)
            expiry, appointment = "renewedAt + :newtimeoutMs", "renewedAt + :newwarnAfterMs"
        if patch.warning_due:  # an appointment in the past would make the sweep look late; one too early is moved
            appointment = ":now"
        if patch.new_lease:
            sets += [f"expiresAt = {expiry}", "lease = lease + :one", f"{items.DUE_AT} = {appointment}"]
            values[":one"] = number(1)
        elif read.warned:
            conditions.append(WARNED)
        else:
            conditions.append(NOT_WARNED)
            sets.append(f"{items.DUE_AT} = {appointment}")
        return update_session(self._client, self._table, read.session_id, Update(sets, conditions, values))

    def put_metadata(self, read: Session, metadata_json: str, now_ms: int) -> Write:
        """Replace the metadata of a session, if it lives and its metadata is still what was read."""
        values = {
            ":tenant": {"S": read.tenant_id},
            ":now": number(now_ms),
            ":read": {"S": read.metadata_json},
            ":new": {"S": metadata_json},
        }
        conditions = [OWNED, NOT_CLOSED, ALIVE, "metadata = :read"]
        return update_session(
            self._client, self._table, read.session_id, Update(["metadata = :new"], conditions, values)
        )

    def delete(
        self, session_id: str, tenant_id: str, attempt: bytes | None = None, *, silent: bool = False
    ) -> Deletion | None:
        """Remove the tenant's session, readable or not: one DeleteItem. None where the tenant has no such session.

        With `attempt` only the life that it names is removed. Without it, or where `silent`, only a session that was
        never talked in.
        """
        values: Item = {":tenant": {"S": tenant_id}}
        conditions = [OWNED]
        if attempt is None or silent:
            conditions.append(f"attribute_not_exists({items.LAST_SEQ})")
        if attempt:
            conditions.append("attempt = :attempt")
            values[":attempt"] = {"B": attempt}
        elif attempt is not None:  # the item is damaged: its life has no name
            conditions.append("NOT attribute_type(attempt, :binary)")
            values[":binary"] = {"S": "B"}
        try:
            with translated():
                answer = self._client.delete_item(
                    TableName=self._table,
                    Key=items.session_key(session_id),
                    ConditionExpression=" AND ".join(conditions),
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_OLD",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except FailedCondition as error:
            found = error.item
            if found is None or found.get("tenantId") != {"S": tenant_id}:
                return None
            return Deletion(done=False, session=_readable(found), attempt=_attempt(found))
        return Deletion(True, _readable(answer["Attributes"]), _attempt(answer["Attributes"]))

    def attempt_of(self, session_id: str) -> bytes | None:
        """Read what stands for the life of a session, consistently: one read unit up to 4 KB."""
        with translated():
            answer = self._client.get_item(
                TableName=self._table,
                Key=items.session_key(session_id),
                ConsistentRead=True,
                ProjectionExpression="attempt",
            )
        item = answer.get("Item")
        return None if item is None else _attempt(item)


def update_session(client: "DynamoDBClient", table: str, session_id: str, update: Update) -> Write:
    """Carry out one conditional update of a session."""
    try:
        with translated():
            answer = client.update_item(
                TableName=table,
                Key=items.session_key(session_id),
                UpdateExpression=update.expression,
                ConditionExpression=update.condition,
                ExpressionAttributeValues=update.values,
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
    except FailedCondition as error:
        found = error.item
        return Write(applied=False, session=items.session_from_item(found) if found else None)
    return Write(applied=True, session=items.session_from_item(answer["Attributes"]))


def _readable(item: Mapping[str, Any]) -> Session | None:
    try:
        return items.session_from_item(dict(item))
    except UnreadableItem:
        return None


def _attempt(item: Mapping[str, Any]) -> bytes:
    """Return the attempt of an item; nothing where it has none, which no life of ours is named by."""
    return bytes(item.get("attempt", {}).get("B", b""))
