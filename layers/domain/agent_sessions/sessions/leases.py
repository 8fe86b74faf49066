"""The time arithmetic of API.md section 3: pure functions of a session and a moment.

A lease is one stretch with one `expires_at_ms`. What holds after every function here:

    expires_at = min(renewed_at + timeout, ends_at)      ends_at = created_at + max duration

     created    renewed          warning      expires        ends
    ────┼──────────┼────────────────┼────────────┼─────────────┼───▶
                   │◀────────── timeout ────────▶│
                                    │◀ threshold ▶│
"""

from enum import Enum
from typing import Final, NamedTuple

from agent_sessions.errors import SessionExpired, SessionNotFound, SessionRenewalFailed
from agent_sessions.sessions.model import Session, TimeoutConfig


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


WARNED_EARLY_MS: Final = 180_000
"""How long before its time a warning may go out, at most, in milliseconds."""


def renew_after_ms(session: Session) -> int | None:
    """Return the moment until which a heartbeat is not worth its cost, or None where a heartbeat can renew nothing.

    It lies half-way between the last renewal and the earliest moment at which the warning may go out. Renewed at 0 with
    a timeout of 30 minutes and a threshold of 5, a session may be warned from minute 22 on: the answer is minute 11.
    With a timeout of 7 and a threshold of 5 it may be warned at once: the answer is the renewal itself.
    """
    if not session.timeout.auto_renew or session.expires_at_ms >= session.ends_at_ms:
        return None
    warned_from_ms = session.warning_at_ms - WARNED_EARLY_MS
    return session.renewed_at_ms + max(0, warned_from_ms - session.renewed_at_ms) // 2


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


class Renewal(NamedTuple):
    """One attempt at a heartbeat or a renewal: its path; whether it is `manual`, which `autoRenew` does not stop.

    `overtaken_at_ms` is when an earlier attempt met activity recorded by a clock ahead of ours: that activity, or any
    later one, then stands for now.
    """

    path: RenewalPath
    manual: bool
    overtaken_at_ms: int | None = None


def next_attempt(found: Session, refused_ms: int, now_ms: int, *, manual: bool) -> Renewal | None:
    """Choose the write for a live session, as it was found by an attempt at `refused_ms` that was refused.

    None where nothing is left to write: the heartbeat renews nothing, and later activity is recorded already.

    Raises:
        SessionRenewalFailed: a manual renewal has nothing left to gain.

    """
    overtaken_at_ms = refused_ms if found.last_activity_ms > refused_ms else None
    renews = manual or found.timeout.auto_renew
    if not renews or found.expires_at_ms >= found.ends_at_ms:
        if manual:
            raise SessionRenewalFailed(found.ends_at_ms)
        return None if overtaken_at_ms is not None else Renewal(RenewalPath.ACTIVITY_ONLY, manual)
    moment_ms = now_ms if overtaken_at_ms is None else found.last_activity_ms
    path = RenewalPath.AFTER_WARNING if found.warned else RenewalPath.USUAL
    if moment_ms + found.timeout.timeout_ms >= found.ends_at_ms:
        path = RenewalPath.TO_CAP
    return Renewal(path, manual, overtaken_at_ms)


class Patch(NamedTuple):
    """Other timeout settings for a session, and the case in which they come: what must still hold when it is written.

    `was_capped` and `is_capped` say whether the lease ends at the cap before and after, `moves` whether it moves,
    which starts a new lease. Where only one of the first two holds, the expiry moves unless the last renewal was
    exactly at `unmoved_from_ms`. The rest is what a session renewed when it was read would have.
    """

    timeout: TimeoutConfig
    ends_at_ms: int
    expires_at_ms: int
    was_capped: bool
    is_capped: bool
    moves: bool
    unmoved_from_ms: int


def patch_of(session: Session, timeout: TimeoutConfig) -> Patch:
    """Work out what other settings make of a session; no activity, and it renews nothing."""
    ends_at_ms = session.created_at_ms + timeout.max_duration_ms
    expires_at_ms = min(session.renewed_at_ms + timeout.timeout_ms, ends_at_ms)
    was_capped = session.expires_at_ms == session.ends_at_ms
    is_capped = expires_at_ms == ends_at_ms
    return Patch(
        timeout=timeout,
        ends_at_ms=ends_at_ms,
        expires_at_ms=expires_at_ms,
        was_capped=was_capped,
        is_capped=is_capped,
        moves=expires_at_ms != session.expires_at_ms,
        unmoved_from_ms=session.ends_at_ms - timeout.timeout_ms
        if was_capped
        else ends_at_ms - session.timeout.timeout_ms,
    )
