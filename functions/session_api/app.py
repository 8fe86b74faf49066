"""The HTTP API's Lambda function: hands API Gateway's event (payload version 2.0) to the API and returns its answer."""

from typing import Any

from agent_sessions.bootstrap import request_path, wiring

wiring.prepare(request_path.session_api)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer one HTTP request."""
    return request_path.session_api().handle(event)
