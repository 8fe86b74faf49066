"""The store's suite on moto, which knows nothing of our fake. Without the races: moto loses updates made at once."""

from tests.engines.fixtures import moto_client
from tests.engines.fixtures import moto_table as engine
from tests.store_suite.index import *  # noqa: F403 - every test of the module, and its fixtures
from tests.store_suite.records import *  # noqa: F403 - every test of the module
from tests.store_suite.store import *  # noqa: F403 - every test of the module

__all__ = ["engine", "moto_client"]
