"""The local stack's clock: real time plus an offset, and never backwards. Any number of threads may use it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LATEST_MS = 253_402_214_400_000
"""31 December 9999, 00:00 UTC: the clock goes no further, as later moments cannot be written down."""


class ClockError(Exception):
    """The clock cannot do what was asked of it; the message says why."""


def _real_time_ms() -> int:
    return time.time_ns() // 1_000_000


class MovableClock:
    """Goes on like the real one, can be moved forward, and can be held while something is done at one moment."""

    def __init__(
        self,
        real_time_ms: Callable[[], int] = _real_time_ms,
        real_sleep: Callable[[float], None] = time.sleep,
        *,
        offset_ms: int = 0,
    ) -> None:
        """Start at real time plus `offset_ms`."""
        self._real_time_ms = real_time_ms
        self._real_sleep = real_sleep
        self._lock = threading.RLock()
        self._offset_ms = offset_ms
        self._latest_ms = real_time_ms() + offset_ms
        self._held = False

    @property
    def offset_ms(self) -> int:
        """How far ahead of real time the clock is."""
        with self._lock:
            return self.now_ms() - self._real_time_ms()

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC; never less than what was answered before."""
        with self._lock:
            if not self._held:
                self._latest_ms = max(self._latest_ms, self._real_time_ms() + self._offset_ms)
            return self._latest_ms

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass: in truth, or at once while the clock is held."""
        with self._lock:
            if self._held:
                self._latest_ms += round(seconds * 1000)
                return
        self._real_sleep(seconds)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Stop the clock for the time of the block; it goes on from where it stands then."""
        with self._lock:
            self.now_ms()
            self._held = True
        try:
            yield
        finally:
            with self._lock:
                self._held = False
                self._offset_ms = self._latest_ms - self._real_time_ms()

    def move_to(self, moment_ms: int) -> None:
        """Put the held clock forward to `moment_ms`; to a moment that has passed it does nothing."""
        with self._lock:
            if not self._held:
                message = "the clock is moved only while it is held"
                raise ClockError(message)
            self._latest_ms = max(self._latest_ms, min(moment_ms, LATEST_MS))
