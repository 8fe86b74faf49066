"""Erases a user: every session of one user of one tenant that was created before the request, live or ended.

Knows neither HTTP nor AWS. The work is done in turns, and the record of the erasure has all that the next turn needs:

    request    order a turn, 60 s ahead  →  write the record  →  work for five seconds
    a turn     find a page of sessions   →  write it into the record as the batch
               end each one: order the removal of its life, delete the session
               write the counts into the record, with the next batch and the lives that were talked in
               all sessions have ended, or the record is full of lives: remove the messages of each life
    done       a pass over all sessions of the user began 60 s after the request or later, and found nothing

Sessions end before any message is removed: a session that waits can be renewed and talked in, a message that waits can
only be removed. A process may die anywhere: the batch is ended once more and counted once, the lives are emptied once
more. A session is deleted only in the life in which it was found, so that no session is removed that was created after
the request.
"""

from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple, TypeVar

from agent_sessions.clock import Clock
from agent_sessions.erasure.ports import (
    START,
    Erasure,
    ErasureRecords,
    FoundSession,
    UserOrder,
    UserSessions,
    user_hash,
)
from agent_sessions.erasure.receipt import user_erased_event
from agent_sessions.erasure.service import (
    DELETE_MS,
    ORDER_DELAY_SECONDS,
    ORDER_MS,
    EraserQueue,
    LifeOrder,
    MessagePages,
)
from agent_sessions.errors import ErasureNotFound, ServiceUnavailable
from agent_sessions.events.cloud_events import EventPublisher, PublishOutcome
from agent_sessions.sessions.ids import is_session_id
from agent_sessions.sessions.model import life_of
from agent_sessions.sessions.service import SessionStore

SETTLED_MS: Final = 60_000
"""How long after the request the last pass begins at the earliest: longer than an index can lag, or a create can be in
flight."""
MOST_LIVES: Final = 2_000
"""How many lives a record holds at most before their messages are removed: some 140 KB of DynamoDB's 400 KB an item."""
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 2.0

_T = TypeVar("_T")


class Overtaken(Exception):
    """Another turn works on the same erasure."""


class Stage(Enum):
    """How far a turn came."""

    UNDER_WAY = "under way"
    """There was no more time."""
    PASSED = "passed"
    """A pass ended that found something, or began too early to be the last."""
    SETTLED = "settled"
    """A pass ended that began late enough and found nothing."""


class Advance(NamedTuple):
    """The record after a turn, and how far the turn came."""

    erasure: Erasure
    stage: Stage


class UserRemoval:
    """Works on one erasure for some time."""

    def __init__(
        self,
        *,
        records: ErasureRecords,
        found: UserSessions,
        store: SessionStore,
        pages: MessagePages,
        queue: EraserQueue,
        clock: Clock,
    ) -> None:
        """Find sessions by `found`, delete them in `store`, their messages in `pages`; keep account in `records`."""
        self._records = records
        self._found = found
        self._store = store
        self._pages = pages
        self._queue = queue
        self._clock = clock

    def advance(self, erasure: Erasure, stop_at_ms: int) -> Advance:
        """Remove what is found until a pass has ended or `stop_at_ms` has passed.

        Raises:
            Overtaken: another turn works on the same erasure.
            ServiceUnavailable: the store or the queue did not answer until then.

        """
        began_ms = self._clock.now_ms()
        nothing_begun = not erasure.batch and not erasure.lives and erasure.after == START
        settled = nothing_begun and began_ms >= erasure.requested_at_ms + SETTLED_MS
        after, passed = erasure.after, False
        while self._clock.now_ms() < stop_at_ms:
            if erasure.batch:
                erasure = self._end_sessions(erasure, stop_at_ms)
                if erasure.batch:
                    break
            if erasure.lives and (passed or len(erasure.lives) >= MOST_LIVES):
                erasure = self._remove_messages(erasure, stop_at_ms)
                if erasure.lives:
                    break
            if passed:
                return Advance(self._save(erasure, stop_at_ms), Stage.SETTLED if settled else Stage.PASSED)
            page = self._patiently(
                lambda: self._found.page(erasure.tenant_id, erasure.user_id, erasure.requested_at_ms, after),  # noqa: B023 - called at once
                stop_at_ms,
            )
            after, passed = page.next or START, page.next is None
            if page.found:
                settled = False
                erasure = self._save(erasure._replace(batch=tuple(page.found), after=after), stop_at_ms)
            elif passed:
                erasure = erasure._replace(after=START)
        return Advance(self._save(erasure, stop_at_ms), Stage.UNDER_WAY)

    def _end_sessions(self, erasure: Erasure, stop_at_ms: int) -> Erasure:
        """End the sessions of the batch; what is left of it when the time is up stays in it."""
        for session in erasure.batch:
            if self._clock.now_ms() >= stop_at_ms:
                break
            life = self._patiently(lambda: self._end(erasure.tenant_id, session), stop_at_ms)  # noqa: B023 - called at once
            erasure = erasure.with_ended(session.session_id, life)
        return erasure

    def _end(self, tenant_id: str, session: FoundSession) -> str | None:
        """End one session in the life in which it was found; return that life where it may hold messages."""
        session_id, attempt, talked_in = session
        if not talked_in:
            deletion = self._store.delete(session_id, tenant_id, attempt, silent=True)
            talked_in = deletion is not None and not deletion.done and deletion.attempt == attempt
        if not talked_in:
            return None
        life = life_of(session_id, attempt)
        self._queue.send(LifeOrder(session_id, life), ORDER_DELAY_SECONDS)
        self._store.delete(session_id, tenant_id, attempt)
        return life

    def _remove_messages(self, erasure: Erasure, stop_at_ms: int) -> Erasure:
        """Remove the messages of sessions that have ended; lives that are left when the time is up stay."""
        for life in erasure.lives:
            if self._clock.now_ms() >= stop_at_ms:
                break
            removal = self._patiently(lambda: self._pages.remove(life, stop_at_ms), stop_at_ms)  # noqa: B023 - called at once
            erasure = erasure.with_removed(removal.messages, emptied=not removal.more)
        return erasure

    def _save(self, erasure: Erasure, stop_at_ms: int) -> Erasure:
        saved = self._patiently(lambda: self._records.save(erasure), stop_at_ms)
        if saved is None:
            raise Overtaken
        return saved

    def _patiently(self, call: Callable[[], _T], stop_at_ms: int) -> _T:
        """Repeat a call that the store or the queue does not answer, with pauses that double, while there is time."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return call()
            except ServiceUnavailable:
                if self._clock.now_ms() + pause * 1000 >= stop_at_ms:
                    raise
            self._clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


class UserErasures:
    """Takes requests for erasures, each within one tenant, and shows how they fare."""

    def __init__(
        self,
        removal: UserRemoval,
        records: ErasureRecords,
        queue: EraserQueue,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        """Begin by `removal`, and leave the rest to the orders in `queue`."""
        self._removal = removal
        self._records = records
        self._queue = queue
        self._clock = clock
        self._new_id = new_id

    def request(self, tenant_id: str, user_id: str) -> Erasure:
        """Begin to erase a user, and work on it for up to five seconds: few users have more than that takes.

        Raises:
            ServiceUnavailable: the store or the queue does not answer; the erasure may have begun all the same.

        """
        now_ms = self._clock.now_ms()
        erasure_id = self._new_id()
        order = UserOrder(erasure_id)
        self._queue.send(order, SETTLED_MS // 1000)
        new = Erasure(erasure_id, tenant_id, user_id, user_hash(user_id), now_ms)
        erasure = self._records.save(new)
        if erasure is None:
            raise ServiceUnavailable
        try:
            advance = self._removal.advance(erasure, now_ms + DELETE_MS)
            if advance.stage is Stage.UNDER_WAY:
                self._queue.send(order, 0)
        except (ServiceUnavailable, Overtaken):  # the order does the rest
            return erasure
        return advance.erasure

    def get(self, tenant_id: str, erasure_id: str) -> Erasure:
        """Return an erasure of the tenant.

        Raises:
            ErasureNotFound: there is none with this id, any more, or it is another tenant's.
            ServiceUnavailable: the store does not answer.

        """
        found = self._records.get(erasure_id) if is_session_id(erasure_id) else None
        if found is None or found.tenant_id != tenant_id:
            raise ErasureNotFound
        return found


class UserEraser:
    """Carries out orders to go on with an erasure."""

    def __init__(
        self,
        *,
        removal: UserRemoval,
        records: ErasureRecords,
        queue: EraserQueue,
        publisher: EventPublisher,
        clock: Clock,
        source: str,
    ) -> None:
        """Work by `removal`; `publisher` takes the event of a user that was erased, which comes from `source`."""
        self._removal = removal
        self._records = records
        self._queue = queue
        self._publisher = publisher
        self._clock = clock
        self._source = source

    def carry_out(self, order: UserOrder) -> tuple[Erasure, Erasure] | None:
        """Work one turn, order the next one or finish; return the record before and after, None for nothing to do.

        Raises:
            ServiceUnavailable: the store, the queue or the topic does not answer; the order comes again.

        """
        before = self._records.get(order.erasure_id)
        if before is None or before.finished_at_ms is not None:
            return None
        try:
            after, stage = self._removal.advance(before, self._clock.now_ms() + ORDER_MS)
            if stage is Stage.SETTLED:
                after = self._finish(after)
        except Overtaken:
            return None
        if stage is Stage.UNDER_WAY:
            self._queue.send(order, 0)
        elif stage is Stage.PASSED:
            self._queue.send(order, SETTLED_MS // 1000)
        return before, after

    def _finish(self, erasure: Erasure) -> Erasure:
        """Publish, then write the receipt: a crash in between repeats the event, with the same id."""
        finished = erasure._replace(user_id="", finished_at_ms=self._clock.now_ms())
        [outcome] = self._publisher.publish([user_erased_event(finished, self._source)])
        if outcome is not PublishOutcome.SENT:
            raise ServiceUnavailable
        saved = self._records.save(finished)
        if saved is None:
            raise Overtaken
        return saved
