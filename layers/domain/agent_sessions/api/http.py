"""The HTTP API of sessions: its routes, and what each asks of the use cases. Knows no AWS client."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from agent_sessions.api import responses
from agent_sessions.api.edge import (
    AGENTS_PATH,
    BASE_PATH,
    BATCH_ROUTE,
    ERASURES_PATH,
    EXPORT_ROUTE,
    MESSAGE_ROUTE,
    MESSAGES_ROUTE,
    POLICY_PATH,
    Answer,
    HttpApi,
    Request,
    Route,
)
from agent_sessions.api.json_body import metadata_patch, read_object
from agent_sessions.api.requests import Requests, is_uuid
from agent_sessions.clock import Clock
from agent_sessions.errors import AgentNotFound, PreconditionFailed
from agent_sessions.policies.service import AgentPolicies
from agent_sessions.sessions.attempts import Snapshot
from agent_sessions.sessions.model import Session, TimeoutConfig
from agent_sessions.sessions.service import SessionService
from agent_sessions.settings import SessionSettings
from agent_sessions.telemetry.metrics import (
    ERASURES_REQUESTED,
    MESSAGES_ERASED,
    SESSION_HEARTBEATS,
    SESSIONS_CREATED,
    SESSIONS_ENDED,
    SESSIONS_ERASED,
    SESSIONS_PATCHED,
    SESSIONS_RENEWED,
    TelemetryPort,
)

if TYPE_CHECKING:
    from agent_sessions.api.erasures import ErasureApi
    from agent_sessions.api.list_query import ListApi
    from agent_sessions.api.policies import PolicyApi
    from agent_sessions.erasure.service import SessionRemoval
    from agent_sessions.sweep.health import HealthService


class SessionApi(HttpApi):
    """Answers the routes of sessions; the gateway sends the verbs of messages to another function."""

    def __init__(
        self,
        *,
        sessions: SessionService,
        removal: "Callable[[], SessionRemoval]",
        lists: "Callable[[], ListApi]",
        policies: AgentPolicies,
        policy_api: "Callable[[], PolicyApi]",
        erasures: "Callable[[], ErasureApi]",
        health: "Callable[[], HealthService]",
        settings: SessionSettings,
        clock: Clock,
        telemetry: TelemetryPort,
    ) -> None:
        """Wire the routes to the use cases; the others are built by the first request that needs them."""
        super().__init__(clock, telemetry)
        self._sessions = sessions
        self._removal = removal
        self._lists = lists
        self._policies = policies
        self._policy_api = policy_api
        self._erasure_api = erasures
        self._health = health
        self._requests = Requests(settings)
        self._collection = Route("/", {"GET": self._list, "POST": self._create})
        self._health_route = Route("/health", {"GET": self._check_health}, public=True)
        self._session = Route("/{id}", {"GET": self._get, "PATCH": self._patch_metadata, "DELETE": self._delete})
        self._actions = {
            "heartbeat": Route("/{id}/heartbeat", {"POST": self._heartbeat}),
            "renew": Route("/{id}/renew", {"POST": self._renew}),
            "timeout": Route("/{id}/timeout", {"PATCH": self._patch_timeout}),
            "messages": MESSAGES_ROUTE,
            "export": EXPORT_ROUTE,
        }

    def _found(self, parts: list[str]) -> Route | None:  # noqa: PLR0911 - a return for each kind of path
        match parts:
            case ["sessions"]:
                return self._collection
            case ["sessions", "health"]:
                return self._health_route
            case ["sessions", session_id]:
                return self._session._replace(session_id=session_id.lower())
            case ["sessions", session_id, action] if action in self._actions:
                return self._actions[action]._replace(session_id=session_id.lower())
            case ["sessions", _, "messages", last]:
                return BATCH_ROUTE if last == "batch" else MESSAGE_ROUTE
            case ["agents", *rest]:
                return self._agents_route(rest)
            case ["erasures", *rest]:
                return self._erasure_route(rest)
            case _:
                return None

    def _agents_route(self, parts: list[str]) -> Route | None:
        match parts:
            case []:
                return Route(AGENTS_PATH, {"GET": self._list_policies})
            case [agent_id, "session-policy"]:
                verbs = {
                    "GET": lambda request: self._get_policy(request, agent_id),
                    "PUT": lambda request: self._put_policy(request, agent_id),
                    "DELETE": lambda request: self._delete_policy(request, agent_id),
                }
                return Route(POLICY_PATH, verbs)
            case _:
                return None

    def _erasure_route(self, parts: list[str]) -> Route | None:
        match parts:
            case []:
                return Route(ERASURES_PATH, {"POST": self._request_erasure})
            case [erasure_id]:
                verbs = {"GET": lambda request: self._get_erasure(request, erasure_id)}
                return Route(f"{ERASURES_PATH}/{{erasureId}}", verbs)
            case _:
                return None

    def _create(self, request: Request) -> Answer:
        body = read_object(request.body, is_base64=request.is_base64)
        agent_id = body.get("agentId")
        policy = self._policies.in_force(request.tenant_id, agent_id.lower()) if is_uuid(agent_id) else None
        wanted, refusal = self._requests.new_session(body, request.headers.get("idempotency-key"), policy)
        if not self._policies.allows(policy):
            refusal = AgentNotFound()
        (session, now_ms), is_new = self._sessions.create(request.tenant_id, wanted, refusal)
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
        def merge(kept: Session) -> TimeoutConfig:
            body = read_object(request.body, is_base64=request.is_base64)
            policy = self._policies.in_force(request.tenant_id, kept.agent_id.lower())
            return self._requests.merged_timeout(body, kept.timeout, policy)

        patched = self._sessions.patch_timeout(request.tenant_id, request.session_id, merge)
        return _session_answer(patched, SESSIONS_PATCHED)

    def _patch_metadata(self, request: Request) -> Answer:
        def merge(kept: str) -> str:
            patch = metadata_patch(read_object(request.body, is_base64=request.is_base64), request.headers)
            version = responses.metadata_version(kept)
            if patch.if_match not in (None, version):
                raise PreconditionFailed("metadataVersion", version)
            return patch.applied_to(kept)

        patched = self._sessions.patch_metadata(request.tenant_id, request.session_id, merge)
        return _session_answer(patched, SESSIONS_PATCHED)

    def _delete(self, request: Request) -> Answer:
        ended = self._removal().end(request.tenant_id, request.session_id)
        return Answer(200, responses.deletion_json(request.session_id, ended), metric=SESSIONS_ENDED)

    def _list_policies(self, request: Request) -> Answer:
        return Answer(200, self._policy_api().page(request.tenant_id, request.query))

    def _get_policy(self, request: Request, agent_id: str) -> Answer:
        return Answer(200, self._policy_api().get(request.tenant_id, agent_id))

    def _put_policy(self, request: Request, agent_id: str) -> Answer:
        body = read_object(request.body, is_base64=request.is_base64)
        return Answer(200, self._policy_api().put(request.tenant_id, agent_id, body))

    def _delete_policy(self, request: Request, agent_id: str) -> Answer:
        return Answer(200, self._policy_api().delete(request.tenant_id, agent_id))

    def _request_erasure(self, request: Request) -> Answer:
        body = read_object(request.body, is_base64=request.is_base64)
        api = self._erasure_api()
        erasure = api.request(request.tenant_id, body)
        location = {"location": f"{ERASURES_PATH}/{erasure.erasure_id}"}
        counts = {SESSIONS_ERASED: erasure.sessions, MESSAGES_ERASED: erasure.messages}
        facts = {"erasure": erasure.erasure_id, "sessions": erasure.sessions, "messages": erasure.messages}
        return Answer(202, api.json(erasure), location, ERASURES_REQUESTED, counts=counts, facts=facts)

    def _get_erasure(self, request: Request, erasure_id: str) -> Answer:
        api = self._erasure_api()
        return Answer(200, api.json(api.get(request.tenant_id, erasure_id)))


def _session_answer(snapshot: Snapshot, metric: str | None = None) -> Answer:
    return Answer(200, responses.session_json(snapshot.session, snapshot.now_ms), metric=metric)
