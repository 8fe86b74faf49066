"""Events of sessions that are created and deleted, from the table's stream: nothing else starts the function."""

import copy
import json
from typing import Any, Final

import pytest
from agent_sessions.bootstrap import wiring
from agent_sessions.events.lifecycle import session_events

from functions.message_publisher import app as publisher
from local.stream import StreamMapping
from template_reader import StreamSource
from tests.engines.fake_dynamo import FakeDynamo
from tests.engines.fake_queue import FakeQueue
from tests.engines.fake_sns import FakeSns
from tests.template_reader import Deployment
from tests.unit import world as worlds
from tests.unit.test_events import check_cloud_event
from tests.unit.world import MESSAGES, MINUTE, TABLE, TOPIC, World

ON: Final = Deployment(LifecycleEvents="on")
_MAPPING: Final = ON.of_type("AWS::Lambda::EventSourceMapping")["SessionEventsMapping"]
MAPPED: Final = StreamSource(
    "SessionsTable", _MAPPING["BatchSize"], tuple(each["Pattern"] for each in _MAPPING["FilterCriteria"]["Filters"])
)


class Living(World):
    """A deployment with events of its sessions."""

    def __init__(self) -> None:
        super().__init__()
        self.started = 0
        self.mapping = StreamMapping(MAPPED, lambda after: self.dynamo.stream_records(TABLE, after), self.start)

    def restart(self, **_: str) -> None:
        [sessions, *others] = copy.deepcopy(worlds._table_requests())
        stream = ON.of_type("AWS::DynamoDB::Table")["SessionsTable"]["StreamSpecification"]
        sessions["StreamSpecification"] = {"StreamEnabled": True, **stream}
        self.dynamo = self._client = FakeDynamo(self.clock)
        for request in (sessions, *others):
            self.dynamo.create_table(**request)
        self.sns = FakeSns(self.clock)
        self.dead = FakeQueue(self.clock)
        environ = {
            "SESSIONS_TABLE": TABLE,
            "MESSAGES_TABLE": MESSAGES,
            "AGENT_POLICIES_TABLE": worlds.POLICIES,
            "ERASER_QUEUE_URL": worlds.ERASER_QUEUE,
            "MESSAGE_EVENTS_DEAD_LETTERS_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/dead",
            **TOPIC,
        }
        wiring.wire(wiring.Wiring(environ, self.clock, {"dynamodb": self.dynamo, "sns": self.sns, "sqs": self.dead}))

    def start(self, event: dict[str, Any]) -> Any:
        self.started += 1
        return publisher.handler(json.loads(json.dumps(event)), None)

    def events(self) -> list[tuple[str, Any]]:
        """Kind and data of what was published since the last look."""
        self.mapping.deliver()
        found = [check_cloud_event(published.message) for published in self.sns.published]
        self.sns.published.clear()
        return [(event["type"].removeprefix("agent-sessions.session."), event["data"]) for event in found]


@pytest.fixture
def world() -> Living:
    return Living()


def test_a_creation_and_a_deletion_are_an_event_each(world: Living) -> None:
    session_id = world.new()["sessionId"]
    [(kind, data)] = world.events()
    assert (kind, data["sessionId"], data["lease"], data["reason"]) == ("created", session_id, 1, "idle_timeout")
    world.clock.advance(minutes=10)
    world.heartbeat(session_id)
    world.delete(session_id)
    [(kind, data)] = world.events()
    assert (kind, data["lease"], data["reason"], data["renewable"]) == ("ended", 2, "deleted", False)
    assert data["timeRemaining"] == 30 * MINUTE


def test_renewals_patches_messages_and_marks_start_nothing(world: Living) -> None:
    session_id = world.new()["sessionId"]
    world.events()
    started = world.started
    world.clock.advance(minutes=5)
    world.heartbeat(session_id)
    world.renew(session_id)
    world.patch(session_id, {"timeoutMinutes": 40})
    world.say(session_id)
    world.say(session_id, role="agent")
    world.warn(session_id)
    world.arm(session_id)
    world.announce(session_id)
    world.page()
    assert (world.events(), world.started) == ([], started)


def test_a_session_that_had_expired_ends_once_by_its_expiry(world: Living) -> None:
    expired, announced = world.new()["sessionId"], world.new()["sessionId"]
    world.events()
    world.clock.advance(minutes=31)
    world.announce(announced)
    assert {world.delete(session_id).status for session_id in (expired, announced)} == {200}
    assert world.events() == []


def test_a_session_in_the_place_of_a_record_that_was_retired_is_created(world: Living) -> None:
    first = world.create(key="again").json
    world.events()
    world.clock.advance(minutes=31)
    world.announce(first["sessionId"])
    world.clock.advance(minutes=1441)
    assert world.create(key="again").status == 201
    [(kind, data)] = world.events()
    assert (kind, data["sessionId"]) == ("created", first["sessionId"])
    assert data["createdAt"] != first["createdAt"]


def test_what_ttl_removes_and_what_is_no_session_starts_nothing(world: Living) -> None:
    session_id = world.new()["sessionId"]
    world.erase(worlds.NOWHERE)
    world.events()
    assert world.started == 1
    world.remove(session_id)
    [*_, record] = world.dynamo.stream_records(TABLE, None)
    by_ttl = record | {"userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"}}
    assert not world.mapping._lets_through(by_ttl)
    assert session_events("/x")(by_ttl) is None
    assert session_events("/x")(record) is not None


def test_the_erasure_of_a_user_ends_sessions_too(world: Living) -> None:
    session_id = world.new()["sessionId"]
    world.events()
    world.erase()
    [(kind, data)] = world.events()
    assert (kind, data["sessionId"]) == ("ended", session_id)


def test_a_session_that_cannot_be_read_is_a_dead_letter_and_holds_up_no_other(world: Living) -> None:
    damaged = world.new()["sessionId"]
    world.events()
    world.update(damaged, "REMOVE metadata")
    world.delete(damaged)
    world.new()
    assert [kind for kind, _ in world.events()] == ["created"]
    assert len(world.dead.waiting) == 1
