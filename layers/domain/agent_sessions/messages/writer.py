"""The single writes that an append is made of. Knows neither HTTP nor AWS."""

from collections.abc import Callable
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
from agent_sessions.messages.ports import MessageStore, Taking, TakingAttempt
from agent_sessions.sessions.attempts import Write, live_session, until_accepted
from agent_sessions.sessions.leases import Renewal, RenewalPath, next_attempt
from agent_sessions.sessions.model import Session

LOST_ANSWER_SECONDS: Final = 0.2
"""Longest pause before a message whose answer was lost is stored once more."""

_T = TypeVar("_T")


class Taken(NamedTuple):
    """A number that was taken: the session that gave it, when, and whether the session was renewed."""

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
        """Take the session's next number, and renew it as a heartbeat would where `renews`.

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

    def put(self, message: Message, taken: Taken) -> Slot | None:
        """Store a message under its number; return None, or what stands there of others.

        A writer that is late seals its number instead, as readers may soon pass it (`SETTLED_AFTER_MS`).

        Raises:
            ServiceUnavailable: the writer is late, or the store does not answer.

        """
        if self._clock.now_ms() - taken.at_ms > LONGEST_WRITE_MS:
            self._store.seal(taken.session, message.sequence)
            raise ServiceUnavailable
        held = self._twice(lambda: self._store.put(message), message)
        # After a lost answer, somebody else may have emptied it already.
        is_ours = isinstance(held, Message) and held.redacted and held.write == message.write
        return None if is_ours else held

    def put_key(self, session: Session, record: KeyRecord) -> KeyRecord | None:
        """Remember a key; return None, or what is remembered of it by others."""
        return self._twice(lambda: self._store.put_key(session, record), record)

    def seal_own(self, taken: Taken) -> int:
        """Seal a number that was taken and is not needed, so that no reader waits for it; return how many were."""
        return int(self._store.seal(taken.session, taken.session.last_sequence) is None)

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


def not_answerable() -> InvalidRequest:
    """Return the refusal of an `inReplyTo` that names no earlier message."""
    return InvalidRequest([FieldProblem("inReplyTo", "must be the id of an earlier message of this session")])


def _check(found: Session, taking: Taking) -> None:
    """Refuse what no other attempt could change."""
    if taking.attempt not in (None, found.attempt):
        raise SessionNotFound if taking.answered is None else not_answerable()
    if taking.answered is not None and taking.answered > found.last_sequence:
        raise not_answerable()
    if taking.expected is not None and taking.expected != found.last_sequence:
        raise PreconditionFailed("lastSequence", found.last_sequence)
    if found.last_sequence >= taking.limit:
        raise MessageLimitReached(taking.limit)
