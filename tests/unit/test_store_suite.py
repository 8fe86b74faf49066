"""The store's suite on the fake; its races are beside it."""

from tests.store_suite.index import *  # noqa: F403 - every test of the module, and its fixtures
from tests.store_suite.records import *  # noqa: F403 - every test of the module
from tests.store_suite.store import *  # noqa: F403 - every test of the module
