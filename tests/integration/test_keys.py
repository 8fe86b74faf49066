"""The suite of the keys on DynamoDB Local, through both transports."""

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from local.dynamodb_local import DynamoDbLocal
from tests.engines.fixtures import Table
from tests.engines.tables import create_api_keys_table
from tests.integration.shipped import TRANSPORTS, client_by
from tests.key_suite.service import *  # noqa: F403 - every test of the module, and its fixtures

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


@pytest.fixture(scope="module", params=TRANSPORTS)
def _client(request: pytest.FixtureRequest, dynamo_local: DynamoDbLocal) -> Iterator[Any]:
    client = client_by(request.param, dynamo_local.endpoint_url)
    yield client
    client.close()


@pytest.fixture
def key_table(_client: "DynamoDBClient") -> Iterator[Table]:
    """An empty table of keys in DynamoDB Local, without TTL."""
    name = create_api_keys_table(_client, f"keys-{uuid.uuid4().hex}")
    yield Table(_client, name, "dynamodb-local")
    _client.delete_table(TableName=name)
