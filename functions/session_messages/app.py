"""The messages' Lambda function: hands API Gateway's event (payload version 2.0) to the API and returns its answer."""

from typing import Any

from agent_sessions import bootstrap

bootstrap.prepare(bootstrap.session_messages)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer one HTTP request about messages, which may wait for a reply."""
    return bootstrap.session_messages().handle(event)
