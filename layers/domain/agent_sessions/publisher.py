"""Events to SNS, ten at a time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from agent_sessions.aws import translated
from agent_sessions.events import SessionEvent
from agent_sessions.sweep import PublishOutcome

if TYPE_CHECKING:
    from types_boto3_sns import SNSClient

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
        refused = {failure["Id"]: failure["SenderFault"] for failure in answer.get("Failed", [])}
        return [_outcome(refused.get(str(number))) for number in range(len(events))]


def _outcome(sender_fault: bool | None) -> PublishOutcome:  # noqa: FBT001 - SNS's own flag, None where all went well
    if sender_fault is None:
        return PublishOutcome.SENT
    return PublishOutcome.REFUSED if sender_fault else PublishOutcome.BUSY
