"""The store's suite, all of it, on DynamoDB Local."""

from tests.store_suite.index import *  # noqa: F403 - every test of the module, and its fixtures
from tests.store_suite.races import *  # noqa: F403 - likewise
from tests.store_suite.records import *  # noqa: F403 - likewise
from tests.store_suite.store import *  # noqa: F403 - likewise
