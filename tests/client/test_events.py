"""Events are read from every way in, acted on once, and not acted on when they are stale."""

import json
from pathlib import Path
from typing import Any, Final
from unittest import mock

import boto3
import pytest
from agent_sessions_client.events import (
    Deduplicator,
    DynamoStore,
    Event,
    Leases,
    MalformedEvent,
    MemoryStore,
    MessageCreated,
    SessionCreated,
    SessionEnded,
    SessionExpired,
    SessionExpiring,
    Store,
    UserErased,
    from_lambda,
    from_sqs,
    parse,
)
from moto import mock_aws

from tests.client.service import AGENT, USER, ManualClock, Service
from tools.build_client import ROOT

EVENTS: Final = Path(ROOT / "examples" / "consumer" / "events")
SESSION: Final = {
    "sessionId": "3f0b1c52-9d4e-4a67-8c1b-72e5a0d94f36",
    "tenantId": "acme",
    "agentId": AGENT,
    "userId": USER,
    "createdAt": "2026-06-27T08:00:00.000Z",
}
LEASE: Final = {
    "expiresAt": "2026-06-27T09:30:00.000Z",
    "endsAt": "2026-06-27T20:00:00.000Z",
    "reason": "idle_timeout",
    "renewable": True,
}


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{kind}:{json.dumps(data)}",
        "source": "/agent-sessions/eu-central-1/prod",
        "type": f"agent-sessions.{kind}",
        "subject": SESSION["sessionId"],
        "time": "2026-06-27T09:24:00.001Z",
        "datacontenttype": "application/json",
        "data": SESSION | data,
    }


def leased(kind: str, lease: int) -> dict[str, Any]:
    return event(f"session.{kind}", **LEASE, lease=lease)


MESSAGE: Final = {
    "id": "00000000-0001-8192-90bf-98de6bd50229",
    "sequence": 1,
    "sessionId": SESSION["sessionId"],
    "role": "user",
    "isAgent": False,
    "authorId": USER,
    "inReplyTo": None,
    "createdAt": "2026-06-27T08:01:01.000Z",
}


@pytest.mark.parametrize(
    "body, kind",
    [
        (leased("expiring", 1), SessionExpiring),
        (leased("expired", 1), SessionExpired),
        (event("session.created"), SessionCreated),
        (event("session.ended", reason="deleted"), SessionEnded),
        (event("message.created", message=MESSAGE), MessageCreated),
        (event("user.erased"), UserErased),
        (event("thing.invented", more="data"), Event),
    ],
)
def test_every_kind_of_event_has_a_type_and_unknown_ones_are_events(body: dict[str, Any], kind: type) -> None:
    assert type(parse(json.dumps(body))) is kind


def test_a_message_has_its_content_only_where_the_deployment_publishes_it() -> None:
    bare = parse(event("message.created", message=MESSAGE))
    full = parse(event("message.created", message=MESSAGE | {"content": "hello", "parts": [], "metadata": {}}))
    assert isinstance(bare, MessageCreated)
    assert isinstance(full, MessageCreated)
    assert (bare.role, bare.sequence, bare.message) == ("user", 1, None)
    assert full.message is not None
    assert full.message.content == "hello"


def test_what_the_stack_publishes_is_read(service: Service) -> None:
    session = service.client().create_session(AGENT, USER, timeout_minutes=10)
    service.stack.advance(13 * 60_000)
    published = [parse(body) for body in service.stack.inbox.events() if body["subject"] == session.session_id]
    about_session = [event for event in published if isinstance(event, SessionExpiring | SessionExpired)]
    assert [type(event) for event in about_session] == [SessionExpiring, SessionExpired]
    assert {event.expires_at for event in about_session} == {session.expires_at}
    assert {event.created_at for event in about_session} == {session.created_at}


def envelope(body: dict[str, Any]) -> str:
    return json.dumps({"Type": "Notification", "Message": json.dumps(body), "TopicArn": "arn"})


def test_a_queue_may_deliver_raw_or_in_an_envelope_and_to_lambda_or_boto3() -> None:
    body = leased("expiring", 1)
    records = [{"body": json.dumps(body)}, {"body": envelope(body)}, {"Body": json.dumps(body)}]
    assert [from_sqs(record).id for record in records] == [body["id"]] * 3


def test_a_function_is_invoked_by_a_queue_or_by_the_topic() -> None:
    body = leased("expiring", 1)
    queue = {"Records": [{"messageId": "m-1", "body": json.dumps(body), "eventSource": "aws:sqs"}]}
    topic = {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": json.dumps(body)}}]}
    assert [(delivery.record_id, delivery.event.id) for delivery in from_lambda(queue)] == [("m-1", body["id"])]
    assert [(delivery.record_id, delivery.event.id) for delivery in from_lambda(topic)] == [(None, body["id"])]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        b"\xff",
        json.dumps(leased("expiring", 1) | {"specversion": "0.3"}),
        json.dumps(leased("expiring", 1) | {"data": None}),
        json.dumps(leased("expiring", 1) | {"time": "yesterday"}),
        json.dumps(leased("expiring", 1) | {"id": 7}),
        json.dumps({"Type": "Notification", "Message": "hello"}),
    ],
)
def test_what_is_no_event_is_named_so(body: str | bytes) -> None:
    with pytest.raises(MalformedEvent):
        parse(body)


def test_the_examples_of_a_consumers_batches_are_read() -> None:
    batches = [json.loads(path.read_text("utf-8")) for path in EVENTS.glob("ex*.json")]
    assert batches
    for batch in batches:
        assert all(isinstance(each.event, SessionExpiring | SessionExpired) for each in from_lambda(batch))


# --- once, and nothing stale -----------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest, clock: ManualClock) -> Any:
    if request.param == "memory":
        yield MemoryStore(clock)
        return
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1")
        client.create_table(
            TableName="seen",
            KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield DynamoStore(client, "seen", clock)
        client.delete_table(TableName="seen")  # a running stack shares moto's tables


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_an_event_is_acted_on_once_however_often_it_comes(store: Store) -> None:
    seen = Deduplicator(store)
    event = parse(leased("expiring", 1))
    acts = []
    for _ in range(3):
        with seen.first_time(event) as is_first:
            acts.append(is_first)
    assert acts == [True, False, False]


def test_an_act_that_failed_is_done_again(store: Store) -> None:
    seen = Deduplicator(store)
    event = parse(leased("expiring", 1))
    act = mock.Mock(side_effect=RuntimeError)
    with pytest.raises(RuntimeError), seen.first_time(event):
        act()
    with seen.first_time(event) as is_first:
        assert is_first


def test_an_event_is_forgotten_when_it_can_come_back_no_more(store: Store, clock: ManualClock) -> None:
    seen = Deduplicator(store, keep_seconds=60)
    event = parse(leased("expiring", 1))
    with seen.first_time(event):
        pass
    clock.sleep(61)
    with seen.first_time(event) as is_first:
        assert is_first


def test_an_event_of_an_earlier_lease_is_stale_and_so_is_a_warning_after_its_expiry(store: Store) -> None:
    leases = Leases(store)
    order = [("expiring", 2), ("expiring", 2), ("expiring", 1), ("expired", 3), ("expiring", 3), ("expired", 3)]
    stale = []
    for kind, lease in order:
        event = parse(leased(kind, lease))
        assert isinstance(event, SessionExpiring | SessionExpired)
        stale.append(leases.is_stale(event))
    assert stale == [False, False, True, False, True, False]


def test_a_session_that_came_back_under_its_key_begins_anew(store: Store) -> None:
    leases = Leases(store)
    first = parse(leased("expiring", 9))
    later = parse(event("session.expiring", **LEASE, lease=1, createdAt="2026-06-28T08:00:00.000Z"))
    assert isinstance(first, SessionExpiring)
    assert isinstance(later, SessionExpiring)
    assert not leases.is_stale(first)
    assert not leases.is_stale(later)
