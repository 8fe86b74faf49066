"""Everything that this package raises, as one tree.

```
ClientError
├── ApiError                the service answered with an error
│   ├── ValidationError         400  fields
│   ├── Unauthorized            401
│   ├── Forbidden               403
│   ├── NotFound                404
│   │   ├── SessionNotFound, MessageNotFound, AgentNotFound, ErasureNotFound, RouteNotFound
│   ├── MethodNotAllowed        405
│   ├── SessionExpired          410  expires_at, reason
│   ├── PreconditionFailed      412
│   ├── PayloadTooLarge         413
│   ├── RenewalFailed           422
│   ├── IdempotencyKeyReused    422  differing
│   ├── MessageLimitReached     429
│   ├── TooManyRequests         429  the gateway throttles
│   ├── InternalServerError     500
│   └── ServiceUnavailable      503
├── NoAnswer                no answer came, or one that cannot be read
├── MessageRedacted         the message was emptied
└── ReplyTimeout            the agent did not reply in time
```
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agent_sessions_client.timestamps import parse_time


class ClientError(Exception):
    """The root of the tree."""

    idempotency_key: str | None = None
    """The key of the write that failed. A repeat with the same key does nothing twice."""


@dataclass(frozen=True)
class FieldProblem:
    """A field at fault: `timeoutConfig.timeoutMinutes`, the rule it breaks, and the value that was sent."""

    field: str
    message: str
    value: Any = None


class ApiError(ClientError):
    """The service, or the gateway in front of it, answered with an error.

    `code` is None where the gateway answered by itself. `details` is what the service added, in its own names,
    `body` the whole answer.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
        request_id: str | None = None,
        timestamp: datetime | None = None,
        retry_after: str | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.details: Mapping[str, Any] = details or {}
        self.request_id = request_id
        self.timestamp = timestamp
        self.retry_after = retry_after
        self.body: Mapping[str, Any] = body or {}

    def __str__(self) -> str:
        what = f"{self.status} {self.code or ''}".rstrip()
        return f"{self.message} ({what}, request {self.request_id})" if self.request_id else f"{self.message} ({what})"


class ValidationError(ApiError):
    """The request breaks a rule."""

    @property
    def fields(self) -> tuple[FieldProblem, ...]:
        """Every field at fault."""
        return tuple(
            FieldProblem(str(each.get("field")), str(each.get("message")), each.get("value"))
            for each in self.details.get("fields", ())
        )


class Unauthorized(ApiError):
    """No API key was sent."""


class Forbidden(ApiError):
    """The key is unknown, revoked or expired, or its scope does not allow the call."""


class NotFound(ApiError):
    """What the address names is not there."""


class SessionNotFound(NotFound):
    """The session was deleted, never existed, or belongs to another tenant."""


class MessageNotFound(NotFound):
    """The session has no such message."""


class AgentNotFound(NotFound):
    """The agent may not have sessions."""


class ErasureNotFound(NotFound):
    """There is no such erasure, or its record was removed."""


class RouteNotFound(NotFound):
    """The service has no such route: its version may be older than the client's."""


class MethodNotAllowed(ApiError):
    """The path exists, the verb does not."""


class SessionExpired(ApiError):
    """The session has expired."""

    @property
    def expires_at(self) -> datetime | None:
        """When it expired."""
        text = self.details.get("expiresAt")
        return parse_time(text) if isinstance(text, str) else None

    @property
    def reason(self) -> str | None:
        """`idle_timeout` or `max_duration`."""
        reason = self.details.get("reason")
        return reason if isinstance(reason, str) else None


class PreconditionFailed(ApiError):
    """`If-Match` does not hold; `details` has the present value."""


class PayloadTooLarge(ApiError):
    """The body exceeds its limit."""


class RenewalFailed(ApiError):
    """The session already lasts until its cap."""


class IdempotencyKeyReused(ApiError):
    """The key was used with another request."""

    @property
    def differing(self) -> tuple[str, ...]:
        """The fields in which the two requests differ."""
        return tuple(self.details.get("differing", ()))


class MessageLimitReached(ApiError):
    """The session holds as many messages as it may. Waiting does not help."""


class TooManyRequests(ApiError):
    """The gateway throttles. The service did not see the request."""


class InternalServerError(ApiError):
    """A fault of the service."""


class ServiceUnavailable(ApiError):
    """The service cannot answer now."""


class NoAnswer(ClientError):
    """No answer came, or one that cannot be read.

    `sent` is whether the request may have reached the service: then a write may have been done.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class MessageRedacted(ClientError):
    """The message was emptied: its number is all that is left."""

    def __init__(self, message_id: str, sequence: int) -> None:
        super().__init__(f"message {sequence} was redacted")
        self.message_id = message_id
        self.sequence = sequence


class ReplyTimeout(ClientError):
    """The agent did not reply in time. The question is stored; `message_id` and `sequence` name it."""

    def __init__(self, message_id: str, sequence: int, seconds: float) -> None:
        super().__init__(f"no reply to message {sequence} within {seconds:g} seconds")
        self.message_id = message_id
        self.sequence = sequence


_BY_CODE = {
    "VALIDATION_ERROR": ValidationError,
    "UNAUTHORIZED": Unauthorized,
    "FORBIDDEN": Forbidden,
    "SESSION_NOT_FOUND": SessionNotFound,
    "MESSAGE_NOT_FOUND": MessageNotFound,
    "AGENT_NOT_FOUND": AgentNotFound,
    "ERASURE_NOT_FOUND": ErasureNotFound,
    "ROUTE_NOT_FOUND": RouteNotFound,
    "METHOD_NOT_ALLOWED": MethodNotAllowed,
    "SESSION_EXPIRED": SessionExpired,
    "PRECONDITION_FAILED": PreconditionFailed,
    "PAYLOAD_TOO_LARGE": PayloadTooLarge,
    "SESSION_RENEWAL_FAILED": RenewalFailed,
    "IDEMPOTENCY_KEY_REUSED": IdempotencyKeyReused,
    "MESSAGE_LIMIT_REACHED": MessageLimitReached,
    "INTERNAL_SERVER_ERROR": InternalServerError,
    "SERVICE_UNAVAILABLE": ServiceUnavailable,
}
_BY_STATUS = {
    400: ValidationError,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    410: SessionExpired,
    412: PreconditionFailed,
    413: PayloadTooLarge,
    429: TooManyRequests,
    500: InternalServerError,
    503: ServiceUnavailable,
}
"""Answers without a code are the gateway's, or those of a code that is newer than this package."""


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """Return the error that an answer is. Header names are in lower case.

    >>> error_of(503, {"retry-after": "2"}, b'{"message": "Service Unavailable"}').retry_after
    '2'
    """
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        content = {}
    error = content["error"] if isinstance(content.get("error"), dict) else {}
    message = content.get("message")
    code = str(error["code"]) if error.get("code") else None
    kind: type[ApiError] = _BY_CODE.get(code or "") or _BY_STATUS.get(status) or ApiError
    timestamp = error.get("timestamp")
    details = error.get("details")
    return kind(
        str(error.get("message") or message or f"the service answered {status}"),
        status=status,
        code=code,
        details=details if isinstance(details, dict) else None,
        request_id=headers.get("x-request-id") or headers.get("apigw-requestid"),
        timestamp=parse_time(timestamp) if isinstance(timestamp, str) else None,
        retry_after=headers.get("retry-after"),
        body=content,
    )
