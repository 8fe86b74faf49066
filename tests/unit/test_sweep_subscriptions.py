"""From the sweep through SNS to SQS: each subscriber gets what its filter policy lets through, and only that."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest
from moto import mock_aws

from tests.template_reader import Deployment
from tests.unit.sweep_world import SweepWorld
from tests.unit.test_events import check_cloud_event
from tests.unit.world import AGENT

if TYPE_CHECKING:
    from types_boto3_sns import SNSClient
    from types_boto3_sqs import SQSClient

OTHER_AGENT: Final = "11111111-2222-4333-8444-555555555555"
EXPIRING: Final = "agent-sessions.session.expiring"
EXPIRED: Final = "agent-sessions.session.expired"


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


def facts(events: list[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    return sorted(
        (event["type"], event["data"]["tenantId"], event["data"]["agentId"], event["data"]["reason"])
        for event in events
    )


def swept(subscribers: Subscribers) -> SweepWorld:
    """Warnings and expiries of two tenants and two agents, published by the deployed handler."""
    world = SweepWorld(sns=subscribers.sns, EVENTS_TOPIC_ARN=subscribers.topic)
    for tenant in ("acme", "globex"):
        for agent in (AGENT, OTHER_AGENT):
            world.to_warn(2, tenant=tenant, agent=agent)
            world.to_expire(3, tenant=tenant, agent=agent)
    summary = world.sweep()
    assert (summary["warned"], summary["expired"], summary["failed"]) == (8, 12, 0)
    return world


ALL: Final = sorted(
    (kind, tenant, agent, "idle_timeout")
    for kind, count in ((EXPIRING, 2), (EXPIRED, 3))
    for tenant in ("acme", "globex")
    for agent in (AGENT, OTHER_AGENT)
    for _ in range(count)
)


@pytest.mark.parametrize(
    "policy, lets_through",
    [
        ({}, lambda _kind, _tenant, _agent: True),
        ({"type": [EXPIRING]}, lambda kind, _tenant, _agent: kind == EXPIRING),
        ({"type": [EXPIRED]}, lambda kind, _tenant, _agent: kind == EXPIRED),
        ({"type": [{"prefix": "agent-sessions.session."}]}, lambda _kind, _tenant, _agent: True),
        ({"tenantId": ["acme"]}, lambda _kind, tenant, _agent: tenant == "acme"),
        ({"tenantId": ["nobody"]}, lambda _kind, _tenant, _agent: False),
        ({"agentId": [AGENT]}, lambda _kind, _tenant, agent: agent == AGENT),
        ({"agentId": [{"anything-but": [AGENT]}]}, lambda _kind, _tenant, agent: agent != AGENT),
        (
            {"type": [EXPIRING], "tenantId": ["globex"], "agentId": [OTHER_AGENT, "another"]},
            lambda kind, tenant, agent: (kind, tenant, agent) == (EXPIRING, "globex", OTHER_AGENT),
        ),
        ({"reason": ["max_duration"]}, lambda _kind, _tenant, _agent: False),
        ({"reason": ["idle_timeout"]}, lambda _kind, _tenant, _agent: True),
    ],
)
def test_a_queue_gets_what_its_filter_policy_lets_through_and_only_that(
    subscribers: Subscribers, policy: Mapping[str, Any], lets_through: Any
) -> None:
    url = subscribers.subscribe(policy)
    swept(subscribers)
    assert facts(subscribers.received(url)) == [fact for fact in ALL if lets_through(*fact[:3])]


def test_subscribers_with_different_policies_each_get_their_own(subscribers: Subscribers) -> None:
    warnings = subscribers.subscribe({"type": [EXPIRING]})
    of_one_tenant = subscribers.subscribe({"tenantId": ["acme"]})
    of_one_agent = subscribers.subscribe({"agentId": [AGENT]})
    everything = subscribers.subscribe({})
    swept(subscribers)
    assert len(subscribers.received(warnings)) == 8
    assert len(subscribers.received(of_one_tenant)) == 10
    assert len(subscribers.received(of_one_agent)) == 10
    assert facts(subscribers.received(everything)) == ALL


def test_a_session_near_its_cap_reaches_whoever_asked_for_those(subscribers: Subscribers) -> None:
    url = subscribers.subscribe({"reason": ["max_duration"]})
    world = SweepWorld(sns=subscribers.sns, EVENTS_TOPIC_ARN=subscribers.topic)
    idle = world.new(timeoutMinutes=30)
    capped = world.new(timeoutMinutes=30, maxDurationMinutes=30)
    world.clock.advance(minutes=26)
    assert world.sweep()["warned"] == 2
    [event] = subscribers.received(url)
    assert event["subject"] == capped["sessionId"] != idle["sessionId"]
    assert event["data"]["renewable"] is False
