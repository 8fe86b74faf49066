"""One way for every request of both HTTP functions: scopes, error statuses, the one error shape and the log line.

Knows no AWS client and no route of its own.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from agent_sessions.api.responses import error_json
from agent_sessions.clock import Clock
from agent_sessions.errors import (
    AgentNotFound,
    ErasureNotFound,
    Forbidden,
    IdempotencyKeyReused,
    InvalidRequest,
    MessageLimitReached,
    MessageNotFound,
    MethodNotAllowed,
    PayloadTooLarge,
    PreconditionFailed,
    RouteNotFound,
    ServiceUnavailable,
    SessionExpired,
    SessionNotFound,
    SessionRenewalFailed,
    SessionServiceError,
    TooManyConflicts,
    Unauthorized,
)
from agent_sessions.telemetry.metrics import REQUEST_ERRORS, TelemetryPort

ROOT_PATH: Final = "/api/messaging"
BASE_PATH: Final = f"{ROOT_PATH}/sessions"
AGENTS_PATH: Final = f"{ROOT_PATH}/agents"
POLICY_PATH: Final = f"{AGENTS_PATH}/{{agentId}}/session-policy"
ERASURES_PATH: Final = f"{ROOT_PATH}/erasures"

STATUS: Final[Mapping[type[SessionServiceError], int]] = {
    SessionServiceError: 500,
    InvalidRequest: 400,
    Unauthorized: 401,
    Forbidden: 403,
    AgentNotFound: 404,
    SessionNotFound: 404,
    MessageNotFound: 404,
    ErasureNotFound: 404,
    RouteNotFound: 404,
    MethodNotAllowed: 405,
    SessionExpired: 410,
    PreconditionFailed: 412,
    PayloadTooLarge: 413,
    SessionRenewalFailed: 422,
    IdempotencyKeyReused: 422,
    MessageLimitReached: 429,
    ServiceUnavailable: 503,
    TooManyConflicts: 503,
}
"""The HTTP status of every leaf of the error tree."""

SCOPES: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("/", "POST"): frozenset({"full", "client"}),
    ("/", "GET"): frozenset({"full"}),
    ("/{id}", "GET"): frozenset({"full", "client", "agent"}),
    ("/{id}", "PATCH"): frozenset({"full", "client"}),
    ("/{id}", "DELETE"): frozenset({"full", "client"}),
    ("/{id}/heartbeat", "POST"): frozenset({"full", "client"}),
    ("/{id}/renew", "POST"): frozenset({"full", "client"}),
    ("/{id}/timeout", "PATCH"): frozenset({"full", "client"}),
    ("/{id}/messages", "POST"): frozenset({"full", "client", "agent"}),
    ("/{id}/messages/batch", "POST"): frozenset({"full"}),
    ("/{id}/messages", "GET"): frozenset({"full", "client", "agent"}),
    ("/{id}/messages/{messageId}", "GET"): frozenset({"full", "client", "agent"}),
    ("/{id}/messages", "DELETE"): frozenset({"full"}),
    ("/{id}/messages/{messageId}", "DELETE"): frozenset({"full"}),
    ("/{id}/export", "GET"): frozenset({"full"}),
    (AGENTS_PATH, "GET"): frozenset({"full"}),
    **{(POLICY_PATH, verb): frozenset({"full"}) for verb in ("GET", "PUT", "DELETE")},
    (ERASURES_PATH, "POST"): frozenset({"full"}),
    (f"{ERASURES_PATH}/{{erasureId}}", "GET"): frozenset({"full"}),
}
"""Which scopes of a key may use a verb of a route (docs/contract.md, Callers and tenants)."""

Event = Mapping[str, Any]
Response = dict[str, Any]


class Request(NamedTuple):
    """What the routes need of API Gateway's event (payload version 2.0).

    An event without a scope comes from an authorizer that knows no scopes: its keys may do everything.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: str | None
    is_base64: bool
    tenant_id: str
    request_id: str
    key_id: str
    scope: str
    session_id: str = ""
    message_id: str = ""
    arrived_ms: int = 0

    @classmethod
    def from_event(cls, event: Event) -> "Request":
        """Read the event; header names are compared without case, and what is missing counts as empty."""
        context = event.get("requestContext") or {}
        authorizer = context.get("authorizer") or {}
        caller = authorizer.get("lambda") or {}
        tenant_id = caller.get("tenantId")
        return cls(
            method=str((context.get("http") or {}).get("method", "")).upper(),
            path=str(event.get("rawPath") or ""),
            headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
            query=event.get("queryStringParameters") or {},
            body=event.get("body"),
            is_base64=bool(event.get("isBase64Encoded")),
            tenant_id=tenant_id if isinstance(tenant_id, str) else "",
            request_id=str(context.get("requestId", "")),
            key_id=str(caller.get("keyId", "")),
            scope=str(caller.get("scope", "full")),
            arrived_ms=epoch_ms if isinstance(epoch_ms := context.get("timeEpoch"), int) else 0,
        )


class Answer(NamedTuple):
    """A status, a JSON body, headers beyond those that every answer has, and the metric that counts it.

    `counts` are further metrics, `facts` further facts for the log line: never what a caller wrote.
    """

    status: int
    body: str
    headers: Mapping[str, str] | None = None
    metric: str | None = None
    crash: Exception | None = None
    counts: Mapping[str, float] = MappingProxyType({})
    facts: Mapping[str, Any] = MappingProxyType({})


class Route(NamedTuple):
    """One path: its name in logs, its verbs, the session id where the path has one, and whether it needs no tenant."""

    name: str
    verbs: Mapping[str, Callable[[Request], Answer]]
    session_id: str = ""
    message_id: str = ""
    public: bool = False

    @property
    def allow(self) -> tuple[str, ...]:
        """The verbs that this path answers."""
        head = ("HEAD",) if "GET" in self.verbs else ()
        return (*self.verbs, *head, "OPTIONS")


def _elsewhere(_request: Request) -> Answer:
    raise RouteNotFound


EXPORT_ROUTE: Final = Route("/{id}/export", {"GET": _elsewhere})
MESSAGES_ROUTE: Final = Route("/{id}/messages", {"GET": _elsewhere, "POST": _elsewhere, "DELETE": _elsewhere})
BATCH_ROUTE: Final = Route("/{id}/messages/batch", {"POST": _elsewhere})
MESSAGE_ROUTE: Final = Route("/{id}/messages/{messageId}", {"GET": _elsewhere, "DELETE": _elsewhere})
"""The routes of messages, as the function of the sessions knows them: it answers the verbs that they do not have."""


class HttpApi(ABC):
    """Answers API Gateway's events: each event gets one answer in the one shape, and one log line."""

    def __init__(self, clock: Clock, telemetry: TelemetryPort) -> None:
        """Take the time from `clock`; report to `telemetry`."""
        self._clock = clock
        self._telemetry = telemetry

    @abstractmethod
    def _found(self, parts: list[str]) -> Route | None:
        """Return the route of a path, which comes in parts behind `ROOT_PATH`, without a trailing slash."""

    def handle(self, event: Event) -> Response:
        """Answer one request."""
        started_ms = self._clock.now_ms()
        request = Request.from_event(event)
        facts: dict[str, Any] = {"request_id": request.request_id, "route": "unmatched", "tenant": request.tenant_id}
        if request.key_id:  # the gateway remembers the authorizer's answers: only here does every use of a key show
            facts["key"] = request.key_id
        crash: Exception | None = None
        try:
            answer = self._answer(request, facts)
            crash = answer.crash
        except SessionServiceError as error:
            answer = self._refusal(error, facts)
        except Exception as error:  # noqa: BLE001 - the edge: nothing of it may reach the caller, all of it the log
            crash = error
            answer = self._refusal(SessionServiceError("Something went wrong on our side."), facts)
        facts |= {**answer.facts, "status": answer.status, "milliseconds": self._clock.now_ms() - started_ms}
        counts = dict(answer.counts)
        if answer.metric:
            counts[answer.metric] = 1
        self._telemetry.line("request", facts, crash, counts)
        return {
            "statusCode": answer.status,
            "headers": {
                "content-type": "application/json",
                "cache-control": "no-store",
                "x-request-id": request.request_id,
                **(answer.headers or {}),
            },
            "body": "" if request.method == "HEAD" else answer.body,
            "isBase64Encoded": False,
        }

    def _answer(self, request: Request, facts: dict[str, Any]) -> Answer:
        """Find the route and the verb, then let the use case answer."""
        route = self._route(request.path)
        if route is not None:
            facts["route"] = f"{request.method} {route.name}"
            if request.method == "OPTIONS":
                return Answer(204, "", {"allow": ", ".join(route.allow)})
        # The gateway lets OPTIONS through without a key: an unknown path is not a matter of who asks.
        if not request.tenant_id and request.method != "OPTIONS" and not (route and route.public):
            raise Unauthorized
        if route is None:
            raise RouteNotFound
        method = "GET" if request.method == "HEAD" else request.method
        verb = route.verbs.get(method)
        if verb is None:
            raise MethodNotAllowed(route.allow)
        if not route.public and request.scope not in SCOPES.get((route.name, method), ()):
            raise Forbidden(request.scope)
        if route.session_id:
            request = request._replace(session_id=route.session_id, message_id=route.message_id)
        return verb(request)

    def _route(self, path: str) -> Route | None:
        """Return the route of a path; a trailing slash, percent escapes and the case of an id do not matter."""
        if not path.startswith(f"{ROOT_PATH}/"):
            return None
        parts = path.removeprefix(f"{ROOT_PATH}/").removesuffix("/").split("/")
        if not all(parts):
            return None
        return self._found([unquote(part) for part in parts])

    def _refusal(self, error: SessionServiceError, facts: dict[str, Any]) -> Answer:
        """Put an error into the one shape, with the headers that its kind asks for."""
        facts["code"] = error.code
        headers: dict[str, str] = {}
        if isinstance(error, MethodNotAllowed):
            headers["allow"] = ", ".join(error.allow)
        if isinstance(error, ServiceUnavailable):
            headers["retry-after"] = str(error.retry_after_seconds)
            if error.__cause__ is not None:
                facts["cause"] = repr(error.__cause__)
        status = STATUS[type(error)]
        metric = REQUEST_ERRORS if status >= 500 else None  # noqa: PLR2004 - HTTP's server errors
        return Answer(status, error_json(error, self._clock.now_ms()), headers, metric)
