"""Builds the functions that no caller waits for: the sweeper, the eraser and the publisher of messages' events."""

from typing import TYPE_CHECKING

from agent_sessions.bootstrap.request_path import (
    eraser_queue,
    erasure_records,
    message_pages,
    session_store,
    user_removal,
)
from agent_sessions.bootstrap.wiring import built_once, client, telemetry, wiring

if TYPE_CHECKING:
    from agent_sessions.erasure.handler import ErasureHandler
    from agent_sessions.events.handler import StreamHandler
    from agent_sessions.sweep.handler import ScheduledSweeps
    from agent_sessions.sweep.lambda_invoker import LambdaSelfInvoker

# ruff: noqa: PLC0415 - each builder imports what its own function needs


@built_once
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

    settings = SweepSettings.from_env(wiring().environ)
    dynamodb = client("dynamodb", connections=settings.sweep_threads)
    store = DynamoDueStore(dynamodb, settings.sessions_table)
    record = DynamoSweepRecord(dynamodb, settings.sessions_table)
    clock = wiring().clock
    sweep = Sweep(
        store=store,
        claims=record,
        publisher=SnsPublisher(client("sns", connections=settings.sweep_threads), settings.events_topic_arn),
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
        telemetry=telemetry(),
        shards=settings.shards,
        fan_out=settings.sweep_fan_out,
    )


@built_once
def _self_invoker() -> "LambdaSelfInvoker":
    from agent_sessions.sweep.lambda_invoker import LambdaSelfInvoker

    return LambdaSelfInvoker(client("lambda"), wiring().environ.get("AWS_LAMBDA_FUNCTION_NAME", "expiry_sweeper"))


@built_once
def eraser() -> "ErasureHandler":
    """Build the eraser; raise `SettingsError` where a setting is missing."""
    from agent_sessions.erasure.handler import ErasureHandler
    from agent_sessions.erasure.service import Eraser
    from agent_sessions.erasure.sqs_queue import order_from_body
    from agent_sessions.erasure.users import UserEraser
    from agent_sessions.events.sns_topic import SnsPublisher
    from agent_sessions.settings import EraserSettings

    settings = EraserSettings.from_env(wiring().environ)
    clock = wiring().clock
    eraser = Eraser(session_store(), message_pages(), eraser_queue(), clock)
    users = UserEraser(
        removal=user_removal(),
        records=erasure_records(),
        queue=eraser_queue(),
        publisher=SnsPublisher(client("sns"), settings.events_topic_arn),
        clock=clock,
        source=settings.event_source,
    )
    return ErasureHandler(eraser, users, order_from_body, telemetry())


@built_once
def message_publisher() -> "StreamHandler":
    """Build the publisher; raise `SettingsError` where a setting is missing."""
    from agent_sessions.events.delivery import EventDelivery
    from agent_sessions.events.handler import StreamHandler
    from agent_sessions.events.lifecycle import events_of_both_tables
    from agent_sessions.events.sns_topic import SnsPublisher
    from agent_sessions.events.sqs_dead_letters import SqsDeadLetters
    from agent_sessions.settings import PublisherSettings
    from agent_sessions.sweep.dynamo_record import DynamoSweepRecord

    settings = PublisherSettings.from_env(wiring().environ)
    clock = wiring().clock
    delivery = EventDelivery(
        SnsPublisher(client("sns"), settings.events_topic_arn),
        SqsDeadLetters(client("sqs"), settings.message_events_dead_letters_url),
        clock,
    )
    return StreamHandler(
        events_of_both_tables(settings.event_source, with_content=settings.event_content == "include"),
        delivery,
        DynamoSweepRecord(client("dynamodb"), settings.sessions_table),
        clock,
        telemetry(),
    )
