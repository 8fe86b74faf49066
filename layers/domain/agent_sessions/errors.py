"""Everything that can be refused, as one tree whose leaves carry facts. Statuses belong to `api.edge`.

SessionServiceError
├── InvalidRequest            the request breaks a rule; lists every field at fault
├── PayloadTooLarge           the body is over the limit
├── Unauthorized              the event carries no tenant
├── Forbidden                 the key's scope does not allow the route
├── RouteNotFound             no such path
├── MethodNotAllowed          the path exists, the verb does not
├── AgentNotFound             the agent has no policy, or may have no sessions
├── MessageNotFound           the session has no such message
├── ErasureNotFound           the tenant has no such erasure
├── SessionNotFound           unknown, deleted, retired, malformed id, or another tenant's
├── SessionExpired            over, but within the retention
├── SessionRenewalFailed      nothing left to gain under the cap
├── IdempotencyKeyReused      same key, other request
├── PreconditionFailed        If-Match names another state than the present one
├── MessageLimitReached       the session has as many messages as it may have
├── TooManyConflicts          five racing attempts lost
└── ServiceUnavailable        a backing service throttles or cannot be reached

Beside it, for whoever deploys: SettingsError.

The first line of a class's docstring is its meaning in docs/openapi.json.
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
    """Something went wrong in the service; the log has it under the request id.

    The root of the tree. `code` is the contract's word for the error, `str(error)` a sentence for the caller.
    """

    code: str = "INTERNAL_SERVER_ERROR"


class InvalidRequest(SessionServiceError):
    """The request breaks a rule; `details.fields` has every field at fault."""

    code = "VALIDATION_ERROR"

    def __init__(self, problems: list[FieldProblem]) -> None:
        """Keep every problem; the message is made of the first three."""
        self.problems = problems
        shown = "; ".join(f"{problem.field} {problem.message}" for problem in problems[:3])
        super().__init__(f"The request is not valid: {shown}.")


class PayloadTooLarge(SessionServiceError):
    """The body is larger than the route allows."""

    code = "PAYLOAD_TOO_LARGE"

    def __init__(self, limit_bytes: int) -> None:
        """Carry the limit, in bytes."""
        self.limit_bytes = limit_bytes
        super().__init__(f"The body must have at most {limit_bytes} bytes.")


class Unauthorized(SessionServiceError):
    """The event carries no tenant: the function has no anonymous mode."""

    code = "UNAUTHORIZED"

    def __init__(self) -> None:
        """Name what is missing."""
        super().__init__("The request carries no authenticated tenant.")


class Forbidden(SessionServiceError):
    """The key's scope does not allow this verb on this route."""

    code = "FORBIDDEN"

    def __init__(self, scope: str) -> None:
        """Carry the scope of the caller's key."""
        self.scope = scope
        super().__init__("The scope of this API key does not allow this request.")


class RouteNotFound(SessionServiceError):
    """There is no such path."""

    code = "ROUTE_NOT_FOUND"

    def __init__(self) -> None:
        """Name nothing of the path."""
        super().__init__("There is no such route.")


class MethodNotAllowed(SessionServiceError):
    """The path exists, the verb does not; `Allow` has those that do."""

    code = "METHOD_NOT_ALLOWED"

    def __init__(self, allow: tuple[str, ...]) -> None:
        """Carry the verbs that the path answers."""
        self.allow = allow
        super().__init__(f"This route answers {', '.join(allow)}.")


class SessionNotFound(SessionServiceError):
    """Unknown, deleted, long expired, malformed id, or another tenant's: all alike."""

    code = "SESSION_NOT_FOUND"

    def __init__(self) -> None:
        """Name no session."""
        super().__init__("There is no such session.")


class AgentNotFound(SessionServiceError):
    """The agent has no policy, or by its policy no sessions."""

    code = "AGENT_NOT_FOUND"

    def __init__(self) -> None:
        """Name no agent."""
        super().__init__("There is no such agent.")


class MessageNotFound(SessionServiceError):
    """The session has no message with this id."""

    code = "MESSAGE_NOT_FOUND"

    def __init__(self) -> None:
        """Name no message."""
        super().__init__("The session has no such message.")


class ErasureNotFound(SessionServiceError):
    """No erasure with this id, its record was removed since, or it is another tenant's."""

    code = "ERASURE_NOT_FOUND"

    def __init__(self) -> None:
        """Name no erasure."""
        super().__init__("There is no such erasure.")


class SessionExpired(SessionServiceError):
    """The session is over; it is remembered for the retention, then 404."""

    code = "SESSION_EXPIRED"

    def __init__(self, expires_at_ms: int, reason: ExpiryReason, *, of_key: str | None = None) -> None:
        """Carry when it expired (epoch milliseconds) and why; `of_key` is its id, where a key led to it."""
        self.expires_at_ms = expires_at_ms
        self.reason = reason
        self.of_key = of_key
        whose = "" if of_key is None else " that was made with this Idempotency-Key"
        super().__init__(f"The session{whose} has expired.")


class SessionRenewalFailed(SessionServiceError):
    """The session already lasts to the end of its maximum duration, which no renewal can pass."""

    code = "SESSION_RENEWAL_FAILED"

    def __init__(self, ends_at_ms: int) -> None:
        """Carry that end, in epoch milliseconds."""
        self.ends_at_ms = ends_at_ms
        super().__init__("The session already lasts to the end of its maximum duration: a renewal gains nothing.")


class IdempotencyKeyReused(SessionServiceError):
    """The Idempotency-Key was used before with a different request; `details.differing` has what differs."""

    code = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self, differing: tuple[str, ...]) -> None:
        """Carry the names of the fields that differ."""
        self.differing = differing
        super().__init__(f"This Idempotency-Key was used before with a request that differs in {', '.join(differing)}.")


class PreconditionFailed(SessionServiceError):
    """If-Match names another state than the present one; `details` has the present value."""

    code = "PRECONDITION_FAILED"

    def __init__(self, field: str, present: int | str) -> None:
        """Carry the field of the session that If-Match must name, and its present value."""
        self.field = field
        self.present = present
        super().__init__(f"If-Match must be the session's {field}, which is {present}.")


class MessageLimitReached(SessionServiceError):
    """The session has as many messages as it may have; waiting does not help."""

    code = "MESSAGE_LIMIT_REACHED"

    def __init__(self, limit: int) -> None:
        """Carry the limit."""
        self.limit = limit
        super().__init__(f"A session may have at most {limit} messages.")


class ServiceUnavailable(SessionServiceError):
    """The store throttles or cannot be reached, or five racing attempts lost; `Retry-After` has the seconds to wait."""

    code = "SERVICE_UNAVAILABLE"

    def __init__(self, message: str = "The service is busy.", retry_after_seconds: int = 1) -> None:
        """Carry the pause to suggest, in seconds."""
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class TooManyConflicts(ServiceUnavailable):
    """Other calls on the same session won five times in a row."""

    def __init__(self) -> None:
        """Suggest another try."""
        super().__init__("Other calls are changing this session; try again.")


class SettingsError(ValueError):
    """A setting is missing, malformed, or contradicts another; the message names it."""
