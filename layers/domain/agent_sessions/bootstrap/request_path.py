"""Builds the functions that answer requests for sessions and messages, and what they share with the background."""

from typing import TYPE_CHECKING

from agent_sessions.bootstrap.wiring import built_once, client, dynamodb, request_log, wiring
from agent_sessions.errors import SettingsError

if TYPE_CHECKING:
    from agent_sessions.api.erasures import ErasureApi
    from agent_sessions.api.http import SessionApi
    from agent_sessions.api.list_query import ListApi
    from agent_sessions.api.messages_http import MessageApi
    from agent_sessions.api.policies import PolicyApi
    from agent_sessions.erasure.dynamo_pages import DynamoMessagePages
    from agent_sessions.erasure.dynamo_users import DynamoErasureRecords
    from agent_sessions.erasure.service import SessionRemoval
    from agent_sessions.erasure.sqs_queue import SqsEraserQueue
    from agent_sessions.erasure.users import UserRemoval
    from agent_sessions.policies.service import AgentPolicies
    from agent_sessions.sessions.dynamo_store import DynamoSessionStore
    from agent_sessions.settings import SessionSettings
    from agent_sessions.sweep.health import HealthService

# ruff: noqa: PLC0415 - each builder imports what its own function needs


@built_once
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
            session_store(),
            wiring().clock,
            new_session_id,
            random,
            retention_ms=settings.retention_ms,
            longest_ms=minutes_to_ms(settings.longest_duration_minutes),
        ),
        removal=_removal,
        lists=_lists,
        policies=_policies(),
        policy_api=_policy_api,
        erasures=_erasures,
        health=_health,
        settings=settings,
        clock=wiring().clock,
        telemetry=request_log(),
    )


@built_once
def session_store() -> "DynamoSessionStore":
    """Build the store of sessions, which the eraser shares."""
    from agent_sessions.sessions.dynamo_store import DynamoSessionStore

    settings = _session_settings()
    return DynamoSessionStore(
        dynamodb(),
        settings.sessions_table,
        retention_ms=settings.retention_ms,
        due_shards=settings.due_shards,
        tenant_shards=settings.tenant_shards,
    )


@built_once
def _removal() -> "SessionRemoval":
    from agent_sessions.erasure.service import SessionRemoval

    retention_ms = _session_settings().retention_ms
    return SessionRemoval(session_store(), message_pages, eraser_queue, wiring().clock, retention_ms)


@built_once
def _policies() -> "AgentPolicies":
    from agent_sessions.policies.dynamo_store import DynamoPolicyStore
    from agent_sessions.policies.service import AgentPolicies

    settings = _session_settings()
    if not settings.agent_policies_table:
        raise SettingsError("AGENT_POLICIES_TABLE: Field required")
    store = DynamoPolicyStore(dynamodb(), settings.agent_policies_table)
    return AgentPolicies(store, wiring().clock, required=settings.require_agent_policy)


@built_once
def _policy_api() -> "PolicyApi":
    from agent_sessions.api.policies import PolicyApi
    from agent_sessions.policies.model import service_rules

    return PolicyApi(_policies(), service_rules(_session_settings()))


@built_once
def _lists() -> "ListApi":
    from agent_sessions.api.list_query import ListApi
    from agent_sessions.lists.dynamo_index import DynamoSessionIndex
    from agent_sessions.lists.dynamo_secret import DynamoCursorSecret
    from agent_sessions.lists.pages import SessionList

    settings = _session_settings()
    index = DynamoSessionIndex(dynamodb(), settings.sessions_table, settings.listed_shards)
    secret = DynamoCursorSecret(dynamodb(), settings.sessions_table)
    return ListApi(SessionList(index, wiring().clock, secret.read))


@built_once
def _erasures() -> "ErasureApi":
    from agent_sessions.api.erasures import ErasureApi
    from agent_sessions.erasure.users import UserErasures
    from agent_sessions.sessions.ids import new_session_id

    clock = wiring().clock
    return ErasureApi(UserErasures(user_removal(), erasure_records(), eraser_queue(), clock, new_session_id))


@built_once
def user_removal() -> "UserRemoval":
    """Build what removes a user's sessions, which the eraser shares."""
    from agent_sessions.erasure.dynamo_users import DynamoUserSessions
    from agent_sessions.erasure.users import UserRemoval

    return UserRemoval(
        records=erasure_records(),
        found=DynamoUserSessions(dynamodb(), _session_settings().sessions_table),
        store=session_store(),
        pages=message_pages(),
        queue=eraser_queue(),
        clock=wiring().clock,
    )


@built_once
def erasure_records() -> "DynamoErasureRecords":
    """Build the records of erasures."""
    from agent_sessions.erasure.dynamo_users import DynamoErasureRecords

    return DynamoErasureRecords(dynamodb(), _session_settings().sessions_table)


@built_once
def _health() -> "HealthService":
    from agent_sessions.sweep.dynamo_record import DynamoSweepRecord
    from agent_sessions.sweep.health import HealthService

    settings = _session_settings()
    record = DynamoSweepRecord(dynamodb(), settings.sessions_table)
    return HealthService(record, wiring().clock, settings.due_shards)


@built_once
def _session_settings() -> "SessionSettings":
    from agent_sessions.settings import SessionSettings

    return SessionSettings.from_env(wiring().environ)


@built_once
def session_messages() -> "MessageApi":
    """Build the API of messages.

    Raises:
        SettingsError: a setting is missing or malformed.

    """
    from random import random

    from agent_sessions.api.messages_http import MessageApi
    from agent_sessions.messages.batches import MessageBatches
    from agent_sessions.messages.dynamo_store import DynamoMessageStore
    from agent_sessions.messages.pages import MessageReader
    from agent_sessions.messages.redaction import MessageRedaction
    from agent_sessions.messages.service import MessageService
    from agent_sessions.messages.waits import MessageWait
    from agent_sessions.settings import MessageSettings

    settings = MessageSettings.from_env(wiring().environ)
    clock = wiring().clock
    store = DynamoMessageStore(dynamodb(), settings.sessions_table, settings.messages_table)
    reader = MessageReader(store, clock, retention_ms=settings.retention_ms)
    return MessageApi(
        messages=MessageService(
            store,
            clock,
            retention_ms=settings.retention_ms,
            limit=settings.messages_per_session,
            jitter=random,
        ),
        batches=MessageBatches(
            store, clock, retention_ms=settings.retention_ms, limit=settings.messages_per_session, jitter=random
        ),
        reader=reader,
        wait=MessageWait(store, reader, clock),
        redaction=MessageRedaction(store, reader, clock),
        settings=settings,
        clock=clock,
        telemetry=request_log(),
    )


@built_once
def message_pages() -> "DynamoMessagePages":
    """Build what deletes a life's messages page by page."""
    from agent_sessions.erasure.dynamo_pages import DynamoMessagePages
    from agent_sessions.settings import ErasureSettings

    settings = ErasureSettings.from_env(wiring().environ)
    return DynamoMessagePages(dynamodb(), settings.messages_table, wiring().clock)


@built_once
def eraser_queue() -> "SqsEraserQueue":
    """Build the queue of the eraser's orders."""
    from agent_sessions.erasure.sqs_queue import SqsEraserQueue
    from agent_sessions.settings import ErasureSettings

    return SqsEraserQueue(client("sqs"), ErasureSettings.from_env(wiring().environ).eraser_queue_url)
