"""Policies in DynamoDB: one item a policy, under its tenant and its agent. Knows the attributes, not their meaning."""

from typing import TYPE_CHECKING, Any, Final

from agent_sessions.aws_clients.failures import translated
from agent_sessions.policies.model import AgentPolicy, Wish
from agent_sessions.policies.service import PolicyPage

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]

_TENANT_ID: Final = "tenantId"
_AGENT_ID: Final = "agentId"
_WISHES: Final = {"timeout": "timeout", "max_duration": "maxDuration", "warning_threshold": "warningThreshold"}
"""What the attributes of the numbers begin with, by their names in `AgentPolicy`."""
_ENDS: Final = {"default": "Default", "low": "Min", "high": "Max"}


class DynamoPolicyStore:
    """`PolicyStore` on one table. Raises `ServiceUnavailable` where DynamoDB does not answer."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        """Use `client` on `table`."""
        self._client = client
        self._table = table

    def get(self, tenant_id: str, agent_id: str) -> AgentPolicy | None:
        """Read the policy of an agent, consistently: one read unit, for a policy as for none."""
        with translated():
            answer = self._client.get_item(TableName=self._table, Key=_key(tenant_id, agent_id), ConsistentRead=True)
        item = answer.get("Item")
        return _from_item(item) if item else None

    def put(self, tenant_id: str, policy: AgentPolicy) -> None:
        """Write a policy, whatever was there: one write unit."""
        with translated():
            self._client.put_item(TableName=self._table, Item=_item(tenant_id, policy))

    def delete(self, tenant_id: str, agent_id: str) -> bool:
        """Remove the policy of an agent; return whether there was one. One write unit."""
        with translated():
            answer = self._client.delete_item(
                TableName=self._table, Key=_key(tenant_id, agent_id), ReturnValues="ALL_OLD"
            )
        return "Attributes" in answer

    def page(self, tenant_id: str, limit: int, after: str | None) -> PolicyPage:
        """Read the policies of a tenant behind an agent's id, consistently: a unit for each 4 KB, some 20 policies."""
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": f"{_TENANT_ID} = :tenant",
            "ExpressionAttributeValues": {":tenant": {"S": tenant_id}},
            "ConsistentRead": True,
            "Limit": limit,
        }
        if after is not None:
            query["ExclusiveStartKey"] = _key(tenant_id, after)
        with translated():
            answer = self._client.query(**query)
        last = answer.get("LastEvaluatedKey")
        return PolicyPage([_from_item(item) for item in answer["Items"]], str(last[_AGENT_ID]["S"]) if last else None)


def _key(tenant_id: str, agent_id: str) -> Item:
    return {_TENANT_ID: {"S": tenant_id}, _AGENT_ID: {"S": agent_id}}


def _item(tenant_id: str, policy: AgentPolicy) -> Item:
    item = _key(tenant_id, policy.agent_id) | {
        "updatedAt": {"N": str(policy.updated_at_ms)},
        "allowed": {"BOOL": policy.allowed},
    }
    if policy.auto_renew is not None:
        item["autoRenew"] = {"BOOL": policy.auto_renew}
    for field, name in _WISHES.items():
        for end, value in getattr(policy, field)._asdict().items():
            if value is not None:
                item[name + _ENDS[end]] = {"N": repr(value)}
    return item


def _from_item(item: Item) -> AgentPolicy:
    wishes = {
        field: Wish(**{end: _minutes(item[name + by]["N"]) for end, by in _ENDS.items() if name + by in item})
        for field, name in _WISHES.items()
    }
    return AgentPolicy(
        agent_id=item[_AGENT_ID]["S"],
        updated_at_ms=int(item["updatedAt"]["N"]),
        allowed=item["allowed"]["BOOL"],
        auto_renew=item["autoRenew"]["BOOL"] if "autoRenew" in item else None,
        **wishes,
    )


def _minutes(text: str) -> int | float:
    return int(text) if text.isdigit() else float(text)
