"""One suite for what keeps API keys in DynamoDB, run against every engine that stands in for it."""

import pytest

pytest.register_assert_rewrite("tests.key_suite.service")
