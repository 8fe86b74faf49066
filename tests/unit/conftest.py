"""What the unit tests share: everything in memory, no network, no other program."""

import pytest

from tests.engines.fixtures import engine, moto_client, powertools
from tests.unit.world import World

__all__ = ["engine", "moto_client", "powertools", "world"]


@pytest.fixture
def world() -> World:
    """A deployment with the default settings, and nothing in it."""
    return World()
