"""The time arithmetic of a session (docs/contract.md, Time): pure functions of a session and a moment.

A lease is one stretch with one `expires_at_ms`. What holds after every function here:

    expires_at = min(renewed_at + timeout, ends_at)      ends_at = created_at + max duration

     created    renewed          warning      expires        ends
    ────┼──────────┼────────────────┼────────────┼─────────────┼───▶
                   │◀────────── timeout ────────▶│
                                    │◀ threshold ▶│
"""

from enum import Enum
from typing import Final, NamedTuple

from agent_sessions.errors import FieldProblem, InvalidRequest, SessionExpired, SessionNotFound, SessionRenewalFailed
from agent_sessions.sessions.model import Session, TimeoutConfig, warning_due_ms


class RenewalPath(Enum):
    """Which single conditional write carries out a heartbeat or a renewal."""

    USUAL = "usual"
    """A whole timeout fits under the cap and the sweep's appointment still holds: no index write."""
    AFTER_WARNING = "after_warning"
    """As usual, but the lease was warned, so the next warning needs a new appointment."""
    TO_CAP = "to_cap"
    """Less than a whole timeout is left: the lease is stretched to `ends_at`, and warned before that."""
    INTO_WARNING = "into_warning"
    """As `TO_CAP`, but less than the threshold is left: the warning is due at once."""
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
    if not session.timeout.auto_renew or session.capped:
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

    Return None where nothing is left to write: the heartbeat renews nothing, and later activity is recorded already.

    With T = 30 minutes, M = 60, a threshold of 5, created at 12:00:

    | found at 12:26 or later            | heartbeat at | path          | expires | warning due |
    |------------------------------------|--------------|---------------|---------|-------------|
    | renewed 12:00, warned at 12:25     | 12:26        | AFTER_WARNING | 12:56   | 12:51       |
    | renewed 12:26, expires 12:56       | 12:40        | TO_CAP        | 13:00   | 12:55       |
    | renewed 12:29, expires 12:59       | 12:58        | INTO_WARNING  | 13:00   | 12:58       |
    | expires 13:00, its end             | 12:59        | ACTIVITY_ONLY | 13:00   | as it was   |
    | lastActivity 12:30:00.040          | 12:30:00.010 | USUAL, counted from 12:30:00.040 inside DynamoDB |

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
        warned_in_time = warning_due_ms(found.ends_at_ms, found.timeout.warning_ms) >= moment_ms
        path = RenewalPath.TO_CAP if warned_in_time else RenewalPath.INTO_WARNING
    return Renewal(path, manual, overtaken_at_ms)


class Patch(NamedTuple):
    """Other timeout settings for a session, and the case in which they come: what must still hold when it is written.

    `was_capped` and `is_capped` are whether the lease ends at the cap before and after the patch. `new_lease` is
    whether the expiry or its reason changes. `warning_due` is whether the moment of the warning has passed already,
    so that it is due at once. The moments are those of a session renewed when it was read.
    """

    timeout: TimeoutConfig
    ends_at_ms: int
    expires_at_ms: int
    was_capped: bool
    is_capped: bool
    new_lease: bool
    warning_due: bool


def patch_of(session: Session, timeout: TimeoutConfig, now_ms: int) -> Patch:
    """Return what other settings make of a session; no activity, and it renews nothing.

    A session created and last renewed at 12:00 with T = 30 minutes, M = 720, a threshold of 5, patched at 12:10:

    | patch              | expires         | reason       | new lease | warning due                |
    |--------------------|-----------------|--------------|-----------|----------------------------|
    | T = 60             | 12:30 to 13:00  | idle         | yes       | 12:55                      |
    | M = 30             | 12:30 as before | max duration | yes       | 12:25                      |
    | M = 20, T = 20     | 12:30 to 12:20  | max duration | yes       | 12:15                      |
    | M = 90             | 12:30 as before | idle         | no        | 12:25                      |
    | threshold = 25     | 12:30 as before | idle         | no        | 12:10: 12:05 is over       |
    """
    ends_at_ms = session.created_at_ms + timeout.max_duration_ms
    expires_at_ms = min(session.renewed_at_ms + timeout.timeout_ms, ends_at_ms)
    is_capped = expires_at_ms == ends_at_ms
    if session.capped != is_capped:
        new_lease = True
    elif is_capped:
        new_lease = ends_at_ms != session.ends_at_ms
    else:
        new_lease = timeout.timeout_ms != session.timeout.timeout_ms
    return Patch(
        timeout=timeout,
        ends_at_ms=ends_at_ms,
        expires_at_ms=expires_at_ms,
        was_capped=session.capped,
        is_capped=is_capped,
        new_lease=new_lease,
        warning_due=warning_due_ms(expires_at_ms, timeout.warning_ms) < now_ms,
    )


def check_still_lives(read: Session, patch: Patch, now_ms: int) -> None:
    """Refuse a patch that would end the session: that is DELETE's job.

    Raises:
        InvalidRequest: naming each setting that would put the expiry at or before `now_ms`.

    """
    timeout = patch.timeout
    problems = [
        FieldProblem(field, "would end the session, which only DELETE does", value)
        for field, value, end_ms in (
            ("timeoutMinutes", timeout.timeout_minutes, read.renewed_at_ms + timeout.timeout_ms),
            ("maxDurationMinutes", timeout.max_duration_minutes, patch.ends_at_ms),
        )
        if end_ms <= now_ms
    ]
    if problems:
        raise InvalidRequest(problems)
