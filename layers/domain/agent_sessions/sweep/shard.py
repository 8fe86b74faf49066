"""One run's work on one shard: publish, then mark, so that a crash loses nothing. Knows neither SNS nor DynamoDB.

An expired session is closed before its expiry is published, so that no renewal in flight can revive it.

Each round tries everything once. What failed is left to a later round, so that no session waits for one that fails:

    round 1   page after page: find what is due · read it · decide · close · publish · mark
    round 2   what failed in round 1: sessions again from the read on, marks alone
    ...       until nothing is left, or it was tried five times, or the time is up
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent_sessions.clock import Clock
from agent_sessions.errors import ServiceUnavailable
from agent_sessions.events.cloud_events import Event, EventKind, EventPublisher, PublishOutcome, session_event
from agent_sessions.sessions.model import Session
from agent_sessions.sessions.service import ReadMany
from agent_sessions.sweep.calls import GIVE_UP, PAGE, Calls, Entries, Marks, Step, described, entry_of, where
from agent_sessions.sweep.claim import ATTEMPTS, Claim
from agent_sessions.sweep.decision import Action, decide
from agent_sessions.sweep.ports import (
    DueEntry,
    DuePage,
    DueStore,
    Mark,
    MarkKind,
    MarkOutcome,
    PageKey,
    SweepSummary,
)


@dataclass(frozen=True)
class SharedWork:
    """What the shards of one run share."""

    store: DueStore
    publisher: EventPublisher
    clock: Clock
    claim: Claim
    look_ahead_ms: int
    source: str
    worked: set[Step] = field(default_factory=set)
    """The kinds of call that succeeded at least once in this run: their service is there."""


class ShardRun:
    """The work on one shard: `turn` until that returns False, then `next_round` and so on; in the end `finish`."""

    def __init__(self, shared: SharedWork, shard: int) -> None:
        """Begin with the shard's first page."""
        self.shard = shard
        self.summary = SweepSummary([shard])
        self.answered = False
        self._shared = shared
        self._calls = Calls(shared.claim, shared.worked)
        self._now: deque[Entries | Marks] = deque()
        self._after: PageKey | None = None
        self._more_pages = True
        self._page_failed = False
        self._page_tries = 0
        self._failed_turns = 0

    @property
    def pending(self) -> bool:
        """Whether there is something left to do or to try again."""
        return self._more_pages or bool(self._now) or bool(self._calls.later)

    @property
    def progressed(self) -> bool:
        """Whether something may come of another round: this one made calls, and their services are there."""
        return self._calls.made > 0 and (self._calls.progressed or self._failed_turns == 0)

    @property
    def idle(self) -> bool:
        """Whether this round made no call at all: there was no time for any, or the claim was lost."""
        return self._calls.made == 0

    def next_round(self) -> None:
        """Take up what the last round left, what it did not come to before what failed in it."""
        self._now.extend(sorted(self._calls.later, key=lambda batch: batch.tries))
        self._calls.later = []
        self._calls.made = 0
        self._calls.progressed = self._page_failed = False
        self._failed_turns = 0

    def turn(self) -> bool:
        """Do the next part of this round, a page at most; return whether there is more of the round.

        The shard's round is over after three turns in a row that ended with a failed call, of a kind that has not
        succeeded in this run at all: then the service is away. Otherwise the sessions are to blame, and others follow.
        """
        if not self._shared.claim.has_time():
            return False
        self._calls.failing.clear()
        if not self._now:
            self._sweep_page()
        elif isinstance(batch := self._now.popleft(), Marks):
            self._mark(*batch)
        else:
            self._sweep(*batch)
        self._failed_turns = self._failed_turns + 1 if self._calls.failing - self._shared.worked else 0
        more = bool(self._now) or (self._more_pages and not self._page_failed)
        return more and self._failed_turns < GIVE_UP

    def finish(self) -> SweepSummary:
        """Count what this run leaves, for want of time or of a service, and what it passes over; return all counts.

        A session at which a call failed whole is passed over where other calls of that kind succeeded. Where none did,
        the service is away, and the session is no worse than others.
        """
        for batch in [*self._now, *self._calls.later]:
            self.summary.failed += len(batch.things) if batch.tries else 0
            for thing in batch.things:
                self._count_as_left(entry_of(thing))
        for step, entry, error in self._calls.exhausted:
            if step in self._shared.worked:
                self._calls.pass_over(entry.session_id, step, described(error))
                continue
            self.summary.failed += 1
            self._count_as_left(entry)
            self._crash(error)
        if self._more_pages:
            self.summary.unfinished_shards = [self.shard]
            if self._shared.claim.may_count():
                self.summary.left += self._calls.once(Step.FIND, self._count, self._after) or 0
        self.summary.passed_over += self._calls.passed_over
        self.summary.mishaps += self._calls.mishaps
        return self.summary

    def _sweep_page(self) -> None:
        self._page_failed = True
        if not self._shared.claim.allows(2):
            return
        page = self._calls.once(Step.FIND, self._find, self._after)
        if page is None:
            self._page_tries += 1
            if self._page_tries == ATTEMPTS:
                self._crash(self._calls.error)
            return
        self._page_failed = False
        self._page_tries = 0
        self.answered = True
        self._after = page.next
        self._more_pages = page.next is not None
        self.summary.due += len(page.entries) + len(page.damaged)
        self.summary.passed_over += page.damaged
        if page.entries:
            self._sweep(page.entries, 0)

    def _sweep(self, entries: Sequence[DueEntry], tries: int) -> None:
        """Do what is due for some sessions; an error in our own code costs those alone that it is about."""
        entries = list({entry.session_id: entry for entry in entries}.values())
        try:
            self._read_and_act(entries, tries)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other sessions must not wait for it
            self._calls.keep(error)
            self._calls.try_in_parts(Step.READ, entries, tries, error)

    def _read_and_act(self, entries: Sequence[DueEntry], tries: int) -> None:
        # The moment before the read decides: what is read after it, and was over five seconds before it, stays over.
        now_ms = self._shared.clock.now_ms()
        due: dict[Action, list[Session]] = {action: [] for action in Action}
        for session in self._read(entries, tries):
            due[decide(session, now_ms, self._shared.look_ahead_ms)].append(session)
        self.summary.gone += len(due[Action.GONE])
        self.summary.waiting += len(due[Action.WAIT])
        warned = self._publish("expiring", due[Action.WARN], tries)
        self.summary.warned += len(warned)
        over = due[Action.EXPIRE]
        marks = (
            (MarkKind.WARNED, warned),
            (MarkKind.REARMED, due[Action.REARM]),
            (MarkKind.CLOSED, [session for session in over if not session.closed]),
        )
        self._announce([Mark(MarkKind.CLOSED, session, now_ms) for session in over if session.closed], tries)
        self._mark([Mark(kind, session, now_ms) for kind, sessions in marks for session in sessions], 0)

    def _read(self, entries: Sequence[DueEntry], tries: int) -> list[Session]:
        """Return the sessions that exist and can be read, in the order of `entries`."""
        sessions: list[Session] = []
        for batch, read in self._calls.in_batches(Step.READ, entries, tries, self._read_many):
            unread = [entry for entry in batch if entry.session_id in read.unread]
            self._calls.try_again(Step.READ, unread, tries)
            for session_id, problem in read.damaged.items():
                self._calls.pass_over(session_id, Step.READ, problem)
            sessions += [read.found[entry.session_id] for entry in batch if entry.session_id in read.found]
            self.summary.gone += len(batch) - len(read.found) - len(unread) - len(read.damaged)
        return sessions

    def _publish(self, kind: EventKind, sessions: Sequence[Session], tries: int) -> list[Session]:
        """Publish an event for each session; return those whose events were taken."""
        published: list[Session] = []
        faults: dict[str, str] = {}

        def send(batch: Sequence[Session]) -> list[PublishOutcome]:
            now_ms = self._shared.clock.now_ms()
            events: dict[str, Event] = {}
            for session in batch:
                try:
                    events[session.session_id] = session_event(kind, session, now_ms, self._shared.source)
                except Exception as error:  # noqa: BLE001 - the session's values make no event, whatever the reason
                    faults[session.session_id] = described(error)
            outcomes = self._shared.publisher.publish(list(events.values())) if events else []
            by_id = dict(zip(events, outcomes, strict=True))
            return [by_id.get(session.session_id, PublishOutcome.REFUSED) for session in batch]

        for batch, outcomes in self._calls.in_batches(Step.PUBLISH, sessions, tries, send):
            published += where(batch, outcomes, PublishOutcome.SENT)
            if PublishOutcome.SENT in outcomes:
                self._shared.worked.add(Step.PUBLISH)
            for session in where(batch, outcomes, PublishOutcome.REFUSED):
                details = faults.get(session.session_id, "refused by the topic")
                self._calls.pass_over(session.session_id, Step.PUBLISH, details)
            self._calls.try_again(Step.PUBLISH, where(batch, outcomes, PublishOutcome.BUSY), tries)
        return published

    def _mark(self, marks: Sequence[Mark], tries: int) -> None:
        """Make the marks; announce the sessions that were closed by them."""
        closed: list[Mark] = []
        for batch, outcomes in self._calls.in_batches(Step.MARK, marks, tries, self._shared.store.mark):
            done = where(batch, outcomes, MarkOutcome.DONE)
            self.summary.rearmed += sum(mark.kind is MarkKind.REARMED for mark in done)
            closed += [mark for mark in done if mark.kind is MarkKind.CLOSED]
            for mark in [*done, *where(batch, outcomes, MarkOutcome.REFUSED)]:
                if mark.kind is not MarkKind.CLOSED:  # which is counted when it is announced
                    session = mark.session
                    self.summary.came_late(session.due_at_ms, mark.met_ms, session.expires_at_ms)
            for mark in where(batch, outcomes, MarkOutcome.FAILED):
                self._calls.pass_over(mark.session.session_id, Step.MARK, "refused by the table")
            self._calls.try_again(Step.MARK, where(batch, outcomes, MarkOutcome.BUSY), tries)
        self._announce(closed, tries)

    def _announce(self, closed: Sequence[Mark], tries: int) -> None:
        """Publish the expiry of sessions that no renewal can revive any more; then they are done with."""
        if not closed:
            return
        met_ms = closed[0].met_ms
        expired = self._publish("expired", [mark.session for mark in closed], tries)
        self.summary.expired += len(expired)
        self._mark([Mark(MarkKind.ANNOUNCED, session, met_ms) for session in expired], 0)

    def _find(self, after: PageKey | None) -> DuePage:
        return self._shared.store.due(self.shard, self._horizon_ms(), after, PAGE)

    def _count(self, after: PageKey | None) -> int:
        return self._shared.store.count(self.shard, self._horizon_ms(), after, max_calls=1)

    def _read_many(self, entries: Sequence[DueEntry]) -> ReadMany:
        return self._shared.store.read_many([entry.session_id for entry in entries])

    def _horizon_ms(self) -> int:
        return self._shared.clock.now_ms() + self._shared.look_ahead_ms

    def _count_as_left(self, entry: DueEntry) -> None:
        self.summary.left += 1
        self.summary.came_late(entry.due_at_ms, self._shared.clock.now_ms())

    def _crash(self, error: Exception) -> None:
        """Record an error that nobody foresaw and that left something undone: one of them for each shard."""
        if not isinstance(error, ServiceUnavailable) and not self.summary.crashes:
            self.summary.crashes.append(error)
