"""The races of the store's suite, on the fake."""

from tests.store_suite.races import *  # noqa: F403 - every test of the module, and its fixtures
