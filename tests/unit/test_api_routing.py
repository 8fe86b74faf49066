"""Paths, verbs, headers and query strings: what the function itself decides about them (docs/contract.md, Routes)."""

from typing import Any

import pytest

from tests.unit.world import AGENTS, BASE, NOWHERE, SESSION_ROUTES, TABLE, Answer, World, gateway_event

VERBS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "QUERY"]
ALLOWED = {
    BASE: {"GET", "HEAD", "POST", "OPTIONS"},
    f"{BASE}/health": {"GET", "HEAD", "OPTIONS"},
    f"{BASE}/{NOWHERE}": {"GET", "HEAD", "PATCH", "DELETE", "OPTIONS"},
    f"{BASE}/{NOWHERE}/heartbeat": {"POST", "OPTIONS"},
    f"{BASE}/{NOWHERE}/renew": {"POST", "OPTIONS"},
    f"{BASE}/{NOWHERE}/timeout": {"PATCH", "OPTIONS"},
    AGENTS: {"GET", "HEAD", "OPTIONS"},
    f"{AGENTS}/{NOWHERE}/session-policy": {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"},
}
WRONG = [(path, verb) for path, allowed in ALLOWED.items() for verb in VERBS if verb not in allowed]
UNKNOWN_PATHS = [
    "/", "", "/api", "/api/messaging", "/api/messaging/session", "/api/messaging/sessionsx",
    "/api/messaging/sessions-health", "/API/messaging/sessions", "/v2/api/messaging/sessions",
    "/api//messaging/sessions", f"{BASE}//", f"{BASE}//{NOWHERE}", f"{BASE}/{NOWHERE}//renew",
    f"{BASE}/{NOWHERE}/renew//", f"{BASE}/{NOWHERE}/Renew",
    f"{BASE}/{NOWHERE}/renew/now", f"{BASE}/health/deep", f"{BASE}/{NOWHERE}/health",
    f"{AGENTS}//", f"{AGENTS}/{NOWHERE}", f"{AGENTS}/{NOWHERE}/policy", f"{AGENTS}/{NOWHERE}/session-policy/x",
]  # fmt: skip


def send(world: World, method: str, path: str, **changes: Any) -> Answer:
    return world.call("get", method=method, path=path, **changes)


# --- verbs


@pytest.mark.parametrize("path, verb", WRONG)
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_wrong_verb_on_a_known_path_says_which_are_right(world: World, path: str, verb: str, slash: str) -> None:
    with world.counted() as calls:
        answer = send(world, verb, path + slash)
    assert answer.status == 405
    assert set(answer.headers["allow"].split(", ")) == ALLOWED[path]
    assert not calls


@pytest.mark.parametrize("path", ALLOWED)
@pytest.mark.parametrize("tenant", ["acme", None])
def test_options_says_which_verbs_are_right_and_asks_for_no_tenant(world: World, path: str, tenant: str | None) -> None:
    with world.counted() as calls:
        answer = send(world, "OPTIONS", path, tenant=tenant)
    assert answer.status == 204
    assert set(answer.headers["allow"].split(", ")) == ALLOWED[path]
    assert not calls


# --- paths


@pytest.mark.parametrize("path", UNKNOWN_PATHS)
@pytest.mark.parametrize("verb", ["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"])
def test_an_unknown_path_is_a_404_whatever_the_verb(world: World, path: str, verb: str) -> None:
    with world.counted() as calls:
        answer = send(world, verb, path)
    assert answer.status == 404
    if verb != "HEAD":
        assert answer.code == "ROUTE_NOT_FOUND"
    assert not calls


def test_a_trailing_slash_is_tolerated_on_every_route(world: World) -> None:
    created = world.call("create-minimal", path=f"{BASE}/")
    assert created.status == 201
    assert created.headers["location"] == f"{BASE}/{created.json['sessionId']}"
    path = created.headers["location"]
    assert world.call("list", path=f"{BASE}/").status == 200
    assert world.call("health", path=f"{BASE}/health/").status == 200
    assert world.call("get", path=f"{path}/").status == 200
    assert world.call("heartbeat", path=f"{path}/heartbeat/").status == 200
    assert world.call("renew", path=f"{path}/renew/").status == 200
    assert world.call("patch", path=f"{path}/timeout/").status == 200
    assert world.call("delete", path=f"{path}/").status == 200
    assert world.get(created.json["sessionId"]).status == 404


def test_a_percent_encoded_id_is_the_id(world: World) -> None:
    session_id = world.new()["sessionId"]
    encoded = "".join(f"%{ord(character):02x}" for character in session_id)
    for form in (encoded, encoded.upper(), session_id.replace("-", "%2D"), session_id.replace("-", "%2d", 1)):
        assert world.get(form).json["sessionId"] == session_id
        assert world.heartbeat(form).status == 200
        assert world.renew(form).status == 200
        assert world.patch(form).status == 200
    deleted = world.delete(encoded)
    assert deleted.json["data"]["sessionId"] == session_id


def test_an_id_is_compared_without_case(world: World) -> None:
    session_id = world.new()["sessionId"]
    for ask in (World.get, World.heartbeat, World.renew, World.patch):
        answer = ask(world, session_id.upper())
        assert answer.status == 200
        assert answer.json["sessionId"] == session_id
    assert world.delete(session_id.title()).json["data"]["sessionId"] == session_id
    assert world.get(session_id).status == 404


@pytest.mark.parametrize("path", ["/health", "/health/"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("scope", [None, "full", "nonsense"])
def test_health_needs_no_key_whatever_the_verb_the_slash_and_the_scope(
    world: World, path: str, method: str, scope: str | None
) -> None:
    for tenant in ("acme", None):
        answer = world.call("health", method=method, path=BASE + path, tenant=tenant, scope=scope)
        assert answer.status == 200
        assert (answer.text == "") == (method == "HEAD")


MALFORMED_IDS = [
    "x",
    "0",
    "%",
    "%zz",
    "%00",
    "%F0%9F%98%80",
    "%ff",
    "..",
    "%2e%2e",
    "%2F",
    "a%2Fb",
    "sweep",
    "cursor-key",
    "Health",
    NOWHERE.replace("-", ""),
    NOWHERE + "0",
    f"{{{NOWHERE}}}",
    "{sessionId}",
    "null",
    "*",
    "'; --",
    "x" * 5_000,
    "\u0661" + NOWHERE[1:],
    NOWHERE + "%0a",
]


@pytest.mark.parametrize("session_id", MALFORMED_IDS)
def test_a_malformed_id_is_an_unknown_session(world: World, session_id: str) -> None:
    unknown = world.get(NOWHERE)
    for answer in (
        world.get(session_id),
        world.heartbeat(session_id),
        world.renew(session_id),
        world.patch(session_id),
        world.delete(session_id),
    ):
        assert answer.code == "SESSION_NOT_FOUND"
        assert answer.json == unknown.json


def test_the_services_own_records_are_no_sessions(world: World) -> None:
    world.new()
    assert world.page(limit="1").status == 200  # makes the cursors' secret
    before = list(world.dynamo.items(TABLE))
    for record in ("sweep", "cursor-key"):
        assert world.get(record).status == 404
        assert world.delete(record).status == 404
    assert list(world.dynamo.items(TABLE)) == before


# --- HEAD


def test_head_answers_as_get_without_a_body(world: World) -> None:
    session_id = world.new()["sessionId"]
    for path in (f"{BASE}/{session_id}", BASE, f"{BASE}/health", f"{BASE}/{session_id}/"):
        seen, head = send(world, "GET", path), send(world, "HEAD", path)
        assert (head.status, head.text) == (200, "")
        assert head.headers == seen.headers


# --- headers and query strings


def test_names_of_headers_are_read_in_any_case(world: World) -> None:
    first = world.call("create-minimal", headers={"Idempotency-Key": "k", "CONTENT-TYPE": "application/json"})
    again = world.call("create-minimal", headers={"IDEMPOTENCY-KEY": "k"})
    assert (first.status, again.status) == (201, 200)
    assert again.json == first.json


def test_an_event_without_headers_or_query_is_answered(world: World) -> None:
    event = gateway_event("create-minimal")
    del event["headers"]
    assert world.send(event).status == 201
    assert world.send(event | {"headers": None, "queryStringParameters": None}).status == 201


@pytest.mark.parametrize("query", [{"x": "1"}, {"limit": "999"}, {"limit": "1,2"}, {"": ""}, {"cursor": "%ff,%"}])
def test_query_parameters_do_no_harm_where_they_mean_nothing(world: World, query: dict[str, str]) -> None:
    created = world.call("create-minimal", query=query)
    assert created.status == 201
    session_id = created.json["sessionId"]
    for ask in SESSION_ROUTES.values():
        assert ask(world, session_id, query=query).status == 200
    assert world.call("health", query=query).status == 200
