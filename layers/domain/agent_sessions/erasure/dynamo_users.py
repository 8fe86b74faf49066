"""A user's sessions by the index of lists, live and ended, and the records of erasures, in the sessions table."""

import json
from typing import TYPE_CHECKING, Any, Final

from agent_sessions.aws_clients.failures import FailedCondition, translated
from agent_sessions.erasure.ports import START, Erasure, FoundSession, UserPage
from agent_sessions.errors import ServiceUnavailable
from agent_sessions.sessions import dynamo_item as items
from agent_sessions.sessions.dynamo_item import Item, number
from agent_sessions.sessions.dynamo_store import BATCH_GET_LIMIT
from agent_sessions.sessions.model import MS_PER_DAY

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

RECORD_PREFIX: Final = "erasure#"
"""Begins the key of a record. No session id can look like it."""
KEPT_DAYS: Final = 90
"""How long a record is kept after its request, in days."""
_READ: Final = f"{items.SESSION_ID}, {items.TENANT_USER}, {items.CREATED_AT}, {items.LAST_SEQ}, attempt"


class DynamoUserSessions:
    """`UserSessions` on the sessions table. Raises `ServiceUnavailable` where DynamoDB does not answer."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        """Use `client` on `table`."""
        self._client = client
        self._table = table

    def page(self, tenant_id: str, user_id: str, until_ms: int, after: str) -> UserPage:
        """Find up to 100 sessions: one query of the index, and one consistent read of what it names.

        A session that is closed has minus its creation time in the index. What the store leaves unread beside others is
        left to the next pass.
        """
        tenant_user = {"S": items.tenant_user_key(tenant_id, user_id)}
        query: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": items.USER_INDEX,
            "KeyConditionExpression": f"{items.TENANT_USER} = :user AND {items.LISTED_AT} BETWEEN :low AND :high",
            "ExpressionAttributeValues": {":user": tenant_user, ":low": number(-until_ms), ":high": number(until_ms)},
            "Limit": BATCH_GET_LIMIT,
        }
        if after != START:
            listed_at, session_id = json.loads(after)
            place = {items.LISTED_AT: {"N": listed_at}, items.TENANT_USER: tenant_user}
            query["ExclusiveStartKey"] = items.session_key(session_id) | place
        with translated():
            answer = self._client.query(**query)
        last = answer.get("LastEvaluatedKey")
        behind = json.dumps([last[items.LISTED_AT]["N"], last[items.SESSION_ID]["S"]]) if last else None
        ids = [item[items.SESSION_ID]["S"] for item in answer["Items"]]
        if not ids:
            return UserPage([], behind)
        read, unread = self._read(ids)
        found = [_found(item) for item in read if _is_covered(item, tenant_user, until_ms)]
        if unread and not found:  # a pass that finds nothing is the last one
            raise ServiceUnavailable
        return UserPage(found, behind)

    def _read(self, ids: list[str]) -> tuple[list[Item], bool]:
        request: Any = {
            "Keys": [items.session_key(session_id) for session_id in ids],
            "ProjectionExpression": _READ,
            "ConsistentRead": True,
        }
        with translated():
            answer = self._client.batch_get_item(RequestItems={self._table: request})
        read: list[Any] = answer["Responses"].get(self._table, [])
        return read, bool(answer.get("UnprocessedKeys"))


class DynamoErasureRecords:
    """`ErasureRecords` in the sessions table. Raises `ServiceUnavailable` where DynamoDB does not answer."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        """Use `client` on `table`, the sessions table."""
        self._client = client
        self._table = table

    def get(self, erasure_id: str) -> Erasure | None:
        """Read a record, consistently."""
        with translated():
            answer = self._client.get_item(TableName=self._table, Key=_record_key(erasure_id), ConsistentRead=True)
        item = answer.get("Item")
        return _erasure(item) if item else None

    def save(self, erasure: Erasure) -> Erasure | None:
        """Write a record in one conditional put; what is met and equals it was written by a call of ours."""
        written = erasure._replace(version=erasure.version + 1)
        condition: dict[str, Any] = {"ConditionExpression": f"attribute_not_exists({items.SESSION_ID})"}
        if erasure.version:
            condition = {
                "ConditionExpression": "version = :version",
                "ExpressionAttributeValues": {":version": number(erasure.version)},
            }
        try:
            with translated():
                self._client.put_item(
                    TableName=self._table,
                    Item=_record_item(written),
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    **condition,
                )
        except FailedCondition as refused:
            return written if refused.item and _erasure(refused.item) == written else None
        return written


def _is_covered(item: Item, tenant_user: Item, until_ms: int) -> bool:
    """Whether the item is the user's, from before the request: an idempotency key may have brought its id back since.

    An item whose creation time cannot be read is as old as the index says.
    """
    if item.get(items.TENANT_USER) != tenant_user:
        return False
    try:
        return items.moment(item, items.CREATED_AT) <= until_ms
    except (TypeError, ValueError):
        return True


def _found(item: Item) -> FoundSession:
    attempt = bytes(item.get("attempt", {}).get("B", b""))
    return FoundSession(item[items.SESSION_ID]["S"], attempt, bool(attempt) and items.LAST_SEQ in item)


def _record_key(erasure_id: str) -> Item:
    return items.session_key(RECORD_PREFIX + erasure_id)


def _record_item(erasure: Erasure) -> Item:
    batch = [[session_id, attempt.hex(), talked_in] for session_id, attempt, talked_in in erasure.batch]
    item = {
        **_record_key(erasure.erasure_id),
        "tenantId": {"S": erasure.tenant_id},
        "erasedUser": {"S": erasure.user_id},
        "userHash": {"S": erasure.user_hash},
        "requestedAt": number(erasure.requested_at_ms),
        "version": number(erasure.version),
        "removedSessions": number(erasure.sessions),
        "removedMessages": number(erasure.messages),
        "digest": {"S": erasure.digest_hex},
        "batch": {"S": json.dumps(batch, separators=(",", ":"))},
        "after": {"S": erasure.after},
        "lives": {"S": json.dumps(erasure.lives, separators=(",", ":"))},
        items.TTL: number((erasure.requested_at_ms + KEPT_DAYS * MS_PER_DAY) // 1000),
    }
    if erasure.finished_at_ms is not None:
        item["finishedAt"] = number(erasure.finished_at_ms)
    return item


def _erasure(item: Any) -> Erasure:  # noqa: ANN401 - an item, as botocore has it
    return Erasure(
        erasure_id=item[items.SESSION_ID]["S"].removeprefix(RECORD_PREFIX),
        tenant_id=item["tenantId"]["S"],
        user_id=item["erasedUser"]["S"],
        user_hash=item["userHash"]["S"],
        requested_at_ms=int(item["requestedAt"]["N"]),
        version=int(item["version"]["N"]),
        sessions=int(item["removedSessions"]["N"]),
        messages=int(item["removedMessages"]["N"]),
        digest=int(item["digest"]["S"], 16),
        batch=tuple(
            FoundSession(session_id, bytes.fromhex(attempt), talked_in)
            for session_id, attempt, talked_in in json.loads(item["batch"]["S"])
        ),
        after=item["after"]["S"],
        lives=tuple(json.loads(item["lives"]["S"])),
        finished_at_ms=int(item["finishedAt"]["N"]) if "finishedAt" in item else None,
    )
