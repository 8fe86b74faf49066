"""Events to SNS, ten at a time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from agent_sessions.aws_clients.failures import error_code, is_busy, translated
from agent_sessions.events.cloud_events import BatchRefused, Event, PublishOutcome

if TYPE_CHECKING:
    from types_boto3_sns import SNSClient
    from types_boto3_sns.type_defs import BatchResultErrorEntryTypeDef

PUBLISH_LIMIT: Final = 10
"""Messages of one PublishBatch (AWS's limit)."""
_REFUSED: Final = frozenset(
    {"BatchRequestTooLong", "InvalidBatchEntryId", "InvalidParameter", "ParameterValueInvalid", "ValidationException"}
)
"""SNS's codes for a call whose messages it will not take, however often they are sent."""


class SnsPublisher:
    """`EventPublisher` on one SNS topic.

    Raises `ServiceUnavailable` where SNS does not answer, `BatchRefused` where it refuses several events as a whole,
    and botocore's `ClientError` for what is wrong with the topic rather than with an event.
    """

    def __init__(self, client: "SNSClient", topic_arn: str) -> None:
        """Use `client` on the topic."""
        self._client = client
        self._topic_arn = topic_arn

    def publish(self, events: Sequence[Event]) -> list[PublishOutcome]:
        """Publish up to ten events of 256 KB together; each has an outcome of its own, in the order given."""
        entries: list[Any] = [
            {
                "Id": str(number),
                "Message": event.body,
                "MessageAttributes": {
                    name: {"DataType": "String", "StringValue": value}
                    for name, value in event.attributes.items()
                    if value  # SNS takes no empty attribute
                },
            }
            for number, event in enumerate(events)
        ]
        try:
            with translated():
                answer = self._client.publish_batch(TopicArn=self._topic_arn, PublishBatchRequestEntries=entries)
        except ClientError as error:
            if error_code(error) not in _REFUSED:
                raise
            if len(events) > 1:
                raise BatchRefused from error
            return [PublishOutcome.REFUSED]
        failures = {failure["Id"]: failure for failure in answer.get("Failed", [])}
        return [_outcome(failures.get(str(number))) for number in range(len(events))]


def _outcome(failure: "BatchResultErrorEntryTypeDef | None") -> PublishOutcome:
    """Judge one entry. SNS marks throttling as SenderFault; it is retried anyway."""
    if failure is None:
        return PublishOutcome.SENT
    passes = is_busy(failure["Code"]) or not failure["SenderFault"]
    return PublishOutcome.BUSY if passes else PublishOutcome.REFUSED
