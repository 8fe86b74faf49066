"""Append up to 25 messages with consecutive numbers, all or none. Knows neither HTTP nor AWS.

    take n numbers ──▶ store the messages there, and their key, in one transaction ──▶ done
         ▲                    │ a number was sealed meanwhile: the rest is sealed as well
         └────────────────────┘ without a second renewal

The key is stored with the messages, so whoever repeats the request finds all of them, or nothing.
"""

from collections.abc import Callable, Sequence
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
from agent_sessions.messages.model import KeyRecord, Message, NewMessage, message_of
from agent_sessions.messages.ports import MessageStore, Taking
from agent_sessions.messages.writer import MessageWriter, Taken, not_answerable
from agent_sessions.sessions.attempts import MAX_ATTEMPTS
from agent_sessions.sessions.ids import new_attempt
from agent_sessions.sessions.model import Session


class NewBatch(NamedTuple):
    """A checked request for 1 to 25 messages, under one key and on top of one number."""

    messages: tuple[NewMessage, ...]
    request_hash: bytes = b""
    idempotency_key: str | None = None
    expected_sequence: int | None = None


class AppendedBatch(NamedTuple):
    """What a batch gave: the session as it was then, the messages, and whether this call stored them."""

    session: Session
    messages: list[Message]
    now_ms: int
    is_new: bool
    was_renewed: bool
    sealed: int = 0


class MessageBatches:
    """Writes batches of messages, each within one session of one tenant."""

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
        """Use `store`; the other arguments are those of `MessageService`."""
        self._store = store
        self._clock = clock
        self._limit = limit
        self._writes = writes
        self._writer = MessageWriter(store, clock, jitter, retention_ms)

    def append(self, tenant_id: str, session_id: str, new: NewBatch) -> AppendedBatch:
        """Store the messages as the session's next ones or, on a repeated key, return those that were stored.

        Raises:
            InvalidRequest: an `in_reply_to` is no earlier message of this session; the fields are named with their
                places, such as `messages[3].inReplyTo`.
            MessageLimitReached: the session has no room for all of them.
            SessionNotFound, SessionExpired, PreconditionFailed, IdempotencyKeyReused, TooManyConflicts,
                ServiceUnavailable: as `MessageService.append`.

        """
        session = self._writer.read_live(tenant_id, session_id)
        if new.idempotency_key is not None:
            record = self._store.key_record(session, number_of_key(new.idempotency_key), consistent=False)
            if record is not None:
                return self._repeated(tenant_id, session, record, new)
        answered, taking = self._taking(session, new)
        try:
            return self._stored(tenant_id, session, new, answered, taking)
        except (PreconditionFailed, MessageLimitReached):  # a key that was used already wins
            if new.idempotency_key is None:
                raise
            record = self._store.key_record(session, number_of_key(new.idempotency_key), consistent=True)
            if record is None:
                raise
            return self._repeated(tenant_id, session, record, new)

    def _taking(self, session: Session, new: NewBatch) -> tuple[list[int | None], Taking]:
        """Return the number that each message answers, and what is asked of the session."""
        found = [
            None if each.in_reply_to is None else read_message_id(session.session_id, each.in_reply_to)
            for each in new.messages
        ]
        fields = [f"messages[{place}].inReplyTo" for place in range(len(found))]
        wrong = [
            field
            for field, each, ref in zip(fields, new.messages, found, strict=True)
            if each.in_reply_to is not None and (ref is None or ref.attempt != session.attempt)
        ]
        if wrong:
            raise not_answerable(*wrong)
        answered = [None if ref is None else ref.sequence for ref in found]
        latest, field = max(((number or 0, field) for number, field in zip(answered, fields, strict=True)))
        roles = tuple(each.role for each in new.messages)
        taking = Taking(roles, self._limit, new.expected_sequence, latest or None, session.attempt, field)
        return answered, taking

    def _stored(
        self, tenant_id: str, session: Session, new: NewBatch, answered: Sequence[int | None], taking: Taking
    ) -> AppendedBatch:
        """Take numbers and store the messages there, until none of the numbers is sealed meanwhile."""
        count = len(new.messages)
        if count > self._limit:
            raise MessageLimitReached(self._limit)
        key = new.idempotency_key
        write = self._writes() if key is None else write_of_key(key, new.request_hash)
        renews, was_renewed, sealed = "user" in taking.roles, False, 0
        for attempt in range(MAX_ATTEMPTS):
            taken = self._writer.take(tenant_id, session.session_id, taking, renews=renews and not attempt)
            was_renewed = was_renewed or taken.was_renewed
            messages = _messages(taken, new, answered, write)
            record = None
            if key is not None:
                first = messages[0]
                record = KeyRecord(number_of_key(key), first.sequence, first.created_at_ms, new.request_hash)
            refusal = self._writer.put_all(messages, record, taken)
            if refusal is None:
                return AppendedBatch(taken.session, messages, taken.at_ms, True, was_renewed, sealed)
            sealed += self._writer.seal_own(taken, count, sealed=refusal.slots)
            if refusal.key is not None:
                repeated = self._repeated(tenant_id, taken.session, refusal.key, new)
                return repeated._replace(was_renewed=was_renewed, sealed=sealed)
        raise TooManyConflicts

    def _repeated(self, tenant_id: str, session: Session, record: KeyRecord, new: NewBatch) -> AppendedBatch:
        """Return the messages that a key stands for: they were stored with it."""
        if record.request_hash != new.request_hash:
            raise IdempotencyKeyReused(differing_parts(record.request_hash, new.request_hash))
        low, high = record.sequence, record.sequence + len(new.messages) - 1
        if session.last_sequence < high:
            session = self._writer.check_alive(tenant_id, session.session_id)
        messages: list[Message] = []
        while len(messages) < len(new.messages):
            page = self._store.slots(
                session, low + len(messages), high, newest_first=False, limit=len(new.messages), consistent=True
            )
            messages += [held for held in page.slots if isinstance(held, Message)]
            if not page.cut and len(messages) < len(new.messages):  # the session ended, and what was stored with it
                raise SessionNotFound
        return AppendedBatch(session, messages, self._clock.now_ms(), is_new=False, was_renewed=False)


def _messages(taken: Taken, new: NewBatch, answered: Sequence[int | None], write: bytes) -> list[Message]:
    """Give the messages the numbers that were taken, and a millisecond each."""
    last = taken.session.last_sequence
    at_ms = taken.session.last_message_at_ms or 0
    before_last = range(len(new.messages) - 1, -1, -1)
    return [
        message_of(taken.session, each, number, write)._replace(sequence=last - back, created_at_ms=at_ms - back)
        for each, number, back in zip(new.messages, answered, before_last, strict=True)
    ]
