"""Two hundred callers who wait for replies keep no heartbeat waiting, nor the clock, nor the end of the stack."""

import threading
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.e2e.serving import BASE, Serving, serving

CALLERS: Final = 200
HEARTBEATS: Final = 40
NEW: Final = {"agentId": "b8504bc3-45f8-4a41-a00a-83df46d8555d", "userId": "6c6f2d1e-0a3b-4f7d-9e58-1b2c3d4e5f60"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("waiting"), auth=False) as running:
        running.stand_still()
        yield running


def test_two_hundred_waiting_callers_keep_no_heartbeat_waiting_and_all_get_their_reply(stack: Serving) -> None:
    talked_in, beating = (stack.send("POST", BASE, NEW).json["sessionId"] for _ in range(2))
    answers: list[Any] = []

    def ask(number: int) -> None:
        body = {"content": f"question {number}", "transport": "http"}
        answers.append(stack.send("POST", f"{BASE}/{talked_in}/messages", body).json)

    callers = [threading.Thread(target=ask, args=(number,)) for number in range(CALLERS)]
    for caller in callers:
        caller.start()
    while stack.send("GET", f"{BASE}/{talked_in}").json["lastSequence"] < CALLERS:
        assert not answers, "all of them wait at the same time"
    for _ in range(HEARTBEATS):  # behind the callers, one would wait for ever
        assert stack.send("POST", f"{BASE}/{beating}/heartbeat").status == 200
    assert not answers
    reply = {"content": "one answer for all", "role": "agent"}
    assert stack.send("POST", f"{BASE}/{talked_in}/messages", reply).status == 201
    for caller in callers:
        caller.join()
    assert {answer["agentResponse"]["text"] for answer in answers} == {"one answer for all"}
    assert len(answers) == CALLERS


def test_the_clock_moves_while_a_caller_waits_and_ends_the_wait(stack: Serving) -> None:
    session_id = stack.send("POST", BASE, NEW).json["sessionId"]
    answers: list[Any] = []
    body = {"content": "question", "transport": "http"}
    path = f"{BASE}/{session_id}/messages"
    caller = threading.Thread(target=lambda: answers.append(stack.send("POST", path, body).json))
    caller.start()
    while stack.send("GET", f"{BASE}/{session_id}").json["lastSequence"] == 0:
        assert caller.is_alive()
    stack.stack.advance(60_000)
    caller.join()
    assert answers[0]["pending"] is True
