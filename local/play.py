"""Lets the stack's clock run faster than real time, by moving it a little several times a second."""

import threading
import time
from collections.abc import Callable
from typing import Final

FASTEST: Final = 3_600
_STEP_SECONDS: Final = 0.25
_LONGEST_STEP_SECONDS: Final = 1.0
"""A stack that cannot keep up plays more slowly; it does not fall further and further behind."""


class Player:
    """Moves the clock as if a second lasted `speed` seconds. At speed 1 it does nothing."""

    def __init__(self, advance: Callable[[int], object], monotonic: Callable[[], float] = time.monotonic) -> None:
        """`advance` moves the clock by milliseconds; an exception of it ends the play."""
        self.speed = 1.0
        self._advance = advance
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def play(self, speed: float) -> None:
        """Play at this speed from now on; 1 is real time."""
        with self._changed:
            self.speed = speed
            if speed == 1 or self._thread is not None:
                self._changed.notify_all()
                return
            self._thread = threading.Thread(target=self._run, name="player", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Play no more, and wait for the step that is under way."""
        thread = self._thread
        self.play(1)
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        last = self._monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self.speed == 1, _STEP_SECONDS)
                speed = self.speed
                if speed == 1:
                    self._thread = None
                    return
            now = self._monotonic()
            passed = min(now - last, _LONGEST_STEP_SECONDS)
            last = now
            try:
                self._advance(round(passed * 1000 * (speed - 1)))
            except Exception:
                with self._changed:
                    self.speed, self._thread = 1.0, None
                raise
