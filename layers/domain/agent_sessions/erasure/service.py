"""Ends sessions, and removes what was said in them. Knows neither HTTP nor AWS.

A session that was talked in has its messages in another table, under its life: its id and the attempt that made it.
They are removed in this order, so that a process may die anywhere and nothing is left in the end:

    order the removal, 60 s ahead  →  delete the session  →  remove messages for five seconds
                                                             the order removes the rest, and what writers still in
                                                             flight have added

An order that finds the session still there, in the same life, does nothing: its DELETE failed and was reported so.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from agent_sessions.clock import Clock
from agent_sessions.erasure.ports import UserOrder
from agent_sessions.errors import ServiceUnavailable, SessionNotFound, TooManyConflicts
from agent_sessions.sessions.attempts import MAX_ATTEMPTS
from agent_sessions.sessions.ids import is_session_id
from agent_sessions.sessions.model import Session, life_of
from agent_sessions.sessions.service import SessionStore

DELETE_MS: Final = 5_000
"""How long a DELETE removes messages itself; the order takes over what is left."""
ORDER_DELAY_SECONDS: Final = 60
"""How long an order waits: longer than a writer that took its number before the DELETE can still be in flight."""
ORDER_MS: Final = 40_000
"""How long one turn of the eraser works."""


class LifeOrder(NamedTuple):
    """An order to remove all messages and remembered keys of one life of a session."""

    session_id: str
    life: str


class Removal(NamedTuple):
    """What one pass over a life removed: so many messages, and whether more is left."""

    messages: int
    more: bool


class MessagePages(Protocol):
    """Where messages and remembered keys lie. Raises `ServiceUnavailable` when the store does not answer."""

    def remove(self, life: str, stop_at_ms: int) -> Removal:
        """Remove what lies under `life`, page by page, until nothing is left or `stop_at_ms` has passed."""
        ...


class EraserQueue(Protocol):
    """Takes orders for the eraser. Raises `ServiceUnavailable` when the queue does not answer."""

    def send(self, order: LifeOrder | UserOrder, delay_seconds: int) -> None:
        """Keep an order and hand it to the eraser after `delay_seconds`."""
        ...


class Ended(NamedTuple):
    """What a DELETE did: messages removed so far, and whether the eraser still has to remove some."""

    messages_deleted: int
    pending: bool


class SessionRemoval:
    """Ends sessions on request."""

    def __init__(
        self,
        store: SessionStore,
        pages: Callable[[], MessagePages],
        queue: Callable[[], EraserQueue],
        clock: Clock,
        retention_ms: int,
    ) -> None:
        """Use `store`; `pages` and `queue` are asked for only where a session was talked in."""
        self._store = store
        self._pages = pages
        self._queue = queue
        self._clock = clock
        self._retention_ms = retention_ms

    def end(self, tenant_id: str, session_id: str) -> Ended:
        """End a session now and remove its content, expired or not, readable or not.

        Raises:
            SessionNotFound: unknown, deleted, retired, malformed id, or another tenant's.
            ServiceUnavailable: the store or the queue does not answer; the session may still be there.
            TooManyConflicts: the session was deleted and made anew five times meanwhile.

        """
        if not is_session_id(session_id):
            raise SessionNotFound
        attempt: bytes | None = None
        for _ in range(MAX_ATTEMPTS):
            deletion = self._store.delete(session_id, tenant_id, attempt)
            if deletion is None:
                raise SessionNotFound
            if deletion.done:
                ended = Ended(0, pending=False) if attempt is None else self._remove(life_of(session_id, attempt))
                return self._checked(deletion.session, ended)
            attempt = deletion.attempt
            self._queue().send(LifeOrder(session_id, life_of(session_id, attempt)), ORDER_DELAY_SECONDS)
        raise TooManyConflicts

    def _remove(self, life: str) -> Ended:
        """Remove what a caller can wait for. The session is gone: whatever fails, the order does the rest."""
        try:
            removal = self._pages().remove(life, self._clock.now_ms() + DELETE_MS)
        except ServiceUnavailable:
            return Ended(0, pending=True)
        return Ended(removal.messages, pending=removal.more)

    def _checked(self, session: Session | None, ended: Ended) -> Ended:
        if session is not None and session.is_retired(self._clock.now_ms(), self._retention_ms):
            raise SessionNotFound
        return ended


class Eraser:
    """Carries out orders."""

    def __init__(self, store: SessionStore, pages: MessagePages, queue: EraserQueue, clock: Clock) -> None:
        """Look sessions up in `store`, remove from `pages`, and send `queue` the rest of a long order."""
        self._store = store
        self._pages = pages
        self._queue = queue
        self._clock = clock

    def carry_out(self, order: LifeOrder) -> Removal:
        """Remove what an order names, for one turn; send the order on where more is left.

        Raises:
            ServiceUnavailable: the store or the queue does not answer; the order comes again.

        """
        attempt = self._store.attempt_of(order.session_id)
        if attempt is not None and life_of(order.session_id, attempt) == order.life:
            return Removal(0, more=False)
        removal = self._pages.remove(order.life, self._clock.now_ms() + ORDER_MS)
        if removal.more:
            self._queue.send(order, 0)
        return removal
