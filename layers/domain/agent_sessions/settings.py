"""Deployment settings, read from a mapping once and checked against one another. Knows no environment of its own.

The names, defaults and bounds of the `SESSION_*` settings are ElizaOS's (docs/contract.md, Create a session).
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from agent_sessions.errors import SettingsError
from agent_sessions.sessions.model import MS_PER_MINUTE, Minutes, minutes_to_ms


def whole(value: Minutes) -> Minutes:
    """Return an integral float as `int`, so that 30.0 and 30 are stored, compared and echoed alike."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


MinutesSetting = Annotated[float, Field(ge=1, allow_inf_nan=False), AfterValidator(whole)]
Shards = Annotated[int, Field(ge=1, le=32)]


class _Settings(BaseModel):
    """Shared behaviour: read by upper-case name, refuse nonsense in words that name the setting."""

    # Built when it is first read: each function reads one of the classes below, and need not pay for the others, which
    # is 2 Mi of a cold start.
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=str.upper, defer_build=True)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the settings out of `env`; empty strings count as not set.

        Raises:
            SettingsError: naming each setting at fault and what is wrong with it.

        """
        try:
            settings = cls.model_validate({name: value for name, value in env.items() if value != ""})
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
            raise SettingsError("; ".join(faults)) from None
        contradictions = list(settings.contradictions())
        if contradictions:
            raise SettingsError("; ".join(contradictions))
        return settings

    def contradictions(self) -> list[str]:
        """Return a sentence for each pair of settings that cannot both hold."""
        return []


class SessionSettings(_Settings):
    """The settings of the API function: defaults and bounds in minutes, retention, table and shards."""

    sessions_table: str
    session_default_timeout_minutes: MinutesSetting = 30
    session_min_timeout_minutes: MinutesSetting = 5
    session_max_timeout_minutes: MinutesSetting = 1440
    session_max_duration_minutes: MinutesSetting = 720
    session_warning_threshold_minutes: MinutesSetting = 5
    session_retention_minutes: Annotated[int, Field(ge=60)] = 1440
    due_shards: Shards = 8
    tenant_shards: Shards = 4
    list_shards: Annotated[int, Field(ge=0, le=32)] = 0
    agent_policies_table: str = ""
    require_agent_policy: bool = False

    @property
    def listed_shards(self) -> int:
        """How many shards a tenant's list reads: as many as new sessions go to, or more while old ones drain."""
        return max(self.tenant_shards, self.list_shards)

    @property
    def longest_duration_minutes(self) -> Minutes:
        """Upper bound of `maxDurationMinutes`: twice the largest timeout (docs/contract.md, Create a session)."""
        return whole(2 * self.session_max_timeout_minutes)

    @property
    def retention_ms(self) -> int:
        """How long an expired session is remembered, in milliseconds."""
        return self.session_retention_minutes * MS_PER_MINUTE

    def contradictions(self) -> list[str]:
        """Return a sentence for each pair of settings that cannot both hold."""
        rules = (
            ("SESSION_MIN_TIMEOUT_MINUTES", "SESSION_DEFAULT_TIMEOUT_MINUTES"),
            ("SESSION_DEFAULT_TIMEOUT_MINUTES", "SESSION_MAX_TIMEOUT_MINUTES"),
            ("SESSION_MIN_TIMEOUT_MINUTES", "SESSION_MAX_TIMEOUT_MINUTES"),
            ("SESSION_DEFAULT_TIMEOUT_MINUTES", "SESSION_MAX_DURATION_MINUTES"),
            ("SESSION_WARNING_THRESHOLD_MINUTES", "SESSION_DEFAULT_TIMEOUT_MINUTES"),
        )
        broken = [
            f"{smaller} ({getattr(self, smaller.lower())}) must not be larger than "
            f"{larger} ({getattr(self, larger.lower())})"
            for smaller, larger in rules
            if getattr(self, smaller.lower()) > getattr(self, larger.lower())
        ]
        if self.session_max_duration_minutes > self.longest_duration_minutes:
            broken.append(
                f"SESSION_MAX_DURATION_MINUTES ({self.session_max_duration_minutes}) must not be larger than "
                f"twice SESSION_MAX_TIMEOUT_MINUTES ({self.longest_duration_minutes})"
            )
        return broken


class MessageSettings(_Settings):
    """What the messages' function reads."""

    sessions_table: str
    messages_table: str
    session_retention_minutes: Annotated[int, Field(ge=60)] = 1440
    messages_per_session: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    reply_wait_seconds: Annotated[int, Field(ge=0, le=22)] = 20

    @property
    def retention_ms(self) -> int:
        """How long an expired session is remembered, in milliseconds."""
        return self.session_retention_minutes * MS_PER_MINUTE


class ErasureSettings(_Settings):
    """What removes content: the tables, and the queue of what is left to remove."""

    sessions_table: str
    messages_table: str
    eraser_queue_url: str


class EraserSettings(ErasureSettings):
    """What the eraser reads beside: where it publishes that a user was erased."""

    events_topic_arn: str
    event_source: str


class PublisherSettings(_Settings):
    """What publishes an event for each message."""

    sessions_table: str
    events_topic_arn: str
    event_source: str
    event_content: Literal["omit", "include"] = "omit"
    message_events_dead_letters_url: str


class SweepSettings(_Settings):
    """The settings of the sweeper."""

    sessions_table: str
    events_topic_arn: str
    event_source: str
    due_shards: Shards = 8
    session_warning_threshold_minutes: MinutesSetting = 5
    sweep_look_ahead_seconds: Annotated[int, Field(ge=0, le=180)] = 175
    sweep_threads: Annotated[int, Field(ge=1, le=64)] = 8
    sweep_fan_out: Annotated[int, Field(ge=1, le=32)] = 1
    sweep_shards: Annotated[int, Field(ge=0, le=32)] = 0

    @property
    def shards(self) -> int:
        """How many shards a run sweeps: as many as new sessions are spread over, or more while old ones drain."""
        return max(self.due_shards, self.sweep_shards)

    @property
    def soon_ms(self) -> int:
        """The threshold of the gauge's `expiringSoon`, in milliseconds."""
        return minutes_to_ms(self.session_warning_threshold_minutes)

    def contradictions(self) -> list[str]:
        """Return a sentence for each pair of settings that cannot both hold."""
        if self.sweep_fan_out > self.shards:
            return [f"SWEEP_FAN_OUT ({self.sweep_fan_out}) must not be larger than the {self.shards} shards swept"]
        return []
