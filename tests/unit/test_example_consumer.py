"""The example of a consumer: acts once on what is new, never on what is out of date, and loses nothing."""

import contextlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
from agent_sessions.events.cloud_events import EventKind, session_event
from moto import mock_aws

from examples.consumer import app
from template_reader import create_tables, read
from tests.engines import faults
from tests.engines.fake_dynamo import FakeDynamo
from tests.unit.sweep_world import SweepWorld
from tests.unit.test_events import NOW, SESSION, SOURCE
from tests.unit.world import MINUTE

TEMPLATE: Final = Path(app.__file__).parent / "template.yaml"
SENT: Final = "1782547200000"


class Consumer:
    """The example on a table of its own, and what it acted on."""

    def __init__(self) -> None:
        self.dynamo = FakeDynamo()
        create_tables(self.dynamo.as_client(), TEMPLATE, {"SeenTable": "seen"})
        self.acts: list[str] = []
        self.on_act: Callable[[Mapping[str, Any]], None] = lambda _event: None

    def receive(self, *bodies: str) -> list[str]:
        """Hand a batch over; return the ids of the messages that failed."""
        records = [
            {"messageId": f"message-{number}", "body": body, "attributes": {"SentTimestamp": SENT}}
            for number, body in enumerate(bodies)
        ]
        answer = app.consume({"Records": records}, app.Seen(self.dynamo.as_client(), "seen"), self.act)
        assert answer.keys() == {"batchItemFailures"}
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def act(self, event: app.Event) -> None:
        self.on_act(event)
        self.acts.append(f"{event['data']['lease']} {event['type'].rpartition('.')[2]}")


def told(kind: EventKind, lease: int = 1, **changes: Any) -> str:
    return session_event(kind, SESSION._replace(lease=lease, **changes), NOW, SOURCE).body


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


def test_a_warning_and_an_expiry_are_acted_on(consumer: Consumer) -> None:
    assert consumer.receive(told("expiring"), told("expired")) == []
    assert consumer.acts == ["1 expiring", "1 expired"]


def test_a_repeat_is_dropped_in_its_batch_and_in_a_later_one(consumer: Consumer) -> None:
    consumer.receive(told("expiring"), told("expiring"))
    consumer.receive(told("expiring"))
    assert consumer.acts == ["1 expiring"]


def test_a_warning_of_a_lease_that_was_followed_by_another_is_dropped(consumer: Consumer) -> None:
    consumer.receive(told("expiring", lease=2))
    consumer.receive(told("expiring", lease=1))
    assert consumer.acts == ["2 expiring"]


def test_a_warning_that_comes_after_the_end_is_dropped(consumer: Consumer) -> None:
    consumer.receive(told("expired", lease=3))
    consumer.receive(told("expiring", lease=3), told("expiring", lease=2))
    assert consumer.acts == ["3 expired"]


def test_a_session_that_its_key_brought_back_is_another_one(consumer: Consumer) -> None:
    consumer.receive(told("expired", lease=7))
    consumer.receive(told("expiring", lease=1, created_at_ms=SESSION.created_at_ms + 90 * MINUTE))
    assert consumer.acts == ["7 expired", "1 expiring"]


def test_what_cannot_be_acted_on_comes_back_alone_and_is_acted_on_then(consumer: Consumer) -> None:
    def fail(event: Mapping[str, Any]) -> None:
        if event["data"]["lease"] == 2:
            raise RuntimeError("the mail server is away")

    consumer.on_act = fail
    first, second = told("expiring", lease=1), told("expiring", lease=2)
    assert consumer.receive(first, second) == ["message-1"]
    consumer.on_act = lambda _event: None
    assert consumer.receive(second) == []
    assert consumer.acts == ["1 expiring", "2 expiring"]


@pytest.mark.parametrize(
    "body", ["", "not JSON", "[]", "{}", '{"type":"another","id":"a:1:1:x","source":"/s","data":{"lease":1}}']
)
def test_what_is_no_event_of_ours_fails_alone_and_ends_in_the_dead_letter_queue(consumer: Consumer, body: str) -> None:
    assert consumer.receive(body, told("expiring")) == ["message-0"]
    assert consumer.acts == ["1 expiring"]


def test_a_crash_before_it_is_remembered_repeats_the_act_and_loses_none(consumer: Consumer) -> None:
    consumer.dynamo.add_hook(faults.connection_lost("update_item", "before"))
    assert consumer.receive(told("expiring")) == ["message-0"]
    assert consumer.receive(told("expiring")) == []
    assert consumer.acts == ["1 expiring", "1 expiring"]


def test_of_two_consumers_at_once_the_later_fact_stays(consumer: Consumer) -> None:
    other = app.Seen(consumer.dynamo.as_client(), "seen")
    later = json.loads(told("expired", lease=4))
    consumer.on_act = lambda _event: other.remember(later, 0)
    assert consumer.receive(told("expiring", lease=4)) == []
    assert other.latest(later) == app.Fact(4, 2)
    consumer.on_act = lambda _event: None
    assert consumer.receive(told("expiring", lease=4)) == []
    assert consumer.acts == ["4 expiring"]


def test_what_is_remembered_outlives_every_message_that_can_still_come(consumer: Consumer) -> None:
    consumer.receive(told("expiring"))
    [item] = consumer.dynamo.items("seen")
    assert item["forgetAt"] == {"N": str(int(SENT) // 1000 + app.KEEP_SECONDS)}
    resources = read(TEMPLATE)["Resources"]
    assert resources["SeenTable"]["Properties"]["TimeToLiveSpecification"]["AttributeName"] == "forgetAt"
    queues = [resources[name]["Properties"] for name in ("Queue", "DeadLetterQueue")]
    assert sum(queue["MessageRetentionPeriod"] for queue in queues) < app.KEEP_SECONDS


@pytest.mark.parametrize(
    "sample, acts, failed",
    [("expiring", ["1 expiring"], 0), ("expired", ["1 expired"], 0), ("repeats-and-strays", ["1 expiring"], 1)],
)
def test_the_sample_events_are_consumed_as_they_are_called(
    consumer: Consumer, sample: str, acts: list[str], failed: int
) -> None:
    batch = json.loads((TEMPLATE.parent / "events" / f"{sample}.json").read_text("utf-8"))
    answer = app.consume(batch, app.Seen(consumer.dynamo.as_client(), "seen"), consumer.act)
    assert consumer.acts == acts
    assert len(answer["batchItemFailures"]) == failed


def test_from_the_sweep_to_the_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deployed sweeper publishes, SNS and SQS deliver, the example's own handler acts: once for each warning."""
    with mock_aws():
        sns, sqs, dynamodb = boto3.client("sns"), boto3.client("sqs"), boto3.client("dynamodb")
        create_tables(dynamodb, TEMPLATE, {"SeenTable": "seen"})
        topic = sns.create_topic(Name="events")["TopicArn"]
        url = sqs.create_queue(QueueName="events")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        template = read(TEMPLATE)
        sns.subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=arn,
            Attributes={
                "RawMessageDelivery": "true",
                "FilterPolicy": template["Parameters"]["FilterPolicy"]["Default"],
            },
        )
        world = SweepWorld(sns=sns, EVENTS_TOPIC_ARN=topic)
        sessions = world.to_warn(3)
        world.to_expire(2)
        world.sweep()
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"])["Messages"]
        assert len(messages) == 3
        batch = {
            "Records": [
                {"messageId": message["MessageId"], "body": message["Body"], "attributes": message["Attributes"]}
                for message in [*messages, *messages]
            ]
        }
        monkeypatch.setenv("SEEN_TABLE", "seen")
        app._seen.cache_clear()
        # Not capsys: the sweeper's logger, which later tests share, would keep a stream that closes with this test.
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            assert app.handler(batch, None) == {"batchItemFailures": []}
        app._seen.cache_clear()
    lines = [json.loads(line) for line in printed.getvalue().splitlines()]
    assert sorted(line["sessionId"] for line in lines) == [session.session_id for session in sessions]
    assert {line["it"] for line in lines} == {"can be renewed"}
