"""Append a message to a session, exactly once where the caller sends a key. Knows neither HTTP nor AWS.

The session gives the numbers and each number is written once, so that a message is either at its number or, once a
reader has sealed that, nowhere:

    take a number ──▶ store the message there ──▶ done
         ▲                    │ sealed meanwhile
         └────────────────────┘ without a second renewal

With a key, the number is remembered under the key before the message is stored: whoever repeats the request finds it,
and stores the message there where the first writer died.
"""

from collections.abc import Callable
from typing import NamedTuple

from agent_sessions.clock import Clock
from agent_sessions.errors import (
    IdempotencyKeyReused,
    MessageLimitReached,
    PreconditionFailed,
    SessionNotFound,
    TooManyConflicts,
)
from agent_sessions.messages.ids import differing_parts, number_of_key, read_message_id, write_of_key
from agent_sessions.messages.model import SEALED_AFTER_MS, KeyRecord, Message, NewMessage, Sealed, Slot, message_of
from agent_sessions.messages.ports import MessageStore, Taking
from agent_sessions.messages.writer import MessageWriter, Taken, not_answerable
from agent_sessions.sessions.attempts import MAX_ATTEMPTS, check_id
from agent_sessions.sessions.ids import new_attempt
from agent_sessions.sessions.model import Session


class Appended(NamedTuple):
    """What an append gave: the session as it was then, the message, and whether this call stored it."""

    session: Session
    message: Message
    now_ms: int
    is_new: bool
    was_renewed: bool
    sealed: int = 0


class _Remembered(NamedTuple):
    """What a key stands for, and the number that this call took for it, if it did."""

    record: KeyRecord
    taken: Taken | None
    was_renewed: bool = False
    sealed: int = 0


class MessageService:
    """Writes the messages of sessions, each within one tenant."""

    def __init__(
        self,
        store: MessageStore,
        clock: Clock,
        *,
        retention_ms: int,
        limit: int,
        jitter: Callable[[], float] = lambda: 0.0,
        writes: Callable[[], bytes] = new_attempt,
    ) -> None:
        """Use `store`. A session may have `limit` messages; `writes` gives what stands for one message being written.

        An expired session is remembered for `retention_ms`; `jitter` gives a number from 0 to 1.
        """
        self._store = store
        self._clock = clock
        self._limit = limit
        self._writes = writes
        self._writer = MessageWriter(store, clock, jitter, retention_ms)

    def append(self, tenant_id: str, session_id: str, new: NewMessage) -> Appended:
        """Store a message as the session's next one or, on a repeated key, return the one that was stored.

        Raises:
            SessionNotFound, SessionExpired: as `SessionService.get`.
            InvalidRequest: `in_reply_to` is no earlier message of this session.
            PreconditionFailed: the session's last number is another than `expected_sequence`.
            MessageLimitReached: the session has as many messages as it may have.
            IdempotencyKeyReused: the key was used with another request.
            TooManyConflicts: five racing attempts lost.
            ServiceUnavailable: the store does not answer.

        """
        check_id(session_id)
        taking = Taking((new.role,), self._limit, new.expected_sequence)
        if new.in_reply_to is not None:
            answered = read_message_id(session_id, new.in_reply_to)
            if answered is None:
                self.check_alive(tenant_id, session_id)
                raise not_answerable()
            taking = taking._replace(answered=answered.sequence, attempt=answered.attempt)
        if new.idempotency_key is None:
            return self._append(tenant_id, session_id, new, taking)
        return self._append_with_key(tenant_id, session_id, new, taking)

    def check_alive(self, tenant_id: str, session_id: str) -> Session:
        """Return the live session, as last written. Raises as `append` does, for want of a session."""
        return self._writer.check_alive(tenant_id, session_id)

    def _append(self, tenant_id: str, session_id: str, new: NewMessage, taking: Taking) -> Appended:
        write = self._writes()
        taken = first = self._writer.take(tenant_id, session_id, taking, renews=new.role == "user")
        taking = taking._replace(attempt=taken.session.attempt)
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                taken = self._writer.take(tenant_id, session_id, taking, renews=False)
            message = message_of(taken.session, new, taking.answered, write)
            held = self._writer.put(message, taken)
            if held is None:
                return Appended(taken.session, message, taken.at_ms, is_new=True, was_renewed=first.was_renewed)
            _check_sealed(held)
        raise TooManyConflicts

    def _append_with_key(self, tenant_id: str, session_id: str, new: NewMessage, taking: Taking) -> Appended:
        """Find what the key stands for, or let it stand for the next number; then see that the message is there."""
        session = self._writer.read_live(tenant_id, session_id)
        if taking.attempt not in (None, session.attempt):
            raise not_answerable()
        taking = taking._replace(attempt=session.attempt)
        write = write_of_key(new.idempotency_key or "", new.request_hash)
        remembered = self._remember(tenant_id, session, new, taking)
        was_renewed = remembered.was_renewed
        for _ in range(MAX_ATTEMPTS):
            record, taken = remembered.record, remembered.taken
            if record.request_hash != new.request_hash:
                raise IdempotencyKeyReused(differing_parts(record.request_hash, new.request_hash))
            if taken is not None:
                session = taken.session
            elif session.last_sequence < record.sequence:
                session = self.check_alive(tenant_id, session_id)
            message = message_of(session, new, taking.answered, write)._replace(
                sequence=record.sequence, created_at_ms=record.created_at_ms
            )
            is_new, held = self._stored(session, message, taken)
            if isinstance(held, Message):
                now_ms = self._clock.now_ms()
                return Appended(session, held, now_ms, is_new, was_renewed=was_renewed, sealed=remembered.sealed)
            remembered = self._remember_anew(tenant_id, session, remembered, taking)
        raise TooManyConflicts

    def _remember(self, tenant_id: str, session: Session, new: NewMessage, taking: Taking) -> _Remembered:
        """Return what a key stands for; where it is new, take a number for it."""
        key = number_of_key(new.idempotency_key or "")
        record = self._store.key_record(session, key, consistent=False)
        if record is not None:
            return _Remembered(record, None)
        try:
            taken = self._writer.take(tenant_id, session.session_id, taking, renews=new.role == "user")
        except (PreconditionFailed, MessageLimitReached):  # a key that was used already wins
            record = self._store.key_record(session, key, consistent=True)
            if record is None:
                raise
            return _Remembered(record, None)
        record = KeyRecord(key, *_given(taken.session), new.request_hash)
        others = self._writer.put_key(session, record)
        if others is None:
            return _Remembered(record, taken, taken.was_renewed)
        return _Remembered(others, None, taken.was_renewed, self._writer.seal_own(taken))

    def _remember_anew(self, tenant_id: str, session: Session, before: _Remembered, taking: Taking) -> _Remembered:
        """Give a key whose number was sealed another one, unless somebody else did meanwhile."""
        taken = self._writer.take(tenant_id, session.session_id, taking, renews=False)
        moved = KeyRecord(before.record.number, *_given(taken.session), before.record.request_hash)
        if self._store.move_key(session, moved, sealed=before.record.sequence):
            return before._replace(record=moved, taken=taken)
        sealed = before.sealed + self._writer.seal_own(taken)
        record = self._store.key_record(session, moved.number, consistent=True)
        if record is None:  # the session ended, and what was remembered with it
            raise SessionNotFound
        return before._replace(record=record, taken=None, sealed=sealed)

    def _stored(self, session: Session, message: Message, taken: Taken | None) -> tuple[bool, Slot]:
        """See that a key's message is at its number; return whether this call stored it, and what stands there."""
        if taken is None:
            held = self._store.get(session, message.sequence)
            if held is not None:
                return False, held
            now_ms = self._clock.now_ms()
            if now_ms - message.created_at_ms > SEALED_AFTER_MS:  # a reader may have passed: nothing comes late
                held = self._store.seal(session, message.sequence)
                return False, held or Sealed(message.sequence)
            taken = Taken(session, now_ms, was_renewed=False)
        held = self._writer.put(message, taken)
        return (True, message) if held is None else (False, held)


def _given(session: Session) -> tuple[int, int]:
    """Return the number that the session gave last, and its moment."""
    return session.last_sequence, session.last_message_at_ms or 0


def _check_sealed(held: Slot) -> None:
    """Return where the number was sealed; a message of others there is a fault of ours."""
    if isinstance(held, Message):
        raise RuntimeError(f"number {held.sequence} of session {held.session_id} was given twice")  # noqa: TRY004
