"""The eraser's Lambda function: hands SQS's event to the erasure and returns the messages to deliver again."""

from typing import Any

from agent_sessions.bootstrap import background, wiring

wiring.prepare(background.eraser)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Carry out a batch of orders."""
    return background.eraser().handle(event)
