"""Every route with every kind of key, over HTTP: 401, 403, 404 or success, and nothing of another tenant's."""

import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from agent_sessions.bootstrap import callers

from tests.e2e.serving import BASE, ERASURES, Reply, Serving, serving

OPENAPI: Final = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
AGENT: Final = "b8504bc3-45f8-4a41-a00a-83df46d8555d"
USER: Final = "6c6f2d1e-0a3b-4f7d-9e58-1b2c3d4e5f60"
NOBODY: Final = "0d9f2c61-7b1e-4a3c-9a55-3c1b7de0a4f2"
"""A user without sessions, who can be erased."""
NEW: Final = {"agentId": AGENT, "userId": USER, "metadata": {"of": "acme-only"}}
UNAUTHORIZED: Final = (401, {"message": "Unauthorized"})
FORBIDDEN: Final = (403, {"message": "Forbidden"})
MINUTE: Final = 60_000


AGENTS: Final = "/api/messaging/agents"
POLICY: Final = f"{AGENTS}/{{agent}}/session-policy"
OTHER_AGENT: Final = "8f14e45f-ceea-467f-a0e6-b9f4d1d5c6a7"
"""An agent without sessions: its policy changes nothing for the others."""


@dataclass(frozen=True)
class Route:
    """A request; `{id}` stands for a session's id, `{message}` for that of its first message.

    A path below sessions is given without that beginning. `{erasure}` is an erasure of the tenant acme.
    """

    method: str
    path: str
    success: int
    body: object = None
    is_public: bool = False
    in_openapi: bool = True

    @property
    def of_session(self) -> bool:
        return "{id}" in self.path and not self.is_public

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


ROUTES: Final = (
    Route("POST", "", 201, NEW),
    Route("GET", "", 200),
    Route("GET", "/health", 200, is_public=True),
    Route("GET", "/{id}", 200),
    Route("POST", "/{id}/heartbeat", 200),
    Route("POST", "/{id}/renew", 200),
    Route("PATCH", "/{id}/timeout", 200, {"timeoutMinutes": 20}),
    Route("PATCH", "/{id}", 200, {"metadata": {"of": None}}),
    Route("POST", "/{id}/messages", 201, {"content": "of acme-only"}),
    Route("POST", "/{id}/messages/batch", 201, {"messages": [{"content": "of acme-only"}]}),
    Route("GET", "/{id}/messages", 200),
    Route("GET", "/{id}/messages/{message}", 200),
    Route("GET", "/{id}/export", 200),
    Route("DELETE", "/{id}/messages/{message}", 200),
    Route("DELETE", "/{id}/messages", 200),
    Route("POST", ERASURES, 202, {"userId": NOBODY}),
    Route("GET", f"{ERASURES}/{{erasure}}", 200),
    Route("DELETE", "/{id}", 200),
    Route("PUT", POLICY, 200, {"timeoutMinutes": {"max": 720}}),
    Route("GET", POLICY, 200),
    Route("GET", AGENTS, 200),
    Route("DELETE", POLICY, 200),
    Route("HEAD", "/{id}", 200, in_openapi=False),
    Route("HEAD", "", 200, in_openapi=False),
    Route("HEAD", "/health", 200, is_public=True, in_openapi=False),
    Route("HEAD", "/health/", 200, is_public=True, in_openapi=False),
    Route("GET", "/{id}/", 200, in_openapi=False),
    Route("POST", "/{id}/messages/", 201, {"content": "of acme-only"}, in_openapi=False),
    Route("HEAD", "/{id}/messages", 200, in_openapi=False),
    Route("HEAD", "/{id}/export/", 200, in_openapi=False),
    Route("HEAD", "/{id}/messages/{message}", 200, in_openapi=False),
    Route("GET", "/{id}/messages/?expired=true", 200, in_openapi=False),
    Route("GET", "/health/", 200, is_public=True, in_openapi=False),
    Route("OPTIONS", "/{id}", 204, is_public=True, in_openapi=False),
)
"""What has a success; what the function refuses whoever asks stands in `REFUSED`."""

REFUSED: Final = (
    Route("PUT", "/{id}", 405, in_openapi=False),
    Route("TRACE", "", 405, in_openapi=False),
    Route("PUT", "/{id}/messages", 405, in_openapi=False),
    Route("PUT", "/{id}/messages/{message}", 405, in_openapi=False),
    Route("POST", "/{id}/export", 405, in_openapi=False),
    Route("GET", "/{id}/messages/{message}/more", 404, in_openapi=False),
    Route("GET", "/../../health", 404, in_openapi=False),
    Route("POST", "/health", 405, in_openapi=False),
)


@dataclass(frozen=True)
class Keys:
    """A key of each kind."""

    right: str
    other: str
    revoked: str
    expired: str

    def bad(self) -> Mapping[str, str]:
        """Keys that are no good, by what is wrong with them."""
        return {
            "unknown": "as_" + "a" * 32,
            "malformed": "hunter2",
            "revoked": self.revoked,
            "expired": self.expired,
            "cut short": self.right[:-1],
            "two tenants'": f"{self.right},{self.other}",
            "no ASCII": "as_schl\xfcssel",
            "long": "as_" + "a" * 5_000,
        }


KINDS_OF_BAD_KEYS: Final = tuple(Keys("", "", "", "").bad())


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("access"), auth=True) as running:
        yield running


@pytest.fixture(scope="module")
def keys(stack: Serving) -> Keys:
    service = callers.api_keys()
    right, other, revoked = (service.create(tenant, "matrix") for tenant in ("acme", "globex", "acme"))
    expired = service.create("acme", "matrix", lifetime_ms=1)
    service.revoke("acme", revoked.record.key_id)
    stack.stack.advance(MINUTE)
    return Keys(right.text, other.text, revoked.text, expired.text)


@pytest.fixture
def session_id(stack: Serving, keys: Keys) -> Iterator[str]:
    """A session of the tenant acme; it goes with the test, as moto gets slow with many."""
    reply = stack.send("POST", BASE, NEW, key=keys.right)
    assert reply.status == 201, reply.body
    talk(stack, str(reply.json["sessionId"]), keys.right)
    yield str(reply.json["sessionId"])
    stack.send("DELETE", f"{BASE}/{reply.json['sessionId']}", key=keys.right)


@pytest.fixture(scope="module")
def untouched(stack: Serving, keys: Keys) -> Iterator[str]:
    """A session of the tenant acme for all tests that must not reach it; at the end it is as it was."""
    lasting = {**NEW, "timeoutConfig": {"timeoutMinutes": 1440, "maxDurationMinutes": 2880}}
    before = stack.send("POST", BASE, lasting, key=keys.right).json
    talk(stack, before["sessionId"], keys.right)
    before = stack.send("GET", f"{BASE}/{before['sessionId']}", key=keys.right).json
    yield str(before["sessionId"])
    after = stack.send("GET", f"{BASE}/{before['sessionId']}", key=keys.right).json
    assert {**after, "timeRemaining": 0} == {**before, "timeRemaining": 0}


FIRST_MESSAGE: Final[dict[str, str]] = {}
"""The id of the first message, by session."""
ERASURE: Final[dict[str, str]] = {}
"""The id of an erasure, under `acme`."""


def talk(stack: Serving, session_id: str, key: str) -> None:
    reply = stack.send("POST", f"{BASE}/{session_id}/messages", {"content": "of acme-only"}, key=key)
    assert reply.status == 201, reply.body
    FIRST_MESSAGE[session_id] = reply.json["message"]["id"]
    if not ERASURE:
        ERASURE["acme"] = stack.send("POST", ERASURES, {"userId": NOBODY}, key=key).json["erasureId"]


def ask(stack: Serving, route: Route, session_id: str, key: str | None) -> Reply:
    message_id = FIRST_MESSAGE.get(session_id, str(uuid.uuid4()))
    path = route.path.replace("{id}", session_id).replace("{message}", message_id)
    path = path.replace("{erasure}", ERASURE.get("acme", str(uuid.uuid4()))).replace("{agent}", OTHER_AGENT)
    return stack.send(route.method, path if path.startswith((AGENTS, ERASURES)) else BASE + path, route.body, key=key)


def seen(reply: Reply) -> tuple[int, Any]:
    return reply.status, reply.json if reply.body else None


def told_apart(reply: Reply) -> Any:
    """What a caller could tell two answers apart by: all of it but the moment, and the ids of the requests."""
    headers = {name: value for name, value in reply.headers.items() if name not in {"x-request-id", "apigw-requestid"}}
    body = re.sub(rb'"timestamp":"[^"]+"', b"", reply.body)
    return reply.status, {name: value for name, value in headers.items() if name != "date"}, body


def test_the_matrix_has_every_route_of_the_openapi_file() -> None:
    paths = json.loads(OPENAPI.read_text(encoding="utf-8"))["paths"]
    documented = {
        (method.upper(), re.sub(r"\{\w+\}", "{id}", path.removeprefix(BASE)).rstrip("/"))
        for path, item in paths.items()
        for method in item
        if method in {"get", "post", "put", "patch", "delete", "head", "options", "trace"}
    }
    assert documented == {
        (route.method, re.sub(r"\{\w+\}", "{id}", route.path)) for route in ROUTES if route.in_openapi
    }


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_the_right_key_succeeds(stack: Serving, keys: Keys, session_id: str, route: Route) -> None:
    stack.send("PUT", POLICY.replace("{agent}", OTHER_AGENT), {}, key=keys.right)
    assert ask(stack, route, session_id, keys.right).status == route.success


@pytest.mark.parametrize("key", [None, ""])
@pytest.mark.parametrize("route", [route for route in ROUTES + REFUSED if not route.is_public], ids=str)
def test_without_a_key_every_route_is_a_401(stack: Serving, untouched: str, route: Route, key: str | None) -> None:
    with stack.counted() as calls:
        reply = ask(stack, route, untouched, key)
    assert reply.status == 401
    assert reply.headers["content-length"] == str(len(b'{"message":"Unauthorized"}'))
    assert route.method == "HEAD" or seen(reply) == UNAUTHORIZED
    assert not calls, "the gateway asks nobody"


@pytest.mark.parametrize("kind", KINDS_OF_BAD_KEYS)
@pytest.mark.parametrize("route", [route for route in ROUTES + REFUSED if not route.is_public], ids=str)
def test_with_a_key_that_is_no_good_every_route_is_the_same_403(
    stack: Serving, keys: Keys, untouched: str, route: Route, kind: str
) -> None:
    with stack.counted() as calls:
        reply = ask(stack, route, untouched, keys.bad()[kind])
    assert reply.status == 403
    assert reply.headers["content-length"] == str(len(b'{"message":"Forbidden"}'))
    assert route.method == "HEAD" or seen(reply) == FORBIDDEN
    assert calls.keys() <= {"ApiKeysTable GetItem"}, "no session is looked at"


@pytest.mark.parametrize("kind", [None, "unknown", "revoked", "other", "right"])
@pytest.mark.parametrize("route", [route for route in ROUTES if route.is_public], ids=str)
def test_health_and_preflights_ask_for_no_key_and_do_not_look_at_one(
    stack: Serving, keys: Keys, session_id: str, route: Route, kind: str | None
) -> None:
    key = None if kind is None else {**keys.bad(), "other": keys.other, "right": keys.right}[kind]
    with stack.counted() as calls:
        reply = ask(stack, route, session_id, key)
    assert reply.status == route.success
    assert "ApiKeysTable GetItem" not in calls


# --- another tenant's key ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", [route for route in (*ROUTES, *REFUSED) if route.of_session], ids=str)
def test_another_tenants_session_is_like_one_that_never_was(
    stack: Serving, keys: Keys, session_id: str, route: Route
) -> None:
    before = stack.send("GET", f"{BASE}/{session_id}", key=keys.right).json
    stack.send("GET", BASE, key=keys.other)  # so that the gateway remembers the key, and asks no more about it
    with stack.counted() as calls_for_none:
        none = ask(stack, route, str(uuid.uuid4()), keys.other)
    with stack.counted() as calls_for_anothers:
        anothers = ask(stack, route, session_id, keys.other)
    assert told_apart(anothers) == told_apart(none)
    assert calls_for_anothers == calls_for_none, "nor does the work of an answer tell them apart"
    if route not in REFUSED:
        assert anothers.status == 404
        assert route.method == "HEAD" or anothers.json["error"]["code"] == "SESSION_NOT_FOUND"
    after = stack.send("GET", f"{BASE}/{session_id}", key=keys.right).json
    assert {**before, "timeRemaining": 0} == {**after, "timeRemaining": 0}, "and it is left as it was"


def test_another_tenants_erasure_is_like_one_that_never_was(stack: Serving, keys: Keys, session_id: str) -> None:
    replies = [
        stack.send("GET", f"{ERASURES}/{erasure_id}", key=keys.other)
        for erasure_id in (ERASURE["acme"], str(uuid.uuid4()))
    ]
    assert told_apart(replies[0]) == told_apart(replies[1])
    assert replies[0].status == 404


def test_a_tenant_that_a_caller_names_itself_counts_for_nothing(stack: Serving, keys: Keys, session_id: str) -> None:
    for headers in ({"x-tenant-id": "acme"}, {"tenantid": "acme"}, {"x-amzn-authorizer-tenantid": "acme"}):
        assert stack.send("GET", f"{BASE}/{session_id}", key=keys.other, headers=headers).status == 404
        assert stack.send("GET", f"{BASE}/{session_id}?tenantId=acme", key=keys.other, headers=headers).status == 404
    body = {**NEW, "tenantId": "acme", "tenant_id": "acme"}
    theirs = stack.send("POST", BASE, body, key=keys.other).json["sessionId"]
    assert stack.send("GET", f"{BASE}/{theirs}", key=keys.right).status == 404


# --- the end of a key -------------------------------------------------------------------------------------------------


def use_up(stack: Serving, end: Callable[[Any], Any], lifetime_ms: int | None = None) -> list[int]:
    """Use a key, end it, and use it again at once and five minutes later."""
    made = callers.api_keys().create("acme", "to be ended", lifetime_ms)
    statuses = [stack.send("GET", BASE, key=made.text).status]
    end(made)
    statuses.append(stack.send("GET", BASE, key=made.text).status)
    stack.stack.advance(5 * MINUTE)
    statuses.append(stack.send("GET", BASE, key=made.text).status)
    return statuses


def test_a_revoked_key_stops_working_within_five_minutes(stack: Serving) -> None:
    revoke = lambda made: callers.api_keys().revoke_leaked(made.text)  # noqa: E731 - short, and named
    assert use_up(stack, revoke) == [200, 200, 403]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_no_other_web_page_makes_itself_a_key(stack: Serving, kind: str) -> None:
    """A page of another origin may send these without asking first; JSON it may not."""
    body = json.dumps({"action": "create", "tenant": "acme"})
    for headers in ({"content-type": kind}, {"content-type": kind, "origin": "https://evil.example"}):
        reply = stack.send("POST", "/_local/keys", headers=headers, text=body)
        assert reply.status in {403, 415}
    headers = {"content-type": "application/json", "origin": "https://evil.example"}
    assert stack.send("POST", "/_local/keys", headers=headers, text=body).status == 403


def test_another_tenants_cursor_is_no_cursor(stack: Serving, keys: Keys, session_id: str) -> None:
    stack.send("POST", BASE, NEW, key=keys.right)
    cursor = stack.send("GET", f"{BASE}?limit=1", key=keys.right).json["nextCursor"]
    assert stack.send("GET", f"{BASE}?limit=1&cursor={cursor}", key=keys.right).status == 200
    foreign = stack.send("GET", f"{BASE}?limit=1&cursor={cursor}", key=keys.other)
    assert foreign.status == 400
    garbage = stack.send("GET", f"{BASE}?limit=1&cursor={cursor[::-1]}", key=keys.other)
    for reply in (foreign, garbage):
        for field in reply.json["error"]["details"]["fields"]:
            del field["value"]
    assert foreign.json["error"]["details"] == garbage.json["error"]["details"]


def test_no_list_shows_another_tenants_sessions(stack: Serving, keys: Keys, session_id: str) -> None:
    for query in ("", f"?userId={USER}", f"?agentId={AGENT}", f"?userId={USER}&agentId={AGENT}&limit=100"):
        reply = stack.send("GET", f"{BASE}{query}", key=keys.other)
        assert reply.status == 200
        assert session_id.encode() not in reply.body
        assert session_id.encode() in stack.send("GET", f"{BASE}{query}", key=keys.right).body


def test_two_tenants_have_policies_of_their_own_for_one_agent(stack: Serving, keys: Keys) -> None:
    path = POLICY.replace("{agent}", OTHER_AGENT)
    new = {**NEW, "agentId": OTHER_AGENT.upper()}
    assert stack.send("PUT", path, {"allowed": False, "autoRenew": False}, key=keys.right).status == 200
    assert stack.send("GET", path, key=keys.other).json["error"]["code"] == "AGENT_NOT_FOUND"
    assert stack.send("DELETE", path, key=keys.other).status == 404
    assert stack.send("GET", AGENTS, key=keys.other).json == {"agents": []}
    assert stack.send("POST", BASE, new, key=keys.other).json["timeoutConfig"]["autoRenew"] is True
    assert stack.send("POST", BASE, new, key=keys.right).json["error"]["code"] == "AGENT_NOT_FOUND"
    assert stack.send("DELETE", path, key=keys.right).status == 200
    assert stack.send("POST", BASE, new, key=keys.right).status == 201, "the process that changed it knows at once"


def test_two_tenants_use_one_idempotency_key_and_never_learn_of_it(stack: Serving, keys: Keys) -> None:
    header = {"idempotency-key": "the-same-for-both"}
    mine, theirs = (stack.send("POST", BASE, NEW, key=key, headers=header) for key in (keys.right, keys.other))
    assert (mine.status, theirs.status) == (201, 201)
    assert mine.json["sessionId"] != theirs.json["sessionId"]
    changed = {**NEW, "metadata": {"of": "globex"}}
    assert stack.send("POST", BASE, changed, key=keys.other, headers=header).status == 422
