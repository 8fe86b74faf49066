"""Messages that are emptied: the content goes, the number stays, and nobody who reads on notices."""

import json
from typing import Any, Final

import pytest
from agent_sessions.messages.redaction import REDACTION_MS

from tests.engines import faults
from tests.unit.world import MESSAGES, NOWHERE, World

KEY: Final = {"idempotency-key": "k"}
SECRETS: Final[dict[str, Any]] = {
    "content": "my-secret",
    "parts": [{"type": "text", "text": "my-secret"}],
    "attachments": [{"url": "https://my-secret"}],
    "metadata": {"of": "my-secret"},
    "authorId": "aaaaaaaa-1111-4222-8333-444444444444",
}


def posted(world: World, session_id: str, **fields: Any) -> Any:
    world.clock.advance(1_000)
    answer = world.post_message(session_id, {"content": "Hello", **fields})
    assert answer.status == 201, answer.text
    return answer.json["message"]


def data(answer: Any) -> dict[str, Any]:
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json["data"]
    return found


def test_the_content_is_gone_and_the_number_stays_in_every_reading(world: World) -> None:
    session_id = world.new()["sessionId"]
    first, second, third = posted(world, session_id), posted(world, session_id, **SECRETS), posted(world, session_id)
    before = world.get(session_id).json
    assert data(world.redact(session_id, second["id"])) == {"success": True, "redacted": 1, "pending": False}
    left = {"id": second["id"], "sequence": 2, "redacted": True}
    assert world.message(session_id, second["id"]).json == left
    assert world.messages(session_id).json["messages"] == [third, left, first]
    assert world.messages(session_id, afterSequence=1).json["messages"] == [left, third]
    assert world.get(session_id).json == before, "no activity, and nothing else changes"
    stored = str(list(world.dynamo.items(MESSAGES)))
    assert "my-secret" not in stored
    assert SECRETS["authorId"] not in stored


def test_each_message_is_emptied_once_whoever_asks(world: World) -> None:
    session_id = world.new()["sessionId"]
    message = posted(world, session_id)
    assert data(world.redact(session_id, message["id"]))["redacted"] == 1
    assert data(world.redact(session_id, message["id"]))["redacted"] == 0
    posted(world, session_id)
    assert data(world.redact(session_id))["redacted"] == 1
    assert data(world.redact(session_id))["redacted"] == 0


def test_emptying_costs_one_read_and_one_write_a_message(world: World) -> None:
    session_id = world.new()["sessionId"]
    messages = [posted(world, session_id) for _ in range(3)]
    with world.counted() as calls:
        world.redact(session_id, messages[0]["id"])
    assert calls == {"get_item": 1, "update_item": 1}
    with world.counted() as calls:
        assert data(world.redact(session_id))["redacted"] == 2
    assert calls == {"get_item": 1, "query": 1, "update_item": 2}


def test_more_than_a_page_is_emptied_without_a_gap(world: World) -> None:
    session_id = world.new()["sessionId"]
    for _ in range(40):
        posted(world, session_id, content="x" * 30_000, role="agent")
    with world.counted() as calls:
        assert data(world.redact(session_id))["redacted"] == 40
    assert calls["query"] == 2


def test_what_has_no_time_left_is_pending_and_goes_with_the_next_call(world: World) -> None:
    session_id = world.new()["sessionId"]
    for _ in range(5):
        posted(world, session_id)
    slow = world.dynamo.add_hook(faults.Latency(world.clock, REDACTION_MS / 2, "update_item"))
    assert data(world.redact(session_id)) == {"success": True, "redacted": 2, "pending": True}
    world.dynamo.remove_hook(slow)
    assert data(world.redact(session_id)) == {"success": True, "redacted": 3, "pending": False}


def test_the_key_of_an_emptied_message_still_gives_that_message_and_no_second_one(world: World) -> None:
    session_id = world.new()["sessionId"]
    first = world.say(session_id, "my-secret", headers=KEY).json["message"]
    world.redact(session_id)
    repeat = world.say(session_id, "my-secret", headers=KEY)
    assert (repeat.status, repeat.json["message"]) == (200, {"id": first["id"], "sequence": 1, "redacted": True})
    assert "userMessage" not in repeat.json
    assert world.say(session_id, "other", headers=KEY).status == 422
    assert world.get(session_id).json["lastSequence"] == 1


def test_a_message_that_was_emptied_can_be_answered_and_leaves_the_question_open(world: World) -> None:
    session_id = world.new()["sessionId"]
    question = posted(world, session_id)
    world.redact(session_id, question["id"])
    assert world.messages(session_id).json["awaitingReply"] is True
    reply = posted(world, session_id, role="agent", inReplyTo=question["id"])
    assert reply["inReplyTo"] == question["id"]
    assert world.messages(session_id).json["awaitingReply"] is False


def test_times_still_find_their_place_among_emptied_messages(world: World) -> None:
    session_id = world.new()["sessionId"]
    moments = []
    for _ in range(7):
        posted(world, session_id)
        moments.append(world.clock.now_ms())
    world.redact(session_id)
    page = world.messages(session_id, before=moments[4], order="asc").json
    assert [message["sequence"] for message in page["messages"]] == [1, 2, 3, 4]


def test_an_expired_session_can_be_emptied_and_one_that_is_gone_cannot(world: World) -> None:
    session_id = world.new()["sessionId"]
    message = posted(world, session_id)
    world.clock.advance(minutes=31)
    assert data(world.redact(session_id, message["id"]))["redacted"] == 1
    world.clock.advance(minutes=1440)
    for answer in (world.redact(session_id, message["id"]), world.redact(session_id), world.redact(NOWHERE)):
        assert (answer.status, answer.code) == (404, "SESSION_NOT_FOUND")


def test_ids_of_other_sessions_lives_and_of_sealed_numbers_are_no_messages(world: World) -> None:
    session_id = world.create(key="again").json["sessionId"]
    former = posted(world, session_id)
    world.delete(session_id)
    world.create(key="again")
    posted(world, session_id)
    other = posted(world, world.new()["sessionId"])
    world.dynamo.add_hook(faults.Kill(0, "before", "put_item"))
    with pytest.raises(faults.Killed):
        posted(world, session_id)
    world.dynamo.hooks.clear()
    world.clock.advance(minutes=1)
    page = world.messages(session_id).json
    assert page["skipped"] == [2]
    for message_id in (former["id"], other["id"], NOWHERE):
        answer = world.redact(session_id, message_id)
        assert (answer.status, answer.code) == (404, "MESSAGE_NOT_FOUND")
    assert data(world.redact(session_id))["redacted"] == 1


def test_another_tenants_messages_cannot_be_emptied(world: World) -> None:
    session_id = world.new()["sessionId"]
    message = posted(world, session_id)
    for message_id in (None, message["id"]):
        assert world.redact(session_id, message_id, tenant="zenith").status == 404
    assert world.message(session_id, message["id"]).json == message


def test_a_reply_that_was_emptied_is_none_to_whoever_waits(world: World) -> None:
    session_id = world.new()["sessionId"]

    def answer_and_empty() -> None:
        reply = posted(world, session_id, role="agent")
        world.redact(session_id, reply["id"])

    world.dynamo.add_hook(faults.Meanwhile("get_item", "before", answer_and_empty))
    waited = world.say(session_id, transport="http").json
    assert waited["pending"] is True
    assert "agentResponse" not in waited


def test_a_message_that_is_emptied_before_its_answer_arrives_is_stored_once(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.dynamo.add_hook(faults.Meanwhile("put_item", "after", lambda: world.redact(session_id)))
    world.dynamo.add_hook(faults.connection_lost("put_item", "after"))
    assert world.say(session_id).status == 201
    page = world.messages(session_id).json
    assert [message.get("redacted") for message in page["messages"]] == [True]


def test_the_line_of_a_redaction_has_counts_and_no_content(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    session_id = world.new()["sessionId"]
    posted(world, session_id, **SECRETS)
    capsys.readouterr()
    world.redact(session_id)
    [line] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (line["redacted"], line["pending"]) == (1, False)
    assert "my-secret" not in str(line)
