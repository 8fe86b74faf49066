"""The secret that signs list cursors, in a record of its own in the sessions table."""

import os
from typing import TYPE_CHECKING, Final

from agent_sessions.aws_clients.failures import translated
from agent_sessions.sessions import dynamo_item as items

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

RECORD: Final = "cursor-key"
"""Key of the record. No session id can look like it."""
_SECRET: Final = "secret"  # noqa: S105 - the name of an attribute
_SECRET_BYTES: Final = 32


class DynamoCursorSecret:
    """The secret, read once a process. Raises `ServiceUnavailable` where DynamoDB does not answer."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        """Use `client` on `table`, the sessions table."""
        self._client = client
        self._table = table
        self._secret: bytes | None = None

    def read(self) -> bytes:
        """Return the secret that signs list cursors: made once per table, read once per process."""
        if self._secret is None:
            key = items.session_key(RECORD)
            with translated():
                answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
                if "Item" not in answer:
                    answer = {"Item": self._make_secret(key)}  # type: ignore[typeddict-item]
            self._secret = bytes(answer["Item"][_SECRET]["B"])
        return self._secret

    def _make_secret(self, key: items.Item) -> items.Item:
        """Write a secret unless another process was quicker; return the one that stands."""
        written = self._client.update_item(
            TableName=self._table,
            Key=key,
            UpdateExpression=f"SET {_SECRET} = if_not_exists({_SECRET}, :fresh)",
            ExpressionAttributeValues={":fresh": {"B": os.urandom(_SECRET_BYTES)}},
            ReturnValues="ALL_NEW",
        )
        return dict(written["Attributes"])
