"""Sessions in DynamoDB. One item a session, one conditional write a change; nothing is read and written back whole.

The conditions are what makes every race safe. The moments they compare, along one session's life:

    createdAt   lastActivity ≤ now      dueAt (warning)    expiresAt       endsAt
    ───┼────────────┼──────────┼────────────┼─────────────────┼──────────────┼───▶
                                            └ after the warning dueAt = expiresAt
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from agent_sessions import items
from agent_sessions.aws import is_failed_condition, translated
from agent_sessions.items import Item
from agent_sessions.leases import RenewalPath
from agent_sessions.listing import IndexKey, KeyPage, Partition, ReadMany
from agent_sessions.model import Session
from agent_sessions.sessions import Write

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

BATCH_GET_LIMIT: Final = 100
"""Keys of one BatchGetItem (AWS's limit)."""

# The conditions, each half by its name.
_OWNED: Final = "tenantId = :tenant"
_NOT_ANNOUNCED: Final = f"attribute_exists({items.DUE_SHARD})"
_ALIVE: Final = "expiresAt > :now"
# lastActivity is never before renewedAt, so this also keeps a renewal from going back in time.
_NOT_BACK_IN_TIME: Final = "lastActivity <= :now"
_AUTO_RENEWS: Final = "autoRenew = :true"
# Strictly: at equality the lease would end at the cap, which is the other path's case.
_WHOLE_TIMEOUT_FITS: Final = "renewableUntil > :now"
_ONLY_THE_REST_FITS: Final = "renewableUntil <= :now AND expiresAt < endsAt"
_NOT_WARNED: Final = f"{items.DUE_AT} < expiresAt"
_WARNED: Final = f"{items.DUE_AT} >= expiresAt"
_RENEWS_NOTHING: Final = "(autoRenew = :false OR expiresAt = endsAt)"
_LIVE_AND_OURS: Final = f"{_OWNED} AND {_NOT_ANNOUNCED} AND {_ALIVE} AND {_NOT_BACK_IN_TIME}"

_RENEWED: Final = "lastActivity = :now, renewedAt = :now, renewalCount = renewalCount + :one, lease = lease + :one"

# path -> (update, condition). A value may be the sum of a parameter and another attribute of the item, which is what
# spares the renewal its read.
_RENEWALS: Final = {
    RenewalPath.USUAL: (
        f"SET expiresAt = :now + timeoutMs, {_RENEWED}",
        f"{_LIVE_AND_OURS} AND {_WHOLE_TIMEOUT_FITS} AND {_NOT_WARNED}",
    ),
    RenewalPath.AFTER_WARNING: (
        f"SET expiresAt = :now + timeoutMs, {items.DUE_AT} = :now + warnAfterMs, {_RENEWED}",
        f"{_LIVE_AND_OURS} AND {_WHOLE_TIMEOUT_FITS} AND {_WARNED}",
    ),
    RenewalPath.TO_CAP: (
        f"SET expiresAt = endsAt, {items.DUE_AT} = endsAt - warningMs, {_RENEWED}",
        f"{_LIVE_AND_OURS} AND {_ONLY_THE_REST_FITS}",
    ),
}

_UNCHANGED_SINCE_READ: Final = (
    f"lease = :lease AND renewedAt = :renewedAt AND {items.DUE_AT} = :readDueAt AND timeoutMinutes = :readTimeout "
    "AND autoRenew = :readAutoRenew AND maxDurationMinutes = :readMaxDuration "
    "AND warningThresholdMinutes = :readWarning"
)


class DynamoSessionStore:
    """`SessionStore` and `SessionIndex` on one table. Raises `ServiceUnavailable` where DynamoDB does not answer."""

    def __init__(
        self, client: "DynamoDBClient", table: str, *, retention_ms: int, due_shards: int, tenant_shards: int
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
            retention_ms=self._retention_ms,
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
                    ExpressionAttributeValues={":retired": _number(session.created_at_ms - self._retention_ms)},
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except ClientError as error:
            if not is_failed_condition(error):
                raise
            found = _old_item(error)
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

    def renew(self, path: RenewalPath, session_id: str, tenant_id: str, now_ms: int, *, manual: bool) -> Write:
        """Carry out one heartbeat or renewal at `now_ms` along `path`, as a single conditional write."""
        values = {":tenant": {"S": tenant_id}, ":now": _number(now_ms)}
        if path is RenewalPath.ACTIVITY_ONLY:
            update = "SET lastActivity = :now"
            condition = f"{_LIVE_AND_OURS} AND {_RENEWS_NOTHING}"
            values[":false"] = {"BOOL": False}
        else:
            update, condition = _RENEWALS[path]
            values[":one"] = _number(1)
            if not manual:
                condition = f"{condition} AND {_AUTO_RENEWS}"
                values[":true"] = {"BOOL": True}
        return self._update(session_id, update, condition, values)

    def patch(self, read: Session, wanted: Session, now_ms: int) -> Write:
        """Replace the timeout settings of `read` by those of `wanted`, unless it changed since it was read."""
        changes = items.timeout_attributes(wanted.timeout) | items.end_attributes(wanted, self._retention_ms)
        changes |= {
            "expiresAt": _number(wanted.expires_at_ms),
            "lease": _number(wanted.lease),
            items.DUE_AT: _number(wanted.due_at_ms),
        }
        read_settings = items.timeout_attributes(read.timeout)
        values = {f":new{name}": value for name, value in changes.items()} | {
            ":tenant": {"S": read.tenant_id},
            ":now": _number(now_ms),
            ":lease": _number(read.lease),
            ":renewedAt": _number(read.renewed_at_ms),
            ":readDueAt": _number(read.due_at_ms),
            ":readTimeout": read_settings["timeoutMinutes"],
            ":readAutoRenew": read_settings["autoRenew"],
            ":readMaxDuration": read_settings["maxDurationMinutes"],
            ":readWarning": read_settings["warningThresholdMinutes"],
        }
        update = "SET " + ", ".join(f"{name} = :new{name}" for name in changes)
        condition = f"{_OWNED} AND {_NOT_ANNOUNCED} AND {_ALIVE} AND {_UNCHANGED_SINCE_READ}"
        return self._update(read.session_id, update, condition, values)

    def delete(self, session_id: str, tenant_id: str) -> Session | None:
        """Remove the tenant's session and return what it was, or None where the tenant has no such session."""
        try:
            with translated():
                answer = self._client.delete_item(
                    TableName=self._table,
                    Key=items.session_key(session_id),
                    ConditionExpression=_OWNED,
                    ExpressionAttributeValues={":tenant": {"S": tenant_id}},
                    ReturnValues="ALL_OLD",
                )
        except ClientError as error:
            if not is_failed_condition(error):
                raise
            return None
        return items.session_from_item(answer["Attributes"])

    def partitions(self, tenant_id: str, user_id: str | None) -> list[Partition]:
        """Return the index partitions that hold a user's sessions or, without a user, the whole tenant's."""
        if user_id is not None:
            return [Partition(items.USER_INDEX, items.TENANT_USER, items.tenant_user_key(tenant_id, user_id))]
        return [
            Partition(items.TENANT_INDEX, items.TENANT_SHARD, items.tenant_shard_key(tenant_id, shard))
            for shard in range(self._tenant_shards)
        ]

    def keys(self, partition: Partition, after: IndexKey | None, limit: int) -> KeyPage:
        """Read up to `limit` keys of one index partition, newest first, from behind `after`."""
        query: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": partition.index_name,
            "KeyConditionExpression": f"{partition.attribute} = :partition",
            "ExpressionAttributeValues": {":partition": {"S": partition.value}},
            "ScanIndexForward": False,
            "Limit": limit,
        }
        if after is not None:
            query["ExclusiveStartKey"] = items.session_key(after.session_id) | {
                partition.attribute: {"S": partition.value},
                items.LISTED_AT: _number(after.listed_at_ms),
            }
        with translated():
            answer = self._client.query(**query)
        keys = [
            IndexKey(int(item[items.LISTED_AT]["N"]), item[items.SESSION_ID]["S"], item[items.AGENT_ID]["S"])
            for item in answer["Items"]
        ]
        return KeyPage(keys, more="LastEvaluatedKey" in answer)

    def read_many(self, session_ids: Iterable[str]) -> ReadMany:
        """Read up to 100 sessions, consistently; what does not exist is left out."""
        return read_many(self._client, self._table, session_ids)

    def _update(self, session_id: str, update: str, condition: str, values: Item) -> Write:
        try:
            with translated():
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=items.session_key(session_id),
                    UpdateExpression=update,
                    ConditionExpression=condition,
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except ClientError as error:
            if not is_failed_condition(error):
                raise
            found = _old_item(error)
            return Write(applied=False, session=items.session_from_item(found) if found else None)
        return Write(applied=True, session=items.session_from_item(answer["Attributes"]))


def read_many(client: "DynamoDBClient", table: str, session_ids: Iterable[str]) -> ReadMany:
    """Read up to 100 sessions in one consistent `BatchGetItem`, each id once: a repeat fails the whole call."""
    keys = [items.session_key(session_id) for session_id in dict.fromkeys(session_ids)]
    with translated():
        answer = client.batch_get_item(RequestItems={table: {"Keys": keys, "ConsistentRead": True}})
    found: dict[str, Session] = {}
    damaged: list[str] = []
    for item in answer["Responses"].get(table, []):
        session_id = str(item[items.SESSION_ID]["S"])
        try:
            found[session_id] = items.session_from_item(item)
        except (KeyError, ValueError):  # not written by us: the others of its batch must not suffer
            damaged.append(session_id)
    left = answer.get("UnprocessedKeys", {}).get(table)
    unread = left["Keys"] if left else []
    return ReadMany(found, [str(key[items.SESSION_ID]["S"]) for key in unread], damaged)


def _old_item(error: ClientError) -> Item | None:
    """Return the item that a failed condition met; None where there was none."""
    return error.response.get("Item")  # type: ignore[return-value] # botocore's response type leaves it out


def _number(value: int) -> Item:
    return {"N": str(value)}
