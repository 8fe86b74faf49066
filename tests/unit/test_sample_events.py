"""The files of events/ have the shape that API Gateway's HTTP API sends (payload version 2.0), and work."""

from typing import Any

import pytest

from tests.unit.world import BASE, World, sample

STATUS = {
    "create-minimal": 201,
    "create-full": 201,
    "create-invalid": 400,
    "create-idempotent": 201,
    "get": 404,
    "heartbeat": 404,
    "renew": 404,
    "patch": 404,
    "delete": 404,
    "list": 200,
    "health": 200,
}
"""What each is answered in a deployment without sessions."""
CONTEXT = {
    "accountId",
    "apiId",
    "domainName",
    "domainPrefix",
    "http",
    "requestId",
    "routeKey",
    "stage",
    "time",
    "timeEpoch",
}
ALWAYS = {"version", "routeKey", "rawPath", "rawQueryString", "headers", "requestContext", "isBase64Encoded"}
SOMETIMES = {"body", "queryStringParameters", "cookies", "pathParameters", "stageVariables"}


@pytest.mark.parametrize("name", STATUS)
def test_a_sample_event_has_the_gateways_shape(name: str) -> None:
    event: dict[str, Any] = sample(name)
    assert ALWAYS <= event.keys() <= ALWAYS | SOMETIMES
    assert event["version"] == "2.0"
    context = event["requestContext"]
    assert CONTEXT <= context.keys() <= CONTEXT | {"authorizer"}
    assert context["http"].keys() == {"method", "path", "protocol", "sourceIp", "userAgent"}
    assert context["http"]["path"] == event["rawPath"]
    assert event["rawPath"].startswith(BASE)
    assert context["routeKey"] == event["routeKey"]
    assert all(header == header.lower() for header in event["headers"])
    assert event["headers"].get("content-length") == (str(len(event["body"].encode())) if "body" in event else None)
    assert bool(event["rawQueryString"]) == ("queryStringParameters" in event)


@pytest.mark.parametrize("name", STATUS)
def test_a_sample_event_is_answered(world: World, name: str) -> None:
    assert world.call(name, tenant="acme").status == STATUS[name]
