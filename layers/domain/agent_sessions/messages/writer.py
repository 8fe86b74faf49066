"""The single writes that an append is made of. Knows neither HTTP nor AWS."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from agent_sessions.clock import Clock
from agent_sessions.errors import (
    FieldProblem,
    InvalidRequest,
    MessageLimitReached,
    PreconditionFailed,
    ServiceUnavailable,
    SessionNotFound,
)
from agent_sessions.messages.model import LONGEST_WRITE_MS, KeyRecord, Message, Slot
from agent_sessions.messages.ports import MessageStore, Refusal, Taking, TakingAttempt
from agent_sessions.sessions.attempts import Write, check_id, live_session, until_accepted
from agent_sessions.sessions.leases import Renewal, RenewalPath, next_attempt
from agent_sessions.sessions.model import Session

LOST_ANSWER_SECONDS: Final = 0.2
"""Longest pause before a message whose answer was lost is stored once more."""

_T = TypeVar("_T")


class Taken(NamedTuple):
    """Numbers that were taken: the session that gave them, when, and whether the session was renewed."""

    session: Session
    at_ms: int
    was_renewed: bool


class MessageWriter:
    """Takes numbers, and stores or seals what they are for."""

    def __init__(self, store: MessageStore, clock: Clock, jitter: Callable[[], float], retention_ms: int) -> None:
        """Write to `store`. `jitter` gives a number from 0 to 1; an expired session is known for `retention_ms`."""
        self._store = store
        self._clock = clock
        self._jitter = jitter
        self._retention_ms = retention_ms

    def take(self, tenant_id: str, session_id: str, taking: Taking, *, renews: bool) -> Taken:
        """Take the session's next numbers, and renew it as a heartbeat would where `renews`.

        Raises:
            SessionNotFound, SessionExpired: there is no such live session, or this life of it is over.
            InvalidRequest: the session never gave the number that is answered.
            PreconditionFailed, MessageLimitReached: as `MessageService.append`.
            TooManyConflicts: five racing attempts lost.

        """

        def write(attempt: TakingAttempt, now_ms: int) -> Write:
            return self._store.take_number(session_id, tenant_id, attempt, now_ms)

        def choose(found: Session, refused_ms: int, now_ms: int) -> TakingAttempt:
            _check(found, taking)
            overtaken_ms = refused_ms if (found.last_message_at_ms or 0) >= refused_ms else None
            if not renews:
                return TakingAttempt(taking, None, overtaken_ms)
            renewal = next_attempt(found, refused_ms, now_ms, manual=False)
            nothing_left = Renewal(RenewalPath.ACTIVITY_ONLY, manual=False, overtaken_at_ms=refused_ms)
            return TakingAttempt(taking, renewal or nothing_left, overtaken_ms)

        first = TakingAttempt(taking, Renewal(RenewalPath.USUAL, manual=False) if renews else None)
        accepted = until_accepted(
            self._clock,
            first,
            write=write,
            live=lambda found, now_ms: live_session(found, tenant_id, now_ms, self._retention_ms),
            choose=choose,
        )
        snapshot, attempt = accepted
        renewal = attempt.renewal if attempt else None
        was_renewed = renewal is not None and renewal.path is not RenewalPath.ACTIVITY_ONLY
        return Taken(snapshot.session, snapshot.now_ms, was_renewed)

    def check_alive(self, tenant_id: str, session_id: str) -> Session:
        """Return the live session, as last written.

        Raises:
            SessionNotFound, SessionExpired: as `SessionService.get`.

        """
        check_id(session_id)
        found = self._store.session(session_id, consistent=True)
        return live_session(found, tenant_id, self._clock.now_ms(), self._retention_ms)

    def read_live(self, tenant_id: str, session_id: str) -> Session:
        """Read the live session; some milliseconds old, where that shows one. Raises as `check_alive`."""
        session = self._store.session(session_id, consistent=False)
        if session is None or session.tenant_id != tenant_id or session.is_expired(self._clock.now_ms()):
            return self.check_alive(tenant_id, session_id)
        return session

    def put(self, message: Message, taken: Taken) -> Slot | None:
        """Store a message under its number; return None, or what stands there of others.

        A writer that is late seals its number instead, as readers may soon pass it (`SETTLED_AFTER_MS`).

        Raises:
            ServiceUnavailable: the writer is late, or the store does not answer.

        """
        self._check_in_time(taken, [message])
        held = self._twice(lambda: self._store.put(message), message)
        # After a lost answer, somebody else may have emptied it already.
        is_ours = isinstance(held, Message) and held.redacted and held.write == message.write
        return None if is_ours else held

    def put_all(self, messages: Sequence[Message], record: KeyRecord | None, taken: Taken) -> Refusal | None:
        """Store a batch under its numbers, and remember its key: all or nothing. Return None, or why nothing was.

        What stands under a number or is remembered with it is ours, where it is no seal: nobody else has the numbers.
        Raises as `put` does.
        """
        self._check_in_time(taken, messages)
        refusal = self._twice(lambda: self._store.put_all(taken.session, messages, record), None)
        is_ours = refusal is not None and any(
            isinstance(held, Message) and held.write == messages[0].write for held in refusal.slots
        )
        return None if is_ours else refusal

    def put_key(self, session: Session, record: KeyRecord) -> KeyRecord | None:
        """Remember a key; return None, or what is remembered of it by others."""
        return self._twice(lambda: self._store.put_key(session, record), record)

    def seal_own(self, taken: Taken, count: int = 1, *, sealed: Sequence[Slot] = ()) -> int:
        """Seal the `count` numbers that were taken and are not needed, but for those where `sealed` stands already.

        No reader waits for them then. Return how many this call sealed.
        """
        last = taken.session.last_sequence
        unused = set(range(last - count + 1, last + 1)) - {slot.sequence for slot in sealed}
        return sum(self._store.seal(taken.session, each) is None for each in sorted(unused))

    def _check_in_time(self, taken: Taken, messages: Sequence[Message]) -> None:
        if self._clock.now_ms() - taken.at_ms > LONGEST_WRITE_MS:
            for message in messages:
                self._store.seal(taken.session, message.sequence)
            raise ServiceUnavailable

    def _twice(self, put: Callable[[], _T], written: object) -> _T | None:
        """Write what is written once; return None, or what stands there of others.

        After a lost answer the write is asked for once more: what it meets then may be `written`, which is ours. What a
        first write meets never is, even where it is the same: callers who share a key write the same message.
        """
        try:
            return put()
        except ServiceUnavailable:
            self._clock.sleep(LOST_ANSWER_SECONDS * self._jitter())
            held = put()
            return None if held == written else held


def not_answerable(*fields: str) -> InvalidRequest:
    """Return the refusal of fields, each an `inReplyTo` that names no earlier message."""
    rule = "must be the id of an earlier message of this session"
    return InvalidRequest([FieldProblem(field, rule) for field in fields or ("inReplyTo",)])


def _check(found: Session, taking: Taking) -> None:
    """Refuse what no other attempt could change."""
    if taking.attempt not in (None, found.attempt):
        raise SessionNotFound if taking.answered is None else not_answerable(taking.answer_field)
    if taking.answered is not None and taking.answered > found.last_sequence:
        raise not_answerable(taking.answer_field)
    if taking.expected is not None and taking.expected != found.last_sequence:
        raise PreconditionFailed("lastSequence", found.last_sequence)
    if found.last_sequence + len(taking.roles) > taking.limit:
        raise MessageLimitReached(taking.limit)
