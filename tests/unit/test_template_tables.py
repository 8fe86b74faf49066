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


def keys(schema: list[dict[str, str]]) -> dict[str, str]:
    return {key["KeyType"]: key["AttributeName"] for key in schema}


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


def test_a_session_is_found_by_its_id_alone() -> None:
    assert keys(table("SessionsTable")["KeySchema"]) == {"HASH": items.SESSION_ID}


def test_the_sessions_table_has_the_three_indexes_that_the_code_queries() -> None:
    assert {name: keys(index["KeySchema"]) for name, index in indexes("SessionsTable").items()} == {
        items.DUE_INDEX: {"HASH": items.DUE_SHARD, "RANGE": items.DUE_AT},
        items.USER_INDEX: {"HASH": items.TENANT_USER, "RANGE": items.LISTED_AT},
        items.TENANT_INDEX: {"HASH": items.TENANT_SHARD, "RANGE": items.LISTED_AT},
    }


def test_the_due_index_holds_keys_only_and_the_lists_no_more_than_their_filter() -> None:
    assert {name: index["Projection"] for name, index in indexes("SessionsTable").items()} == {
        items.DUE_INDEX: {"ProjectionType": "KEYS_ONLY"},
        items.USER_INDEX: {"ProjectionType": "INCLUDE", "NonKeyAttributes": [items.AGENT_ID]},
        items.TENANT_INDEX: {"ProjectionType": "INCLUDE", "NonKeyAttributes": [items.AGENT_ID]},
    }


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
