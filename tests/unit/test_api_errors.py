"""What goes wrong behind the API, on every route: the one shape, the right status, and nothing of our insides."""

import json
from collections.abc import Callable
from functools import partial
from ssl import SSLCertVerificationError
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    SSLError,
)

from tests.engines import faults
from tests.unit.world import Answer, World

ROUTES: dict[str, Callable[[World], Answer]] = {
    "create": lambda world: world.call("create-minimal"),
    "create with a key": lambda world: world.call("create-idempotent"),
    "get": lambda world: world.call("get"),
    "heartbeat": lambda world: world.call("heartbeat"),
    "renew": lambda world: world.call("renew"),
    "patch": lambda world: world.call("patch"),
    "delete": lambda world: world.call("delete"),
    "list": lambda world: world.call("list"),
}
THROTTLING = [
    "ExpiredTokenException", "InvalidSignatureException",
    "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", "InternalServerError",
    "ServiceUnavailable", "TransactionConflictException",
]  # fmt: skip
BAD_GATEWAY: Any = {"HTTPStatusCode": 502}
OUT_OF_REACH: dict[str, Callable[[], Exception]] = {
    "closed": lambda: ConnectionClosedError(endpoint_url="https://dynamodb.eu-central-1.amazonaws.com/"),
    "refused": lambda: EndpointConnectionError(endpoint_url="https://dynamodb.eu-central-1.amazonaws.com/"),
    "slow to connect": lambda: ConnectTimeoutError(endpoint_url="https://dynamodb.eu-central-1.amazonaws.com/"),
    "slow to answer": lambda: ReadTimeoutError(endpoint_url="https://dynamodb.eu-central-1.amazonaws.com/"),
    "tls": lambda: SSLError(endpoint_url="https://dynamodb.eu-central-1.amazonaws.com/", error=OSError("bad")),
    "slow, without the SDK": TimeoutError,
    "tls, without the SDK": lambda: SSLCertVerificationError("bad"),
    "an answer that is none of DynamoDB's": lambda: ClientError(
        {"Error": {"Code": "502"}, "ResponseMetadata": BAD_GATEWAY}, "GetItem"
    ),
}
REFUSALS = ["AccessDeniedException", "ResourceNotFoundException", "ValidationException"]
UNEXPECTED: dict[str, Callable[[], Exception]] = {
    "a bug": lambda: RuntimeError("at /var/task/agent_sessions/store.py line 1 in table-5c1d"),
    "a missing key": lambda: KeyError("arn:aws:dynamodb:eu-central-1:123456789012:table/table-5c1d"),
    "no memory": MemoryError,
    "too deep": RecursionError,
    "no credentials": NoCredentialsError,
}


class Raise(faults.Hook):
    """Every call fails with this."""

    def __init__(self, error: Callable[[], Exception]) -> None:
        self.error = error

    def before(self, call: str, request: Any) -> None:
        raise self.error()


TEXT = "User: arn:aws:sts::123456789012:assumed-role/api is not authorized on arn:aws:dynamodb:::table/table-5c1d"
FAILURES: dict[str, tuple[Callable[[], faults.Hook], str]] = {
    **{code: (partial(faults.fail, None, code, message=TEXT), "SERVICE_UNAVAILABLE") for code in THROTTLING},
    **{code: (partial(faults.fail, None, code, message=TEXT), "INTERNAL_SERVER_ERROR") for code in REFUSALS},
    **{name: (partial(Raise, error), "SERVICE_UNAVAILABLE") for name, error in OUT_OF_REACH.items()},
    **{name: (partial(Raise, error), "INTERNAL_SERVER_ERROR") for name, error in UNEXPECTED.items()},
}


@pytest.mark.parametrize("ask", ROUTES.values(), ids=ROUTES.keys())
@pytest.mark.parametrize("failure", FAILURES)
def test_a_store_that_passes_is_unavailable_and_all_else_an_internal_error_that_tells_nothing(
    world: World, ask: Callable[[World], Answer], failure: str
) -> None:
    hook, code = FAILURES[failure]
    world.dynamo.add_hook(hook())
    answer = ask(world)
    assert answer.code == code
    assert answer.details is None
    assert failure not in answer.text
    assert int(answer.headers.get("retry-after", "0")) >= (code == "SERVICE_UNAVAILABLE")


def test_an_item_that_cannot_be_read_is_an_internal_error(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.update(session_id, "REMOVE metadata")
    assert world.get(session_id).code == "INTERNAL_SERVER_ERROR"


def test_a_batch_that_stays_unread_makes_a_list_unavailable(world: World) -> None:
    world.new()
    world.dynamo.add_hook(faults.unprocessed_keys(times=None))
    assert world.page().code == "SERVICE_UNAVAILABLE"


@pytest.mark.parametrize("event", [{}, {"requestContext": None}, {"requestContext": {}, "headers": None}], ids=repr)
def test_an_event_that_is_none_of_the_gateways_is_refused_in_the_one_shape(world: World, event: dict[str, Any]) -> None:
    from functions.session_api import app  # noqa: PLC0415

    response = app.handler(event, None)
    assert response["statusCode"] == 401
    assert json.loads(response["body"])["error"]["code"] == "UNAUTHORIZED"


# --- values that are echoed


@pytest.mark.parametrize(
    "value",
    ["x" * 101, "é" * 5_000, ["x"] * 200, {"k" * 60: "v" * 60}, int("9" * 500), "\ud800" * 10, "x" * 200 + "\udfff"],
    ids=["long", "wide", "list", "object", "integer", "surrogates", "long and a surrogate"],
)
def test_a_long_value_is_cut_to_a_hundred_characters(world: World, value: Any) -> None:
    answer = world.create(agentId=value)
    assert answer.code == "VALIDATION_ERROR"
    shown = answer.fault("agentId")["value"]
    assert isinstance(shown, str)
    assert 1 <= len(shown) <= 100


@pytest.mark.parametrize(
    "value", ["x" * 100, ["x" * 96], "", 0, 1.5, True, None, [1], {"a": "b"}, "<script>", '"'], ids=repr
)
def test_a_short_value_comes_back_as_it_is(world: World, value: Any) -> None:
    assert world.create(agentId=value).fault("agentId")["value"] == value
