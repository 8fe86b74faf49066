"""The gateway: its routes, all but health and preflights guarded, its limits, CORS and log, and no way around it."""

import json
import re
from typing import Any

import pytest

from local.gateway import Gateway, HttpRequest
from tests.template_reader import Deployment
from tests.unit.world import BASE, MovableClock

ORIGINS = "https://app.example.com,https://example.org"


def only(kind: str, **parameters: str) -> dict[str, Any]:
    (properties,) = Deployment(**parameters).of_type(kind).values()
    return properties


MESSAGES = "/api/messaging/sessions/{id}/messages"
OF_MESSAGES = {
    f"{verb} {path}{slash}"
    for path, verbs in (
        (MESSAGES, ("DELETE", "GET", "HEAD", "POST")),
        (f"{MESSAGES}/batch", ("POST",)),
        (f"{MESSAGES}/{{messageId}}", ("DELETE", "GET", "HEAD")),
        ("/api/messaging/sessions/{id}/export", ("GET", "HEAD")),
    )
    for verb in verbs
    for slash in ("", "/")
}


def integration_of(function: str) -> dict[str, Any]:
    properties: dict[str, Any] = Deployment().resources[f"{function}Integration"]["Properties"]
    return properties


def routes() -> dict[str, dict[str, Any]]:
    return {route["RouteKey"]: route for route in Deployment().of_type("AWS::ApiGatewayV2::Route").values()}


def test_every_route_but_health_and_preflights_asks_for_a_key() -> None:
    assert {key: route["AuthorizationType"] for key, route in routes().items()} == {
        "$default": "CUSTOM",
        "GET /api/messaging/sessions/health": "NONE",
        "GET /api/messaging/sessions/health/": "NONE",
        "HEAD /api/messaging/sessions/health": "NONE",
        "HEAD /api/messaging/sessions/health/": "NONE",
        "OPTIONS /{proxy+}": "NONE",
    } | dict.fromkeys(OF_MESSAGES, "CUSTOM")
    guarded = [route for route in routes().values() if route["AuthorizationType"] == "CUSTOM"]
    assert {route["AuthorizerId"] for route in guarded} == {"ApiKeyAuthorizer"}


def test_the_local_gateway_has_the_same_routes_without_a_key() -> None:
    gateway = Gateway(lambda _event: {}, clock=MovableClock(), health_path=f"{BASE}/health")
    for path in (f"{BASE}/health", f"{BASE}/health/", f"{BASE}/health/x", BASE):
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            found, _ = gateway._route(HttpRequest(method, path, "", [], b""))
            key = f"{method} {path}" if f"{method} {path}" in routes() else "$default"
            key = "OPTIONS /{proxy+}" if method == "OPTIONS" else key
            assert (found.key, found.needs_key) == (key, routes()[key]["AuthorizationType"] == "CUSTOM")


def test_the_verbs_of_messages_lead_to_a_function_of_their_own_and_all_else_to_the_other() -> None:
    for key, route in routes().items():
        function = "SessionMessages" if key in OF_MESSAGES else "SessionApi"
        assert route["Target"] == f"integrations/{function}Integration"


@pytest.mark.parametrize("function", ["SessionApi", "SessionMessages"])
def test_the_gateway_waits_a_little_longer_than_the_function_may_take(function: str) -> None:
    timeout_ms = int(Deployment().resources[f"{function}Function"]["Properties"]["Timeout"]) * 1000
    assert timeout_ms < integration_of(function)["TimeoutInMillis"] <= min(30_000, timeout_ms + 5000)


def test_callers_who_wait_for_replies_take_no_capacity_from_heartbeats() -> None:
    assert "ReservedConcurrentExecutions" not in Deployment().resources["SessionMessagesFunction"]["Properties"]
    reserved = Deployment(MessagesReservedConcurrency="200").resources["SessionMessagesFunction"]["Properties"]
    assert str(reserved["ReservedConcurrentExecutions"]) == "200"
    heartbeat, append = routes()["$default"], routes()[f"POST {MESSAGES}"]
    assert heartbeat["Target"] != append["Target"]


def test_only_this_gateway_and_this_schedule_may_call_the_functions() -> None:
    permissions = Deployment().of_type("AWS::Lambda::Permission").values()
    assert {(each["FunctionName"].rpartition("function:")[2], each["Principal"]) for each in permissions} == {
        ("SessionApiFunction:live", "apigateway.amazonaws.com"),
        ("SessionMessagesFunction", "apigateway.amazonaws.com"),
        ("ApiKeyAuthorizerFunction", "apigateway.amazonaws.com"),
        ("ExpirySweeperFunction", "events.amazonaws.com"),
    }
    for each in permissions:
        assert each["SourceArn"].startswith(("arn:aws:execute-api:", "arn:aws:events:")), each


HOSTILE = ['"', "\\", '", "status": "200', "\n", "\x00", "$context.path", "é\U0001f600", "{}", ""]


def log_line(log_format: str, value: str | None) -> str:
    """A line as API Gateway renders it: each variable escaped for JSON, or - where it has no value.

    `$context.error.messageString` is the message in quotes of its own, without a value as well as with one.
    """

    def render(found: re.Match[str]) -> str:
        text = "-" if value is None else json.dumps(value)[1:-1]
        return f'"{text}"' if found[0].endswith("String") else text

    return re.sub(r"\$context(?:\.\w+)+", render, log_format)


def log_formats() -> list[str]:
    """Every log format that the template has, wherever it has one."""
    stages = Deployment().of_type("AWS::ApiGatewayV2::Stage").values()
    return [stage["AccessLogSettings"]["Format"] for stage in stages]


@pytest.mark.parametrize("value", [*HOSTILE, None])
def test_a_line_of_the_access_log_is_json_with_whatever_a_caller_sends_and_for_what_the_gateway_answers(
    value: str | None,
) -> None:
    assert log_formats()
    for log_format in log_formats():
        line = json.loads(log_line(log_format, value))
        shown = "-" if value is None else value
        names = json.loads(log_format).items()
        assert line == {name: shown.join(re.split(r"\$context(?:\.\w+)+", variables)) for name, variables in names}


def test_cors_lets_pages_send_what_the_api_takes_and_read_what_it_tells() -> None:
    cors = only("AWS::ApiGatewayV2::Api", CorsAllowOrigins=ORIGINS)["CorsConfiguration"]
    assert cors["AllowOrigins"] == ORIGINS.split(",")
    assert set(cors["AllowMethods"]) == {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
    assert set(cors["AllowHeaders"]) == {"content-type", "idempotency-key", "if-match", "x-api-key"}
    assert set(cors["ExposeHeaders"]) == {"location", "x-request-id", "retry-after"}


@pytest.mark.parametrize("origins", [ORIGINS, "*"])
def test_cors_never_allows_credentials_so_that_a_wildcard_gives_nothing_away(origins: str) -> None:
    assert only("AWS::ApiGatewayV2::Api", CorsAllowOrigins=origins)["CorsConfiguration"]["AllowCredentials"] is False


def test_cors_is_off_until_an_origin_is_named() -> None:
    assert "CorsConfiguration" not in only("AWS::ApiGatewayV2::Api")


def test_the_stage_is_the_default_one_and_lets_through_what_the_parameters_say() -> None:
    stage = only("AWS::ApiGatewayV2::Stage", ThrottlingRateLimit="70", ThrottlingBurstLimit="90")
    assert stage["StageName"] == "$default"
    assert stage["AutoDeploy"] is True
    assert stage["DefaultRouteSettings"]["ThrottlingRateLimit"] == "70"
    assert stage["DefaultRouteSettings"]["ThrottlingBurstLimit"] == "90"
