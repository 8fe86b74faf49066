"""What an open page follows: the clock, sessions, calls and events of a stack, as server-sent events."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from agent_sessions.errors import ServiceUnavailable
from agent_sessions.sessions.leases import WARNED_EARLY_MS
from agent_sessions.sessions.model import MS_PER_MINUTE
from agent_sessions.wire_format import timestamp

from local.stack import LocalStack

_PAUSE_SECONDS: Final = 0.2
_EVENTS_SHOWN: Final = 1_000
_LOOK_SECONDS: Final = 0.5
"""How often at most a page's connection works out which event comes next."""


class PageStream:
    """Sends each page everything from the beginning, and then what is new. Without a page, nothing plays."""

    def __init__(self, stack: LocalStack) -> None:
        """No page is open."""
        self._stack = stack
        self._pages = 0

    async def changes(self) -> AsyncIterator[str]:
        """Yield server-sent events until the stack ends or the page is closed."""
        stack = self._stack
        self._pages += 1
        try:
            yield _sent("hello", self._hello())
            sent_clock: Any = None
            events_sent = calls_sent = version = ticks = 0
            upcoming: Any = None
            has_changed, look_again = True, 0.0
            while not stack.ending.is_set():
                version, sights = await asyncio.to_thread(stack.watch.since, version)
                if sights:
                    yield _sent("sessions", [{"sessionId": s.session_id, "session": s.body} for s in sights])
                if calls := stack.calls.since(calls_sent):
                    calls_sent = calls[-1]["number"]
                    yield _sent("calls", calls)
                events = stack.inbox.events(events_sent)
                events_sent += len(events)
                if events:
                    yield _sent("events", {"total": events_sent, "latest": events[-_EVENTS_SHOWN:]})
                # A changed session or a move may change what comes next. A quiet stack is asked now and then.
                has_changed = has_changed or bool(sights or events) or ticks % 25 == 0
                if has_changed and time.monotonic() >= look_again:
                    has_changed, look_again = False, time.monotonic() + _LOOK_SECONDS
                    upcoming = await asyncio.to_thread(self.upcoming)
                clock = self.clock()
                offset_ms = stack.clock.offset_ms
                # A page lets the clock run by itself: it is sent when it was moved, and now and then to agree with it.
                state = (
                    clock["moving"] and clock["now"],
                    round(offset_ms, -2),
                    clock["speed"],
                    upcoming,
                    stack.watch.left_out,
                )
                if state != sent_clock or ticks % 25 == 0:
                    sent_clock = state
                    yield _sent("clock", clock | {"leftOut": stack.watch.left_out, "next": upcoming})
                ticks += 1
                await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            self._pages -= 1
            if self._pages == 0:
                stack.player.play(1)

    def clock(self) -> dict[str, Any]:
        """The clock, as a page shows it."""
        progress = self._stack.scheduler.progress
        moving = progress and {
            "from": timestamp(progress.start_ms),
            "to": None if progress.target_ms is None else timestamp(progress.target_ms),
        }
        return {
            "now": timestamp(self._stack.clock.now_ms()),
            "aheadMinutes": round(self._stack.clock.offset_ms / MS_PER_MINUTE, 3),
            "moving": None if self._is_playing() else moving,
            "speed": self._stack.player.speed,
        }

    def upcoming(self) -> dict[str, Any] | None:
        """The event that comes next, as a page shows it."""
        try:
            found = self._stack.upcoming()
        except ServiceUnavailable:
            return None
        return found and {"at": timestamp(found.at_ms), "type": found.kind, "sessionId": found.session_id}

    def _hello(self) -> dict[str, Any]:
        settings = self._stack.settings
        return {
            "stackId": self._stack.stack_id,
            "auth": self._stack.options.auth,
            "agent": self._stack.options.agent,
            "filterPolicy": self._stack.inbox.filter_policy,
            "warnedEarlyMinutes": WARNED_EARLY_MS // MS_PER_MINUTE,
            "defaults": {
                "timeoutMinutes": settings.session_default_timeout_minutes,
                "warningThresholdMinutes": settings.session_warning_threshold_minutes,
                "maxDurationMinutes": settings.session_max_duration_minutes,
            },
        }

    def _is_playing(self) -> bool:
        return self._stack.player.speed != 1


def _sent(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
