"""The composition root: the only place that reads the environment and makes clients; late, and once per process.

Tests and the local stack call `wire` first, with a clock and clients of their own; Lambda calls nothing and gets the
system's clock, the process's environment and botocore's clients.
"""

import gc
import os
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_sessions.clock import Clock, SystemClock

if TYPE_CHECKING:
    from botocore.session import Session

    from agent_sessions.api.http import SessionApi
    from agent_sessions.api.list_query import ListApi
    from agent_sessions.api.messages_http import MessageApi
    from agent_sessions.erasure.dynamo_pages import DynamoMessagePages
    from agent_sessions.erasure.handler import ErasureHandler
    from agent_sessions.erasure.service import SessionRemoval
    from agent_sessions.erasure.sqs_queue import SqsEraserQueue
    from agent_sessions.keys.authorizer import ApiKeyAuthorizer
    from agent_sessions.keys.service import KeyService
    from agent_sessions.sessions.dynamo_store import DynamoSessionStore
    from agent_sessions.settings import SessionSettings
    from agent_sessions.sweep.handler import ScheduledSweeps
    from agent_sessions.sweep.health import HealthService
    from agent_sessions.sweep.lambda_invoker import LambdaSelfInvoker
    from agent_sessions.telemetry import Telemetry

# Each builder imports what its own function needs, so that no function pays at its cold start for the others, and so
# that `prepare` comes before all of it.
# ruff: noqa: PLC0415


class Wiring(NamedTuple):
    """What the outside gives: where settings, time and AWS clients come from. `clients` maps service names."""

    environ: Mapping[str, str] = os.environ
    clock: Clock = SystemClock()
    clients: Mapping[str, Any] = MappingProxyType({})


_wiring = Wiring()


def wire(wiring: Wiring) -> None:
    """Build everything anew from `wiring` when it is next asked for."""
    global _wiring  # noqa: PLW0603 - a process has one composition
    _wiring = wiring
    for builder in _BUILDERS:
        builder.cache_clear()


def prepare(build: Callable[[], object]) -> None:
    """Build during Lambda's init phase, which has a whole processor whatever the memory size; elsewhere wait.

    Next to nothing of what is imported and built ever becomes garbage, so nothing is looked through for it meanwhile
    (40 of the 1,200 Mi of a cold start) or later.
    """
    if "AWS_LAMBDA_RUNTIME_API" in os.environ:
        gc.disable()
        try:
            build()
        finally:
            gc.freeze()
            gc.enable()


@cache
def session_api() -> "SessionApi":
    """Build the API. Removal, lists and health, which few starts need, are built when they are first asked for.

    Raises:
        SettingsError: a setting is missing, malformed, or contradicts another.

    """
    from random import random

    from agent_sessions.api.http import SessionApi
    from agent_sessions.sessions.ids import new_session_id
    from agent_sessions.sessions.model import minutes_to_ms
    from agent_sessions.sessions.service import SessionService

    settings = _session_settings()
    return SessionApi(
        sessions=SessionService(
            _session_store(),
            _wiring.clock,
            new_session_id,
            random,
            retention_ms=settings.retention_ms,
            longest_ms=minutes_to_ms(settings.longest_duration_minutes),
        ),
        removal=_removal,
        lists=_lists,
        health=_health,
        settings=settings,
        clock=_wiring.clock,
        telemetry=_telemetry(),
    )


@cache
def _session_store() -> "DynamoSessionStore":
    from agent_sessions.sessions.dynamo_store import DynamoSessionStore

    settings = _session_settings()
    return DynamoSessionStore(
        _client("dynamodb"),
        settings.sessions_table,
        retention_ms=settings.retention_ms,
        due_shards=settings.due_shards,
        tenant_shards=settings.tenant_shards,
    )


@cache
def _removal() -> "SessionRemoval":
    from agent_sessions.erasure.service import SessionRemoval

    retention_ms = _session_settings().retention_ms
    return SessionRemoval(_session_store(), _message_pages, _eraser_queue, _wiring.clock, retention_ms)


@cache
def session_messages() -> "MessageApi":
    """Build the API of messages.

    Raises:
        SettingsError: a setting is missing or malformed.

    """
    from random import random

    from agent_sessions.api.messages_http import MessageApi
    from agent_sessions.messages.dynamo_store import DynamoMessageStore
    from agent_sessions.messages.pages import MessageReader
    from agent_sessions.messages.service import MessageService
    from agent_sessions.messages.waits import MessageWait
    from agent_sessions.settings import MessageSettings

    settings = MessageSettings.from_env(_wiring.environ)
    clock = _wiring.clock
    store = DynamoMessageStore(_client("dynamodb"), settings.sessions_table, settings.messages_table)
    reader = MessageReader(store, clock, retention_ms=settings.retention_ms)
    return MessageApi(
        messages=MessageService(
            store,
            clock,
            retention_ms=settings.retention_ms,
            limit=settings.messages_per_session,
            jitter=random,
        ),
        reader=reader,
        wait=MessageWait(store, reader, clock),
        settings=settings,
        clock=clock,
        telemetry=_telemetry(),
    )


@cache
def _message_pages() -> "DynamoMessagePages":
    from agent_sessions.erasure.dynamo_pages import DynamoMessagePages
    from agent_sessions.settings import ErasureSettings

    settings = ErasureSettings.from_env(_wiring.environ)
    return DynamoMessagePages(_client("dynamodb"), settings.messages_table, _wiring.clock)


@cache
def _eraser_queue() -> "SqsEraserQueue":
    from agent_sessions.erasure.sqs_queue import SqsEraserQueue
    from agent_sessions.settings import ErasureSettings

    return SqsEraserQueue(_client("sqs"), ErasureSettings.from_env(_wiring.environ).eraser_queue_url)


@cache
def eraser() -> "ErasureHandler":
    """Build the eraser; raise `SettingsError` where a setting is missing."""
    from agent_sessions.erasure.handler import ErasureHandler
    from agent_sessions.erasure.service import Eraser
    from agent_sessions.erasure.sqs_queue import order_from_body

    eraser = Eraser(_session_store(), _message_pages(), _eraser_queue(), _wiring.clock)
    return ErasureHandler(eraser, order_from_body, _telemetry())


@cache
def _lists() -> "ListApi":
    from agent_sessions.api.list_query import ListApi
    from agent_sessions.lists.dynamo_index import DynamoSessionIndex
    from agent_sessions.lists.dynamo_secret import DynamoCursorSecret
    from agent_sessions.lists.pages import SessionList

    settings = _session_settings()
    client = _client("dynamodb")
    index = DynamoSessionIndex(client, settings.sessions_table, settings.listed_shards)
    secret = DynamoCursorSecret(client, settings.sessions_table)
    return ListApi(SessionList(index, _wiring.clock, secret.read))


@cache
def _health() -> "HealthService":
    from agent_sessions.sweep.dynamo_record import DynamoSweepRecord
    from agent_sessions.sweep.health import HealthService

    settings = _session_settings()
    record = DynamoSweepRecord(_client("dynamodb"), settings.sessions_table)
    return HealthService(record, _wiring.clock, settings.due_shards)


@cache
def _session_settings() -> "SessionSettings":
    from agent_sessions.settings import SessionSettings

    return SessionSettings.from_env(_wiring.environ)


@cache
def expiry_sweeper() -> "ScheduledSweeps":
    """Build the sweeper.

    Raises:
        SettingsError: a setting is missing, malformed, or contradicts another.

    """
    from random import random

    from agent_sessions.events.sns_topic import SnsPublisher
    from agent_sessions.sessions.ids import new_session_id
    from agent_sessions.settings import SweepSettings
    from agent_sessions.sweep.count import GaugePass
    from agent_sessions.sweep.dynamo_due import DynamoDueStore
    from agent_sessions.sweep.dynamo_record import DynamoSweepRecord
    from agent_sessions.sweep.engine import Sweep, SweepTuning
    from agent_sessions.sweep.handler import ScheduledSweeps

    settings = SweepSettings.from_env(_wiring.environ)
    client = _client("dynamodb", connections=settings.sweep_threads)
    store = DynamoDueStore(client, settings.sessions_table)
    record = DynamoSweepRecord(client, settings.sessions_table)
    clock = _wiring.clock
    sweep = Sweep(
        store=store,
        claims=record,
        publisher=SnsPublisher(_client("sns", connections=settings.sweep_threads), settings.events_topic_arn),
        clock=clock,
        tuning=SweepTuning(
            look_ahead_ms=settings.sweep_look_ahead_seconds * 1000,
            threads=settings.sweep_threads,
            source=settings.event_source,
        ),
        new_id=new_session_id,
        jitter=random,
    )
    return ScheduledSweeps(
        sweep=sweep,
        gauge=GaugePass(store, record, clock, settings.soon_ms),
        invoker=_self_invoker,
        telemetry=_telemetry(),
        shards=settings.shards,
        fan_out=settings.sweep_fan_out,
    )


@cache
def _self_invoker() -> "LambdaSelfInvoker":
    from agent_sessions.sweep.lambda_invoker import LambdaSelfInvoker

    return LambdaSelfInvoker(_client("lambda"), _wiring.environ.get("AWS_LAMBDA_FUNCTION_NAME", "expiry_sweeper"))


@cache
def api_key_authorizer() -> "ApiKeyAuthorizer":
    """Build the authorizer; raise `SettingsError` where a setting is missing."""
    from agent_sessions.keys.authorizer import ApiKeyAuthorizer

    return ApiKeyAuthorizer(api_keys(), _telemetry())


def api_keys() -> "KeyService":
    """Build what checks, makes, lists, revokes and rotates keys; raise `SettingsError` where a setting is missing."""
    from agent_sessions.keys.dynamo_store import DynamoKeyStore
    from agent_sessions.keys.service import KeyService
    from agent_sessions.keys.settings import KeySettings

    settings = KeySettings.from_env(_wiring.environ)
    return KeyService(DynamoKeyStore(_client("dynamodb"), settings.api_keys_table), _wiring.clock)


def _telemetry() -> "Telemetry":
    """Powertools reads its own `POWERTOOLS_*` settings from the environment."""
    from aws_lambda_powertools import Logger, Metrics

    from agent_sessions.telemetry import Telemetry

    return Telemetry(Logger(location=None), Metrics())  # every line would name the one in `telemetry`


def _client(service: str, *, connections: int = 10) -> Any:  # noqa: ANN401 - clients have no common type
    """Return the given client of a service, or make one."""
    given = _wiring.clients.get(service)
    if given is not None:
        return given
    from agent_sessions.aws_clients.tuning import client_config, ignore_requested_pauses, send_puts_once

    client = _sdk_session().create_client(service, config=client_config(connections=connections))
    ignore_requested_pauses(client)
    send_puts_once(client)
    return client


@cache
def _sdk_session() -> "Session":
    # What boto3's own session would add are resources and transfers to S3, which nothing here uses: 77 Mi of a cold
    # start. Its `client` hands on to this session's.
    from agent_sessions.aws_clients.tuning import lean_session

    return lean_session()


_BUILDERS = (
    session_api,
    _session_store,
    _removal,
    session_messages,
    _lists,
    _health,
    _message_pages,
    _eraser_queue,
    eraser,
    _session_settings,
    expiry_sweeper,
    _self_invoker,
    api_key_authorizer,
    _sdk_session,
)
"""Everything that is built late and once: each builder is a cached function, handed on where it may not be needed."""
