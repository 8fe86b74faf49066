"""One suite for what keeps sessions in DynamoDB, run against every engine that stands in for it.

The tests are collected three times, each time with another `engine`, an empty sessions table: tests/unit has our fake,
tests/simulation has moto, tests/integration has DynamoDB Local.
`store`, `index` and `records` hold for every engine; `races` asks for what moto cannot do.
"""

import pytest

pytest.register_assert_rewrite(
    "tests.store_suite.examples",
    "tests.store_suite.index",
    "tests.store_suite.races",
    "tests.store_suite.records",
    "tests.store_suite.store",
)
