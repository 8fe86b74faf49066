"""The events of messages, through the template's own mapping: none is lost and none overtakes, whatever dies when."""

import copy
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import pytest
from agent_sessions.bootstrap import wiring
from agent_sessions.events.cloud_events import MAX_BYTES, Event
from agent_sessions.events.delivery import DELIVERY_MS
from agent_sessions.events.stream import message_events
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from functions.message_publisher import app as publisher
from local.dynamo.refusals import Refused
from local.stream import StreamMapping
from template_reader import Template
from tests.engines import faults
from tests.engines.fake_queue import FakeQueue
from tests.engines.fake_sns import FakeSns
from tests.unit.world import AGENT, ERASER_QUEUE, MESSAGES, MINUTE, POLICIES, START_MS, TABLE, USER, World, at, sample

TOPIC: Final = "arn:aws:sns:eu-west-1:123456789012:session-events"
SOURCE: Final = "/agent-sessions/eu-west-1/sessions"
[MAPPED] = Template().streams("MessagePublisherFunction")


class Publishing(World):
    """A deployment with its stream, topic and dead letters. `restart` begins new processes of all functions."""

    def __init__(self, **settings: Any) -> None:
        self.sns: Any = None
        self.started = 0
        super().__init__(**settings)
        self.mapping = StreamMapping(MAPPED, lambda after: self.dynamo.stream_records(MESSAGES, after), self.start)

    def start(self, event: dict[str, Any]) -> Any:
        self.started += 1
        return publisher.handler(json.loads(json.dumps(event)), None)

    def restart(self, **settings: str) -> None:
        self.sns = self.sns or FakeSns(self.clock)
        self.dead = FakeQueue(self.clock)
        environ = {
            "SESSIONS_TABLE": TABLE,
            "MESSAGES_TABLE": MESSAGES,
            "AGENT_POLICIES_TABLE": POLICIES,
            "ERASER_QUEUE_URL": ERASER_QUEUE,
            "EVENTS_TOPIC_ARN": TOPIC,
            "EVENT_SOURCE": SOURCE,
            "MESSAGE_EVENTS_DEAD_LETTERS_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/dead",
            **settings,
        }
        wiring.wire(wiring.Wiring(environ, self.clock, {"dynamodb": self._client, "sns": self.sns, "sqs": self.dead}))

    def talk(self, messages: int = 3, sessions: int = 2) -> dict[str, list[int]]:
        """Messages by turns in some sessions; the numbers of each."""
        ids = [self.new()["sessionId"] for _ in range(sessions)]
        for number in range(messages):
            for session_id in ids:
                assert self.say(session_id, f"words {number}").status == 201
        return {session_id: list(range(1, messages + 1)) for session_id in ids}

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(published.message) for published in self.sns.published]

    @property
    def first_published(self) -> dict[str, list[int]]:
        """Each session's numbers in the order in which they were published first. Repeats have the same id and body."""
        found: dict[str, list[int]] = {}
        bodies: dict[str, dict[str, Any]] = {}
        for event in self.events:
            assert bodies.setdefault(event["id"], event) == event
            numbers = found.setdefault(event["subject"], [])
            if event["data"]["message"]["sequence"] not in numbers:
                numbers.append(event["data"]["message"]["sequence"])
        return found

    @property
    def letters(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.dead.waiting]


@pytest.fixture
def world() -> Publishing:
    return Publishing()


def a_record(**attributes: Any) -> dict[str, Any]:
    """The first record of the sample, its message with these attributes."""
    record: dict[str, Any] = copy.deepcopy(sample("stream-messages")["Records"][0])
    record["dynamodb"]["NewImage"] |= attributes
    return record


def event_of(*, with_content: bool = False, **attributes: Any) -> Event:
    event = message_events(SOURCE, with_content=with_content)(a_record(**attributes))
    assert event is not None
    return event


class RefusesTheWholeCall(faults.Hook):
    """SNS refuses a call for the sake of one of its entries."""

    def __init__(self, text: str) -> None:
        self.text = text

    def before(self, call: str, request: Mapping[str, Any]) -> None:
        if call == "publish_batch" and any(
            self.text in each["Message"] for each in request["PublishBatchRequestEntries"]
        ):
            raise Refused("InvalidParameter", "Invalid parameter: Message")


class Slow(faults.Hook):
    """Each publication takes its time."""

    def __init__(self, world: World, takes_ms: int) -> None:
        self._world, self._takes_ms = world, takes_ms

    def after(self, call: str, request: Any, response: Any) -> None:
        if call == "publish_batch":
            self._world.clock.advance(self._takes_ms)


# --- what an event says -----------------------------------------------------------------------------------------------


def test_a_stored_message_is_an_event_with_all_that_the_contract_names_and_without_its_content(
    world: Publishing,
) -> None:
    session = world.new()
    world.clock.advance(minutes=1)
    posted = world.say(session["sessionId"], "What I say", metadata={"mood": "good"}).json["message"]
    assert world.mapping.deliver()
    [published] = world.sns.published
    assert JSONFormat().read(CloudEvent, published.message).get_type() == "agent-sessions.message.created"
    attempt: bytes = world.item(session["sessionId"])["attempt"]["B"]
    assert json.loads(published.message) == {
        "specversion": "1.0",
        "id": f"{session['sessionId']}:{attempt.hex()}:1:created",
        "source": SOURCE,
        "type": "agent-sessions.message.created",
        "subject": session["sessionId"],
        "time": at(START_MS + MINUTE),
        "datacontenttype": "application/json",
        "data": {
            "sessionId": session["sessionId"],
            "tenantId": "acme",
            "agentId": AGENT,
            "userId": USER,
            "createdAt": at(START_MS),
            "lease": 2,
            "expiresAt": at(START_MS + 31 * MINUTE),
            "message": {
                name: value
                for name, value in posted.items()
                if name not in {"content", "parts", "attachments", "metadata"}
            },
        },
    }
    assert published.attributes == {
        "type": "agent-sessions.message.created",
        "tenantId": "acme",
        "agentId": AGENT,
        "userId": USER,
        "role": "user",
    }


def test_content_is_included_where_the_deployment_wants_it() -> None:
    world = Publishing(EVENT_CONTENT="include")
    posted = world.say(world.new()["sessionId"], "What I say", metadata={"mood": "good"}, parts=[{"a": 1}])
    assert world.mapping.deliver()
    [event] = world.events
    assert event["data"]["message"] == posted.json["message"]


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('\ufffe\uffff\\"\n'), max_size=40))
def test_an_event_has_any_text_in_characters_that_every_queue_takes(text: str) -> None:
    event = event_of(with_content=True, content={"S": text})
    assert not set(event.body) & {"\ufffe", "\uffff"}
    assert not any(ord(letter) < 32 for letter in event.body)
    assert json.loads(event.body)["data"]["message"]["content"] == text


def test_an_attribute_without_a_value_is_left_out(world: Publishing) -> None:
    assert world.start({"Records": [a_record(tenantId={"S": ""})]}) == {"batchItemFailures": []}
    [published] = world.sns.published
    assert "tenantId" not in published.attributes


def test_only_a_new_message_starts_the_publisher(world: Publishing) -> None:
    session_id = world.new()["sessionId"]
    world.post_message(session_id, {"content": "x"}, headers={"idempotency-key": "a-key"})
    assert world.mapping.deliver()
    assert len(world.events) == world.started == 1
    world.dynamo.add_hook(faults.Kill(0, "before", "put_item"))  # the number is taken, the message is not stored
    with suppress(faults.Killed):
        world.say(session_id)
    world.dynamo.hooks.clear()
    world.clock.advance(minutes=1)
    assert world.messages(session_id, afterSequence=0).json["skipped"] == [2]
    life = next(item["life"]["S"] for item in world.dynamo.items(MESSAGES))
    key: Any = {"life": {"S": life}, "seq": {"N": "1"}}
    world.dynamo.update_item(TableName=MESSAGES, Key=key, UpdateExpression="REMOVE content")
    world.delete(session_id)
    assert len(world.dynamo.stream_records(MESSAGES)) > 4
    assert world.mapping.deliver()
    assert world.started == 1


# --- at least once, in order ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", range(5))
def test_a_publisher_killed_at_any_call_loses_no_event_and_lets_none_overtake(
    world: Publishing, nth: int, when: faults.When
) -> None:
    said = world.talk()
    kill = faults.Kill(nth, when)
    for engine in (world.sns, world.dynamo):
        engine.add_hook(kill)
    with suppress(faults.Killed):
        world.mapping.deliver()
    assert kill.dead == (nth < 4), "three publications and a report"
    for engine in (world.sns, world.dynamo):
        engine.remove_hook(kill)
    world.restart()
    assert world.mapping.deliver()
    assert world.first_published == said


@pytest.mark.parametrize(
    "away",
    [
        faults.fail("publish_batch", "Throttled"),
        faults.fail("publish_batch", "AuthorizationError"),
        faults.connection_lost("publish_batch", "before", None),
        faults.connection_lost("publish_batch", "after", None),
        faults.messages_failed(None),
    ],
    ids=["throttled", "denied", "unreachable", "answers lost", "entries failed"],
)
def test_a_topic_that_is_away_for_an_hour_costs_no_event_and_shows_in_health(
    world: Publishing, away: faults.Hook
) -> None:
    said: dict[str, list[int]] = {}
    world.sns.add_hook(away)
    for _ in range(6):
        said |= world.talk()
        assert not world.mapping.deliver()
        world.clock.advance(minutes=10)
    assert not world.mapping.deliver()
    assert world.health().json["eventLagSeconds"] == 3600
    assert world.health().json["status"] == "degraded"
    world.sns.remove_hook(away)
    assert world.mapping.deliver()
    assert world.first_published == said
    assert world.letters == []
    world.clock.advance(minutes=4)
    assert world.health().json["eventLagSeconds"] is None


def test_while_one_event_is_not_taken_the_later_ones_of_its_session_wait_and_others_do_not(world: Publishing) -> None:
    said = world.talk(messages=4)
    stuck, other = said
    world.sns.add_hook(busy := faults.messages_failed(None, which=lambda entry: stuck in entry["Message"]))
    assert not world.mapping.deliver()
    assert world.first_published == {other: said[other]}
    world.sns.remove_hook(busy)
    assert world.mapping.deliver()
    assert world.first_published == said


def test_a_topic_that_takes_only_some_at_a_time_gets_each_sessions_events_in_order(world: Publishing) -> None:
    said = world.talk(messages=5, sessions=3)
    world.sns.add_hook(faults.messages_failed(None, which=lambda _: len(world.sns.published) % 4 == 3))
    for _ in range(50):
        if world.mapping.deliver():
            break
        world.sns.hooks.clear()
        world.sns.add_hook(faults.messages_failed(3, skip=2))
    assert world.first_published == said


# --- what can never be published --------------------------------------------------------------------------------------


def test_events_that_the_topic_never_takes_go_to_the_dead_letters_by_their_keys_and_hold_up_nobody(
    world: Publishing,
) -> None:
    said = world.talk(messages=3, sessions=4)
    refused = next(iter(said))
    world.sns.never_takes = lambda entry: refused in entry["Message"] and '"sequence":2' in entry["Message"]
    assert world.mapping.deliver()
    assert world.first_published == said | {refused: [1, 3]}
    [letter] = world.letters
    assert letter["key"]["life"].startswith(refused)
    assert letter["key"]["seq"] == "2"
    assert letter["eventId"].endswith(":2:created")
    assert "words" not in json.dumps(letter)


def test_an_event_that_makes_the_whole_call_fail_is_found_and_the_others_are_published(world: Publishing) -> None:
    said = world.talk(messages=1, sessions=12)
    refused = list(said)[7]
    world.sns.add_hook(RefusesTheWholeCall(f'"subject":"{refused}"'))
    assert world.mapping.deliver()
    assert world.first_published == {session_id: [1] for session_id in said if session_id != refused}
    assert [letter["key"]["life"].partition("#")[0] for letter in world.letters] == [refused]


@pytest.mark.parametrize(
    "damage", [{"content": {"N": "1"}}, {"write": {"S": "?"}}, {"role": {"S": "god"}}, {"createdAt": {"N": "9" * 30}}]
)
def test_a_record_that_cannot_be_read_goes_to_the_dead_letters_and_holds_up_nobody(
    world: Publishing, damage: dict[str, Any]
) -> None:
    said = world.talk(messages=1)
    [whole, *_] = world.dynamo.items(MESSAGES)
    poisoned = whole | {"seq": {"N": "2"}} | damage
    world.dynamo.put_item(TableName=MESSAGES, Item=poisoned)
    later = world.talk(messages=1)
    assert world.mapping.deliver()
    assert world.first_published == said | later
    [letter] = world.letters
    assert letter["key"] == {"life": whole["life"]["S"], "seq": "2"}
    assert letter["eventId"] is None


@pytest.mark.parametrize("raw", [{}, {"dynamodb": 1}, {"dynamodb": {"Keys": {"life": {}}}, "eventName": "INSERT"}])
def test_what_is_no_record_at_all_holds_up_nobody(world: Publishing, raw: dict[str, Any]) -> None:
    records = sample("stream-messages")["Records"]
    assert world.start({"Records": [raw, *records]}) == {"batchItemFailures": []}
    assert len(world.events) == len(records)
    assert len(world.letters) == 1


@pytest.mark.parametrize("code", ["ServiceUnavailable", "AccessDenied"])
def test_a_dead_letter_that_cannot_be_kept_is_tried_again_and_others_do_not_wait(world: Publishing, code: str) -> None:
    said = world.talk(messages=2)
    refused, other = said
    world.sns.never_takes = lambda entry: refused in entry["Message"] and '"sequence":1' in entry["Message"]
    away = world.dead.add_hook(faults.fail("send_message", code))
    assert not world.mapping.deliver()
    assert world.first_published == {other: said[other]}
    world.dead.remove_hook(away)
    assert world.mapping.deliver()
    assert world.first_published == said | {refused: [2]}
    assert len(world.letters) == 1


# --- batches, time, the report ----------------------------------------------------------------------------------------


class Weights(faults.Hook):
    """The bytes of each publication, and how many events it had."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def before(self, call: str, request: Mapping[str, Any]) -> None:
        if call == "publish_batch":
            entries = request["PublishBatchRequestEntries"]
            self.seen.append((sum(len(entry["Message"].encode()) for entry in entries), len(entries)))


def test_a_publication_is_packed_by_bytes_as_well_as_by_ten() -> None:
    world = Publishing(EVENT_CONTENT="include")
    said = world.talk(messages=1, sessions=25)
    for session_id in said:
        body = {"content": "\u20ac" * 32_000, "role": "agent"}
        assert world.post_message(session_id, raw=json.dumps(body, ensure_ascii=False)).status == 201
    weights = world.sns.add_hook(Weights())
    assert world.mapping.deliver()
    assert world.first_published == {session_id: [1, 2] for session_id in said}
    assert [count for _, count in weights.seen[:2]] == [10, 10]
    assert {count for _, count in weights.seen[3:]} == {1, 2}, "two of 96 KB fit into one"
    assert max(size for size, _ in weights.seen) < MAX_BYTES


def test_content_that_makes_an_event_too_heavy_for_the_topic_is_left_out() -> None:
    def weight(size: int) -> int:
        return event_of(with_content=True, content={"S": "x" * size}).weight

    room = MAX_BYTES - weight(0)
    assert weight(room) == MAX_BYTES
    assert weight(room + 1) < 2_000


def test_a_slow_topic_ends_a_run_before_its_time_is_over_and_the_next_goes_on_from_there(world: Publishing) -> None:
    said = world.talk(messages=20, sessions=1)
    world.sns.add_hook(Slow(world, 6_000))
    started = world.clock.now_ms()
    assert not world.mapping.deliver()
    assert world.clock.now_ms() - started <= DELIVERY_MS + 6_000
    assert 0 < len(world.events) < 20
    while not world.mapping.deliver():
        pass
    assert world.first_published == said
    assert len(world.events) == 20, "what was published is not published again"


def test_the_lag_is_reported_once_a_minute_and_the_largest_of_a_minute_stands(world: Publishing) -> None:
    for _ in range(4):
        world.talk(messages=1)
        world.clock.advance(20_000)
        assert world.mapping.deliver()
    assert world.dynamo.calls["update_item"] - 8 == 2, "beside the eight numbers that were taken"
    assert world.health().json["eventLagSeconds"] == 20
    for lag_seconds, shown in ((400, 400), (3, 400)):
        world.restart()  # another process, whose part of the stream is later or earlier
        record = a_record()
        record["dynamodb"]["ApproximateCreationDateTime"] = world.clock.now_ms() // 1000 - lag_seconds
        world.start({"Records": [record]})
        assert world.health().json["eventLagSeconds"] == shown


def test_a_report_that_cannot_be_written_costs_no_event(world: Publishing) -> None:
    said = world.talk(messages=1)
    world.dynamo.add_hook(faults.throttle("update_item"))
    assert world.mapping.deliver()
    assert world.first_published == said


def test_no_log_line_and_no_dead_letter_has_what_was_said(world: Publishing, caplog: pytest.LogCaptureFixture) -> None:
    said = world.talk()
    world.sns.never_takes = lambda entry: next(iter(said)) in entry["Message"]
    world.sns.add_hook(faults.messages_failed(1))
    world.mapping.deliver()
    world.mapping.deliver()
    written = "".join(str(vars(record)) for record in caplog.records) + json.dumps(world.letters)
    assert "dead letter" in written
    assert "words" not in written


def test_different_messages_have_different_ids() -> None:
    facts = (("a#01", 1), ("a#01", 2), ("a#02", 1), ("b#01", 1))
    events = [event_of(life={"S": life}, seq={"N": str(number)}) for life, number in facts]
    assert len({event.event_id for event in events}) == len(facts)
