"""The real engine: DynamoDB Local, one server for each process that runs tests, an empty table for each test."""

from collections.abc import Iterator

import pytest

from local.dynamodb_local import DynamoDbLocal
from tests.engines.fixtures import Table, dynamo_local, local_client, powertools
from tests.engines.fixtures import local_table as engine
from tests.engines.tables import create_messages_table
from tests.integration.deployed import Deployed, messages_table
from tests.integration.metering import Meter, Metered
from tests.integration.shipped import patient_client

__all__ = ["dynamo_local", "engine", "local_client", "powertools"]


@pytest.fixture(scope="session")
def _metered_client(dynamo_local: DynamoDbLocal) -> Iterator[Metered]:
    client = patient_client(dynamo_local.endpoint_url)
    yield Metered(client, Meter(client))
    client.close()


@pytest.fixture
def meter(_metered_client: Metered) -> Meter:
    """Tells what the calls of `deployed` consume."""
    return _metered_client.meter


@pytest.fixture
def talking(deployed: Deployed) -> Iterator[Deployed]:
    """The deployed handlers, with an empty table of messages beside the sessions."""
    client = deployed.table.client
    name = create_messages_table(client, messages_table(deployed.table))
    yield deployed
    client.delete_table(TableName=name)


@pytest.fixture
def deployed(engine: Table, _metered_client: Metered) -> Deployed:
    """The deployed handler on an empty table."""
    return Deployed(Table(_metered_client.client, engine.name, engine.engine))
