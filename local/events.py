"""Subscribers of the topic, each behind an SQS queue; and the one that keeps every event that came so far."""

import json
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from types_boto3_sns import SNSClient
    from types_boto3_sqs import SQSClient

_BATCH = 10

Event = dict[str, Any]


class FilterPolicyError(Exception):
    """SNS does not take this filter policy; the message says why."""


class QueueSubscription:
    """A queue that is subscribed to the topic. What arrives there is handed on at once, in the order of arrival."""

    def __init__(
        self,
        sns: "SNSClient",
        sqs: "SQSClient",
        topic_arn: str,
        name: str,
        take: Callable[[str], None],
        *,
        raw: bool = True,
    ) -> None:
        """Hand each message's body to `take`: the event itself where `raw`, else SNS's envelope around it."""
        self._take = take
        self._sns = sns
        self._sqs = sqs
        self._queue_url = sqs.create_queue(QueueName=f"local-{name}")["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=["QueueArn"])["Attributes"]
        self.arn = sns.subscribe(
            TopicArn=topic_arn,
            Protocol="sqs",
            Endpoint=attributes["QueueArn"],
            Attributes={"RawMessageDelivery": str(raw).lower()},
            ReturnSubscriptionArn=True,
        )["SubscriptionArn"]
        # moto's queue takes longer the more lies in it, so nothing is left to lie.
        sns.meta.events.register("after-call.sns.PublishBatch", self._delivered)
        self._lock = threading.Lock()

    def collect(self) -> None:
        """Take what lies in the queue."""
        with self._lock:
            more = True
            while more:
                messages = self._sqs.receive_message(
                    QueueUrl=self._queue_url, MaxNumberOfMessages=_BATCH, WaitTimeSeconds=0
                ).get("Messages", [])
                more = len(messages) == _BATCH
                if messages:
                    self._sqs.delete_message_batch(
                        QueueUrl=self._queue_url,
                        Entries=[
                            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                            for number, message in enumerate(messages)
                        ],
                    )
                for message in messages:
                    self._take(message["Body"])

    def filter(self, policy: Mapping[str, Any] | None) -> None:
        """Let only events through that match an SNS filter policy on the message's attributes.

        Raises:
            FilterPolicyError: SNS refuses the policy.

        """
        try:
            self._sns.set_subscription_attributes(
                SubscriptionArn=self.arn, AttributeName="FilterPolicy", AttributeValue=json.dumps(policy or {})
            )
        except ClientError as error:
            raise FilterPolicyError(error.response["Error"]["Message"]) from error

    def _delivered(self, **_: object) -> None:
        self.collect()


class EventInbox:
    """The events that SNS delivered to the queue, in the order of their arrival."""

    def __init__(
        self, sns: "SNSClient", sqs: "SQSClient", topic_arn: str, on_event: Callable[[Event], None] = lambda _: None
    ) -> None:
        """Subscribe a new queue to the topic; what `sns` publishes there is taken out at once."""
        self._on_event = on_event
        self._events: list[Event] = []
        self._filter_policy: Event | None = None
        self._subscription = QueueSubscription(sns, sqs, topic_arn, "subscriber", self._take)

    def __len__(self) -> int:
        """How many events have come."""
        return len(self._events)

    @property
    def filter_policy(self) -> Event | None:
        """What the subscription lets through; None is everything."""
        return self._filter_policy

    def events(self, start: int = 0) -> list[Event]:
        """The events so far, oldest first, from number `start`."""
        return self._events[start:]

    def collect(self) -> None:
        """Take what lies in the queue."""
        self._subscription.collect()

    def filter(self, policy: Mapping[str, Any] | None) -> None:
        """Let only events through that match an SNS filter policy on the message's attributes.

        Raises:
            FilterPolicyError: SNS refuses the policy.

        """
        self._subscription.filter(policy)
        self._filter_policy = dict(policy) if policy else None

    def _take(self, body: str) -> None:
        event: Event = json.loads(body)
        self._events.append(event)
        self._on_event(event)
