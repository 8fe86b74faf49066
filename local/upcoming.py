"""Which event is published next: what the page's button says before somebody presses it."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from agent_sessions.sessions.model import MS_PER_MINUTE, Session
from agent_sessions.sweep.decision import EXPIRY_GRACE_MS


class Upcoming(NamedTuple):
    """The next event of a session, and the minute whose sweep publishes it, in epoch milliseconds."""

    at_ms: int
    kind: Literal["expiring", "expired"]
    session_id: str


def next_event(
    due: Iterable[tuple[int, Session | None]], *, first_minute_ms: int, look_ahead_ms: int
) -> Upcoming | None:
    """Return the event that is published first if nobody calls until then; None where none will be.

    `due` has the entries of the due index, earliest first, each with its moment and its session. `first_minute_ms` is
    the next minute that is swept. An entry's moment is never later than what it stands for: a renewal leaves it where
    it is. So an entry that cannot be worth a sweep before the best one so far ends the search. Of several events in one
    minute it is the one of the earliest warning or expiry.
    """
    found: list[tuple[int, int, Upcoming]] = []
    for due_at_ms, session in due:
        if found and minute_from(due_at_ms - look_ahead_ms) > min(found)[0]:
            break
        if session is None or session.announced:
            continue
        warned_ms = max(first_minute_ms, minute_from(session.warning_at_ms - look_ahead_ms))
        expired_ms = max(first_minute_ms, minute_from(session.expires_at_ms + EXPIRY_GRACE_MS))
        if session.warned or warned_ms >= session.expires_at_ms:
            event = Upcoming(expired_ms, "expired", session.session_id)
            found.append((expired_ms, session.expires_at_ms, event))
        else:
            event = Upcoming(warned_ms, "expiring", session.session_id)
            found.append((warned_ms, session.warning_at_ms, event))
    return min(found)[2] if found else None


def minute_from(moment_ms: int) -> int:
    """The first whole minute that is not before the moment."""
    return -(moment_ms // -MS_PER_MINUTE) * MS_PER_MINUTE
