"""The one door through which time enters. Nothing else in the package reads a clock or sleeps."""

import time
from typing import Protocol


class Clock(Protocol):
    """What the domain asks of a clock; the tests and the local stack give one that can be moved."""

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch, UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1_000_000

    def elapsed_seconds(self) -> float:
        """Return seconds since some moment. They never go back, so that a deadline can be kept."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for `seconds`."""
        time.sleep(seconds)
