"""Virtual time in which calls overlap. One thread works at a time, and the clock says which: a seed fixes everything.

An event happens at a moment and takes no time. A task may sleep, and while it does the events and tasks whose time has
come go on. Every sleeping task is a thread that waits for its turn; nothing here waits for the machine's clock.
"""

import heapq
import threading
from collections.abc import Callable
from typing import Final

Pace = Callable[[str], int]
"""How many milliseconds a call of this name takes."""


class _Task:
    """Work that may sleep, and the lock that it sleeps on."""

    def __init__(self, pace: Pace | None) -> None:
        self.pace = pace
        self.turn = threading.Lock()
        self.turn.acquire()


class Timeline:
    """A clock that moves as far as the next thing which happens. Whoever asks it for the time is part of its world."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._sequence = 0
        self._queue: list[tuple[int, int, _Task | Callable[[], None]]] = []
        self._driver: Final = _Task(None)
        self._working = self._driver
        self._in_event = False
        self._failures: list[BaseException] = []
        self.handovers = 0

    def now_ms(self) -> int:
        return self._now_ms

    def sleep(self, seconds: float) -> None:
        """Let time pass for whoever works now."""
        self.pause(round(seconds * 1000))

    def pause(self, milliseconds: int) -> None:
        """Let so many milliseconds pass. An event is over at once and cannot wait."""
        if milliseconds <= 0:
            return
        assert not self._in_event, "only a task can sleep"
        me = self._working
        self._put(self._now_ms + milliseconds, me)
        if self._next_task(me):
            return
        me.turn.acquire()
        self._working = me

    def at(self, when_ms: int, event: Callable[[], None]) -> None:
        """Have `event` happen at that moment, or now if it has passed."""
        self._put(max(when_ms, self._now_ms), event)

    def start(self, when_ms: int, work: Callable[[], None], pace: Pace | None = None) -> None:
        """Have `work` begin at that moment, as a task of its own; `pace` is how long its calls take."""
        self.at(when_ms, lambda: self._launch(work, pace))

    def call_takes_ms(self, call: str) -> int:
        """How long a call takes that is made now: nothing in an event, and nothing for a task without a pace."""
        pace = None if self._in_event else self._working.pace
        return 0 if pace is None else pace(call)

    def run_until(self, when_ms: int) -> None:
        """Live through everything up to that moment.

        Raises:
            BaseException: the first that an event or a task raised.

        """
        if when_ms > self._now_ms:
            self.pause(when_ms - self._now_ms)
        if self._failures:
            raise self._failures[0]

    def _put(self, when_ms: int, what: _Task | Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._queue, (when_ms, self._sequence, what))

    def _next_task(self, me: _Task | None) -> bool:
        """Let everything happen up to the next task's turn; tell whether it is `me`, else hand over."""
        while True:
            when_ms, _, what = heapq.heappop(self._queue)
            self._now_ms = max(self._now_ms, when_ms)
            if what is me:
                return True
            if isinstance(what, _Task):
                self.handovers += 1
                what.turn.release()
                return False
            self._in_event = True
            try:
                what()
            except BaseException as failure:  # noqa: BLE001 - it must not surface in whichever task sleeps just now
                self._failures.append(failure)
            finally:
                self._in_event = False

    def _launch(self, work: Callable[[], None], pace: Pace | None) -> None:
        task = _Task(pace)
        threading.Thread(target=self._live, args=(task, work), daemon=True).start()
        self._put(self._now_ms, task)

    def _live(self, task: _Task, work: Callable[[], None]) -> None:
        task.turn.acquire()
        self._working = task
        try:
            work()
        except BaseException as failure:  # noqa: BLE001 - told by `run_until`
            self._failures.append(failure)
        self._next_task(None)
