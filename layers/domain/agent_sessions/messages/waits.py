"""Wait in a session: for an agent's reply, or for anything new. Knows neither HTTP nor AWS.

Each round costs one read of the session, which may be some milliseconds old; more is read only where something changed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from agent_sessions.clock import Clock
from agent_sessions.errors import ServiceUnavailable
from agent_sessions.messages.model import Message
from agent_sessions.messages.pages import MessagePage, MessageQuery, MessageReader
from agent_sessions.messages.ports import MessageStore
from agent_sessions.messages.service import Appended
from agent_sessions.sessions.model import Session

LONGEST_WAIT_MS: Final = 22_000
"""How long after a request's arrival a wait ends at the latest, with the calls to the store, in milliseconds."""
FIRST_PAUSE_MS: Final = 100
LONGEST_PAUSE_MS: Final = 1_000
_PAGE: Final = 100


class Waited(NamedTuple):
    """An agent's message, or None where none came in time; and how long the wait took, in milliseconds."""

    reply: Message | None
    waited_ms: int


class MessageWait:
    """Waits by the clock, until something comes, the session ends, or the time is over."""

    def __init__(self, store: MessageStore, reader: MessageReader, clock: Clock) -> None:
        """Look at sessions in `store`, and read pages by `reader`."""
        self._store = store
        self._reader = reader
        self._clock = clock

    def for_reply(self, appended: Appended, arrived_ms: int, wait_ms: int) -> Waited:
        """Wait for a message of an agent with a higher number than the appended one. Raises nothing.

        What was appended is stored: where the store does not answer, the wait ends without a reply.
        """
        began_ms = self._clock.now_ms()
        try:
            reply = self._reply(appended, arrived_ms, wait_ms)
        except ServiceUnavailable:
            reply = None
        return Waited(reply, self._clock.now_ms() - began_ms)

    def for_page(
        self, tenant_id: str, session_id: str, query: MessageQuery, arrived_ms: int, wait_ms: int
    ) -> MessagePage:
        """Read the page that follows `query.after_sequence`; wait where it is empty. Raises as `MessageReader.page`."""
        page = self._reader.page(tenant_id, session_id, query)
        skipped, sealed = page.skipped, page.sealed
        rounds = _Rounds(self._clock, arrived_ms, wait_ms)
        while not page.messages and rounds.pause(page.session):
            with rounds.timed():
                seen = self._store.session(session_id, consistent=False)
            now_ms = self._clock.now_ms()
            if seen and _goes_on(seen, page.session, now_ms) and seen.last_sequence <= page.read_to:
                page = page._replace(session=_later(page.session, seen), now_ms=now_ms)
                continue
            with rounds.timed():
                page = self._reader.page(tenant_id, session_id, query._replace(after_sequence=page.read_to))
            skipped, sealed = skipped + page.skipped, sealed + page.sealed
        return page._replace(skipped=skipped, sealed=sealed)

    def _reply(self, appended: Appended, arrived_ms: int, wait_ms: int) -> Message | None:
        session, looked_to = appended.session, appended.message.sequence
        rounds = _Rounds(self._clock, arrived_ms, wait_ms)
        while True:
            if session.last_sequence > looked_to:
                with rounds.timed():
                    reply, looked_to = self._first_of_agent(session, looked_to)
                if reply is not None:
                    return reply
            if not rounds.pause(session):
                return None
            for consistent in (False, True):  # a read that is some milliseconds old ends no wait
                with rounds.timed():
                    seen = self._store.session(session.session_id, consistent=consistent)
                if seen and _goes_on(seen, session, self._clock.now_ms()):
                    break
            else:
                return None
            session = _later(session, seen)

    def _first_of_agent(self, session: Session, looked_to: int) -> tuple[Message | None, int]:
        """Look for an agent's message above a number; return it, and the number up to which none can come any more."""
        slots, _ = self._store.slots(
            session, looked_to + 1, session.last_sequence, newest_first=False, limit=_PAGE, consistent=False
        )
        for slot in slots:
            if isinstance(slot, Message) and slot.role == "agent" and not slot.redacted:
                return slot, looked_to
        for slot in slots:
            if slot.sequence != looked_to + 1:
                break
            looked_to = slot.sequence
        return None, looked_to


class _Rounds:
    """The pauses of one wait: they grow, and end with the session, or so early that the last calls end in time."""

    def __init__(self, clock: Clock, arrived_ms: int, wait_ms: int) -> None:
        self._clock = clock
        self._until_ms = arrived_ms + wait_ms
        self._latest_ms = arrived_ms + LONGEST_WAIT_MS
        self._slowest_ms = 0
        self._pauses = _pauses()

    def pause(self, session: Session) -> bool:
        """Let a pause pass; return whether there is time for another look."""
        now_ms = self._clock.now_ms()
        until_ms = min(self._until_ms, self._latest_ms - 2 * self._slowest_ms)
        if now_ms >= until_ms or session.is_expired(now_ms):
            return False
        self._clock.sleep(min(next(self._pauses), until_ms - now_ms, session.expires_at_ms - now_ms) / 1000)
        return True

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Make a call to the store, and keep how long the slowest took."""
        began_ms = self._clock.now_ms()
        yield
        self._slowest_ms = max(self._slowest_ms, self._clock.now_ms() - began_ms)


def _pauses() -> Iterator[int]:
    pause_ms = FIRST_PAUSE_MS
    while True:
        yield pause_ms
        pause_ms = min(LONGEST_PAUSE_MS, pause_ms * 3 // 2)


def _goes_on(seen: Session, before: Session, now_ms: int) -> bool:
    """Return whether the session that was seen is the one from before, and lives."""
    return seen.attempt == before.attempt and not seen.is_expired(now_ms)


def _later(one: Session, other: Session) -> Session:
    """Return the session that was written later: a read may be some milliseconds old."""
    is_newer = (other.last_sequence, other.lease, other.last_activity_ms) >= (
        one.last_sequence,
        one.lease,
        one.last_activity_ms,
    )
    return other if is_newer else one
