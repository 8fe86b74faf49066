"""Everything that can be refused, as one tree whose leaves carry facts. Statuses belong to `api.http`.

SessionServiceError
├── InvalidRequest            the caller sent something that breaks a rule; lists every field at fault
├── PayloadTooLarge           the body is over the limit
├── Unauthorized              the event carries no tenant
├── RouteNotFound             no such path
├── MethodNotAllowed          the path exists, the verb does not
├── SessionNotFound           unknown, deleted, retired, malformed id, or another tenant's
├── SessionExpired            over, but within the retention
├── SessionRenewalFailed      nothing left to gain under the cap
├── IdempotencyKeyReused      same key, other request
├── TooManyConflicts          five racing attempts lost
└── ServiceUnavailable        a backing service throttles or cannot be reached

Beside it, for whoever deploys: SettingsError.
"""

from typing import Any, Literal, NamedTuple

ExpiryReason = Literal["idle_timeout", "max_duration"]


class _Missing:
    """Marks a field at fault that was not sent at all, so that no value is echoed."""


MISSING = _Missing()


class FieldProblem(NamedTuple):
    """One field at fault: its path in the request, the rule it breaks, and the value as sent."""

    field: str
    message: str
    value: Any = MISSING


class SessionServiceError(Exception):
    """Root of the tree. `code` is the contract's word for it, `str(error)` a sentence for the caller."""

    code: str = "INTERNAL_SERVER_ERROR"


class InvalidRequest(SessionServiceError):
    """The request breaks one or more rules; `problems` has them all."""

    code = "VALIDATION_ERROR"

    def __init__(self, problems: list[FieldProblem]) -> None:
        """Keep every problem; the message is made of the first few."""
        self.problems = problems
        shown = "; ".join(f"{problem.field} {problem.message}" for problem in problems[:3])
        super().__init__(f"The request is not valid: {shown}.")


class PayloadTooLarge(SessionServiceError):
    """The body has more than `limit_bytes` bytes."""

    code = "PAYLOAD_TOO_LARGE"

    def __init__(self, limit_bytes: int) -> None:
        """Carry the limit, in bytes."""
        self.limit_bytes = limit_bytes
        super().__init__(f"The body is larger than {limit_bytes} bytes.")


class Unauthorized(SessionServiceError):
    """The event names no tenant: the function has no anonymous mode."""

    code = "UNAUTHORIZED"

    def __init__(self) -> None:
        """Say what is missing."""
        super().__init__("The request carries no authenticated tenant.")


class RouteNotFound(SessionServiceError):
    """No route has this path."""

    code = "ROUTE_NOT_FOUND"

    def __init__(self) -> None:
        """Say so."""
        super().__init__("There is no such route.")


class MethodNotAllowed(SessionServiceError):
    """The path exists; `allow` are the verbs it answers."""

    code = "METHOD_NOT_ALLOWED"

    def __init__(self, allow: tuple[str, ...]) -> None:
        """Carry the verbs that would have worked."""
        self.allow = allow
        super().__init__(f"This route answers {', '.join(allow)}.")


class SessionNotFound(SessionServiceError):
    """Unknown, deleted, retired, malformed or another tenant's: all alike, and it names nothing."""

    code = "SESSION_NOT_FOUND"

    def __init__(self) -> None:
        """Say so."""
        super().__init__("There is no such session.")


class SessionExpired(SessionServiceError):
    """The session ended at `expires_at_ms` (epoch milliseconds) for `reason`."""

    code = "SESSION_EXPIRED"

    def __init__(self, expires_at_ms: int, reason: ExpiryReason) -> None:
        """Carry when it expired and why."""
        self.expires_at_ms = expires_at_ms
        self.reason = reason
        super().__init__("The session has expired.")


class SessionRenewalFailed(SessionServiceError):
    """The session already lasts until `ends_at_ms` (epoch milliseconds), the end of its maximum duration."""

    code = "SESSION_RENEWAL_FAILED"

    def __init__(self, ends_at_ms: int) -> None:
        """Carry the end that no renewal can pass."""
        self.ends_at_ms = ends_at_ms
        super().__init__("The session has reached its maximum duration and cannot be renewed.")


class IdempotencyKeyReused(SessionServiceError):
    """The key was used before with a different request."""

    code = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self) -> None:
        """Say so."""
        super().__init__("This Idempotency-Key was used before with a different request.")


class ServiceUnavailable(SessionServiceError):
    """A backing service throttles or cannot be reached; `retry_after_seconds` is when to try again."""

    code = "SERVICE_UNAVAILABLE"

    def __init__(self, message: str = "The service is busy.", retry_after_seconds: int = 1) -> None:
        """Carry the pause to suggest, in seconds."""
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class TooManyConflicts(ServiceUnavailable):
    """Other calls on the same session won five times in a row."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("Other calls are changing this session; try again.")


class SettingsError(ValueError):
    """A setting is missing, malformed, or contradicts another; the message names it."""
