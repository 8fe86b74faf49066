"""Timestamps as the service writes them, and the clock that a client goes by."""

import time
from datetime import datetime, timezone
from typing import Protocol


def parse_time(text: str) -> datetime:
    """Return the moment that an ISO 8601 text names, aware and in UTC: `2026-11-26T09:30:00.000Z`.

    Raises:
        ValueError: the text names none.

    """
    moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    if moment.tzinfo is None:
        message = f"a timestamp must have a zone: {text}"
        raise ValueError(message)
    return moment.astimezone(timezone.utc)


class Clock(Protocol):
    """What a client needs of time. Tests put their own in its place."""

    def wall(self) -> float:
        """Return seconds since the Unix epoch."""

    def monotonic(self) -> float:
        """Return seconds since some moment; they never go backwards."""

    def sleep(self, seconds: float) -> None:
        """Let time pass."""

    async def sleep_async(self, seconds: float) -> None:
        """Let time pass, and other tasks run."""


class SystemClock:
    """The machine's own clock."""

    def wall(self) -> float:
        """Return seconds since the Unix epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds since some moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)

    async def sleep_async(self, seconds: float) -> None:
        """Sleep in the event loop."""
        import asyncio  # noqa: PLC0415 - it takes 40 ms to import, and callers of the sync client do without

        await asyncio.sleep(seconds)


class ServerTime:
    """The service's clock as seen from here. Each answer that names the server's time measures the difference."""

    def __init__(self, clock: Clock) -> None:
        """Before the first answer the two clocks count as equal."""
        self._clock = clock
        self.offset_seconds = 0.0

    def observe(self, server: datetime, began: float, ended: float) -> None:
        """Learn from an answer: the server's time lies half-way between `began` and `ended` of the wall clock."""
        self.offset_seconds = server.timestamp() - (began + ended) / 2

    def now(self) -> float:
        """Return the server's time in seconds since the Unix epoch."""
        return self._clock.wall() + self.offset_seconds
