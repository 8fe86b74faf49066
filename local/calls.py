"""The calls that changed something: the page shows them beside the events that follow from them."""

import json
import threading
from collections import deque
from typing import Any, Final

from agent_sessions.wire_format import timestamp

from local.gateway import HttpAnswer

_KEPT: Final = 1_000


class CallLog:
    """The latest calls, numbered from 1 in the order in which they were answered. Any number of threads may use it."""

    def __init__(self) -> None:
        """No call yet."""
        self._lock = threading.Lock()
        self._total = 0
        self._calls: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    def add(self, at_ms: int, method: str, route: str, session_id: str | None, answer: HttpAnswer) -> None:
        """Note a call that came at `at_ms`; `route` is its path behind the session's id."""
        body = _object(answer.body)
        call = {
            "time": timestamp(at_ms),
            "method": method,
            "route": route,
            "sessionId": session_id,
            "status": answer.status,
            "code": _member(body, "error").get("code"),
            "expiresAt": body.get("expiresAt") or _member(body, "sessionStatus").get("expiresAt"),
            "role": _member(body, "message").get("role"),
        }
        with self._lock:
            self._total += 1
            self._calls.append(call | {"number": self._total})

    def since(self, number: int) -> list[dict[str, Any]]:
        """Return the calls after this number, as far as they are kept."""
        with self._lock:
            return [call for call in self._calls if call["number"] > number]


def _object(body: bytes) -> dict[str, Any]:
    try:
        read = json.loads(body)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _member(body: dict[str, Any], name: str) -> dict[str, Any]:
    found = body.get(name)
    return found if isinstance(found, dict) else {}
