"""What the sweep does for one session that looks due: a pure decision.

             now          now + look-ahead
──────────────┼──────────────────┼────────────────────▶
  warning at:   WARN · WARN · WARN │ REARM (it was renewed since the appointment was made)
  once warned, until the expiry: WAIT
  expires at + grace ≤ now: EXPIRE, warned or not
"""

from enum import Enum
from typing import Final

from agent_sessions.sessions.model import Session

EXPIRY_GRACE_MS: Final = 5_000
"""How long after its expiry a session is closed and announced: longer than a renewal is usually in flight, so that few
renewals meet a closed session. None can revive one, however late it comes (docs/architecture.md, A sweep)."""


class Action(Enum):
    """What to do for one entry of the due index."""

    GONE = "gone"
    """Deleted, or announced already: nothing to do."""
    REARM = "rearm"
    """Renewed since: move the appointment to the new warning time."""
    WARN = "warn"
    """Publish the warning of this lease."""
    WAIT = "wait"
    """Nothing to do yet."""
    EXPIRE = "expire"
    """Publish the expiry."""


def decide(session: Session | None, now_ms: int, look_ahead_ms: int) -> Action:
    """Decide for a session, as just read, that the index named as due by `now_ms + look_ahead_ms`."""
    if session is None or session.announced:
        return Action.GONE
    if session.expires_at_ms + EXPIRY_GRACE_MS <= now_ms:
        return Action.EXPIRE
    horizon_ms = now_ms + look_ahead_ms
    if session.expires_at_ms <= now_ms or session.warned or session.due_at_ms > horizon_ms:
        return Action.WAIT
    return Action.REARM if session.warning_at_ms > horizon_ms else Action.WARN
