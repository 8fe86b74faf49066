"""The deployed handlers on the lean transport, while what DynamoDB answers breaks on the way: at every byte, and worse.

DynamoDB is the engine in memory behind a socket. It always does what it is asked; only the answer suffers. So the tests
can compare what a caller was told with what was done, and how often it was done with what botocore would have done.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from agent_sessions.aws_clients.lean_http import Limits

from tests.engines.dynamo_server import DynamoServer, Fault, cut, http, instead, never, refusal
from tests.engines.lean import lean_client
from tests.unit.world import MESSAGES, TABLE, Answer, World

LIMITS: Final = Limits(connect=30, answer=30)


class Broken(World):
    """A deployment whose DynamoDB is reached over a socket; `server.faults` says how its next answers fare."""

    def __init__(self, server: DynamoServer) -> None:
        self.server = server
        self.lean = lean_client(f"http://127.0.0.1:{server.port}", limits=LIMITS)
        super().__init__(client=self.lean)
        server.engine = self.dynamo

    def hurry(self) -> None:
        """Wait for no answer for longer than a moment."""
        self.lean._connections._limits = Limits(connect=30, answer=0.02)

    def stored(self, table: str) -> int:
        return len(list(self.dynamo.items(table)))


@pytest.fixture
def broken() -> Iterator[Broken]:
    with DynamoServer() as server:
        world = Broken(server)
        yield world
        world.lean.close()


def check_answer(answer: Answer, *statuses: int) -> None:
    """As it should be, or the contract's 503."""
    assert answer.status in {*statuses, 503}, answer.text
    if answer.status == 503:
        assert answer.code == "SERVICE_UNAVAILABLE"


def length_of_answer(world: Broken, ask: Callable[[], Answer]) -> int:
    """The bytes of the first answer that the call gets from DynamoDB."""
    lengths: list[int] = []

    def measure(connection: Any, answer: bytes) -> None:
        lengths.append(len(answer))
        connection.sendall(answer)

    world.server.faults = [measure]
    assert ask().status < 300
    return lengths[0]


# --- cut at every byte ------------------------------------------------------------------------------------------------


def test_a_create_whose_answer_is_cut_anywhere_is_one_session_and_a_201(broken: Broken) -> None:
    """The write is sent once. The service looks for it before it writes again."""
    length = length_of_answer(broken, lambda: broken.create(key="first"))
    assert length > 80
    for at in range(length):
        before, asked = broken.stored(TABLE), len(broken.server.asked)
        broken.server.faults = [cut(at)]
        answer = broken.create(key=f"k{at}")
        assert answer.status == 201
        assert broken.stored(TABLE) == before + 1
        assert broken.server.asked[asked:] == ["PutItem", "GetItem"]


def test_a_heartbeat_whose_answer_is_cut_anywhere_is_done_again_once_and_a_200(broken: Broken) -> None:
    session_id = broken.new()["sessionId"]
    length = length_of_answer(broken, lambda: broken.heartbeat(session_id))
    assert length > 1000
    for at in range(length):
        asked = len(broken.server.asked)
        broken.server.faults = [cut(at)]
        answer = broken.heartbeat(session_id)
        assert answer.status == 200
        assert broken.server.asked[asked:] == ["UpdateItem"] * 2


def test_a_get_whose_answers_are_all_cut_anywhere_is_a_503(broken: Broken) -> None:
    session_id = broken.new()["sessionId"]
    length = length_of_answer(broken, lambda: broken.get(session_id))
    for at in range(0, length, 7):
        broken.server.faults = [cut(at), cut(length - at - 1)]
        assert broken.get(session_id).code == "SERVICE_UNAVAILABLE"
    assert broken.get(session_id).status == 200


# --- everything else that an answer can be ----------------------------------------------------------------------------

OTHER_TIME: Final = "date: Thu, 01 Jan 2026 00:10:00 GMT\r\n"
SKEW: Final = "Signature expired: 20260101T000000Z is now earlier than 20260101T000500Z"
TRUNCATED: Final = b'{"Attributes": {"sessionId": {"S": "'
FAULTS: Final[dict[str, Fault]] = {
    "cut": cut(0),
    "silent": never,
    "a server error": instead(refusal("InternalServerError", status=500)),
    "a gateway's error": instead(http(503, b"<html>Service Unavailable</html>")),
    "throttled": instead(refusal("ProvisionedThroughputExceededException")),
    "throttled for long": instead(refusal("ThrottlingException", headers="x-amz-retry-after: 60000\r\n")),
    "expired credentials": instead(refusal("ExpiredTokenException", "The security token included is expired")),
    "another clock": instead(refusal("InvalidSignatureException", SKEW, headers=OTHER_TIME)),
    "another clock that is not told": instead(refusal("InvalidSignatureException", SKEW)),
    "another checksum": instead(http(200, b"{}", "x-amz-crc32: 1\r\n")),
    "truncated JSON": instead(http(200, TRUNCATED)),
    "truncated JSON of an error": instead(http(400, b'{"__type": "com.amazonaws.dyn')),
    "no JSON": instead(http(200, b"[]")),
    "nothing": instead(http(200, b"")),
}
LASTING: Final = 40


def exists(world: Broken) -> str:
    return str(world.new()["sessionId"])


ROUTES: Final[dict[str, tuple[Callable[[Broken, str], Answer], int]]] = {
    "create": (lambda world, _: world.create(), 201),
    "create with a key": (lambda world, _: world.create(key="k"), 201),
    "get": (lambda world, session_id: world.get(session_id), 200),
    "heartbeat": (lambda world, session_id: world.heartbeat(session_id), 200),
    "renew": (lambda world, session_id: world.renew(session_id), 200),
    "patch": (lambda world, session_id: world.patch(session_id, {"timeoutMinutes": 45}), 200),
    "list": (lambda world, _: world.page(), 200),
    "post": (lambda world, session_id: world.say(session_id), 201),
    "post with a key": (lambda world, session_id: world.say(session_id, headers={"idempotency-key": "k"}), 201),
    "messages": (lambda world, session_id: world.messages(session_id), 200),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("route", ROUTES)
def test_one_broken_answer_is_survived_and_many_are_a_503(broken: Broken, route: str, fault: str) -> None:
    ask, status = ROUTES[route]
    session_id = exists(broken)
    broken.hurry()
    broken.server.faults = [FAULTS[fault]]
    check_answer(ask(broken, session_id), status)
    assert broken.stored(TABLE) <= 2
    assert broken.stored(MESSAGES) <= 2  # the message, and its key's record
    broken.server.faults = [FAULTS[fault]] * LASTING
    assert ask(broken, session_id).code == "SERVICE_UNAVAILABLE"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_delete_whose_answer_breaks_is_a_204_or_finds_nothing_as_with_any_sdk(broken: Broken, fault: str) -> None:
    session_id = exists(broken)
    broken.hurry()
    broken.server.faults = [FAULTS[fault]]
    check_answer(broken.delete(session_id), 204, 404)
    assert broken.stored(TABLE) == 0
