"""The requests that every stack is asked: the sample events of create, get, heartbeat and a user's message."""

import copy
import json
from typing import Any, Final

from tests.unit.world import BASE, sample

ROUTES: Final = ("create", "get", "heartbeat")
APPEND: Final = "append"
"""Of a message: in a function of its own here, and not among what every stack can do."""
_PATHS: Final = {"get": "", "heartbeat": "/heartbeat", APPEND: "/messages"}


def events() -> dict[str, dict[str, Any]]:
    """API Gateway's events; what is not the create is about the session that the create made (`SESSION_ID`)."""
    names = {"create": "create-full", "get": "get", "heartbeat": "heartbeat", APPEND: "message-post"}
    found = {route: copy.deepcopy(sample(name)) for route, name in names.items()}
    for route, path in _PATHS.items():
        found[route]["rawPath"] = found[route]["requestContext"]["http"]["path"] = f"{BASE}/SESSION_ID{path}"
    return found


def of_session(event: dict[str, Any], session_id: str) -> dict[str, Any]:
    """An event of `events()` for a session that exists."""
    changed: dict[str, Any] = json.loads(json.dumps(event).replace("SESSION_ID", session_id))
    return changed
