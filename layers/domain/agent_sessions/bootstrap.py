"""The composition root: the only place that reads the environment and makes clients; late, and once per process.

Tests and the local stack call `wire` first, with a clock and clients of their own; Lambda calls nothing and gets the
system's clock, the process's environment and boto3's clients.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from boto3 import client as boto3_client

from agent_sessions.api.http import SessionApi
from agent_sessions.aws import client_config
from agent_sessions.clock import Clock, SystemClock
from agent_sessions.health import HealthService
from agent_sessions.ids import new_session_id
from agent_sessions.listing import SessionList
from agent_sessions.records import DynamoRecords
from agent_sessions.sessions import SessionService
from agent_sessions.settings import SessionSettings
from agent_sessions.store import DynamoSessionStore
from agent_sessions.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True)
class Wiring:
    """What the outside gives: where settings, time and AWS clients come from. `clients` maps service names."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    clock: Clock = field(default_factory=SystemClock)
    clients: Mapping[str, Any] = field(default_factory=dict)


_wiring = Wiring()


def wire(wiring: Wiring) -> None:
    """Build everything anew from `wiring` when it is next asked for."""
    global _wiring  # noqa: PLW0603 - a process has one composition
    _wiring = wiring
    session_api.cache_clear()


def prepare(build: "Callable[[], object]") -> None:
    """Build during Lambda's init phase, which has a whole processor whatever the memory size; elsewhere wait."""
    if "AWS_LAMBDA_RUNTIME_API" in os.environ:
        build()


@cache
def session_api() -> SessionApi:
    """Build the API.

    Raises:
        SettingsError: a setting is missing, malformed, or contradicts another.

    """
    settings = SessionSettings.from_env(_wiring.environ)
    client: DynamoDBClient = _client("dynamodb")
    store = DynamoSessionStore(
        client,
        settings.sessions_table,
        retention_ms=settings.retention_ms,
        due_shards=settings.due_shards,
        tenant_shards=settings.tenant_shards,
    )
    records = DynamoRecords(client, settings.sessions_table)
    clock = _wiring.clock
    return SessionApi(
        sessions=SessionService(store, clock, settings.retention_ms, new_session_id),
        listing=SessionList(store, clock, records.cursor_secret),
        health=HealthService(records, clock, settings.due_shards),
        settings=settings,
        clock=clock,
        telemetry=_telemetry(),
    )


def _telemetry() -> Telemetry:
    """Powertools reads its own `POWERTOOLS_*` settings from the environment."""
    return Telemetry(Logger(), Metrics())


def _client(service: str) -> Any:  # noqa: ANN401 - boto3's clients have no common type
    """Return the given client of a service, or make one."""
    given = _wiring.clients.get(service)
    return boto3_client(service, config=client_config()) if given is None else given  # type: ignore[call-overload]
