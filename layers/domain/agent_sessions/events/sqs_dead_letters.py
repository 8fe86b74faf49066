"""Dead letters in an SQS queue, as JSON."""

import json
from typing import TYPE_CHECKING

from agent_sessions.aws_clients.failures import translated
from agent_sessions.events.delivery import DeadLetter

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


class SqsDeadLetters:
    """`DeadLetters` on one SQS queue. Raises `ServiceUnavailable` where SQS does not answer."""

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        """Use `client` on the queue."""
        self._client = client
        self._queue_url = queue_url

    def keep(self, letter: DeadLetter) -> None:
        """Send a letter, in ASCII: SQS takes any of that."""
        body = json.dumps(
            {
                "key": letter.key,
                "sequenceNumber": letter.sequence_number,
                "eventId": letter.event_id,
                "reason": letter.reason,
            }
        )
        with translated():
            self._client.send_message(QueueUrl=self._queue_url, MessageBody=body)
