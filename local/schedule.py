"""EventBridge's part: runs the sweeper at every minute of the local clock, by itself and when the clock is moved.

Moving the clock gives the same events, with the same times, as a run at every minute would: the clock stands still
during each run, and a minute is left out only when the store has nothing that its run would look at.
"""

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from agent_sessions.sessions.model import MS_PER_MINUTE
from agent_sessions.sweep.decision import EXPIRY_GRACE_MS
from agent_sessions.wire_format import timestamp

from local.aws import ACCOUNT, REGION
from local.clock import MovableClock
from local.upcoming import minute_from
from template_reader import Schedule

_IDLE_SECONDS: Final = 0.5
"""How often the ticker looks at the clock, which may have been moved meanwhile."""
LONGEST_MOVE_MS: Final = 366 * 24 * 60 * MS_PER_MINUTE

Sweeper = Callable[[dict[str, Any]], Any]


class MoveStoppedError(Exception):
    """The local stack ends while the clock is being moved."""


class Turnstile:
    """Lets any number of callers pass at a time, or one alone."""

    def __init__(self) -> None:
        """Open."""
        self.passed = 0
        self._changed = threading.Condition()
        self._inside = 0
        self._alone = False
        self._mine = threading.local()

    @property
    def is_inside(self) -> bool:
        """Whether the calling thread has passed with others and is still inside."""
        return getattr(self._mine, "inside", False)

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Step out for the time of the block, and come in again as a caller would."""
        self._leave()
        try:
            yield
        finally:
            self._enter()

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Pass with others, once nobody is or wants to be alone."""
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def _enter(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._inside += 1
            self.passed += 1
            self._mine.inside = True

    def _leave(self) -> None:
        with self._changed:
            self._mine.inside = False
            self._inside -= 1
            self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Pass alone; new callers wait, those inside are waited for."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._alone = True
            self._changed.wait_for(lambda: self._inside == 0)
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()


@dataclass(frozen=True)
class Progress:
    """A move that is under way: where it began and where it goes, None where the next event is its end."""

    start_ms: int
    target_ms: int | None


@dataclass
class Move:
    """What a finished move was."""

    start_ms: int
    end_ms: int
    sweeps: int = 0
    events: int = 0


class Scheduler:
    """Runs the sweeper by its rules. One run at a time, whoever asks for it."""

    def __init__(
        self,
        *,
        sweeper: Sweeper,
        rules: Sequence[Schedule],
        clock: MovableClock,
        next_due_ms: Callable[[int | None], int | None],
        look_ahead_ms: int,
        before_move: Callable[[], object] = lambda: None,
        after_run: Callable[[], object] = lambda: None,
        on_failure: Callable[[BaseException], None] = lambda _: None,
        turnstile: Turnstile | None = None,
    ) -> None:
        """`next_due_ms` is the earliest entry of the due index, or the earliest behind a moment.

        `before_move` is called while the clock still stands at the moment that it is about to leave, and `after_run`
        takes in what a run published.
        Callers of the API pass the turnstile, so that none of them comes between a look at the index and the move that
        follows from it.
        """
        self._sweeper = sweeper
        self._rules = rules
        self._clock = clock
        self._next_due_ms = next_due_ms
        self.look_ahead_ms = look_ahead_ms
        self._before_move = before_move
        self._after_run = after_run
        self._on_failure = on_failure
        self._turnstile = turnstile or Turnstile()
        self._running = threading.Lock()
        self._ending = threading.Event()
        self._ticker: threading.Thread | None = None
        self._done_ms = 0
        self.progress: Progress | None = None

    def start(self) -> None:
        """Run all rules once, so that health knows the service from the beginning; then every minute by itself."""
        with self._running:
            self._done_ms = _minute_of(self._clock.now_ms())
            for rule in self._rules:
                self._try_to_run(rule)
        self._ticker = threading.Thread(target=self._tick, name="schedule", daemon=True)
        self._ticker.start()

    def stop(self) -> None:
        """End the ticker, and any move at its next minute."""
        self._ending.set()
        if self._ticker is not None:
            self._ticker.join()

    @property
    def next_minute_ms(self) -> int:
        """The next minute whose sweep is still to come."""
        return self._done_ms + MS_PER_MINUTE

    def sweep(self) -> Any:
        """Run the sweeper now, out of turn; return its answer."""
        with self._running:
            answer = self._run(Schedule("Sweep", 1, None))
            for rule in self._rules:
                if rule.input is not None:  # the gauge, which follows every sweep
                    self._try_to_run(rule)
            return answer

    def advance(self, by_ms: int) -> Move:
        """Move the clock forward, running the rules at every minute that passes.

        Raises:
            MoveStoppedError: the stack ends.

        """
        with self._running, self._clock.held():
            start_ms = self._clock.now_ms()
            return self._move(start_ms, start_ms + by_ms, until_event=False)

    def advance_to(self, moment_ms: int) -> Move:
        """Move the clock forward to a moment, as `advance` does; not at all where the moment has passed.

        Raises:
            MoveStoppedError: the stack ends.

        """
        with self._running, self._clock.held():
            return self._move(self._clock.now_ms(), moment_ms, until_event=False)

    def advance_to_event(self) -> Move:
        """Move the clock to the next minute that publishes something; not at all where nothing will be.

        Raises:
            MoveStoppedError: the stack ends.

        """
        with self._running, self._clock.held():
            start_ms = self._clock.now_ms()
            if self._next_due_ms(None) is None:
                return Move(start_ms, start_ms)
            return self._move(start_ms, start_ms + LONGEST_MOVE_MS, until_event=True)

    def _move(self, start_ms: int, target_ms: int, *, until_event: bool) -> Move:
        move = Move(start_ms, start_ms)
        self.progress = Progress(start_ms, None if until_event else target_ms)
        # The last run of each rule is never left out: health and the gauge report it.
        last_ms = {rule.every_minutes: _minute_of(target_ms, rule.every_minutes) for rule in self._rules}
        minute_ms: int | None = self._done_ms + MS_PER_MINUTE
        try:
            while minute_ms is not None and minute_ms <= target_ms:
                if self._ending.is_set():
                    message = "the local stack is ending"
                    raise MoveStoppedError(message)
                self._move_to(minute_ms)
                passed = self._turnstile.passed
                settled = self._run_minute(minute_ms, move)
                if until_event and move.events:
                    break
                wanted = [] if until_event else [moment for moment in last_ms.values() if moment > minute_ms]
                minute_ms = self._after(minute_ms, target_ms, wanted, passed if settled else None)
            if not until_event:
                self._move_to(target_ms)
        finally:
            self.progress = None
        move.end_ms = self._clock.now_ms()
        return move

    def _move_to(self, moment_ms: int) -> None:
        self._before_move()
        self._clock.move_to(moment_ms)

    def _run_minute(self, minute_ms: int, move: Move) -> bool:
        """Run the rules of this minute; return whether the sweep did all there was to do."""
        settled = False
        self._done_ms = minute_ms
        for rule in self._rules:
            if minute_ms != _minute_of(minute_ms, rule.every_minutes):
                continue
            summary = self._try_to_run(rule)
            if "claimed" in summary:
                move.sweeps += 1
                move.events += summary["warned"] + summary["expired"]
                settled = summary["claimed"] and not summary["failed"] and not summary["left"]
        return settled

    def _after(self, minute_ms: int, target_ms: int, wanted: Sequence[int], passed: int | None) -> int | None:
        """The next minute worth a run, None where there is none up to the target; the clock goes there at once.

        After a run that did all there was to do, with nobody at the API since it began (`passed`), what the index names
        up to the run's horizon was warned and waits for its expiry, and the rest waits to come within the horizon.
        """
        with self._turnstile.alone():
            if passed != self._turnstile.passed:
                return minute_ms + MS_PER_MINUTE
            horizon_ms = minute_ms + self.look_ahead_ms
            moments = list(wanted)
            waiting_ms = self._next_due_ms(None)
            if waiting_ms is not None and waiting_ms <= horizon_ms:
                moments.append(minute_from(waiting_ms + EXPIRY_GRACE_MS))
                waiting_ms = self._next_due_ms(horizon_ms)
            if waiting_ms is not None:
                moments.append(minute_from(waiting_ms - self.look_ahead_ms))
            if not moments:
                return None
            next_ms = max(minute_ms + MS_PER_MINUTE, min(moments))
            # Still inside the turnstile: what a caller makes from now on is due later than this.
            self._move_to(min(next_ms, target_ms))
            return next_ms

    def _tick(self) -> None:
        while not self._ending.wait(_IDLE_SECONDS):
            with self._running:
                minute_ms = _minute_of(self._clock.now_ms())
                if minute_ms > self._done_ms:
                    self._run_minute(minute_ms, Move(minute_ms, minute_ms))

    def _try_to_run(self, rule: Schedule) -> dict[str, Any]:
        """Run a rule; where the function fails, the next minute is the retry."""
        try:
            summary = self._run(rule)
        except Exception as failure:  # noqa: BLE001 - as EventBridge: whatever it was, the schedule goes on
            self._on_failure(failure)
            return {}
        return summary if isinstance(summary, dict) else {}

    def _run(self, rule: Schedule) -> Any:
        try:
            return self._sweeper(scheduled_event(rule, self._clock.now_ms()))
        finally:
            self._after_run()


def scheduled_event(rule: Schedule, now_ms: int) -> dict[str, Any]:
    """What EventBridge sends for a rule: the rule's own input or a Scheduled Event."""
    if rule.input is not None:
        chosen: dict[str, Any] = json.loads(rule.input)
        return chosen
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": timestamp(now_ms)[:19] + "Z",
        "region": REGION,
        "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/local-{rule.name}"],
        "detail": {},
    }


def _minute_of(moment_ms: int, every: int = 1) -> int:
    """The last whole minute, or multiple of minutes, that is not after the moment."""
    step_ms = every * MS_PER_MINUTE
    return moment_ms // step_ms * step_ms
