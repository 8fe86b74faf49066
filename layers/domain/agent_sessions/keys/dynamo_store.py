"""API keys in DynamoDB: one item a key, found by its hash. Knows the attributes, not what makes a key good."""

from typing import TYPE_CHECKING, Any, Final

from agent_sessions.aws_clients.failures import FailedCondition, translated
from agent_sessions.keys.service import RETENTION_MS, ApiKey

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_KEY_HASH: Final = "keyHash"
_TENANT_INDEX: Final = "byTenant"
_TTL: Final = "purgeAt"
_DEFAULT_SCOPE: Final = "full"
"""The scope of an item without one."""

Item = dict[str, Any]

# The conditions, each half by its name.
_NEW: Final = f"attribute_not_exists({_KEY_HASH})"
_KNOWN: Final = f"attribute_exists({_KEY_HASH})"
_NOT_REVOKED: Final = "attribute_not_exists(revokedAt)"
_NOT_REPLACED: Final = "attribute_not_exists(replacedBy)"
_NOT_EXPIRED: Final = "(attribute_not_exists(expiresAt) OR expiresAt > :now)"


class DynamoKeyStore:
    """`KeyStore` on one table. Raises `ServiceUnavailable` where DynamoDB does not answer."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        """Use `client` on `table`."""
        self._client = client
        self._table = table

    def add(self, key: ApiKey) -> None:
        """Write a new key; a hash that is there already is never written over."""
        with translated():
            self._client.put_item(TableName=self._table, Item=_item(key), ConditionExpression=_NEW)

    def find(self, key_hash: str) -> ApiKey | None:
        """Read one key, consistently: half a second after its revocation it must not let anybody in."""
        with translated():
            answer = self._client.get_item(TableName=self._table, Key=_key(key_hash), ConsistentRead=True)
        item = answer.get("Item")
        return _from_item(item) if item else None

    def of_tenant(self, tenant_id: str) -> list[ApiKey]:
        """Read all keys of a tenant, oldest first, from the index, which follows the table within moments."""
        query: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": _TENANT_INDEX,
            "KeyConditionExpression": "tenantId = :tenant",
            "ExpressionAttributeValues": {":tenant": {"S": tenant_id}},
        }
        keys: list[ApiKey] = []
        while True:
            with translated():
                answer = self._client.query(**query)
            keys += [_from_item(item) for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                return keys
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def revoke(self, key_hash: str, now_ms: int) -> ApiKey | None:
        """Mark a key as revoked unless it is already; return the key as it is then, or None where there is none."""
        try:
            with translated():
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=_key(key_hash),
                    UpdateExpression=f"SET revokedAt = :now, {_TTL} = :purge",
                    ConditionExpression=f"{_KNOWN} AND {_NOT_REVOKED}",
                    ExpressionAttributeValues={":now": _number(now_ms), ":purge": _purge_at(now_ms)},
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except FailedCondition as error:
            return _from_item(error.item) if error.item else None
        return _from_item(answer["Attributes"])

    def retire(self, key_hash: str, now_ms: int, expires_at_ms: int, replaced_by: str) -> bool:
        """Let an active key without a successor expire and name its successor; False where there is no such key."""
        try:
            with translated():
                self._client.update_item(
                    TableName=self._table,
                    Key=_key(key_hash),
                    UpdateExpression=f"SET expiresAt = :expiry, replacedBy = :successor, {_TTL} = :purge",
                    ConditionExpression=f"{_KNOWN} AND {_NOT_REVOKED} AND {_NOT_REPLACED} AND {_NOT_EXPIRED}",
                    ExpressionAttributeValues={
                        ":now": _number(now_ms),
                        ":expiry": _number(expires_at_ms),
                        ":successor": {"S": replaced_by},
                        ":purge": _purge_at(expires_at_ms),
                    },
                )
        except FailedCondition:
            return False
        return True


def _key(key_hash: str) -> Item:
    return {_KEY_HASH: {"S": key_hash}}


def _item(key: ApiKey) -> Item:
    item = _key(key.key_hash) | {
        "tenantId": {"S": key.tenant_id},
        "name": {"S": key.name},
        "lastFour": {"S": key.last_four},
        "createdAt": _number(key.created_at_ms),
    }
    if key.scope != _DEFAULT_SCOPE:
        item["scope"] = {"S": key.scope}
    if key.expires_at_ms is not None:
        item |= {"expiresAt": _number(key.expires_at_ms), _TTL: _purge_at(key.expires_at_ms)}
    return item


def _from_item(item: Item) -> ApiKey:
    return ApiKey(
        key_hash=item[_KEY_HASH]["S"],
        tenant_id=item["tenantId"]["S"],
        name=item["name"]["S"],
        last_four=item["lastFour"]["S"],
        created_at_ms=int(item["createdAt"]["N"]),
        expires_at_ms=_optional(item, "expiresAt"),
        revoked_at_ms=_optional(item, "revokedAt"),
        replaced_by=item["replacedBy"]["S"] if "replacedBy" in item else None,
        scope=item["scope"]["S"] if "scope" in item else _DEFAULT_SCOPE,
    )


def _optional(item: Item, name: str) -> int | None:
    return int(item[name]["N"]) if name in item else None


def _purge_at(over_at_ms: int) -> Item:
    """Return the TTL of a key that is over at `over_at_ms`, in epoch seconds, rounded up."""
    return _number(-((over_at_ms + RETENTION_MS) // -1000))


def _number(value: int) -> Item:
    return {"N": str(value)}
