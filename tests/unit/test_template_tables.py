"""The template's tables are the ones that the code names; nothing of their schema stands twice."""

from typing import Any

import pytest
from agent_sessions.lists import dynamo_secret
from agent_sessions.sessions import dynamo_item as items
from agent_sessions.sweep import dynamo_record

from tests.template_reader import Deployment
from tests.unit.rehearsal import Rehearsal

KEY = "arn:aws:kms:eu-west-1:123456789012:key/1"
TABLES = ["SessionsTable", "ApiKeysTable"]


def table(logical_id: str) -> dict[str, Any]:
    return Deployment().resources[logical_id]["Properties"]


def indexes(logical_id: str) -> dict[str, dict[str, Any]]:
    return {index["IndexName"]: index for index in table(logical_id)["GlobalSecondaryIndexes"]}


@pytest.fixture(scope="module")
def rehearsal() -> Rehearsal:
    return Rehearsal()


def items_in(rehearsal: Rehearsal, logical_id: str) -> list[dict[str, Any]]:
    """Items as the code writes them, but for the records that the service keeps for itself."""
    records = {dynamo_record.RECORD, dynamo_secret.RECORD}
    found = [
        item for item in rehearsal.dynamo.items(logical_id) if item.get(items.SESSION_ID, {}).get("S") not in records
    ]
    assert found
    return found


@pytest.mark.parametrize("logical_id", TABLES)
def test_new_items_are_in_every_index_with_values_of_the_types_that_the_table_declares(
    rehearsal: Rehearsal, logical_id: str
) -> None:
    declared = {each["AttributeName"]: each["AttributeType"] for each in table(logical_id)["AttributeDefinitions"]}
    types = [{name: next(iter(value)) for name, value in item.items()} for item in items_in(rehearsal, logical_id)]
    assert any(declared.items() <= written.items() for written in types)


@pytest.mark.parametrize("logical_id", TABLES)
def test_dynamodb_removes_old_items_by_the_attribute_that_the_code_writes(
    rehearsal: Rehearsal, logical_id: str
) -> None:
    assert table(logical_id)["TimeToLiveSpecification"] == {"AttributeName": items.TTL, "Enabled": True}
    assert all(next(iter(item[items.TTL])) == "N" for item in items_in(rehearsal, logical_id))


@pytest.mark.parametrize("logical_id", TABLES)
def test_tables_take_the_customers_key_where_there_is_one(logical_id: str) -> None:
    assert "SSESpecification" not in table(logical_id)
    assert Deployment(KmsKeyArn=KEY).resources[logical_id]["Properties"]["SSESpecification"] == {
        "SSEEnabled": True,
        "SSEType": "KMS",
        "KMSMasterKeyId": KEY,
    }
