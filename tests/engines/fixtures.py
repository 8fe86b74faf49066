"""Fixtures for the conftests: an empty sessions table, on the engine of its kind, and Powertools' settings."""

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from local.dynamodb_local import DynamoDbLocal
from tests.engines.fake_dynamo import FakeDynamo
from tests.engines.tables import create_sessions_table

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True)
class Table:
    """A table of its own for one test, and the client to reach it with."""

    client: "DynamoDBClient"
    name: str
    engine: str


@pytest.fixture(autouse=True, scope="session")
def powertools() -> None:
    """Powertools reads these from the process's environment when a logger or a collector of metrics is made."""
    os.environ |= {
        "POWERTOOLS_SERVICE_NAME": "agent-sessions",
        "POWERTOOLS_METRICS_NAMESPACE": "AgentSessions",
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }


@pytest.fixture(scope="session")
def dynamo_local() -> Iterator[DynamoDbLocal]:
    """DynamoDB Local, started once for all tests of a process."""
    with DynamoDbLocal() as server:
        yield server


@pytest.fixture(scope="session")
def local_client(dynamo_local: DynamoDbLocal) -> Iterator["DynamoDBClient"]:
    """One client of it: making one takes longer than most tests."""
    client = dynamo_local.client()
    yield client
    client.close()


@pytest.fixture(scope="session")
def moto_client() -> Iterator["DynamoDBClient"]:
    """One client for all that moto plays: making one takes longer than most tests. It works inside `mock_aws` only."""
    client = boto3.client("dynamodb")
    yield client
    client.close()


@pytest.fixture
def fake_table() -> Table:
    """An empty sessions table in our own fake."""
    fake = FakeDynamo().as_client()
    return Table(fake, create_sessions_table(fake), "fake")


@pytest.fixture
def moto_table(moto_client: "DynamoDBClient") -> Iterator[Table]:
    """An empty sessions table in moto."""
    with mock_aws():
        yield Table(moto_client, create_sessions_table(moto_client), "moto")


@pytest.fixture
def local_table(local_client: "DynamoDBClient") -> Iterator[Table]:
    """An empty sessions table in DynamoDB Local, without TTL."""
    name = f"sessions-{uuid.uuid4().hex}"
    create_sessions_table(local_client, name)
    yield Table(local_client, name, "dynamodb-local")
    local_client.delete_table(TableName=name)
