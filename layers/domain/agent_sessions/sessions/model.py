"""What a session is. Plain values in epoch milliseconds and minutes; knows no storage, no HTTP, no clock."""

from typing import NamedTuple

from agent_sessions.errors import ExpiryReason

MS_PER_MINUTE = 60_000
MS_PER_DAY = 86_400_000

Minutes = int | float
"""Minutes as the caller sent them; whole numbers are kept as `int` so that 30.0 and 30 are one value."""


def minutes_to_ms(minutes: Minutes) -> int:
    """Return `minutes` in milliseconds, rounded to the nearest one."""
    return round(minutes * MS_PER_MINUTE)


def warning_due_ms(expires_at_ms: int, warning_ms: int) -> int:
    """Return when the warning of a lease is due: the one definition. `warning_ms` is the threshold.

    With a lease that begins at 0 in place of a moment, the answer is how long after a renewal the warning is due.
    """
    return expires_at_ms - warning_ms


def purge_at_seconds(created_at_ms: int, longest_ms: int, retention_ms: int) -> int:
    """Return when DynamoDB may delete a session's record, in epoch seconds. No renewal and no patch moves it.

    The latest end that a patch can give the session, `longest_ms` after its creation, plus the retention, plus a day,
    so that the session's record outlives what belongs to it.
    """
    return -((created_at_ms + longest_ms + retention_ms + MS_PER_DAY) // -1000)


def life_of(session_id: str, attempt: bytes) -> str:
    """Return the name of one life of a session: an idempotency key can bring a session's id back after its end."""
    return f"{session_id}#{attempt.hex()}"


class TimeoutConfig(NamedTuple):
    """The four timeout settings in force for one session, in minutes as sent."""

    timeout_minutes: Minutes
    auto_renew: bool
    max_duration_minutes: Minutes
    warning_threshold_minutes: Minutes

    @property
    def timeout_ms(self) -> int:
        """Inactivity timeout in milliseconds."""
        return minutes_to_ms(self.timeout_minutes)

    @property
    def max_duration_ms(self) -> int:
        """Total lifetime from creation, in milliseconds."""
        return minutes_to_ms(self.max_duration_minutes)

    @property
    def warning_ms(self) -> int:
        """How long before expiry the warning goes out, in milliseconds."""
        return minutes_to_ms(self.warning_threshold_minutes)

    @property
    def warn_after_ms(self) -> int:
        """How long after a renewal the warning is due where the cap is far, in milliseconds."""
        return warning_due_ms(self.timeout_ms, self.warning_ms)


class Session(NamedTuple):
    """One session as stored. All `_ms` values are epoch milliseconds.

    `due_at_ms` is when the sweep has something to do for it next: the warning while `due_at_ms < expires_at_ms`,
    the expiry once the present lease has been warned. `closed` is set for good before the expiry is published, and
    refuses every renewal; `announced` is set after. `request_hash` stands for the create request, `attempt` (8 random
    bytes) for the one write that carried it out, and so for this life of the session. `purge_at_seconds` is when
    DynamoDB may delete the record, in epoch seconds. `last_sequence` is the highest number that a message was given, at
    `last_message_at_ms`; `open_sequence` is the number of the last user's message that no agent has answered.
    """

    session_id: str
    tenant_id: str
    agent_id: str
    user_id: str
    metadata_json: str
    request_hash: bytes
    attempt: bytes
    timeout: TimeoutConfig
    created_at_ms: int
    last_activity_ms: int
    renewed_at_ms: int
    expires_at_ms: int
    ends_at_ms: int
    renewal_count: int
    lease: int
    due_at_ms: int
    purge_at_seconds: int
    closed: bool = False
    announced: bool = False
    last_sequence: int = 0
    last_message_at_ms: int | None = None
    open_sequence: int | None = None

    @property
    def life(self) -> str:
        """The name of this life of the session."""
        return life_of(self.session_id, self.attempt)

    @property
    def reason(self) -> ExpiryReason:
        """Why the session ends, or ended, at `expires_at_ms`."""
        return "max_duration" if self.capped else "idle_timeout"

    @property
    def warned(self) -> bool:
        """Whether the warning of the present lease has gone out."""
        return self.due_at_ms >= self.expires_at_ms

    @property
    def warning_at_ms(self) -> int:
        """When the warning of the present lease is due."""
        return warning_due_ms(self.expires_at_ms, self.timeout.warning_ms)

    @property
    def capped(self) -> bool:
        """Whether the lease ends at the end of the maximum duration, so that nothing can renew it."""
        return self.expires_at_ms == self.ends_at_ms

    def is_expired(self, now_ms: int) -> bool:
        """Return whether the session is over; a closed one is, whatever the clock says."""
        return self.closed or self.expires_at_ms <= now_ms

    def is_retired(self, now_ms: int, retention_ms: int) -> bool:
        """Return whether the retention of the expired session is over too, so that it counts as unknown."""
        return self.expires_at_ms + retention_ms <= now_ms

    def time_remaining_ms(self, now_ms: int) -> int:
        """Return milliseconds until expiry, never negative."""
        return 0 if self.closed else max(0, self.expires_at_ms - now_ms)

    def is_near_expiration(self, now_ms: int) -> bool:
        """Return whether the session lives and has at most its warning threshold left."""
        return 0 < self.time_remaining_ms(now_ms) <= self.timeout.warning_ms
