"""The sweeper's Lambda function: hands EventBridge's event to the sweep and returns its summary."""

from typing import Any

from agent_sessions import bootstrap

bootstrap.prepare(bootstrap.expiry_sweeper)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Carry out one scheduled, named or gauge pass."""
    return bootstrap.expiry_sweeper().handle(event)
