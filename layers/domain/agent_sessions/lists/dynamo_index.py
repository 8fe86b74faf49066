"""What lists read of the sessions table: keys from the listing indexes, and many sessions at once."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from agent_sessions.aws_clients.failures import translated
from agent_sessions.lists.pages import IndexKey, KeyPage, Partition, Place
from agent_sessions.sessions import dynamo_item as items
from agent_sessions.sessions.dynamo_store import read_many
from agent_sessions.sessions.service import ReadMany

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


class DynamoSessionIndex:
    """`SessionIndex` on one table. Raises `ServiceUnavailable` where DynamoDB does not answer."""

    def __init__(self, client: "DynamoDBClient", table: str, listed_shards: int) -> None:
        """Use `client` on `table`; a tenant's sessions are spread over `listed_shards` partitions."""
        self._client = client
        self._table = table
        self._listed_shards = listed_shards

    def partitions(self, tenant_id: str, user_id: str | None) -> list[Partition]:
        """Return the index partitions that hold a user's sessions or, without a user, the whole tenant's."""
        if user_id is not None:
            return [Partition(items.USER_INDEX, items.TENANT_USER, items.tenant_user_key(tenant_id, user_id))]
        return [
            Partition(items.TENANT_INDEX, items.TENANT_SHARD, items.tenant_shard_key(tenant_id, shard))
            for shard in range(self._listed_shards)
        ]

    def keys(self, partition: Partition, after: Place | None, limit: int) -> KeyPage:
        """Read up to `limit` keys of one index partition, newest first, from behind `after`.

        Entries that cannot be read are left out: the page may be shorter, and still there may be more behind it.
        """
        query: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": partition.index_name,
            "KeyConditionExpression": f"{partition.attribute} = :partition AND {items.LISTED_AT} > :closed",
            "ExpressionAttributeValues": {":partition": {"S": partition.value}, ":closed": items.number(0)},
            "ScanIndexForward": False,
            "Limit": limit,
        }
        if after is not None:
            query["ExclusiveStartKey"] = items.session_key(after.session_id) | {
                partition.attribute: {"S": partition.value},
                items.LISTED_AT: {"N": str(after.listed_at)},
            }
        with translated():
            answer = self._client.query(**query)
        keys = [key for item in answer["Items"] if (key := _key(item)) is not None]
        last = answer.get("LastEvaluatedKey")
        return KeyPage(keys, Place(last[items.LISTED_AT]["N"], last[items.SESSION_ID]["S"]) if last else None)

    def read_many(self, session_ids: Iterable[str]) -> ReadMany:
        """Read up to 100 sessions, consistently; what does not exist is left out."""
        return read_many(self._client, self._table, session_ids)


def _key(item: Mapping[str, Any]) -> IndexKey | None:
    """Read an entry of the index; None where it is none that this service can have written."""
    try:
        return IndexKey(
            items.moment(dict(item), items.LISTED_AT), item[items.SESSION_ID]["S"], item[items.AGENT_ID]["S"]
        )
    except (KeyError, TypeError, ValueError):
        return None
