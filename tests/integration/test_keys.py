"""The suite of the keys on DynamoDB Local."""

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.engines.fixtures import Table
from tests.engines.tables import create_api_keys_table
from tests.key_suite.service import *  # noqa: F403 - every test of the module, and its fixtures

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


@pytest.fixture
def key_table(local_client: "DynamoDBClient") -> Iterator[Table]:
    """An empty table of keys in DynamoDB Local, without TTL."""
    name = create_api_keys_table(local_client, f"keys-{uuid.uuid4().hex}")
    yield Table(local_client, name, "dynamodb-local")
    local_client.delete_table(TableName=name)
