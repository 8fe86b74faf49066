"""The store's suite, all of it, on DynamoDB Local, through both transports as a deployed function makes them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from local.dynamodb_local import DynamoDbLocal
from tests.engines import fixtures
from tests.integration.shipped import TRANSPORTS, LeanFirst, patient_client
from tests.store_suite.index import *  # noqa: F403 - every test of the module, and its fixtures
from tests.store_suite.races import *  # noqa: F403 - every test of the module
from tests.store_suite.records import *  # noqa: F403 - every test of the module
from tests.store_suite.store import *  # noqa: F403 - every test of the module

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


@pytest.fixture(scope="module", params=TRANSPORTS)
def _client(request: pytest.FixtureRequest, dynamo_local: DynamoDbLocal) -> Iterator["DynamoDBClient"]:
    url = dynamo_local.endpoint_url
    client: Any = LeanFirst(url) if request.param == "lean" else patient_client(url)
    yield client
    client.close()


@pytest.fixture
def engine(engine: fixtures.Table, _client: "DynamoDBClient") -> fixtures.Table:
    return replace(engine, client=_client)
