"""docs/events.md shows events as they are, filter policies that filter, and the example's own template."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest
from agent_sessions.events.stream import message_events
from agent_sessions.sessions.leases import renew_after_ms
from moto import mock_aws

from examples.consumer import app
from tests.template_reader import Deployment
from tests.unit.sweep_world import SweepWorld
from tests.unit.test_events import SESSION, check_cloud_event
from tests.unit.world import AGENT, MINUTE, sample

if TYPE_CHECKING:
    from types_boto3_sns import SNSClient
    from types_boto3_sqs import SQSClient

PAGE: Final = (Path(__file__).resolve().parents[2] / "docs" / "events.md").read_text("utf-8")
POLICIES: Final = [json.loads(policy) for policy in re.findall(r"^\| `(\{.*\})` \|", PAGE, re.MULTILINE)]
EVERYTHING, WARNINGS, SAVEABLE, TENANTS, WITHOUT_AN_AGENT = range(5)


class Subscribers:
    """A topic with queues behind it, and what arrived in each."""

    def __init__(self, sns: "SNSClient", sqs: "SQSClient") -> None:
        self.sns = sns
        self._sqs = sqs
        self.topic = sns.create_topic(Name="session-events")["TopicArn"]

    def subscribe(self, policy: Mapping[str, Any]) -> str:
        """A queue subscribed as the template subscribes EventsQueueArn, with this filter policy; its address."""
        url = self._sqs.create_queue(QueueName=f"queue-{len(self._sqs.list_queues().get('QueueUrls', []))}")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        deployment = Deployment(EventsQueueArn=arn, EventsFilterPolicy=json.dumps(policy))
        [subscription] = deployment.of_type("AWS::SNS::Subscription").values()
        assert (subscription["Protocol"], subscription["Endpoint"]) == ("sqs", arn)
        self.sns.subscribe(
            TopicArn=self.topic,
            Protocol="sqs",
            Endpoint=arn,
            Attributes={
                "FilterPolicy": subscription["FilterPolicy"],
                "RawMessageDelivery": str(subscription["RawMessageDelivery"]).lower(),
            },
        )
        return url

    def received(self, url: str) -> list[dict[str, Any]]:
        """The events in a queue: each body is the bare CloudEvent."""
        events = []
        while messages := self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            events += [check_cloud_event(message["Body"]) for message in messages]
        return events


@pytest.fixture
def subscribers() -> Iterator[Subscribers]:
    with mock_aws():
        yield Subscribers(boto3.client("sns"), boto3.client("sqs"))


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_event_on_the_page_is_one() -> None:
    block, _ = blocks("json")
    event = check_cloud_event(block)
    session_id, created, lease, kind = event["id"].split(":")
    assert (session_id, created, int(lease), kind) == (
        event["subject"],
        str(SESSION.created_at_ms),
        event["data"]["lease"],
        "expiring",
    )
    assert app.session_of(event) == f"{event['source']}#{session_id}:{created}"


def test_the_event_of_a_message_on_the_page_is_the_one_of_the_sample() -> None:
    _, block = blocks("json")
    [record, *_] = sample("stream-messages")["Records"]
    event = message_events("/agent-sessions/eu-central-1/agent-sessions-prod", with_content=False)(record)
    assert event is not None
    assert json.loads(block) == json.loads(event.body)


def test_the_filter_policies_on_the_page_let_through_what_it_says(subscribers: Subscribers) -> None:
    urls = [subscribers.subscribe(policy) for policy in POLICIES]
    world = SweepWorld(sns=subscribers.sns, EVENTS_TOPIC_ARN=subscribers.topic)
    for tenant in ("acme", "globex", "initech"):
        for agent in (AGENT, "11111111-2222-4333-8444-555555555555"):
            world.to_warn(1, tenant=tenant, agent=agent)
            world.to_expire(1, tenant=tenant, agent=agent)
    world.new(timeoutMinutes=6, maxDurationMinutes=6)
    world.clock.advance(1 * MINUTE)
    world.sweep()
    got = [subscribers.received(url) for url in urls]
    assert len(got[EVERYTHING]) == 13
    assert {event["type"] for event in got[WARNINGS]} == {app.EXPIRING}
    assert len(got[WARNINGS]) == 7
    assert len(got[SAVEABLE]) == 6
    assert all(event["data"]["renewable"] for event in got[SAVEABLE])
    assert {event["data"]["tenantId"] for event in got[TENANTS]} == {"acme", "globex"}
    assert len(got[WITHOUT_AN_AGENT]) == 2
    assert AGENT not in {event["data"]["agentId"] for event in got[WITHOUT_AN_AGENT]}


@pytest.mark.parametrize(
    "timeout, threshold, room", re.findall(r"^\| (\d+), ([\d.]+)[^|]* \| (\w+)", PAGE, re.MULTILINE)
)
def test_the_room_between_a_renewal_and_its_warning_is_what_the_page_says(
    timeout: str, threshold: str, room: str
) -> None:
    config = SESSION.timeout._replace(timeout_minutes=int(timeout), warning_threshold_minutes=float(threshold))
    session = SESSION._replace(timeout=config, renewed_at_ms=0, expires_at_ms=config.timeout_ms, ends_at_ms=2**40)
    half_way = renew_after_ms(session)
    assert half_way is not None
    assert 2 * half_way / MINUTE == (0 if room == "none" else int(room))
