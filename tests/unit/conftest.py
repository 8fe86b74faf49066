"""What the unit tests share: everything in memory, no network, no other program."""

import os

import pytest

from tests.engines.fixtures import engine, moto_client
from tests.unit.world import World

__all__ = ["engine", "moto_client", "world"]


@pytest.fixture(autouse=True, scope="session")
def _powertools() -> None:
    """Powertools reads these from the process's environment when a logger or a collector of metrics is made."""
    os.environ |= {
        "POWERTOOLS_SERVICE_NAME": "agent-sessions",
        "POWERTOOLS_METRICS_NAMESPACE": "AgentSessions",
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }


@pytest.fixture
def world() -> World:
    """A deployment with the default settings, and nothing in it."""
    return World()
