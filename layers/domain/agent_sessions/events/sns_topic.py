"""Events to SNS, ten at a time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from agent_sessions.aws_clients.failures import is_busy, translated
from agent_sessions.events.cloud_events import PublishOutcome, SessionEvent

if TYPE_CHECKING:
    from types_boto3_sns import SNSClient
    from types_boto3_sns.type_defs import BatchResultErrorEntryTypeDef

PUBLISH_LIMIT: Final = 10
"""Messages of one PublishBatch (AWS's limit); ten of ours have about 10 KB of the 256 KB allowed."""


class SnsPublisher:
    """`EventPublisher` on one SNS topic. Raises `ServiceUnavailable` where SNS does not answer."""

    def __init__(self, client: "SNSClient", topic_arn: str) -> None:
        """Use `client` on the topic."""
        self._client = client
        self._topic_arn = topic_arn

    def publish(self, events: Sequence[SessionEvent]) -> list[PublishOutcome]:
        """Publish up to ten events; each has an outcome of its own, in the order given."""
        entries: list[Any] = [
            {
                "Id": str(number),
                "Message": event.body,
                "MessageAttributes": {
                    name: {"DataType": "String", "StringValue": value} for name, value in event.attributes.items()
                },
            }
            for number, event in enumerate(events)
        ]
        with translated():
            answer = self._client.publish_batch(TopicArn=self._topic_arn, PublishBatchRequestEntries=entries)
        failures = {failure["Id"]: failure for failure in answer.get("Failed", [])}
        return [_outcome(failures.get(str(number))) for number in range(len(events))]


def _outcome(failure: "BatchResultErrorEntryTypeDef | None") -> PublishOutcome:
    """Judge one entry. SNS calls throttling the sender's fault; it passes all the same."""
    if failure is None:
        return PublishOutcome.SENT
    passes = is_busy(failure["Code"]) or not failure["SenderFault"]
    return PublishOutcome.BUSY if passes else PublishOutcome.REFUSED
