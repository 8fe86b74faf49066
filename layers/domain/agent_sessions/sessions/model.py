"""What a session is. Plain values in epoch milliseconds and minutes; knows no storage, no HTTP, no clock."""

from typing import NamedTuple

from agent_sessions.errors import ExpiryReason

MS_PER_MINUTE = 60_000

Minutes = int | float
"""Minutes as the caller sent them; whole numbers are kept as `int` so that 30.0 and 30 are one value."""


def minutes_to_ms(minutes: Minutes) -> int:
    """Return `minutes` in milliseconds, rounded to the nearest one (API.md: kept to the millisecond)."""
    return round(minutes * MS_PER_MINUTE)


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


class Session(NamedTuple):
    """One session as stored. All `_ms` values are epoch milliseconds.

    `due_at_ms` is when the sweep has something to do for it next: the warning while `due_at_ms < expires_at_ms`,
    the expiry once the present lease has been warned. `announced` is set for good when the expiry was published.
    `request_hash` stands for the create request, `attempt` for the one call that carried it out.
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
    announced: bool = False

    @property
    def reason(self) -> ExpiryReason:
        """Why the session ends, or ended, at `expires_at_ms`."""
        return "max_duration" if self.expires_at_ms == self.ends_at_ms else "idle_timeout"

    @property
    def warned(self) -> bool:
        """Whether the warning of the present lease has gone out."""
        return self.due_at_ms >= self.expires_at_ms

    @property
    def warning_at_ms(self) -> int:
        """When the warning of the present lease is due."""
        return self.expires_at_ms - self.timeout.warning_ms

    def is_expired(self, now_ms: int) -> bool:
        """Tell whether the session is over; one whose expiry was announced is, whatever the clock says."""
        return self.announced or self.expires_at_ms <= now_ms

    def is_retired(self, now_ms: int, retention_ms: int) -> bool:
        """Tell whether even the memory of the expired session is over, so that it counts as unknown."""
        return self.expires_at_ms + retention_ms <= now_ms

    def time_remaining_ms(self, now_ms: int) -> int:
        """Return milliseconds until expiry, never negative."""
        return 0 if self.announced else max(0, self.expires_at_ms - now_ms)

    def is_near_expiration(self, now_ms: int) -> bool:
        """Tell whether the session lives and has at most its warning threshold left."""
        return 0 < self.time_remaining_ms(now_ms) <= self.timeout.warning_ms
