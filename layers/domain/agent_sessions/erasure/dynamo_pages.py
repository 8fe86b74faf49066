"""Removes the messages and remembered keys of one life from the messages table, page by page."""

from typing import TYPE_CHECKING, Any, Final

from agent_sessions.aws_clients.failures import translated
from agent_sessions.clock import Clock
from agent_sessions.erasure.service import Removal
from agent_sessions.errors import ServiceUnavailable

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

BATCH: Final = 25
"""Deletes of one BatchWriteItem (AWS's limit)."""
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 1.0


class DynamoMessagePages:
    """`MessagePages` on the messages table. Raises `ServiceUnavailable` where DynamoDB does not answer."""

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        """Use `client` on `table`."""
        self._client = client
        self._table = table
        self._clock = clock

    def remove(self, life: str, stop_at_ms: int) -> Removal:
        """Remove what lies under `life` until nothing is left or `stop_at_ms` has passed.

        Reads consistently: what was acknowledged before is found. A page costs one read unit for 4 KB and a delete
        one write unit for each KB of the item.
        """
        removed = 0
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "life = :life",
            "ExpressionAttributeValues": {":life": {"S": life}},
            "ProjectionExpression": "seq, sealed",
            "ConsistentRead": True,
        }
        while self._clock.now_ms() < stop_at_ms:
            with translated():
                page = self._client.query(**query)
            for start in range(0, len(page["Items"]), BATCH):
                if self._clock.now_ms() >= stop_at_ms:
                    return Removal(removed, more=True)
                removed += self._delete(life, page["Items"][start : start + BATCH], stop_at_ms)
            if "LastEvaluatedKey" not in page:
                return Removal(removed, more=False)
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]
        return Removal(removed, more=True)

    def _delete(self, life: str, items: list[Any], stop_at_ms: int) -> int:
        """Delete up to 25 items and return how many were messages: not keys, and not the marks of sealed numbers."""
        messages = sum(not item["seq"]["N"].startswith("-") and "sealed" not in item for item in items)
        wanted: list[Any] = [{"DeleteRequest": {"Key": {"life": {"S": life}, "seq": item["seq"]}}} for item in items]
        pause = _FIRST_PAUSE_SECONDS
        while True:
            with translated():
                answer = self._client.batch_write_item(RequestItems={self._table: wanted})
            wanted = answer.get("UnprocessedItems", {}).get(self._table, [])
            if not wanted:
                return messages
            if self._clock.now_ms() >= stop_at_ms:
                raise ServiceUnavailable("The store leaves deletes undone.")
            self._clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
