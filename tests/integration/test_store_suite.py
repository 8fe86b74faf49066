"""The store's suite, all of it, on DynamoDB Local, through both transports as a deployed function makes them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from local.dynamodb_local import DynamoDbLocal
from tests.engines import fixtures
from tests.integration.shipped import TRANSPORTS, client_by
from tests.store_suite.index import *  # noqa: F403 - every test of the module, and its fixtures
from tests.store_suite.races import *  # noqa: F403 - every test of the module
from tests.store_suite.records import *  # noqa: F403 - every test of the module
from tests.store_suite.store import *  # noqa: F403 - every test of the module

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


@pytest.fixture(scope="module", params=TRANSPORTS)
def _client(request: pytest.FixtureRequest, dynamo_local: DynamoDbLocal) -> Iterator[Any]:
    client = client_by(request.param, dynamo_local.endpoint_url)
    yield client
    client.close()


@pytest.fixture
def engine(engine: fixtures.Table, _client: "DynamoDBClient") -> fixtures.Table:
    return replace(engine, client=_client)
