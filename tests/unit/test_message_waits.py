"""Waiting: for an agent's reply after a post, and for anything new in a page. All by the clock, which nobody moves."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.engines.faults import Hook, Latency, fail
from tests.unit.world import MESSAGES, MINUTE, Answer, World, gateway_event

ANSWER_MS = 100
"""What the answer itself may take beyond a wait."""


class At(Hook):
    """Does something at a moment: with the first call to DynamoDB from then on."""

    def __init__(self, world: World, after_ms: int, action: Callable[[], object]) -> None:
        self._world = world
        self._at_ms = world.clock.now_ms() + after_ms
        self._action: Callable[[], object] | None = action

    def before(self, call: str, request: Any) -> None:
        if self._action and self._world.clock.now_ms() >= self._at_ms:
            action, self._action = self._action, None
            action()


def ask(world: World, session_id: str, **fields: Any) -> tuple[Answer, int]:
    """Post and wait; return the answer and for how long it was awaited."""
    began_ms = world.clock.now_ms()
    answer = world.say(session_id, "How?", transport="http", **fields)
    return answer, world.clock.now_ms() - began_ms


def test_a_reply_comes_with_the_answer_soon_after_it_was_written(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.dynamo.add_hook(
        At(
            world,
            5_000,
            lambda: world.say(session_id, "So.", role="agent", metadata={"thought": "hm", "actions": ["A"]}),
        )
    )
    answer, waited_ms = ask(world, session_id)
    assert answer.status == 201
    response = answer.json["agentResponse"]
    said = world.messages(session_id).json["messages"][0]
    assert response == {
        "text": "So.",
        "messageId": said["id"],
        "sequence": 2,
        "inReplyTo": None,
        "thought": "hm",
        "actions": ["A"],
        "metadata": {"thought": "hm", "actions": ["A"]},
    }
    assert "pending" not in answer.json
    assert answer.json["data"]["agentResponse"] == response
    assert 5_000 <= waited_ms <= 6_200


@pytest.mark.parametrize("mode", [{"transport": "http"}, {"mode": "sync"}])
def test_without_a_reply_the_answer_is_pending_after_twenty_seconds(world: World, mode: dict[str, Any]) -> None:
    session_id = world.new()["sessionId"]
    began_ms = world.clock.now_ms()
    with world.counted() as calls:
        answer = world.say(session_id, **mode)
    assert (answer.status, answer.json["pending"], answer.json["data"]["pending"]) == (201, True, True)
    assert "agentResponse" not in answer.json
    assert 20_000 <= world.clock.now_ms() - began_ms <= 20_000 + ANSWER_MS
    assert calls["update_item"] + calls["put_item"] == 2
    assert calls["get_item"] == sum(calls.values()) - 2 <= 30, "one read of the session a round"


def test_waiting_can_be_turned_off(world: World) -> None:
    world.restart(REPLY_WAIT_SECONDS="0")
    began_ms = world.clock.now_ms()
    assert world.say(world.new()["sessionId"], transport="http").json["pending"] is True
    assert world.clock.now_ms() == began_ms


def test_other_messages_are_no_reply_and_a_reply_between_them_is_found(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.dynamo.add_hook(At(world, 1_000, lambda: world.say(session_id, role="tool")))

    def reply() -> None:
        world.say(session_id, "So.", role="agent")
        world.say(session_id, "And?")

    world.dynamo.add_hook(At(world, 4_000, reply))
    answer, waited_ms = ask(world, session_id)
    assert answer.json["agentResponse"]["text"] == "So."
    assert 4_000 <= waited_ms <= 5_200


def test_a_reply_that_stands_there_already_is_given_to_a_repeated_question(world: World) -> None:
    session_id = world.new()["sessionId"]
    headers = {"idempotency-key": "k"}
    world.say(session_id, "How?", headers=headers)
    world.say(session_id, "So.", role="agent")
    began_ms = world.clock.now_ms()
    answer = world.say(session_id, "How?", headers=headers, transport="http")
    assert (answer.status, answer.json["agentResponse"]["text"]) == (200, "So.")
    assert world.clock.now_ms() == began_ms


@pytest.mark.parametrize("ends", ["deleted", "expired", "made again"])
def test_a_wait_for_a_reply_ends_with_its_session(world: World, ends: str) -> None:
    session_id = world.create(key="same", timeoutConfig={"timeoutMinutes": 5}).json["sessionId"]

    def end() -> None:
        if ends == "expired":
            world.announce(session_id)
        else:
            world.delete(session_id)
        if ends == "made again":
            world.create(key="same")

    world.dynamo.add_hook(At(world, 2_000, end))
    answer, waited_ms = ask(world, session_id)
    assert (answer.status, answer.json["pending"]) == (201, True)
    assert waited_ms <= 3_200


def test_a_wait_ends_with_the_session_to_the_millisecond(world: World) -> None:
    session_id = world.new(timeoutMinutes=5, autoRenew=False)["sessionId"]
    world.clock.advance(5 * MINUTE - 3_000)
    assert ask(world, session_id)[1] == 3_000
    session_id = world.new(timeoutMinutes=5, autoRenew=False)["sessionId"]
    world.clock.advance(5 * MINUTE - 3_000)
    began_ms = world.clock.now_ms()
    assert world.messages(session_id, afterSequence=0, waitSeconds=20).code == "SESSION_EXPIRED"
    assert world.clock.now_ms() - began_ms == 3_000


def test_a_store_that_stops_answering_ends_the_wait_and_the_message_stands(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.dynamo.add_hook(fail("get_item", "InternalServerError", skip=3, times=50))
    answer, waited_ms = ask(world, session_id)
    assert (answer.status, answer.json["pending"]) == (201, True)
    assert waited_ms < 1_000


@pytest.mark.parametrize("latency_ms", [200, 1_000, 1_700])
@pytest.mark.parametrize("kind", ["reply", "page"])
def test_with_slow_calls_a_wait_still_ends_22_seconds_after_the_arrival(
    world: World, latency_ms: int, kind: str
) -> None:
    world.restart(REPLY_WAIT_SECONDS="22")
    session_id = world.new()["sessionId"]
    world.dynamo.add_hook(Latency(world.clock, latency_ms))
    arrived_ms = world.clock.now_ms()
    if kind == "reply":
        assert world.say(session_id, transport="http").json["pending"] is True
    else:
        assert world.messages(session_id, afterSequence=0, waitSeconds=22).json["messages"] == []
    assert 17_000 <= world.clock.now_ms() - arrived_ms <= 22_000


@pytest.mark.parametrize("late_ms, waited_ms", [(3_000, 17_000), (40_000, 20_000), (-5_000, 20_000)])
def test_the_wait_counts_from_the_arrival_at_the_gateway_where_its_time_is_plausible(
    world: World, late_ms: int, waited_ms: int
) -> None:
    session_id = world.new()["sessionId"]
    event = gateway_event("message-post", path=f"/api/messaging/sessions/{session_id}/messages", body={
        "content": "x", "transport": "http",
    })  # fmt: skip
    event["requestContext"]["timeEpoch"] = world.clock.now_ms() - late_ms
    began_ms = world.clock.now_ms()
    world.send(event)
    assert world.clock.now_ms() - began_ms == waited_ms


# --- waiting for a page


def test_an_empty_page_is_held_until_there_is_something_to_give(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.say(session_id)
    began_ms = world.clock.now_ms()
    world.dynamo.add_hook(At(world, 5_000, lambda: world.say(session_id, "new")))
    page = world.messages(session_id, afterSequence=1, waitSeconds=15).json
    assert [message["content"] for message in page["messages"]] == ["new"]
    assert 5_000 <= world.clock.now_ms() - began_ms <= 6_200
    began_ms = world.clock.now_ms()
    assert world.messages(session_id, afterSequence=1, waitSeconds=15).json["lastSequence"] == 2
    assert world.clock.now_ms() == began_ms, "what is there is given at once"


def test_an_empty_page_is_given_when_the_time_is_over(world: World) -> None:
    session_id = world.new()["sessionId"]
    began_ms = world.clock.now_ms()
    page = world.messages(session_id, afterSequence=0, waitSeconds=7).json
    assert (page["messages"], page["cursors"]) == ([], {"afterSequence": 0})
    assert world.clock.now_ms() - began_ms == 7_000


@pytest.mark.parametrize("ends, code", [("deleted", "SESSION_NOT_FOUND"), ("expired", "SESSION_EXPIRED")])
def test_a_wait_for_messages_of_a_session_that_ends_is_refused_at_once(world: World, ends: str, code: str) -> None:
    session_id = world.new()["sessionId"]
    end = world.delete if ends == "deleted" else world.announce
    began_ms = world.clock.now_ms()
    world.dynamo.add_hook(At(world, 3_000, lambda: end(session_id)))
    assert world.messages(session_id, afterSequence=0, waitSeconds=20).code == code
    assert world.clock.now_ms() - began_ms <= 4_200


def test_a_wait_passes_a_number_whose_writer_died(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.dynamo.update_item(
        TableName="table-5c1d",
        Key={"sessionId": {"S": session_id}},
        UpdateExpression="SET lastSeq = :n, lastMessageAt = :at",
        ExpressionAttributeValues={":n": {"N": "1"}, ":at": {"N": str(world.clock.now_ms())}},
    )
    world.dynamo.add_hook(At(world, 1_000, lambda: world.say(session_id, "new")))
    page = world.messages(session_id, afterSequence=0, waitSeconds=20).json
    assert ([message["sequence"] for message in page["messages"]], page["skipped"]) == ([2], [1])
    assert len(list(world.dynamo.items(MESSAGES))) == 2
