"""Events as queues and Lambda functions get them: raw, or in SNS's envelope.

These ways in are protected by IAM: whoever may send to the queue or invoke the function is trusted.
What comes over HTTPS is not; `https` checks it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_sessions_client.events.kinds import Event, MalformedEvent, event_of


@dataclass(frozen=True)
class Delivery:
    """One record of a batch. `event` raises MalformedEvent where the record holds none.

    `record_id` is what SQS wants to hear of a record that failed; None outside SQS.
    """

    record_id: str | None
    body: str = field(repr=False)

    @property
    def event(self) -> Event:
        """The event that the record holds.

        Raises:
            MalformedEvent: it holds none.

        """
        return parse(self.body)


def parse(body: str | bytes | Mapping[str, Any]) -> Event:
    """Return the event in a body: the event itself, or SNS's envelope around it.

    Raises:
        MalformedEvent: the body holds none.

    """
    content = _object(body)
    if content.get("Type") == "Notification" and isinstance(content.get("Message"), str):
        content = _object(content["Message"])
    return event_of(content)


def from_sqs(record: Mapping[str, Any]) -> Event:
    """Return the event in a message of SQS, as Lambda (`body`) or boto3 (`Body`) gives it.

    Raises:
        MalformedEvent: the message holds none.

    """
    body = record.get("body", record.get("Body"))
    if not isinstance(body, str):
        message = "a message of SQS must have a body"
        raise MalformedEvent(message)
    return parse(body)


def from_lambda(event: Mapping[str, Any]) -> Iterator[Delivery]:
    """Yield what a Lambda function was invoked with: records of SQS, or of SNS itself.

    Raises:
        MalformedEvent: the invocation has no records of either kind.

    """
    records = event.get("Records")
    if not isinstance(records, list):
        message = "an invocation must have Records"
        raise MalformedEvent(message)
    for record in records:
        if "Sns" in record:
            yield Delivery(None, record["Sns"]["Message"])
        elif "body" in record:
            yield Delivery(record["messageId"], record["body"])
        else:
            message = f"a record must be of SQS or SNS, not of {record.get('eventSource')}"
            raise MalformedEvent(message)


def _object(body: str | bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(body, Mapping):
        return body
    try:
        content = json.loads(body)
    except ValueError as error:
        message = "an event must be JSON"
        raise MalformedEvent(message) from error
    if not isinstance(content, dict):
        message = "an event must be a JSON object"
        raise MalformedEvent(message)
    return content
