"""The engine of the sweep: claims shards, works on them in rounds, and reports. Knows neither SNS nor DynamoDB.

The shards take turns, a page each, so that none of them waits for another. A round tries everything once; what failed
is tried again when all else was tried. Whatever a run leaves stays due for the next one.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import NamedTuple

from agent_sessions.clock import Clock
from agent_sessions.events.cloud_events import EventPublisher
from agent_sessions.sweep.claim import ATTEMPTS, Claim
from agent_sessions.sweep.health import ShardSweep
from agent_sessions.sweep.ports import INTERVAL_MS, DueStore, SweepClaims, SweepSummary
from agent_sessions.sweep.shard import ShardRun, SharedWork


class SweepTuning(NamedTuple):
    """How far ahead a run looks, how many shards it works on at a time, and the `source` of its events."""

    look_ahead_ms: int
    threads: int
    source: str


class Sweep:
    """Carries out one run over some shards."""

    def __init__(
        self,
        *,
        store: DueStore,
        claims: SweepClaims,
        publisher: EventPublisher,
        clock: Clock,
        tuning: SweepTuning,
        new_id: Callable[[], str],
        jitter: Callable[[], float],
    ) -> None:
        """Wire the run; `new_id` names it in its claim, `jitter` gives a number from 0 to 1 for the pauses."""
        self.store = store
        self.publisher = publisher
        self.clock = clock
        self.tuning = tuning
        self.jitter = jitter
        self._claims = claims
        self._new_id = new_id

    def run(self, shards: Sequence[int]) -> SweepSummary:
        """Sweep `shards` once, or return `claimed: False` where another run holds one of them all the time.

        Errors that the run met are in the summary, so that what it did is reported all the same.

        Raises:
            ServiceUnavailable: the store does not answer to the claim.

        """
        claim = Claim(self._claims, self.clock, self.jitter, shards, self._new_id())
        if not claim.take():
            return SweepSummary(list(shards), claimed=False)
        shared = SharedWork(
            self.store, self.publisher, self.clock, claim, self.tuning.look_ahead_ms, self.tuning.source
        )
        first = self.clock.now_ms() // INTERVAL_MS % len(shards)  # another shard each minute
        runs = [ShardRun(shared, shard) for shard in [*shards[first:], *shards[:first]]]
        self._work_in_rounds(runs, claim)
        summary = SweepSummary([])
        for run in runs:
            summary.add(run.finish())
        summary.shards = list(shards)
        ended_ms = self.clock.now_ms()
        swept = {
            run.shard: ShardSweep(ended_ms, run.summary.oldest_lag_seconds, len(run.summary.passed_over))
            for run in runs
            if run.answered
        }
        try:
            claim.release(swept)
        except Exception as error:  # noqa: BLE001 - reported with the rest: the events are published
            summary.crashes.append(error)
        return summary

    def _work_in_rounds(self, runs: Sequence[ShardRun], claim: Claim) -> None:
        """Work in rounds, with pauses between them that double, until nothing is left or nothing more comes of it."""
        rounds = 0
        while True:
            self._work_round(deque(run for run in runs if run.pending))
            rounds += 1
            pending = [run for run in runs if run.pending]
            idle = all(run.idle for run in pending)
            hopeless = rounds >= ATTEMPTS and not any(run.progressed for run in pending)
            if idle or hopeless or not claim.pause(min(rounds, ATTEMPTS - 1) - 1):
                return
            for run in runs:
                run.next_round()

    def _work_round(self, waiting: deque[ShardRun]) -> None:
        """Give the shards their turns, some at a time; with one thread, in this one."""
        threads = min(self.tuning.threads, len(waiting))
        if threads <= 1:
            while waiting:
                run = waiting.popleft()
                if run.turn():
                    waiting.append(run)
            return
        with ThreadPoolExecutor(threads) as pool:
            working: dict[Future[bool], ShardRun] = {}
            while waiting or working:
                while waiting and len(working) < threads:
                    run = waiting.popleft()
                    working[pool.submit(run.turn)] = run
                done, _ = wait(working, return_when=FIRST_COMPLETED)
                for future in done:
                    run = working.pop(future)
                    if future.result():
                        waiting.append(run)
