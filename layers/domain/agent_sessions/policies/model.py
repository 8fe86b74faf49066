"""What an agent's policy says, and the rules for timeouts that follow from it. Knows no storage, no HTTP, no clock."""

from typing import NamedTuple

from agent_sessions.sessions.model import Minutes, TimeoutConfig
from agent_sessions.settings import SessionSettings, whole


class Wish(NamedTuple):
    """What a policy says of one number, in minutes: its default and its bounds. None is left to the service."""

    default: Minutes | None = None
    low: Minutes | None = None
    high: Minutes | None = None


class AgentPolicy(NamedTuple):
    """The policy of one agent of one tenant. `agent_id` is in lower case: agent ids compare without it."""

    agent_id: str
    updated_at_ms: int
    allowed: bool = True
    auto_renew: bool | None = None
    timeout: Wish = Wish()
    max_duration: Wish = Wish()
    warning_threshold: Wish = Wish()


class Span(NamedTuple):
    """One number of the timeout settings, in minutes: what holds where none is sent, and what may be sent."""

    default: Minutes
    low: Minutes
    high: Minutes


class TimeoutRules(NamedTuple):
    """What the timeout settings of a session may be, and what they are where they are not sent.

    Every timeout within `timeout` leaves room for a duration and a threshold within their spans. `threshold_is_agents`
    is whether the threshold's default comes from the agent's policy.
    """

    timeout: Span
    auto_renew: bool
    max_duration: Span
    warning_threshold: Span
    threshold_is_agents: bool = False

    def config(self, timeout: Minutes) -> TimeoutConfig:
        """Return the settings for this timeout where nothing else is sent (docs/contract.md, Create a session).

        The defaults give way to the timeout. With the service's, a timeout of 5 minutes has a threshold of 2.5, and one
        of 1,000 minutes a duration of 1,000.
        """
        threshold = self.warning_threshold.default
        half = max(self.warning_threshold.low, timeout / 2)
        if not (self.threshold_is_agents and threshold <= timeout):
            threshold = min(threshold, half)
        return TimeoutConfig(
            timeout_minutes=timeout,
            auto_renew=self.auto_renew,
            max_duration_minutes=max(self.max_duration.default, timeout),
            warning_threshold_minutes=whole(threshold),
        )


def service_rules(settings: SessionSettings) -> TimeoutRules:
    """Return the rules for agents without a policy."""
    shortest, longest = settings.session_min_timeout_minutes, settings.session_max_timeout_minutes
    return TimeoutRules(
        timeout=Span(settings.session_default_timeout_minutes, shortest, longest),
        auto_renew=True,
        max_duration=Span(settings.session_max_duration_minutes, shortest, settings.longest_duration_minutes),
        warning_threshold=Span(settings.session_warning_threshold_minutes, 1, longest),
    )


def agent_rules(policy: AgentPolicy, service: TimeoutRules) -> TimeoutRules:
    """Return the rules for an agent with a policy. The service's bounds hold, whatever the policy says.

    The service has 5 to 1440 minutes and a default of 30. A policy of `{"timeoutMinutes": {"max": 20}}` leaves 5 to 20,
    and the default is 20; with `{"maxDurationMinutes": {"max": 15}}` beside it, no timeout is longer than 15.
    """
    max_duration = _narrowed(service.max_duration, policy.max_duration)
    threshold = _narrowed(service.warning_threshold, policy.warning_threshold)
    timeout = _narrowed(service.timeout, policy.timeout)
    high = min(timeout.high, max_duration.high)
    low = min(high, max(timeout.low, threshold.low))
    return TimeoutRules(
        timeout=Span(_within(timeout.default, low, high), low, high),
        auto_renew=service.auto_renew if policy.auto_renew is None else policy.auto_renew,
        max_duration=max_duration,
        warning_threshold=threshold,
        threshold_is_agents=policy.warning_threshold.default is not None,
    )


def _narrowed(span: Span, wish: Wish) -> Span:
    low = span.low if wish.low is None else _within(wish.low, span.low, span.high)
    high = span.high if wish.high is None else _within(wish.high, low, span.high)
    default = span.default if wish.default is None else wish.default
    return Span(_within(default, low, high), low, high)


def _within(value: Minutes, low: Minutes, high: Minutes) -> Minutes:
    return min(max(value, low), high)
