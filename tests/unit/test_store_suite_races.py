"""The races of the store's suite, on the fake alone: moto loses conditional updates that are made at the same time."""

import pytest

from tests.store_suite.races import *  # noqa: F403 - every test of the module, and its fixtures

pytestmark = pytest.mark.parametrize("engine", ["fake"], indirect=True)
