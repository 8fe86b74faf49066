"""The sweeper's Lambda function: hands EventBridge's event to the sweep and returns its summary."""

from typing import Any

from agent_sessions.bootstrap import background, wiring

wiring.prepare(background.expiry_sweeper)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Carry out one scheduled, named or gauge pass."""
    return background.expiry_sweeper().handle(event)
