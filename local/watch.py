"""What the page shows of sessions: the latest ones, read again whenever something may have changed them.

Costs the store one batch read for what changed, and nothing while no page is open.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from agent_sessions.api.responses import session_json
from agent_sessions.clock import Clock
from agent_sessions.errors import ServiceUnavailable
from agent_sessions.sessions.model import Session

SHOWN: Final = 500
_PAUSE_SECONDS: Final = 0.2
_SHARE: Final = 5
"""A refresh waits this many times as long as the last one took, so that a busy stack is not busy with its page."""


@dataclass(frozen=True)
class Sight:
    """One session as the page gets it, None where it is gone; a page has not seen what has a later `version`."""

    version: int
    session_id: str
    body: dict[str, Any] | None


class SessionWatch:
    """Keeps the latest sessions for pages that ask what is new since they last asked."""

    def __init__(self, read: Callable[[list[str]], dict[str, Session]], clock: Clock, shown: int = SHOWN) -> None:
        """`read` gives sessions by id."""
        self._read = read
        self._clock = clock
        self._shown = shown
        self._lock = threading.Lock()
        self._touched: dict[str, None] = {}
        self._seen: dict[str, Sight] = {}
        self._version = 0
        self._not_before = 0.0
        self.left_out = 0

    def touch(self, session_ids: Iterable[str]) -> None:
        """Note that these sessions may have changed, or are new."""
        with self._lock:
            self._touched |= dict.fromkeys(session_ids)

    def touch_all(self) -> None:
        """Note that any of the sessions that are known may have changed."""
        with self._lock:
            self._touched |= dict.fromkeys(self._seen)

    def since(self, version: int) -> tuple[int, list[Sight]]:
        """What changed since `version`, and the version that is. Version 0 has seen nothing."""
        with self._lock:
            if self._touched and time.monotonic() >= self._not_before:
                self._refresh()
            new = [sight for sight in self._seen.values() if sight.version > version]
            return self._version, sorted(new, key=lambda sight: sight.version)

    def _refresh(self) -> None:
        # The latest are what will be shown; of a flood of new sessions the rest need not be read.
        touched = list(self._touched)
        known = [session_id for session_id in touched if session_id in self._seen]
        new = [session_id for session_id in touched if session_id not in self._seen]
        self.left_out += max(0, len(new) - self._shown)
        wanted = known + new[-self._shown :]
        started = time.monotonic()
        try:
            found = self._read(wanted)
        except ServiceUnavailable:
            return
        self._not_before = time.monotonic() + max(_PAUSE_SECONDS, _SHARE * (time.monotonic() - started))
        self._touched.clear()
        for session_id in wanted:
            session = found.get(session_id)
            if session is None and session_id not in self._seen:
                continue
            self._see(session_id, None if session is None else self._body(session))
        self._forget_surplus()

    def _see(self, session_id: str, body: dict[str, Any] | None) -> None:
        self._version += 1
        self._seen[session_id] = Sight(self._version, session_id, body)

    def _forget_surplus(self) -> None:
        """Forget the oldest beyond what is shown: first those that are gone, then the ended, then the living."""
        there = [sight for sight in self._seen.values() if sight.body is not None]
        surplus = len(there) - self._shown
        if surplus > 0:
            for sight in sorted(there, key=lambda sight: not _has_ended(sight))[:surplus]:
                self.left_out += not _has_ended(sight)
                self._see(sight.session_id, None)
        gone = [session_id for session_id, sight in self._seen.items() if sight.body is None]
        for session_id in gone[: -10 * self._shown]:
            del self._seen[session_id]

    def _body(self, session: Session) -> dict[str, Any]:
        # Metadata goes as the text it is stored as: the page shows it, and a browser's numbers would change it.
        body: dict[str, Any] = json.loads(session_json(session, self._clock.now_ms()))
        del body["metadata"]
        return body | {
            "tenantId": session.tenant_id,
            "metadataText": session.metadata_json,
            "lease": session.lease,
            "warned": session.warned,
            "announced": session.announced,
            "reason": session.reason,
        }


def _has_ended(sight: Sight) -> bool:
    return sight.body is not None and bool(sight.body["announced"])
