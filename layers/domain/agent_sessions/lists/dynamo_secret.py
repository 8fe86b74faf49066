"""The secret that signs list cursors, in a record of its own in the sessions table."""

import os
from typing import TYPE_CHECKING, Any, Final

from agent_sessions.aws_clients.failures import FailedCondition, translated
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
        """Return the secret that signs list cursors: made once per table, read once per process.

        A record that holds no secret of ours is replaced: lists work again, and cursors from before are refused.
        """
        if self._secret is None:
            key = items.session_key(RECORD)
            with translated():
                answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
            held = answer.get("Item", {}).get(_SECRET)
            while (secret := _sound(held)) is None:
                held = self._replace(key, held)
            self._secret = secret
        return self._secret

    def _replace(self, key: items.Item, held: Any) -> Any:  # noqa: ANN401 - an attribute of any kind
        """Write a secret in the place of what was read, unless another process was quicker; return what is there."""
        same = f"attribute_not_exists({_SECRET})" if held is None else f"{_SECRET} = :held"
        try:
            with translated():
                written = self._client.update_item(
                    TableName=self._table,
                    Key=key,
                    UpdateExpression=f"SET {_SECRET} = :fresh",
                    ConditionExpression=same,
                    ExpressionAttributeValues={":fresh": {"B": os.urandom(_SECRET_BYTES)}}
                    | ({} if held is None else {":held": held}),
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except FailedCondition as error:
            return (error.item or {}).get(_SECRET)
        return written["Attributes"][_SECRET]


def _sound(held: Any) -> bytes | None:  # noqa: ANN401 - an attribute of any kind
    """Return the secret of the record; None where that holds something else, or fewer bytes than we write."""
    secret = bytes(held["B"]) if held is not None and "B" in held else b""
    return secret if len(secret) >= _SECRET_BYTES else None
