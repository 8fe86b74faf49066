"""The requests that every stack is asked: the sample events of create, get and heartbeat."""

import copy
import json
from typing import Any, Final

from tests.unit.world import BASE, sample

ROUTES: Final = ("create", "get", "heartbeat")


def events() -> dict[str, dict[str, Any]]:
    """API Gateway's events; the session to get and to renew is the one that the create made (`SESSION_ID`)."""
    names = {"create": "create-full", "get": "get", "heartbeat": "heartbeat"}
    found = {route: copy.deepcopy(sample(name)) for route, name in names.items()}
    found["get"]["rawPath"] = f"{BASE}/SESSION_ID"
    found["heartbeat"]["rawPath"] = f"{BASE}/SESSION_ID/heartbeat"
    return found


def of_session(event: dict[str, Any], session_id: str) -> dict[str, Any]:
    """An event of `events()` for a session that exists."""
    changed: dict[str, Any] = json.loads(json.dumps(event).replace("SESSION_ID", session_id))
    return changed
