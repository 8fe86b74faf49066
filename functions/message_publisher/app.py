"""The publisher's Lambda function: hands a batch of the messages table's stream on and returns where to go on from."""

from typing import Any

from agent_sessions.bootstrap import background, wiring

wiring.prepare(background.message_publisher)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Publish an event for each message of a batch."""
    return background.message_publisher().handle(event)
