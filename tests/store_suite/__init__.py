"""One suite for what keeps sessions in DynamoDB, run against every engine that stands in for it.

tests/unit and tests/integration collect these tests, each with an `engine` fixture of its own: an empty sessions table.
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
