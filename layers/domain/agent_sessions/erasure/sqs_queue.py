"""The eraser's orders in an SQS queue, as JSON."""

import json
from typing import TYPE_CHECKING

from agent_sessions.aws_clients.failures import translated
from agent_sessions.erasure.ports import UserOrder
from agent_sessions.erasure.service import LifeOrder

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

LIFE: str = "life"
"""The `kind` of an order to remove one life of a session."""
USER: str = "user"
"""The `kind` of an order to go on with the erasure of a user. The user's id is in the erasure's record alone."""


class UnreadableOrder(Exception):
    """A message of the queue is no order of this service."""


class SqsEraserQueue:
    """`EraserQueue` on one SQS queue. Raises `ServiceUnavailable` where SQS does not answer."""

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        """Use `client` on the queue."""
        self._client = client
        self._queue_url = queue_url

    def send(self, order: LifeOrder | UserOrder, delay_seconds: int) -> None:
        """Keep an order; the eraser gets it after `delay_seconds`, up to 900."""
        if isinstance(order, UserOrder):
            body = json.dumps({"kind": USER, "erasureId": order.erasure_id})
        else:
            body = json.dumps({"kind": LIFE, "sessionId": order.session_id, "life": order.life})
        with translated():
            self._client.send_message(QueueUrl=self._queue_url, MessageBody=body, DelaySeconds=delay_seconds)


def order_from_body(body: str) -> LifeOrder | UserOrder:
    """Read an order.

    Raises:
        UnreadableOrder: it is not JSON, or of a kind that is not known.

    """
    try:
        order = json.loads(body)
        if order["kind"] == USER:
            return UserOrder(str(order["erasureId"]))
        if order["kind"] != LIFE:
            raise UnreadableOrder(f"the kind must be {LIFE} or {USER}, not {order['kind']!r}")
        return LifeOrder(str(order["sessionId"]), str(order["life"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableOrder(f"an order must be JSON with a kind and what it asks for: {error!r}") from None
