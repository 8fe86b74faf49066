"""The engine of the sweep: find what is due, tell of it, mark it told. Publish, then mark: a crash loses nothing.

One run claims its shards, works through each of them oldest first and a page at a time, so that its memory does not
grow with the backlog, and stops in good order before its time is over. Whatever it leaves stays due for the next run.
Knows neither SNS nor DynamoDB.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import Final, NamedTuple, TypeVar

from agent_sessions.clock import Clock
from agent_sessions.errors import ServiceUnavailable
from agent_sessions.events.cloud_events import EventKind, EventPublisher, PublishOutcome, session_event
from agent_sessions.sessions.model import Session
from agent_sessions.sessions.service import ReadMany
from agent_sessions.sweep.decision import Action, decide
from agent_sessions.sweep.health import ShardSweep
from agent_sessions.sweep.ports import (
    DamagedSession,
    DueEntry,
    DuePage,
    DueStore,
    Mark,
    MarkKind,
    MarkOutcome,
    SweepClaims,
    SweepSummary,
)

PAGE: Final = 100
"""Entries read at a time: what one BatchGetItem takes."""
PUBLISH_BATCH: Final = 10
"""Events of one PublishBatch (SNS's limit)."""
MARK_BATCH: Final = 25
"""Statements of one BatchExecuteStatement (DynamoDB's limit)."""

WORK_MS: Final = 50_000
"""How long a run works once it has its claim."""
CLAIM_MS: Final = 70_000
"""How long a claim lasts unless it is released: longer than any run, so that only a crashed one loses it."""
CLAIM_WAIT_MS: Final = 55_000
"""How long a run waits for the claim of the one before it. A run that gave up at once would leave, after a long run,
more than the look-ahead until the next."""
CLAIM_POLL_SECONDS: Final = 2.5
ATTEMPTS: Final = 5
"""Tries of one call within a run; the pauses between them are at most 0.2, 0.4, 0.8 and 1.6 s."""
FIRST_PAUSE_SECONDS: Final = 0.2


class SweepTuning(NamedTuple):
    """How far ahead a run looks, how many shards it works on at a time, and the `source` of its events."""

    look_ahead_ms: int
    threads: int
    source: str


_T = TypeVar("_T")


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
        """Sweep `shards` once, or answer `claimed: False` where another run holds one of them all the time.

        Raises:
            ServiceUnavailable: the store does not answer to the claim.
            ExceptionGroup: a page or more met an error that nobody foresaw; everything else was done.

        """
        run_id = self._new_id()
        if not self._claim(shards, run_id):
            return SweepSummary(claimed=False)
        stop_at_ms = self.clock.now_ms() + WORK_MS
        runs = [_ShardRun(self, shard, stop_at_ms) for shard in shards]
        self._work_off(runs)
        summary = SweepSummary()
        for run in runs:
            summary.add(run.summary)
        ended_ms = self.clock.now_ms()
        swept = {run.shard: ShardSweep(ended_ms, run.summary.oldest_lag_seconds) for run in runs if run.answered}
        self._release(shards, run_id, swept)
        crashes = [crash for run in runs for crash in run.crashes]
        if crashes:
            message = f"Some of the sweep crashed; of the rest: {summary.as_json()}"
            raise ExceptionGroup(message, crashes)
        return summary

    def _claim(self, shards: Sequence[int], run_id: str) -> bool:
        give_up_ms = self.clock.now_ms() + CLAIM_WAIT_MS
        while True:
            now_ms = self.clock.now_ms()
            last_try = now_ms + CLAIM_POLL_SECONDS * 1000 > give_up_ms
            try:
                if self._claims.claim(shards, run_id, now_ms, now_ms + CLAIM_MS):
                    return True
            except ServiceUnavailable:
                if last_try:
                    raise
            if last_try:
                return False
            self.clock.sleep(CLAIM_POLL_SECONDS)

    def _release(self, shards: Sequence[int], run_id: str, swept: Mapping[int, ShardSweep]) -> None:
        """Give the claim up, trying again where the store is busy; in the end the claim runs out by itself."""
        for attempt in range(ATTEMPTS):
            try:
                self._claims.release(shards, run_id, swept)
            except ServiceUnavailable:
                if attempt == ATTEMPTS - 1:
                    raise
                self.clock.sleep(pause_seconds(attempt, self.jitter()))
            else:
                return

    def _work_off(self, runs: "Sequence[_ShardRun]") -> None:
        """Work through the shards, some at a time; with one thread, in this one."""
        if min(self.tuning.threads, len(runs)) == 1:
            for run in runs:
                run.work()
            return
        with ThreadPoolExecutor(self.tuning.threads) as pool:
            for done in [pool.submit(run.work) for run in runs]:
                done.result()


class _ShardRun:
    """The work on one shard: pages of due entries until there are no more, the time is up, or a service gives up."""

    def __init__(self, sweep: Sweep, shard: int, stop_at_ms: int) -> None:
        self.shard = shard
        self.summary = SweepSummary()
        self.answered = False
        self.crashes: list[Exception] = []
        self._sweep = sweep
        self._clock = sweep.clock
        self._stop_at_ms = stop_at_ms
        self._gave_up = False

    def work(self) -> None:
        """Sweep the shard; whatever happens is kept for the end of the run, as other shards must not wait for it."""
        try:
            self._work()
        except Exception as crash:  # noqa: BLE001 - told at the end of the run
            self.crashes.append(crash)
            self.summary.unfinished_shards = [self.shard]

    def _work(self) -> None:
        after: DueEntry | None = None
        while not self._must_stop():
            page = self._read_page(after)
            if page is None:
                break
            self.answered = True
            try:
                if page.entries:
                    self._work_on(page.entries)
            except Exception as crash:  # noqa: BLE001 - as above: other pages must not wait for this one
                self.crashes.append(crash)
                self._fail(len(page.entries))
                self._come_late(page.entries[0].due_at_ms)
            after = page.next
            if after is None:
                return
        self._leave(after)

    def _must_stop(self) -> bool:
        return self._gave_up or self._clock.now_ms() >= self._stop_at_ms

    def _horizon_ms(self) -> int:
        return self._clock.now_ms() + self._sweep.tuning.look_ahead_ms

    def _read_page(self, after: DueEntry | None) -> DuePage | None:
        for _ in self._attempts():
            try:
                return self._sweep.store.due(self.shard, self._horizon_ms(), after, PAGE)
            except ServiceUnavailable:
                continue
        return None

    def _leave(self, after: DueEntry | None) -> None:
        """Say that the shard is unfinished, and how much is left in it as far as one query can count."""
        self.summary.unfinished_shards = [self.shard]
        try:
            left = self._sweep.store.count(self.shard, self._horizon_ms(), after, max_calls=1)
        except ServiceUnavailable:
            return
        self.summary.left += left

    def _fail(self, entries: int) -> None:
        self.summary.failed += entries
        self.summary.left += entries

    def _come_late(self, due_at_ms: int) -> None:
        """Record how long past its time an entry was met, whatever becomes of it."""
        lag_seconds = (self._clock.now_ms() - due_at_ms) / 1000
        self.summary.oldest_lag_seconds = max(self.summary.oldest_lag_seconds, lag_seconds)

    def _work_on(self, entries: Sequence[DueEntry]) -> None:
        appointments = {entry.session_id: entry.due_at_ms for entry in entries}
        self.summary.due += len(appointments)
        # The moment before the read decides: what is read after it, and was over five seconds before it, stays over.
        now_ms = self._clock.now_ms()
        found, unread, damaged = self._read(list(appointments))
        self._fail(len(unread) + len(damaged))
        self.crashes += [DamagedSession(session_id) for session_id in damaged]
        by_action: dict[Action, list[Session]] = {action: [] for action in Action}
        for session_id, due_at_ms in appointments.items():
            if session_id in unread or session_id in damaged:
                self._come_late(due_at_ms)
                continue
            session = found.get(session_id)
            action = decide(session, now_ms, self._sweep.tuning.look_ahead_ms)
            if session is None or action is Action.GONE:
                self.summary.gone += 1
                continue
            by_action[action].append(session)
            if action is not Action.WAIT:
                self._come_late(due_at_ms)
        self.summary.waiting += len(by_action[Action.WAIT])
        warned = self._tell("expiring", by_action[Action.WARN])
        expired = self._tell("expired", by_action[Action.EXPIRE])
        self.summary.warned += len(warned)
        self.summary.expired += len(expired)
        rearmed = self._record(
            [Mark(MarkKind.WARNED, session) for session in warned]
            + [Mark(MarkKind.REARMED, session) for session in by_action[Action.REARM]]
            + [Mark(MarkKind.UNLISTED, session) for session in expired]
        )
        self.summary.rearmed += sum(mark.kind is MarkKind.REARMED for mark in rearmed)
        self._record([Mark(MarkKind.ANNOUNCED, mark.session) for mark in rearmed if mark.kind is MarkKind.UNLISTED])

    def _read(self, session_ids: list[str]) -> ReadMany:
        found: dict[str, Session] = {}
        damaged: list[str] = []
        wanted = session_ids
        for _ in self._attempts():
            try:
                read = self._sweep.store.read_many(wanted)
            except ServiceUnavailable:
                continue
            found |= read.found
            damaged += read.damaged
            wanted = read.unread
            if not wanted:
                return ReadMany(found, [], damaged)
        self._gave_up = True
        return ReadMany(found, wanted, damaged)

    def _tell(self, kind: EventKind, sessions: Sequence[Session]) -> list[Session]:
        """Publish one event for each session, ten at a time; return those that were taken."""
        told: list[Session] = []
        for start in range(0, len(sessions), PUBLISH_BATCH):
            pending = list(sessions[start : start + PUBLISH_BATCH])
            if self._must_stop():
                self._fail(len(pending))
                continue
            now_ms = self._clock.now_ms()
            events = {
                session.session_id: session_event(kind, session, now_ms, self._sweep.tuning.source)
                for session in pending
            }
            for _ in self._attempts():
                try:
                    outcomes = self._sweep.publisher.publish([events[session.session_id] for session in pending])
                except ServiceUnavailable:
                    continue
                told += _where(pending, outcomes, PublishOutcome.SENT)
                self._fail(outcomes.count(PublishOutcome.REFUSED))
                pending = _where(pending, outcomes, PublishOutcome.BUSY)
                if not pending:
                    break
            if pending:
                self._gave_up = True
                self._fail(len(pending))
        return told

    def _record(self, marks: Sequence[Mark]) -> list[Mark]:
        """Make the marks, twenty-five at a time; return those that were made. Even when time is up: it was told."""
        made: list[Mark] = []
        for start in range(0, len(marks), MARK_BATCH):
            pending = list(marks[start : start + MARK_BATCH])
            for _ in self._attempts():
                try:
                    outcomes = self._sweep.store.mark(pending)
                except ServiceUnavailable:
                    continue
                made += _where(pending, outcomes, MarkOutcome.DONE)
                self._fail(outcomes.count(MarkOutcome.FAILED))
                pending = _where(pending, outcomes, MarkOutcome.BUSY)
                if not pending:
                    break
            if pending:
                self._gave_up = True
                self._fail(len(pending))
        return made

    def _attempts(self) -> Iterator[None]:
        """Yield for each try of a call, with pauses between them that double and jitter, while the time allows."""
        yield
        for attempt in range(1, ATTEMPTS):
            seconds = pause_seconds(attempt - 1, self._sweep.jitter())
            if self._clock.now_ms() + seconds * 1000 >= self._stop_at_ms:
                return
            self._clock.sleep(seconds)
            yield


def pause_seconds(failures: int, jitter: float) -> float:
    """Return the pause after a call has failed `failures` times before: doubling, and half of it by chance."""
    return FIRST_PAUSE_SECONDS * 2.0**failures * (0.5 + jitter / 2)


def _where(things: Sequence[_T], outcomes: Sequence[Enum], wanted: Enum) -> list[_T]:
    return [thing for thing, outcome in zip(things, outcomes, strict=True) if outcome is wanted]
