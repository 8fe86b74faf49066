"""The time arithmetic of API.md section 3: pure functions of a session and a moment.

A lease is one stretch with one `expires_at_ms`. What holds after every function here:

    expires_at = min(renewed_at + timeout, ends_at)      ends_at = created_at + max duration

     created    renewed          warning      expires        ends
    ────┼──────────┼────────────────┼────────────┼─────────────┼───▶
                   │◀────────── timeout ────────▶│
                                    │◀ threshold ▶│
"""

from dataclasses import replace
from enum import Enum

from agent_sessions.errors import SessionExpired, SessionNotFound, SessionRenewalFailed
from agent_sessions.model import Session, TimeoutConfig


class RenewalPath(Enum):
    """Which single conditional write carries out a heartbeat or a renewal."""

    USUAL = "usual"
    """A whole timeout fits under the cap and the sweep's appointment still holds: no index write."""
    AFTER_WARNING = "after_warning"
    """As usual, but the lease was warned, so the next warning needs a new appointment."""
    TO_CAP = "to_cap"
    """Less than a whole timeout is left: the lease is stretched to `ends_at`."""
    ACTIVITY_ONLY = "activity_only"
    """A heartbeat that renews nothing: `autoRenew` is off, or the cap is reached."""


def check_alive(session: Session, now_ms: int, retention_ms: int) -> None:
    """Return if the session lives at `now_ms`.

    Raises:
        SessionNotFound: it expired more than the retention ago.
        SessionExpired: it expired within the retention.

    """
    if not session.is_expired(now_ms):
        return
    if session.is_retired(now_ms, retention_ms):
        raise SessionNotFound
    raise SessionExpired(session.expires_at_ms, session.reason)


def activity_time_ms(session: Session, now_ms: int) -> int:
    """Return the moment that counts as now: clocks of two functions differ, recorded time never goes back."""
    return max(now_ms, session.renewed_at_ms, session.last_activity_ms)


def choose_path(session: Session, now_ms: int, *, manual: bool) -> RenewalPath:
    """Choose the write for a live session; `manual` is a renew, which `autoRenew` does not stop.

    Raises:
        SessionRenewalFailed: a manual renewal has nothing left to gain.

    """
    if not manual and not session.timeout.auto_renew:
        return RenewalPath.ACTIVITY_ONLY
    if session.expires_at_ms >= session.ends_at_ms:
        if manual:
            raise SessionRenewalFailed(session.ends_at_ms)
        return RenewalPath.ACTIVITY_ONLY
    if activity_time_ms(session, now_ms) + session.timeout.timeout_ms >= session.ends_at_ms:
        return RenewalPath.TO_CAP
    return RenewalPath.AFTER_WARNING if session.warned else RenewalPath.USUAL


def patched(session: Session, timeout: TimeoutConfig) -> Session:
    """Return the session under other timeout settings; no activity, and never announced or renewed by it.

    A moved expiry starts a new lease with a warning of its own. Where it did not move, a lease that has been warned
    stays warned.
    """
    ends_at_ms = session.created_at_ms + timeout.max_duration_ms
    expires_at_ms = min(session.renewed_at_ms + timeout.timeout_ms, ends_at_ms)
    moved = expires_at_ms != session.expires_at_ms
    keeps_appointment = session.warned and not moved
    return replace(
        session,
        timeout=timeout,
        ends_at_ms=ends_at_ms,
        expires_at_ms=expires_at_ms,
        lease=session.lease + 1 if moved else session.lease,
        due_at_ms=session.due_at_ms if keeps_appointment else expires_at_ms - timeout.warning_ms,
    )
