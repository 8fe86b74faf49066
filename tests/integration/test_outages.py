"""DynamoDB throttles, breaks or is not there: 503 with Retry-After through the deployed handler, within five seconds.

The clients here are the deployed ones, time-outs and retries included; pauses between attempts are noted, not taken.
"""

import socket
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

import botocore.endpoint
import pytest
from agent_sessions.aws_clients import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS, TOTAL_ATTEMPTS
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ReadTimeoutError
from botocore.retries.standard import ExponentialBackoff

from local.dynamodb_local import DynamoDbLocal
from tests.engines.fixtures import Table
from tests.integration.deployed import Deployed
from tests.integration.shipped import shipped_client
from tests.unit.world import MINUTE, NOWHERE, SESSION_ROUTES, Answer


def _of_a_session(route: Callable[..., Answer], deployed: Deployed) -> Answer:
    return route(deployed, NOWHERE)


ROUTES: Final[dict[str, Callable[[Deployed], Answer]]] = {
    "create": lambda deployed: deployed.create(),
    "create with a key": lambda deployed: deployed.create(key="k"),
    "list": lambda deployed: deployed.page(),
    "list of a user": lambda deployed: deployed.page(userId=NOWHERE),
    **{name: partial(_of_a_session, route) for name, route in SESSION_ROUTES.items()},
}
every_route = pytest.mark.parametrize("route", ROUTES)
GRACE_SECONDS: Final = 5
"""How long after an expiry it is announced: no call of ours may still be on its way by then."""


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that botocore would have made between attempts."""
    taken: list[float] = []
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=taken.append))
    return taken


@pytest.fixture
def free_port() -> int:
    """A port on which nobody listens any more."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def mute_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        yield listener.getsockname()[1]


def deployed_at(endpoint_url: str, read_seconds: float = READ_TIMEOUT_SECONDS) -> Deployed:
    """The deployed handler with its own client, but for the address."""
    table = Table(shipped_client(endpoint_url, read_seconds=read_seconds), "sessions", "dynamodb-local")
    return Deployed(table, AGENT_POLICIES_TABLE="policies")  # which nobody makes there


def check_unavailable(answer: Answer) -> None:
    assert (answer.status, answer.code) == (503, "SERVICE_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) >= 1


def answering(deployed: Deployed, status: int, body: str, headers: dict[str, str] | None = None) -> list[str]:
    """Let DynamoDB answer everything like this from now on; returns the list of what is asked of it."""
    asked: list[str] = []

    class Raw:
        def stream(self, **_: Any) -> Iterator[bytes]:
            yield body.encode()

    def answer(request: Any, **_: Any) -> AWSResponse:
        asked.append(request.headers["X-Amz-Target"].decode().partition(".")[2])
        return AWSResponse(request.url, status, HTTPHeaders.from_dict(headers or {}), Raw())

    events: Any = deployed.table.client.meta.events  # typed as if its hooks could not answer
    events.register("before-send.dynamodb.*", answer)
    return asked


def error(name: str) -> str:
    return f'{{"__type":"com.amazonaws.dynamodb.v20120810#{name}","message":"arn:aws:dynamodb:eu-west-1:1:table/t"}}'


# --- not there --------------------------------------------------------------------------------------------------------


@every_route
def test_a_store_that_refuses_connections_is_a_503(free_port: int, pauses: list[float], route: str) -> None:
    deployed = deployed_at(f"http://127.0.0.1:{free_port}")
    check_unavailable(ROUTES[route](deployed))
    assert len(pauses) == TOTAL_ATTEMPTS - 1


@every_route
def test_a_store_that_never_answers_is_a_503(mute_port: int, pauses: list[float], route: str) -> None:
    deployed = deployed_at(f"http://127.0.0.1:{mute_port}", read_seconds=0.02)
    check_unavailable(ROUTES[route](deployed))
    assert len(pauses) == TOTAL_ATTEMPTS - 1


# --- there, and unwilling ---------------------------------------------------------------------------------------------

UNWILLING: Final = [
    (400, "ProvisionedThroughputExceededException"),
    (400, "ThrottlingException"),
    (400, "RequestLimitExceeded"),
    (500, "InternalServerError"),
    (503, "ServiceUnavailable"),
]


# --- there, but its answer is lost ------------------------------------------------------------------------------------


class Losing(Deployed):
    """A deployment that hears no first answer to a write, although it was done. `lost` names those writes."""

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self.lost: list[str] = []
        events: Any = table.client.meta.events  # typed as if its hooks could not answer
        for write in ("PutItem", "UpdateItem"):
            events.register(f"before-send.dynamodb.{write}", partial(self._lose, write))

    def _lose(self, write: str, request: Any, **_: Any) -> None:
        if write not in self.lost:
            self.lost.append(write)
            endpoint: Any = self.table.client
            endpoint._endpoint.http_session.send(request)
            raise ReadTimeoutError(endpoint_url=request.url)


@pytest.fixture
def losing(dynamo_local: DynamoDbLocal, engine: Table) -> Iterator[Losing]:
    dynamo = shipped_client(dynamo_local.endpoint_url, connect_seconds=300, read_seconds=300)
    yield Losing(Table(dynamo, engine.name, engine.engine))
    dynamo.close()


@pytest.mark.parametrize("key", [None, "k"])
def test_a_create_whose_answer_was_lost_is_one_session_and_a_201(
    losing: Losing, pauses: list[float], key: str | None
) -> None:
    """The session is looked for: a write that was repeated could bring back what was deleted since."""
    answer = losing.create(key=key)
    assert answer.status == 201
    assert (losing.lost, pauses) == (["PutItem"], [])
    assert losing.table.client.scan(TableName=losing.table.name, Select="COUNT")["Count"] == 1
    found = losing.get(answer.json["sessionId"]).json  # later, by the pause before it was looked for
    assert found | {"timeRemaining": 0} == answer.json | {"timeRemaining": 0}


@pytest.mark.parametrize("route", ["heartbeat", "renew"])
def test_a_renewal_that_was_sent_twice_is_a_200_and_ends_when_one_would(
    losing: Losing, pauses: list[float], route: str
) -> None:
    session_id = losing.new()["sessionId"]
    losing.clock.advance(minutes=10)
    answer = SESSION_ROUTES[route](losing, session_id)
    assert answer.status == 200
    assert answer.json["timeRemaining"] == 30 * MINUTE
    assert len(pauses) == 1


# --- in time ----------------------------------------------------------------------------------------------------------


def longest_seconds(pauses: list[float]) -> float:
    return TOTAL_ATTEMPTS * (CONNECT_TIMEOUT_SECONDS + READ_TIMEOUT_SECONDS) + sum(pauses)


@pytest.mark.parametrize("headers", [{}, {"x-amz-retry-after": "60000"}], ids=["as it likes", "as the store asks"])
@pytest.mark.parametrize("status, name", UNWILLING)
def test_with_the_longest_pauses_a_call_is_over_before_an_expiry_is_announced(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch, status: int, name: str, headers: dict[str, str]
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff", partial(ExponentialBackoff, random=lambda: 1.0))
    deployed = deployed_at("http://127.0.0.1:1")
    answering(deployed, status, error(name), headers)
    check_unavailable(deployed.heartbeat(NOWHERE))
    assert len(pauses) == TOTAL_ATTEMPTS - 1
    assert longest_seconds(pauses) < GRACE_SECONDS
