"""The HTTP API: routes, the status of each error, and the one way a request goes through. Knows no AWS client."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

from agent_sessions.api import responses
from agent_sessions.api.json_body import read_object
from agent_sessions.api.requests import Requests
from agent_sessions.clock import Clock
from agent_sessions.erasure.service import SessionRemoval
from agent_sessions.errors import (
    Forbidden,
    IdempotencyKeyReused,
    InvalidRequest,
    MethodNotAllowed,
    PayloadTooLarge,
    RouteNotFound,
    ServiceUnavailable,
    SessionExpired,
    SessionNotFound,
    SessionRenewalFailed,
    SessionServiceError,
    TooManyConflicts,
    Unauthorized,
)
from agent_sessions.metrics import (
    REQUEST_ERRORS,
    SESSION_HEARTBEATS,
    SESSIONS_CREATED,
    SESSIONS_ENDED,
    SESSIONS_PATCHED,
    SESSIONS_RENEWED,
    TelemetryPort,
)
from agent_sessions.sessions.model import TimeoutConfig
from agent_sessions.sessions.service import SessionService, Snapshot
from agent_sessions.settings import SessionSettings

if TYPE_CHECKING:
    from agent_sessions.api.list_query import ListApi
    from agent_sessions.sweep.health import HealthService

BASE_PATH: Final = "/api/messaging/sessions"

STATUS: Final[Mapping[type[SessionServiceError], int]] = {
    SessionServiceError: 500,
    InvalidRequest: 400,
    Unauthorized: 401,
    Forbidden: 403,
    SessionNotFound: 404,
    RouteNotFound: 404,
    MethodNotAllowed: 405,
    SessionExpired: 410,
    PayloadTooLarge: 413,
    SessionRenewalFailed: 422,
    IdempotencyKeyReused: 422,
    ServiceUnavailable: 503,
    TooManyConflicts: 503,
}
"""The HTTP status of every leaf of the error tree."""

SCOPES: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("/", "POST"): frozenset({"full", "client"}),
    ("/", "GET"): frozenset({"full"}),
    ("/{id}", "GET"): frozenset({"full", "client", "agent"}),
    ("/{id}", "DELETE"): frozenset({"full", "client"}),
    ("/{id}/heartbeat", "POST"): frozenset({"full", "client"}),
    ("/{id}/renew", "POST"): frozenset({"full", "client"}),
    ("/{id}/timeout", "PATCH"): frozenset({"full", "client"}),
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
        )


class Answer(NamedTuple):
    """A status, a JSON body, headers beyond those that every answer has, and the metric that counts it."""

    status: int
    body: str
    headers: Mapping[str, str] | None = None
    metric: str | None = None
    crash: Exception | None = None


class Route(NamedTuple):
    """One path: its name in logs, its verbs, the session id where the path has one, and whether it needs no tenant."""

    name: str
    verbs: Mapping[str, Callable[[Request], Answer]]
    session_id: str = ""
    public: bool = False

    @property
    def allow(self) -> tuple[str, ...]:
        """The verbs that this path answers."""
        head = ("HEAD",) if "GET" in self.verbs else ()
        return (*self.verbs, *head, "OPTIONS")


class SessionApi:
    """Answers API Gateway's events: each event gets one answer in the one shape, and one log line."""

    def __init__(
        self,
        *,
        sessions: SessionService,
        removal: SessionRemoval,
        lists: "Callable[[], ListApi]",
        health: "Callable[[], HealthService]",
        settings: SessionSettings,
        clock: Clock,
        telemetry: TelemetryPort,
    ) -> None:
        """Wire the routes to the use cases; `lists` and `health` are built by the first request that needs them."""
        self._sessions = sessions
        self._removal = removal
        self._lists = lists
        self._health = health
        self._requests = Requests(settings)
        self._clock = clock
        self._telemetry = telemetry
        self._collection = Route("/", {"GET": self._list, "POST": self._create})
        self._health_route = Route("/health", {"GET": self._check_health}, public=True)
        self._session = Route("/{id}", {"GET": self._get, "DELETE": self._delete})
        self._actions = {
            "heartbeat": Route("/{id}/heartbeat", {"POST": self._heartbeat}),
            "renew": Route("/{id}/renew", {"POST": self._renew}),
            "timeout": Route("/{id}/timeout", {"PATCH": self._patch_timeout}),
        }

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
        facts |= {"status": answer.status, "milliseconds": self._clock.now_ms() - started_ms}
        self._telemetry.line("request", facts, crash)
        if answer.metric:
            self._telemetry.count({answer.metric: 1})
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
        return verb(request._replace(session_id=route.session_id) if route.session_id else request)

    def _route(self, path: str) -> Route | None:
        """Return the route of a path; a trailing slash, percent escapes and the case of an id do not matter."""
        if not path.startswith(BASE_PATH):
            return None
        match path.removeprefix(BASE_PATH).removesuffix("/").split("/"):
            case [""]:
                return self._collection
            case ["", "health"]:
                return self._health_route
            case ["", session_id] if session_id:
                return self._session._replace(session_id=unquote(session_id).lower())
            case ["", session_id, action] if session_id and action in self._actions:
                return self._actions[action]._replace(session_id=unquote(session_id).lower())
            case _:
                return None

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
        return Answer(status, responses.error_json(error, self._clock.now_ms()), headers, metric)

    def _create(self, request: Request) -> Answer:
        body = read_object(request.body, is_base64=request.is_base64)
        wanted = self._requests.new_session(body, request.headers.get("idempotency-key"))
        (session, now_ms), is_new = self._sessions.create(request.tenant_id, wanted)
        return Answer(
            201 if is_new else 200,
            responses.session_json(session, now_ms),
            {"location": f"{BASE_PATH}/{session.session_id}"},
            SESSIONS_CREATED if is_new else None,
        )

    def _list(self, request: Request) -> Answer:
        key = request.headers.get("idempotency-key")
        if key is None:
            page = self._lists().page(request.tenant_id, request.query)
        else:
            page = self._lists().page_of_key(self._sessions, request.tenant_id, key, request.query)
        return Answer(200, responses.page_json(page))

    def _check_health(self, _request: Request) -> Answer:
        health = self._health().check()
        status = 503 if health.status == "unhealthy" else 200
        return Answer(status, responses.health_json(health), crash=health.cause)

    def _get(self, request: Request) -> Answer:
        return _session_answer(self._sessions.get(request.tenant_id, request.session_id))

    def _heartbeat(self, request: Request) -> Answer:
        return _session_answer(self._sessions.heartbeat(request.tenant_id, request.session_id), SESSION_HEARTBEATS)

    def _renew(self, request: Request) -> Answer:
        return _session_answer(self._sessions.renew(request.tenant_id, request.session_id), SESSIONS_RENEWED)

    def _patch_timeout(self, request: Request) -> Answer:
        def merge(kept: TimeoutConfig) -> TimeoutConfig:
            return self._requests.merged_timeout(read_object(request.body, is_base64=request.is_base64), kept)

        patched = self._sessions.patch_timeout(request.tenant_id, request.session_id, merge)
        return _session_answer(patched, SESSIONS_PATCHED)

    def _delete(self, request: Request) -> Answer:
        ended = self._removal.end(request.tenant_id, request.session_id)
        return Answer(200, responses.deletion_json(request.session_id, ended), metric=SESSIONS_ENDED)


def _session_answer(snapshot: Snapshot, metric: str | None = None) -> Answer:
    return Answer(200, responses.session_json(snapshot.session, snapshot.now_ms), metric=metric)
