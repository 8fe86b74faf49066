"""The local stack's gateway: what comes over the wire becomes the event that API Gateway would send, and back."""

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from local.gateway import (
    BODY_LIMIT,
    EVENT_LIMIT,
    Authorizer,
    Cors,
    Gateway,
    HttpAnswer,
    HttpRequest,
)
from tests.unit.world import BASE, MINUTE, MovableClock, sample

ORIGIN = ("origin", "http://localhost:5173")
OPEN = Cors(
    origins=("*",), methods=("GET", "POST"), headers=("content-type",), exposed=("location",), max_age_seconds=6
)


class Recorder:
    """A function that keeps its events and gives a fixed answer, or fails."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer or {"statusCode": 200, "body": "{}"}
        self.events: list[dict[str, Any]] = []

    def __call__(self, event: dict[str, Any]) -> Any:
        self.events.append(copy.deepcopy(event))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def request(
    method: str = "GET", path: str = BASE, query: str = "", body: bytes = b"", headers: Sequence[tuple[str, str]] = ()
) -> HttpRequest:
    return HttpRequest(method, path, query, [("Host", "127.0.0.1:3000"), *headers], body)


def gateway(function: Recorder, **options: Any) -> Gateway:
    return Gateway(function, clock=MovableClock(), health_path=f"{BASE}/health", **options)


def event_for(sent: HttpRequest) -> dict[str, Any]:
    function = Recorder()
    gateway(function).answer(sent)
    [event] = function.events
    return event


def headers_of(answer: HttpAnswer) -> dict[str, str]:
    return dict(answer.headers)


def as_wire(event: Mapping[str, Any]) -> HttpRequest:
    """The request that API Gateway made a sample event of."""
    added = ("x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto")
    headers = [(name.title(), value) for name, value in event["headers"].items() if name not in added]
    http = event["requestContext"]["http"]
    body = event.get("body", "").encode()
    return HttpRequest(http["method"], event["rawPath"], event["rawQueryString"], headers, body, http["sourceIp"])


API_SAMPLES = [
    "create-minimal", "create-full", "create-idempotent", "get", "heartbeat", "renew", "patch", "delete", "list",
    "health",
]  # fmt: skip


@pytest.mark.parametrize("name", API_SAMPLES)
def test_an_event_has_the_shape_of_the_sample_event(name: str) -> None:
    wanted = sample(name)
    got = event_for(as_wire(wanted))
    assert got.keys() == wanted.keys()
    assert got["requestContext"].keys() == wanted["requestContext"].keys() | {"authorizer"} - (
        set() if "authorizer" in wanted["requestContext"] else {"authorizer"}
    )
    assert got["requestContext"]["http"] == wanted["requestContext"]["http"]
    assert got["headers"].keys() - {"content-length"} == wanted["headers"].keys() - {"content-length"}
    for part in (
        "version",
        "routeKey",
        "rawPath",
        "rawQueryString",
        "body",
        "isBase64Encoded",
        "queryStringParameters",
    ):
        assert got.get(part) == wanted.get(part), part


def test_header_names_are_in_lower_case_and_repeats_are_joined() -> None:
    event = event_for(request(headers=[("X-A", "1"), ("x-a", "2"), ("X-Forwarded-For", "10.0.0.1")]))
    assert event["headers"]["x-a"] == "1,2"
    assert event["headers"]["x-forwarded-for"] == "10.0.0.1, 127.0.0.1"
    assert event["headers"]["x-forwarded-port"] == "3000"


def test_cookies_have_a_place_of_their_own() -> None:
    event = event_for(request(headers=[("Cookie", "a=1; b=2")]))
    assert event["cookies"] == ["a=1", "b=2"]
    assert "cookie" not in event["headers"]


def test_query_parameters_are_decoded_and_repeats_are_joined() -> None:
    event = event_for(request(query="a=1&a=2&b=%C3%A4+x&c"))
    assert event["rawQueryString"] == "a=1&a=2&b=%C3%A4+x&c"
    assert event["queryStringParameters"] == {"a": "1,2", "b": "ä x", "c": ""}


def test_the_path_comes_decoded_as_http_apis_hand_it_on() -> None:
    event = event_for(request(path=f"{BASE}/a%20b"))
    assert event["rawPath"] == event["requestContext"]["http"]["path"] == f"{BASE}/a b"


@pytest.mark.parametrize(
    "kind, sent, body, in_base64",
    [
        ("application/json", '{"a":"ä"}'.encode(), '{"a":"ä"}', False),
        ("Application/JSON; charset=utf-8", b"{}", "{}", False),
        ("text/plain", b"{}", "{}", False),
        ("application/x-www-form-urlencoded", b"{}", "e30=", True),  # what curl sends by itself
        ("application/vnd.api+json", b"{}", "e30=", True),
        (None, b"{}", "e30=", True),
        ("application/json", b"\xff", "/w==", True),
    ],
)
def test_text_is_handed_on_as_text_and_all_else_in_base64(
    kind: str | None, sent: bytes, body: str, *, in_base64: bool
) -> None:
    event = event_for(request("POST", body=sent, headers=[("Content-Type", kind)] if kind else []))
    assert (event["body"], event["isBase64Encoded"]) == (body, in_base64)


def test_every_answer_carries_the_request_id_that_the_event_had() -> None:
    function = Recorder()
    answer = gateway(function).answer(request())
    request_id = headers_of(answer)["apigw-requestid"]
    assert request_id == function.events[0]["requestContext"]["requestId"]
    assert len(request_id) == 16
    assert request_id.endswith("=")


def test_the_functions_answer_is_the_answer() -> None:
    function = Recorder({"statusCode": 201, "headers": {"Location": "/x", "X-N": 1}, "body": "ä", "cookies": ["a=1"]})
    answer = gateway(function).answer(request())
    assert (answer.status, answer.body) == (201, "ä".encode())
    assert ("location", "/x") in answer.headers
    assert ("x-n", "1") in answer.headers
    assert ("set-cookie", "a=1") in answer.headers


@pytest.mark.parametrize(
    "result", [{"statusCode": "no number"}, {"statusCode": 200, "body": "_", "isBase64Encoded": True}]
)
def test_a_response_that_is_none_is_a_500(result: Any) -> None:
    assert gateway(Recorder(result)).answer(request()).status == 500


def test_a_function_that_fails_is_a_500_in_the_gateways_words() -> None:
    failures: list[BaseException] = []
    function = Recorder(RuntimeError("secret"))
    answer = gateway(function, on_failure=failures.append).answer(request())
    assert (answer.status, answer.body) == (500, b'{"message":"Internal Server Error"}')
    assert failures == [function.answer]


@pytest.mark.parametrize(
    "sent, status, message",
    [
        (request("POST", body=b"x" * (BODY_LIMIT + 1)), 413, "Request Too Long"),
        (
            request("POST", body=b"x" * (EVENT_LIMIT + 1), headers=[("content-type", "text/plain")]),
            413,
            "Request Too Long",
        ),
        (request(headers=[("x", "y" * 10_240)]), 431, "Request Header Fields Too Large"),
        (request(query="y" * 10_240), 431, "Request Header Fields Too Large"),
    ],
)
def test_the_gateway_has_limits_of_its_own(sent: HttpRequest, status: int, message: str) -> None:
    function = Recorder()
    answer = gateway(function).answer(sent)
    assert (answer.status, json.loads(answer.body)) == (status, {"message": message})
    assert "apigw-requestid" in headers_of(answer)
    assert function.events == []


# --- CORS


def test_a_preflight_is_answered_by_the_gateway() -> None:
    function = Recorder()
    asked = request("OPTIONS", headers=[ORIGIN, ("access-control-request-method", "POST")])
    answer = gateway(function, cors=OPEN).answer(asked)
    assert answer.status == 204
    assert function.events == []
    assert headers_of(answer) | {"apigw-requestid": ""} == {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "GET,POST",
        "access-control-allow-headers": "content-type",
        "access-control-expose-headers": "location",
        "access-control-max-age": "6",
        "apigw-requestid": "",
    }


@pytest.mark.parametrize(
    "cors, headers",
    [(OPEN, []), (None, [ORIGIN])],
    ids=["without an origin", "without CORS settings"],
)
def test_a_preflight_of_nobody_is_the_functions(cors: Cors | None, headers: list[tuple[str, str]]) -> None:
    function = Recorder()
    asked = request("OPTIONS", headers=[*headers, ("access-control-request-method", "POST")])
    answer = gateway(function, cors=cors).answer(asked)
    assert len(function.events) == 1
    assert not any(name.startswith("access-control") for name in headers_of(answer))


def test_answers_to_a_page_of_elsewhere_say_that_it_may_read_them_and_which_headers() -> None:
    function = Recorder({"statusCode": 404, "headers": {"access-control-allow-origin": "https://the.function.example"}})
    headers = gateway(function, cors=OPEN).answer(request(headers=[ORIGIN])).headers
    assert [value for name, value in headers if name == "access-control-allow-origin"] == ["*"]
    assert ("access-control-expose-headers", "location") in headers


def test_an_origin_that_is_not_listed_gets_no_such_headers() -> None:
    listed = Cors(origins=("https://app.example",), methods=("GET",))
    answer = gateway(Recorder(), cors=listed).answer(request(headers=[ORIGIN]))
    assert not any(name.startswith("access-control") for name in headers_of(answer))
    answer = gateway(Recorder(), cors=listed).answer(request(headers=[("origin", "https://app.example")]))
    assert headers_of(answer)["access-control-allow-origin"] == "https://app.example"


# --- keys

YES = {"isAuthorized": True, "context": {"tenantId": "acme", "keyId": "1"}}


def guarded(judge: Recorder, function: Recorder, clock: MovableClock | None = None) -> Gateway:
    return Gateway(
        function,
        clock=clock or MovableClock(),
        health_path=f"{BASE}/health",
        authorizer=Authorizer(judge, "x-api-key", 4 * MINUTE),
    )


def test_the_authorizer_is_asked_as_the_sample_event_does() -> None:
    wanted = sample("authorizer-key")
    judge = Recorder(YES)
    guarded(judge, Recorder()).answer(as_wire(wanted | {"body": ""}))
    [got] = judge.events
    assert got.keys() == wanted.keys()
    assert got["identitySource"] == wanted["identitySource"]
    assert got["type"] == "REQUEST"
    assert got["requestContext"].keys() == wanted["requestContext"].keys()


def test_an_authorizer_that_fails_lets_nobody_in() -> None:
    function = Recorder()
    answer = guarded(Recorder(RuntimeError()), function).answer(request(headers=[("x-api-key", "k")]))
    assert (answer.status, function.events) == (500, [])


def test_an_answer_about_a_key_is_remembered_for_a_while() -> None:
    clock = MovableClock()
    judge = Recorder(YES)
    api = guarded(judge, Recorder(), clock)
    for _ in range(3):
        api.answer(request(headers=[("x-api-key", "a")]))
    assert len(judge.events) == 1
    api.answer(request(headers=[("x-api-key", "b")]))
    assert len(judge.events) == 2
    clock.advance(minutes=4)
    judge.answer = {"isAuthorized": False}
    assert api.answer(request(headers=[("x-api-key", "a")])).status == 403
