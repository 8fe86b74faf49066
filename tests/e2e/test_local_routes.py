"""The local stack over HTTP: the routes beside the API, and what the gateway before the API does."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from agent_sessions.bootstrap import wiring

from local.server import PAGE
from tests.e2e.serving import Serving, serving
from tests.unit.world import AGENT, BASE, USER

MINIMAL = {"agentId": AGENT, "userId": USER}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("stack"), auth=False) as running:
        running.stand_still()
        yield running


def create(stack: Serving, **about: Any) -> dict[str, Any]:
    reply = stack.send("POST", BASE, MINIMAL | about)
    assert reply.status == 201
    return dict(reply.json)


def now(stack: Serving) -> str:
    return str(stack.send("GET", "/_local/clock").json["now"])


def events_of(stack: Serving, session_id: str) -> list[dict[str, Any]]:
    events = stack.send("GET", "/_local/events").json["events"]
    return [event for event in events if event["subject"] == session_id]


# --- the clock


def test_moving_the_clock_brings_the_warning_then_the_expiry(stack: Serving) -> None:
    session = create(stack)
    before = now(stack)
    moved = stack.send("POST", "/_local/clock", {"advanceMinutes": 25}).json
    assert moved["advancedMinutes"] == 25
    assert moved["now"] > before
    [warning] = events_of(stack, session["sessionId"])
    assert warning["type"] == "agent-sessions.session.expiring"
    assert warning["specversion"] == "1.0"
    # An expiry is told 5 s after it at the earliest, by a minute's sweep: up to 65 s later.
    stack.send("POST", "/_local/clock", {"advanceMinutes": 7})
    [_, expiry] = events_of(stack, session["sessionId"])
    assert expiry["type"] == "agent-sessions.session.expired"
    assert warning["time"] < expiry["time"] <= now(stack)
    assert stack.send("GET", f"{BASE}/{session['sessionId']}").status == 410


def test_the_clock_names_what_comes_next_jumps_to_a_time_and_plays(stack: Serving) -> None:
    for session in stack.send("GET", BASE).json["sessions"]:
        stack.send("DELETE", f"{BASE}/{session['sessionId']}")
    assert stack.send("GET", "/_local/clock").json["next"] is None
    session = create(stack)
    upcoming = stack.send("GET", "/_local/clock").json["next"]
    assert (upcoming["sessionId"], upcoming["type"]) == (session["sessionId"], "expiring")
    assert stack.send("POST", "/_local/clock", {"advanceTo": upcoming["at"]}).json["events"] == 1
    assert [event["time"] for event in events_of(stack, session["sessionId"])] == [upcoming["at"]]
    for moment in (upcoming["at"], upcoming["at"][:-1], "9999-12-31T23:59:59Z", 5, None):
        reply = stack.send("POST", "/_local/clock", {"advanceTo": moment})
        assert [fault["field"] for fault in reply.json["error"]["details"]["fields"]] == ["advanceTo"]

    assert stack.send("POST", "/_local/clock", {"speed": 3600}).json["speed"] == 3600
    while not events_of(stack, session["sessionId"])[1:]:
        pass  # a second is an hour
    assert stack.send("POST", "/_local/clock", {"advanceMinutes": 1}).status == 200
    assert stack.send("GET", "/_local/clock").json["speed"] == 1
    for speed in (0, 0.5, 4000, True, "60", None):
        assert stack.send("POST", "/_local/clock", {"speed": speed}).status == 400


@pytest.mark.parametrize("minutes", [0, -1, "5", True, None, 600_000, [], {}])
def test_the_clock_never_goes_back_nor_too_far(stack: Serving, minutes: object) -> None:
    reply = stack.send("POST", "/_local/clock", {"advanceMinutes": minutes})
    assert reply.status == 400
    [fault] = reply.json["error"]["details"]["fields"]
    assert fault["field"] == "advanceMinutes"


# --- the end of a session that was talked in


def stored(table: str) -> list[Any]:
    items: list[Any] = wiring._wiring.clients["dynamodb"].scan(TableName=f"local-{table}")["Items"]
    return items


def test_nothing_is_left_of_a_deleted_session_once_the_clock_has_moved(stack: Serving) -> None:
    ending, staying = (create(stack)["sessionId"] for _ in range(2))
    for session_id in (ending, staying, ending):
        assert stack.send("POST", f"{BASE}/{session_id}/messages", {"content": "words"}).status == 201
    key = {"idempotency-key": "once"}
    assert stack.send("POST", f"{BASE}/{ending}/messages", {"content": "words"}, headers=key).status == 201
    one_message = next(item for item in stored("MessagesTable") if item["life"]["S"].startswith(ending))
    ended = stack.send("DELETE", f"{BASE}/{ending}").json["data"]
    assert ended == {"success": True, "sessionId": ending, "messagesDeleted": 3, "pending": False}
    assert {item["life"]["S"][:36] for item in stored("MessagesTable")} == {staying}
    # A writer that had its number before the DELETE stores its message after it.
    wiring._wiring.clients["dynamodb"].put_item(TableName="local-MessagesTable", Item=one_message)
    stack.send("POST", "/_local/clock", {"advanceMinutes": 2})
    assert {item["life"]["S"][:36] for item in stored("MessagesTable")} == {staying}
    assert ending not in {item["sessionId"]["S"] for item in stored("SessionsTable")}
    assert stack.stack._queue._waiting == []
    assert len(stack.send("GET", f"{BASE}/{staying}/messages").json["messages"]) == 1


# --- filter policies


def test_a_filter_policy_can_be_tried(stack: Serving) -> None:
    policy = {"type": ["agent-sessions.session.expired"]}
    assert stack.send("GET", "/_local/subscription").json == {"filterPolicy": None}
    assert stack.send("PUT", "/_local/subscription", {"filterPolicy": policy}).json == {"filterPolicy": policy}
    session = create(stack, timeoutConfig={"timeoutMinutes": 5})
    stack.send("POST", "/_local/clock", {"advanceMinutes": 7})
    [event] = events_of(stack, session["sessionId"])
    assert event["type"] == "agent-sessions.session.expired"
    assert stack.send("PUT", "/_local/subscription", {"filterPolicy": None}).json == {"filterPolicy": None}


# --- the gateway


# --- the pages


def test_the_page_loads_nothing_from_elsewhere(stack: Serving) -> None:
    reply = stack.send("GET", "/")
    assert reply.headers["content-type"].startswith("text/html")
    assert reply.body == (PAGE / "index.html").read_bytes()
    for file in PAGE.iterdir():
        reply = stack.send("GET", f"/_local/page/{file.name}")
        assert reply.status == 200
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in reply.headers["content-security-policy"]
        text = reply.body.decode()
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text
        for markup in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", " style="):
            assert markup not in text, file.name
    for name in ("nothing.js", "..%2fserver.py", "../server.py", "..%5cserver.py"):
        assert stack.send("GET", f"/_local/page/{name}").status == 404


def test_the_documentation_is_served_from_here(stack: Serving) -> None:
    page = stack.send("GET", "/docs").body.decode()
    for path in ("/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/openapi.json"):
        assert path in page
        assert stack.send("GET", path).status == 200
    described = stack.send("GET", "/docs/openapi.json").json
    assert described["openapi"].startswith("3.1")
    assert [server["url"] for server in described["servers"]] == [f"http://127.0.0.1:{stack.port}"]


@pytest.mark.parametrize(
    "method, path, code",
    [
        ("GET", "/_local/nothing", "ROUTE_NOT_FOUND"),
        ("GET", "/_local/page/nothing.js", "ROUTE_NOT_FOUND"),
        ("DELETE", "/_local/clock", "METHOD_NOT_ALLOWED"),
        ("POST", "/_local/events", "METHOD_NOT_ALLOWED"),
        ("GET", "/docs/nothing.js", "ROUTE_NOT_FOUND"),
    ],
)
def test_addresses_of_its_own_are_refused_in_the_apis_shape(stack: Serving, method: str, path: str, code: str) -> None:
    reply = stack.send(method, path)
    assert reply.json["success"] is False
    assert reply.json["error"]["code"] == code
    assert (reply.status == 405) == ("allow" in reply.headers)


@pytest.mark.parametrize(
    "method, path",
    [
        ("POST", "/_local/keys"),
        ("GET", "/_local/events"),
        ("GET", "/"),
        ("GET", "/docs"),
        ("POST", BASE),
        ("GET", BASE),
    ],
)
def test_a_page_whose_name_was_rebound_to_this_machine_gets_nothing(stack: Serving, method: str, path: str) -> None:
    name = f"rebound.example:{stack.port}"
    command = {"action": "create", "tenant": "acme", "name": "stolen"}
    reply = stack.send(method, path, command, headers={"host": name, "origin": f"http://{name}"})
    assert reply.status == 421
    assert "rebound.example" in reply.json["message"]
    assert "ALLOW_HOSTS" in reply.json["message"]


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "http://127.0.0.1.example"])
def test_a_web_page_of_elsewhere_cannot_move_the_clock(stack: Serving, origin: str) -> None:
    reply = stack.send("POST", "/_local/clock", {"advanceMinutes": 1}, headers={"origin": origin})
    assert reply.status == 403


# --- what pages are told


def stream(stack: Serving, wanted: set[str]) -> dict[str, list[Any]]:
    """What the stream says until each of these kinds has come."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=300)
    connection.request("GET", "/_local/stream")
    response = connection.getresponse()
    assert response.headers["content-type"].startswith("text/event-stream")
    told: dict[str, list[Any]] = {}
    while not wanted <= told.keys():
        kind = response.readline().decode().removeprefix("event: ").strip()
        data = response.readline().decode().removeprefix("data: ")
        response.readline()
        told.setdefault(kind, []).append(json.loads(data))
    connection.close()
    return told


def test_a_page_is_told_of_clock_sessions_and_events(stack: Serving) -> None:
    session = create(stack, timeoutConfig={"timeoutMinutes": 5}, metadata={"note": "<b>"})
    stack.send("POST", "/_local/clock", {"advanceMinutes": 1})
    told = stream(stack, {"hello", "clock", "sessions", "events", "calls"})
    [hello] = told["hello"]
    assert hello["auth"] is False
    assert hello["defaults"]["timeoutMinutes"] == 30
    assert told["clock"][0]["moving"] is None
    seen = {change["sessionId"]: change["session"] for changes in told["sessions"] for change in changes}
    assert seen[session["sessionId"]]["metadataText"] == '{"note":"<b>"}'
    made = [call for call in told["calls"][0] if call["sessionId"] == session["sessionId"]]
    assert [(call["method"], call["route"], call["status"]) for call in made] == [("POST", "/", 201)]
    assert made[0]["expiresAt"] == session["expiresAt"]
    [events] = told["events"]
    assert events["total"] == len(stack.send("GET", "/_local/events").json["events"])
    assert {event["specversion"] for event in events["latest"]} == {"1.0"}
