"""Reading long conversations: ten thousand messages in either direction, and a hundred of the longest ones."""

import json
from typing import Any, Final

import pytest

from tests.unit.test_message_pages import numbers
from tests.unit.world import MESSAGES, MINUTE, World

LAMBDA_ANSWER: Final = 6 * 1024 * 1024
MANY: Final = 10_000


@pytest.fixture(scope="module")
def long_talk() -> tuple[World, str]:
    """Ten thousand messages, two milliseconds apart, some numbers of which died; all of it a day ago."""
    world = World(MESSAGES_PER_SESSION="20000")
    session_id = world.new(timeoutMinutes=1440)["sessionId"]
    world.say(session_id)
    [first] = world.dynamo.items(MESSAGES)
    started_ms = world.clock.now_ms()
    for number in range(2, MANY + 1):
        item = first | {"seq": {"N": str(number)}, "createdAt": {"N": str(started_ms + 2 * number)}}
        if number % 97 == 0:
            item = {name: first[name] for name in ("life", "purgeAt")} | {
                "seq": {"N": str(number)},
                "sealed": {"BOOL": True},
            }
        world.dynamo.put_item(TableName=MESSAGES, Item=item)
    world.dynamo.update_item(
        TableName="table-5c1d",
        Key={"sessionId": {"S": session_id}},
        UpdateExpression="SET lastSeq = :n, lastMessageAt = :at",
        ExpressionAttributeValues={":n": {"N": str(MANY)}, ":at": {"N": str(started_ms + 2 * MANY)}},
    )
    world.clock.advance(2 * MANY + 60 * MINUTE)
    return world, session_id


STORED: Final = [number for number in range(1, MANY + 1) if number == 1 or number % 97]


@pytest.mark.parametrize("cursor", ["afterSequence", "after", "beforeSequence", "before"])
def test_ten_thousand_messages_are_read_page_by_page_each_once_and_in_order(
    long_talk: tuple[World, str], cursor: str
) -> None:
    world, session_id = long_talk
    world.restart(MESSAGES_PER_SESSION="20000")
    query: dict[str, Any] = {"limit": 100, cursor: 0} if cursor.startswith("after") else {"limit": 100}
    query |= {"order": "asc"} if cursor.startswith("after") else {}
    read: list[int] = []
    while True:
        with world.counted() as calls:
            page = world.messages(session_id, **query).json
        assert calls["query"] <= 2 + (2 * 14 if cursor in ("after", "before") else 0)
        assert sum(calls.values()) == calls["query"] + 1
        read += numbers(page)
        assert page["hasMore"] == (len(read) < len(STORED))
        if not page["hasMore"]:
            break
        query[cursor] = page["cursors"][cursor]
    assert read == (STORED if cursor.startswith("after") else STORED[::-1])


@pytest.mark.parametrize("text", ['"', "世", "\\", "\x01", "é"])
def test_a_hundred_long_messages_stay_within_what_lambda_answers(text: str) -> None:
    world = World()
    session_id = world.new()["sessionId"]
    size = len(json.dumps(text, ensure_ascii=False).encode()) - 2
    content = text * min(32_000, 60_000 // len(text.encode()))
    parts = [{"text": text * (30_000 // size)}]
    raw = json.dumps({"content": content[: 90_000 // size], "role": "agent", "parts": parts}, ensure_ascii=False)
    for _ in range(100):
        answer = world.post_message(session_id, raw=raw)
        assert answer.status == 201, answer.text[:200]
        assert on_the_wire(answer) < LAMBDA_ANSWER
    world.clock.advance(minutes=1)
    read: list[int] = []
    while True:
        answer = world.messages(session_id, afterSequence=read[-1] if read else 0, limit=100)
        assert on_the_wire(answer) < LAMBDA_ANSWER
        read += numbers(answer.json)
        if not answer.json["hasMore"]:
            break
    assert read == list(range(1, 101))


def on_the_wire(answer: Any) -> int:
    """The size of Lambda's answer, in which the body is a JSON string."""
    return len(json.dumps({"body": answer.text, "headers": dict(answer.headers)}, ensure_ascii=False).encode())
