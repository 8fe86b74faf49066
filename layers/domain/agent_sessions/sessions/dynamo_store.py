"""Sessions in DynamoDB. One item a session, one conditional write a change; nothing is read and written back whole.

The conditions are what makes every race safe. The moments they compare, along one session's life:

    createdAt   lastActivity ≤ now      dueAt (warning)    expiresAt       endsAt
    ───┼────────────┼──────────┼────────────┼─────────────────┼──────────────┼───▶
                                            └ after the warning dueAt = expiresAt
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from agent_sessions.aws_clients.failures import is_failed_condition, translated
from agent_sessions.sessions import dynamo_item as items
from agent_sessions.sessions.dynamo_item import Item
from agent_sessions.sessions.leases import Patch, Renewal, RenewalPath
from agent_sessions.sessions.model import Session
from agent_sessions.sessions.service import ReadMany, Write

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

BATCH_GET_LIMIT: Final = 100
"""Keys of one BatchGetItem (AWS's limit)."""

# The conditions, each half by its name.
_SETTINGS: Final = ("timeoutMinutes", "autoRenew", "maxDurationMinutes", "warningThresholdMinutes")

_OWNED: Final = "tenantId = :tenant"
_NOT_ANNOUNCED: Final = f"attribute_exists({items.DUE_SHARD})"
_ALIVE: Final = "expiresAt > :now"
# lastActivity is never before renewedAt, so this also keeps a renewal from going back in time.
_NOT_BACK_IN_TIME: Final = "lastActivity <= :now"
_AUTO_RENEWS: Final = "autoRenew = :true"
_NOT_WARNED: Final = f"{items.DUE_AT} < expiresAt"
_WARNED: Final = f"{items.DUE_AT} >= expiresAt"

# When another function's clock is ahead, the activity that it recorded stands for now, inside DynamoDB: a retry with a
# time that was read would lose to the next caller whose clock is ahead. This condition only ever becomes truer.
_OVERTAKEN: Final = "lastActivity >= :overtaken"


def _renewals(moment: str) -> dict[RenewalPath, tuple[str, str]]:
    """Return path -> (update, condition) of a renewal at `moment`, which is a parameter or an attribute of the item.

    A value may be the sum of a parameter and another attribute, which is what spares the renewal its read.
    """
    in_time = _NOT_BACK_IN_TIME if moment == ":now" else _OVERTAKEN
    alive_and_ours = f"{_OWNED} AND {_NOT_ANNOUNCED} AND {_ALIVE} AND {in_time}"
    whole_timeout_fits = f"renewableUntil > {moment}"  # strictly: at equality the lease would end at the cap
    only_the_rest_fits = f"renewableUntil <= {moment} AND expiresAt < endsAt"
    recorded = "lastActivity = :now, " if moment == ":now" else ""
    renewed = f"{recorded}renewedAt = {moment}, renewalCount = renewalCount + :one, lease = lease + :one"
    paths = {
        RenewalPath.USUAL: (
            f"SET expiresAt = {moment} + timeoutMs, {renewed}",
            f"{alive_and_ours} AND {whole_timeout_fits} AND {_NOT_WARNED}",
        ),
        RenewalPath.AFTER_WARNING: (
            f"SET expiresAt = {moment} + timeoutMs, {items.DUE_AT} = {moment} + warnAfterMs, {renewed}",
            f"{alive_and_ours} AND {whole_timeout_fits} AND {_WARNED}",
        ),
        RenewalPath.TO_CAP: (
            f"SET expiresAt = endsAt, {items.DUE_AT} = endsAt - warningMs, {renewed}",
            f"{alive_and_ours} AND {only_the_rest_fits}",
        ),
    }
    if moment == ":now":
        paths[RenewalPath.ACTIVITY_ONLY] = (
            "SET lastActivity = :now",
            f"{alive_and_ours} AND (autoRenew = :false OR expiresAt = endsAt)",
        )
    return paths


_RENEWALS: Final = _renewals(":now")
_OVERTAKEN_RENEWALS: Final = _renewals("lastActivity")


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

    def renew(self, session_id: str, tenant_id: str, attempt: Renewal, now_ms: int) -> Write:
        """Carry out one heartbeat or renewal at `now_ms`, as a single conditional write."""
        values = {":tenant": {"S": tenant_id}, ":now": _number(now_ms)}
        if attempt.overtaken_at_ms is None:
            update, condition = _RENEWALS[attempt.path]
        else:
            update, condition = _OVERTAKEN_RENEWALS[attempt.path]
            values[":overtaken"] = _number(attempt.overtaken_at_ms)
        if attempt.path is RenewalPath.ACTIVITY_ONLY:
            values[":false"] = {"BOOL": False}
        else:
            values[":one"] = _number(1)
            if not attempt.manual:
                condition = f"{condition} AND {_AUTO_RENEWS}"
                values[":true"] = {"BOOL": True}
        return self._update(session_id, update, condition, values)

    def patch(self, read: Session, patch: Patch, now_ms: int) -> Write:
        """Carry out a patch that was worked out on `read`, if its case still holds.

        Heartbeats in between do no harm: times are counted from the `renewedAt` that DynamoDB finds, and the condition
        compares the settings, which only patches change, and which side of the cap the lease is on.
        """
        timeout = patch.timeout
        changes = items.timeout_attributes(timeout) | items.end_attributes(
            patch.ends_at_ms, timeout, self._retention_ms
        )
        read_settings = items.timeout_attributes(read.timeout)
        values = {f":new{name}": value for name, value in changes.items()} | {
            ":tenant": {"S": read.tenant_id},
            ":now": _number(now_ms),
            **{f":read{name}": read_settings[name] for name in _SETTINGS},
        }
        sets = [f"{name} = :new{name}" for name in changes]
        conditions = [_OWNED, _NOT_ANNOUNCED, _ALIVE, *(f"{name} = :read{name}" for name in _SETTINGS)]
        conditions.append("expiresAt = endsAt" if patch.was_capped else "expiresAt < endsAt")
        if patch.is_capped:
            conditions.append("renewedAt >= :newrenewableUntil")
            expiry, appointment = ":newendsAt", ":newendsAt - :newwarningMs"
        else:
            conditions += ["renewedAt < :newrenewableUntil", "renewedAt > :livesFrom"]
            values[":livesFrom"] = _number(now_ms - timeout.timeout_ms)
            expiry, appointment = "renewedAt + :newtimeoutMs", "renewedAt + :newwarnAfterMs"
        if patch.was_capped != patch.is_capped:
            # The expiry stays where it was in just one case: the last renewal lies exactly there.
            conditions.append(f"renewedAt {'<>' if patch.moves else '='} :unmovedFrom")
            values[":unmovedFrom"] = _number(patch.unmoved_from_ms)
        if patch.moves:
            sets += [f"expiresAt = {expiry}", "lease = lease + :one", f"{items.DUE_AT} = {appointment}"]
            values[":one"] = _number(1)
        elif read.warned:
            conditions.append(_WARNED)
        else:
            conditions.append(_NOT_WARNED)
            sets.append(f"{items.DUE_AT} = {appointment}")
        return self._update(read.session_id, "SET " + ", ".join(sets), " AND ".join(conditions), values)

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


def _old_item(error: ClientError) -> Item | None:
    """Return the item that a failed condition met; None where there was none."""
    return error.response.get("Item")  # type: ignore[return-value] # botocore's response type leaves it out


def _number(value: int) -> Item:
    return {"N": str(value)}
