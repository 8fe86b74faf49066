"""What the changes of one session share: who may make them, and how conditional writes are tried until one is accepted.

The heartbeat and the append of a message choose their writes the same way.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from agent_sessions.clock import Clock
from agent_sessions.errors import SessionNotFound, TooManyConflicts
from agent_sessions.sessions.ids import is_session_id
from agent_sessions.sessions.leases import check_alive
from agent_sessions.sessions.model import Session

_A = TypeVar("_A")

MAX_ATTEMPTS: Final = 5
"""Conditional writes one call may try before it gives up (docs/contract.md, Errors)."""


class Write(NamedTuple):
    """Outcome of a conditional write: the session after it or, where it was refused, as it was found (None: gone)."""

    applied: bool
    session: Session | None


class Snapshot(NamedTuple):
    """A session as seen at `now_ms` by the server's clock."""

    session: Session
    now_ms: int


def live_session(found: Session | None, tenant_id: str, now_ms: int, retention_ms: int) -> Session:
    """Return what was found if it is the tenant's session and lives.

    Raises:
        SessionNotFound: nothing was found, another tenant's session, or one that expired more than the retention ago.
        SessionExpired: it expired within the retention.

    """
    if found is None or found.tenant_id != tenant_id:
        raise SessionNotFound
    check_alive(found, now_ms, retention_ms)
    return found


def until_accepted(
    clock: Clock,
    first: _A,
    *,
    write: Callable[[_A, int], Write],
    live: Callable[[Session | None, int], Session],
    choose: Callable[[Session, int, int], _A | None],
) -> tuple[Snapshot, _A | None]:
    """Write a session until a conditional write is accepted; return the session after it, and the accepted attempt.

    `write` carries out an attempt at a moment. Where it is refused, `live` checks what was found, and `choose` returns
    the next attempt from what was found, the moment of the refused one and the present: None where nothing is left to
    write. Raises what `live` and `choose` raise.

    Raises:
        TooManyConflicts: five racing attempts lost.

    """
    now_ms = clock.now_ms()
    attempt = first
    for _ in range(MAX_ATTEMPTS):
        written = write(attempt, now_ms)
        if written.applied and written.session:
            return Snapshot(written.session, now_ms), attempt
        refused_ms, now_ms = now_ms, clock.now_ms()
        found = live(written.session, now_ms)
        chosen = choose(found, refused_ms, now_ms)
        if chosen is None:
            return Snapshot(found, now_ms), None
        attempt = chosen
    raise TooManyConflicts


def check_id(session_id: str) -> None:
    """Return if the text could be a session's id.

    Raises:
        SessionNotFound: it could not.

    """
    if not is_session_id(session_id):
        raise SessionNotFound
