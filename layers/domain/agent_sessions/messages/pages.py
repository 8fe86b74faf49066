"""Read a session's messages in order. Knows neither HTTP nor AWS.

A number is settled when a message or a seal stands under it, open while its writer may still store there. A page never
holds a number above an open one: nothing can appear behind what a reader has read past.

    number   1  2  3  4  5  6  7  8        5 is sealed, 7 is open, the session's last number is 8
             m  m  m  m  s  m  ·  m
    after 3     ▶ 4, 6; 5 is skipped; the cursor is 6 until 7 is settled
    newest first ▶ 6, 4, 3, ...
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from agent_sessions.clock import Clock
from agent_sessions.errors import FieldProblem, InvalidRequest, MessageNotFound, SessionNotFound
from agent_sessions.messages.ids import read_message_id
from agent_sessions.messages.model import (
    MAX_PAGE_BYTES,
    MAX_PAGE_WEIGHT,
    SEALED_AFTER_MS,
    SETTLED_AFTER_MS,
    Message,
    Sealed,
    Slot,
    page_cost,
)
from agent_sessions.messages.ports import MessageStore
from agent_sessions.sessions.attempts import check_id, live_session
from agent_sessions.sessions.model import Session

MAX_QUERIES: Final = 8
"""Queries that one page may take: more than one only for long runs of sealed numbers, or long messages."""
_LOOK_BACK: Final = 100
"""Numbers of one query that looks for open ones."""
EXPORT_LIMIT: Final = 1_000
"""Messages of one part of an export, at most."""
FROM_THE_START: Final = "0"
"""The cursor of an export whose first number was still open."""
MAX_SEALS: Final = 25
"""Numbers that one page may seal; a page ends before the next open one."""


class MessageQuery(NamedTuple):
    """What a reader asks for. The bounds are exclusive; at most one of each kind is given."""

    limit: int = 50
    before_ms: int | None = None
    before_sequence: int | None = None
    after_ms: int | None = None
    after_sequence: int | None = None
    ascending: bool = False
    expired_too: bool = False


class MessagePage(NamedTuple):
    """Messages in the order asked for, and how a reader goes on.

    `read_to` is the number up to which everything is settled and read; `skipped` are sealed numbers of the page's
    stretch; `sealed` is how many of them this read sealed.
    """

    session: Session
    now_ms: int
    messages: list[Message]
    has_more: bool
    skipped: list[int]
    read_to: int
    sealed: int


class _Open(NamedTuple):
    """A number under which nothing stands, and whose writer may still store there."""

    sequence: int


class MessageReader:
    """Reads the messages of sessions, each within one tenant."""

    def __init__(self, store: MessageStore, clock: Clock, *, retention_ms: int) -> None:
        """Read from `store`. An expired session is remembered for `retention_ms`."""
        self._store = store
        self._clock = clock
        self._retention_ms = retention_ms

    def get(self, tenant_id: str, session_id: str, message_id: str, *, expired_too: bool = False) -> Message:
        """Read one message.

        Raises:
            SessionNotFound, SessionExpired: as `SessionService.get`; an expired session is read if `expired_too`.
            MessageNotFound: the session has no message with this id.
            ServiceUnavailable: the store does not answer.

        """
        session, _ = self.session(tenant_id, session_id, expired_too=expired_too)
        ref = read_message_id(session_id, message_id)
        if ref is None or ref.attempt != session.attempt:
            raise MessageNotFound
        found = self._store.get(session, ref.sequence)
        if not isinstance(found, Message):
            raise MessageNotFound
        return found

    def page(self, tenant_id: str, session_id: str, query: MessageQuery) -> MessagePage:
        """Read one page; one read of the session where nothing is new. Raises as `get` does, but for the message."""
        session, now_ms = self.session(tenant_id, session_id, expired_too=query.expired_too)
        return self.page_of(session, now_ms, query)

    def export(self, tenant_id: str, session_id: str, cursor: str | None, *, expired_too: bool) -> MessagePage:
        """Read a session with its messages, oldest first, as many as fit, behind where a part of an export ended.

        A cursor is the id of the last number that was read, or `FROM_THE_START`. Raises as `get`, but for the message.

        Raises:
            InvalidRequest: the cursor is none of this life of the session.

        """
        session, now_ms = self.session(tenant_id, session_id, expired_too=expired_too)
        read_to = 0
        if cursor not in (None, FROM_THE_START):
            ref = read_message_id(session_id, cursor or "")
            if ref is None or ref.attempt != session.attempt:
                raise InvalidRequest([FieldProblem("cursor", "is not a cursor of this export", cursor)])
            read_to = ref.sequence
        return self.page_of(session, now_ms, MessageQuery(EXPORT_LIMIT, after_sequence=read_to, ascending=True))

    def session(self, tenant_id: str, session_id: str, *, expired_too: bool) -> tuple[Session, int]:
        """Read the session as last written, and the moment at which it was live."""
        check_id(session_id)
        found = self._store.session(session_id, consistent=True)
        now_ms = self._clock.now_ms()
        if expired_too:
            if found is None or found.tenant_id != tenant_id or found.is_retired(now_ms, self._retention_ms):
                raise SessionNotFound
            return found, now_ms
        return live_session(found, tenant_id, now_ms, self._retention_ms), now_ms

    def page_of(self, session: Session, now_ms: int, query: MessageQuery) -> MessagePage:
        """Read one page of a session that was just read."""
        walk = _Walk(self._store, session, now_ms)
        high = self._highest(walk, query)
        if query.after_sequence is not None:
            page = walk.upwards(min(query.after_sequence, session.last_sequence) + 1, high, query.limit)
        elif query.after_ms is not None:
            low, _ = walk.around(query.after_ms + 1)
            settled = walk.settled_up_to(low)
            page = walk.upwards(settled + 1, high if settled == low else settled, query.limit)
        else:
            page = walk.downwards(high, query.limit)
        messages = sorted(page.messages, key=lambda message: message.sequence, reverse=not query.ascending)
        return page._replace(messages=messages)

    def _highest(self, walk: "_Walk", query: MessageQuery) -> int:
        last = walk.session.last_sequence
        if query.before_sequence is not None:
            return min(last, query.before_sequence - 1)
        if query.before_ms is None:
            return last
        return walk.around(query.before_ms)[1]


class _Walk:
    """One read of a session's numbers, in either direction, which seals what has been open for too long."""

    def __init__(self, store: MessageStore, session: Session, now_ms: int) -> None:
        self.session = session
        self._store = store
        self._now_ms = now_ms
        self._queries = 0
        self._sealed = 0

    def upwards(self, low: int, high: int, limit: int) -> MessagePage:
        """Return the oldest messages from `low` to `high` that fit."""
        page = _PageUnderWay(limit)
        read_to, has_more, seen = low - 1, False, low - 1
        for slot in self._slots(low, high, newest_first=False, hint=limit + 1):
            if isinstance(slot, _Open):
                return self._finished(page, read_to, has_more=False)
            seen = slot.sequence
            if isinstance(slot, Message) and not page.takes(slot):
                has_more = True
                break
            page.add(slot)
            read_to = slot.sequence
        return self._finished(page, read_to, has_more=has_more or seen < high)

    def downwards(self, high: int, limit: int) -> MessagePage:
        """Return the newest messages up to `high` that fit, all below the lowest open number.

        Numbers below the page are looked at as well, as long as their writers may be under way.
        """
        page = _PageUnderWay(limit)
        top, has_more, seen = high, False, high + 1
        for slot in self._slots(1, high, newest_first=True, hint=limit + 1):
            seen = slot.sequence
            if isinstance(slot, _Open):
                page, top, has_more = _PageUnderWay(limit), slot.sequence - 1, False
            elif isinstance(slot, Sealed) or page.takes(slot):
                page.add(slot)
            else:
                has_more = page.closed = True
            if has_more and isinstance(slot, Message) and self._now_ms - slot.created_at_ms > SETTLED_AFTER_MS:
                break
        return self._finished(page, max(0, top), has_more=has_more or 1 < seen <= high)

    def settled_up_to(self, number: int) -> int:
        """Return `number`, or the one below the lowest open number up to it."""
        settled = number
        if self._now_ms - (self.session.last_message_at_ms or 0) > SETTLED_AFTER_MS:
            return settled
        for slot in self._slots(1, number, newest_first=True, hint=_LOOK_BACK):
            if isinstance(slot, _Open):
                settled = slot.sequence - 1
            elif isinstance(slot, Message) and self._now_ms - slot.created_at_ms > SETTLED_AFTER_MS:
                break
        return settled

    def around(self, moment_ms: int) -> tuple[int, int]:
        """Find a moment by halving, with a dozen single reads: messages are in the order of their moments.

        Return the highest number whose message is older than `moment_ms`, and the number before the first message that
        is not. Sealed and open numbers between the two are neither.
        """
        last = self.session.last_sequence
        last_ms = self.session.last_message_at_ms
        if last_ms is None or last_ms < moment_ms:
            return last, last
        older, newer, before_newer = 0, last + 1, last
        while newer - older > 1:
            middle = (older + newer) // 2
            found = self._first_message(middle, newer - 1)
            if found is not None and found.created_at_ms < moment_ms:
                older = found.sequence
                continue
            newer = middle
            if found is not None:
                before_newer = found.sequence - 1
        return older, before_newer

    def _first_message(self, low: int, high: int) -> Message | None:
        while low <= high:
            slots, _ = self._store.slots(self.session, low, high, newest_first=False, limit=1, consistent=True)
            if not slots:
                return None
            [slot] = slots
            if isinstance(slot, Message):
                return slot
            low = slot.sequence + 1
        return None

    def _slots(self, low: int, high: int, *, newest_first: bool, hint: int) -> Iterator[Slot | _Open]:
        """Give each number from one end to the other: its message, its seal, or that it is open.

        It stops early when a page has taken as many queries as it may. A query may be some milliseconds old: where it
        leaves a number out, that stretch is read once more, as last written.
        """
        consistent = False
        above: Message | None = None
        while low <= high and self._queries < MAX_QUERIES:
            self._queries += 1
            found, cut = self._store.slots(
                self.session, low, high, newest_first=newest_first, limit=hint, consistent=consistent
            )
            numbers = [slot.sequence for slot in found]
            end = (low if newest_first else high) if not cut else numbers[-1]
            span = range(high, end - 1, -1) if newest_first else range(low, end + 1)
            if len(numbers) < len(span) and not consistent:
                consistent = True
                continue
            by_number = {slot.sequence: slot for slot in found}
            for sequence in span:
                slot: Slot | _Open | None = by_number.get(sequence)
                if slot is None:
                    later = above if newest_first else _next_message(by_number, sequence, end)
                    slot = self._judged(sequence, later)
                yield slot
                if isinstance(slot, Message):
                    above = slot
            consistent = False
            low, high = (low, end - 1) if newest_first else (end + 1, high)

    def _judged(self, sequence: int, later: Message | None) -> Slot | _Open:
        """Seal a number that has been open for too long, by the message after it, or by the session's last one."""
        taken_by_ms = later.created_at_ms if later else self.session.last_message_at_ms or 0
        if self._now_ms - taken_by_ms < SEALED_AFTER_MS or self._sealed >= MAX_SEALS:
            return _Open(sequence)
        held = self._store.seal(self.session, sequence)
        if held is None:
            self._sealed += 1
            return Sealed(sequence)
        return held

    def _finished(self, page: "_PageUnderWay", read_to: int, *, has_more: bool) -> MessagePage:
        return MessagePage(
            session=self.session,
            now_ms=self._now_ms,
            messages=page.messages,
            has_more=has_more,
            skipped=sorted(page.skipped),
            read_to=read_to,
            sealed=self._sealed,
        )


class _PageUnderWay:
    """The messages that fit on a page, as they come."""

    def __init__(self, limit: int) -> None:
        self.messages: list[Message] = []
        self.skipped: list[int] = []
        self.closed = False
        self._limit = limit
        self._bytes = 0
        self._weight = 0

    def takes(self, message: Message) -> bool:
        """Return whether the message still fits; the first one always does."""
        if self.closed or len(self.messages) == self._limit:
            return False
        stored, weight = page_cost(message)
        return not self.messages or (
            self._bytes + stored <= MAX_PAGE_BYTES and self._weight + weight <= MAX_PAGE_WEIGHT
        )

    def add(self, slot: Slot) -> None:
        """Take a message that fits, or a sealed number."""
        if self.closed:
            return
        if isinstance(slot, Sealed):
            self.skipped.append(slot.sequence)
            return
        stored, weight = page_cost(slot)
        self._bytes += stored
        self._weight += weight
        self.messages.append(slot)


def _next_message(by_number: dict[int, Slot], sequence: int, end: int) -> Message | None:
    for number in range(sequence + 1, end + 1):
        slot = by_number.get(number)
        if isinstance(slot, Message):
            return slot
    return None
