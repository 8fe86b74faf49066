"""The suite of the keys on moto, which knows nothing of our fake."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from moto import mock_aws

from tests.engines.fixtures import Table, moto_client
from tests.engines.tables import create_api_keys_table
from tests.key_suite.service import *  # noqa: F403 - every test of the module, and its fixtures

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

__all__ = ["moto_client"]


@pytest.fixture
def key_table(moto_client: "DynamoDBClient") -> Iterator[Table]:
    """An empty table of keys."""
    with mock_aws():
        yield Table(moto_client, create_api_keys_table(moto_client), "moto")
