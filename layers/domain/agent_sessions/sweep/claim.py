"""A run's claim on its shards, and its time: whether it may make another call. Knows neither SNS nor DynamoDB."""

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Final, TypeVar

from agent_sessions.clock import Clock
from agent_sessions.errors import ServiceUnavailable
from agent_sessions.sweep.health import ShardSweep
from agent_sessions.sweep.ports import SweepClaims

WORK_MS: Final = 50_000
"""How long a run works once it has its claim: no call but the release starts later."""
LONGEST_CALL_MS: Final = 5_000
"""More than a call to AWS takes by its timeouts (`aws_clients.tuning`). A slow TLS handshake may exceed them, as its
timeout counts anew with each read: `Claim` says what that costs."""
CLAIM_MS: Final = 15_000
"""How long a claim lasts unless it is renewed: a run that died keeps its successor out for no longer."""
RENEW_AFTER_MS: Final = 5_000
"""Age at which a run renews its claim, before its next call. Even if that call and the renewal take their longest, the
claim still holds: 5 + 5 s until the renewal starts, and 5 s for it."""
CLAIM_WAIT_MS: Final = 53_000
"""How long a run waits for the claim of the one before it. A run that gave up at once would leave, after a long run,
more than the look-ahead until the next."""
CLAIM_POLL_SECONDS: Final = 2.5
COUNT_MS: Final = 2_000
"""How long after its work a run may still begin to count what it left."""
ATTEMPTS: Final = 5
"""Tries of one call within a run; the pauses between them are at most 0.2, 0.4, 0.8 and 1.6 s."""
FIRST_PAUSE_SECONDS: Final = 0.2

_A = TypeVar("_A")
_R = TypeVar("_R")


class Claim:
    """Lets one run work on some shards: holds the claim, measures the calls, and ends the run in time.

    The function's timeout is 120 s. The longest run fits into it: it waits 53 s for its claim, works for 50 s, counts
    for 2 s, and makes three calls of up to 5 s that begin at the last moment: the claim, a count, and the release.

    No promise to subscribers rests on the claim. A call that hangs for 60 s outlives it, and the next run takes over:
    - An event that hangs is published by the next run. When the call gets through, the event comes once more, with the
      same id.
    - A mark that hangs changes only the lease that was read, and an appointment only where it is the one that was read.
      So it does the same as the mark of the next run, or nothing.
    - The hanging run publishes nothing more once it learns that another run has the claim. Its release changes nothing.
    - What it did not come to is done by the next run, as after a run that died. That is in time as long as the next
      run begins within the look-ahead, counted from the run before the one that hangs.
    """

    def __init__(
        self, claims: SweepClaims, clock: Clock, jitter: Callable[[], float], shards: Sequence[int], run_id: str
    ) -> None:
        """Claim `shards` for the run called `run_id`, once `take` is called; `jitter` gives a number from 0 to 1."""
        self._claims = claims
        self._clock = clock
        self._jitter = jitter
        self._shards = shards
        self._run_id = run_id
        self._lock = Lock()
        self._renewed_ms = 0
        self._lost = False
        self._slow_ms = 0.0
        self.stop_at_ms = 0

    def take(self) -> bool:
        """Claim the shards, waiting for the run that has them; False where it keeps them all the time.

        Raises:
            ServiceUnavailable: the store does not answer to the claim.

        """
        give_up_ms = self._clock.now_ms() + CLAIM_WAIT_MS
        while True:
            now_ms = self._clock.now_ms()
            last_try = now_ms + CLAIM_POLL_SECONDS * 1000 > give_up_ms
            try:
                if self._claims.claim(self._shards, self._run_id, now_ms, now_ms + CLAIM_MS):
                    self._renewed_ms = now_ms
                    self.stop_at_ms = self._clock.now_ms() + WORK_MS
                    return True
            except ServiceUnavailable:
                if last_try:
                    raise
            if last_try:
                return False
            self._clock.sleep(CLAIM_POLL_SECONDS)

    def allows(self, calls: int) -> bool:
        """Return whether the run may start work that takes this many calls.

        The calls are assumed to be as slow as the last ones were. With 1.5 s a call, a run that has worked for 44 s
        may still start four calls (until 50 s), but not five.
        """
        return self.has_time(calls) and self._held() and self.has_time(calls)

    def has_time(self, calls: int = 1) -> bool:
        """Return whether there is time for this many calls, even if the claim was lost.

        A mark may be made without the claim: it has conditions of its own, and it saves subscribers a repeat.
        """
        now_ms = self._clock.now_ms()
        return now_ms < self.stop_at_ms and now_ms + calls * self._slow_ms <= self.stop_at_ms

    def timed(self, call: Callable[[_A], _R], argument: _A) -> _R:
        """Make a call and remember how long it took. A quick call forgets most of a slow one before it."""
        started_ms = self._clock.now_ms()
        try:
            return call(argument)
        finally:
            self._slow_ms = max(self._clock.now_ms() - started_ms, self._slow_ms / 4)

    def pause(self, failures: int) -> bool:
        """Let the pause pass that follows so many failures; False where there is no time for it."""
        seconds = pause_seconds(failures, self._jitter())
        if self._clock.now_ms() + seconds * 1000 >= self.stop_at_ms:
            return False
        self._clock.sleep(seconds)
        return True

    def may_count(self) -> bool:
        """Return whether what is left may still be counted."""
        return self._clock.now_ms() < self.stop_at_ms + COUNT_MS

    def release(self, swept: Mapping[int, ShardSweep]) -> None:
        """Give the claim up and record how the shards fared, trying again while there is time.

        Raises:
            ServiceUnavailable: the store does not answer; the claim runs out by itself.

        """
        for attempt in range(ATTEMPTS):
            try:
                self._claims.release(self._shards, self._run_id, swept)
            except ServiceUnavailable:
                if attempt == ATTEMPTS - 1 or not self.pause(attempt):
                    raise
            else:
                return

    def _held(self) -> bool:
        """Return whether the claim is ours for another call; renew it where it has grown old."""
        with self._lock:
            now_ms = self._clock.now_ms()
            if self._lost or now_ms - self._renewed_ms < RENEW_AFTER_MS:
                return not self._lost
            try:
                held = self._claims.claim(self._shards, self._run_id, now_ms, now_ms + CLAIM_MS)
            except ServiceUnavailable:
                return self._clock.now_ms() + LONGEST_CALL_MS <= self._renewed_ms + CLAIM_MS
            if held:
                self._renewed_ms = now_ms
            self._lost = not held
            return held


def pause_seconds(failures: int, jitter: float) -> float:
    """Return the pause after a call has failed `failures` times before: doubling, and half of it by chance."""
    return FIRST_PAUSE_SECONDS * 2.0**failures * (0.5 + jitter / 2)
