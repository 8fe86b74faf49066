"""The authorizer's Lambda function: hands API Gateway's question (payload version 2.0) on and returns the answer."""

from typing import Any

from agent_sessions.bootstrap import callers, wiring

wiring.prepare(callers.api_key_authorizer)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Tell the gateway whether a caller may come in, and for which tenant."""
    return callers.api_key_authorizer().handle(event)
