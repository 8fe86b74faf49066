"""What the unit tests share: everything in memory, no network, no other program."""

from collections.abc import Iterator
from functools import cache

import pytest
from agent_sessions.api.requests import Requests

from tests.engines.fixtures import fake_table as engine
from tests.engines.fixtures import powertools
from tests.unit.world import World

__all__ = ["engine", "powertools", "world"]


@pytest.fixture(autouse=True, scope="session")
def _requests_made_once() -> Iterator[None]:
    """Make the models of requests once for equal settings: that takes four times as long as a request."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agent_sessions.api.http.Requests", cache(Requests))
        yield


@pytest.fixture
def world() -> World:
    """A deployment with the default settings, and nothing in it."""
    return World()
