"""What is said reaches no log, whatever becomes of the request; the facts about it do."""

import json
from contextlib import suppress
from typing import Any, Final

import pytest

from tests.engines import faults
from tests.logs import everything_logged
from tests.unit.world import NOWHERE, World

MARK: Final = "marked-0f7c2e"
SAID: Final[dict[str, Any]] = {
    "content": f"{MARK} content",
    "parts": [{f"{MARK} part": MARK}],
    "attachments": [{"url": f"https://example.com/{MARK}"}],
    "metadata": {f"{MARK} name": MARK},
}
KEY: Final = {"idempotency-key": f"{MARK}-key"}


def use_every_route(world: World, session_id: str) -> set[int]:
    answers = [
        world.say(session_id, **SAID),
        world.say(session_id, **SAID, role="agent", headers=KEY),
        world.say(session_id, **SAID, role="agent", headers=KEY),
        world.say(session_id, **(SAID | {"content": f"{MARK} other"}), role="agent", headers=KEY),
        world.say(session_id, **SAID, transport="http"),
        world.say(session_id, **SAID, headers={"if-match": '"99"'}),
        world.say(session_id, **(SAID | {"content": MARK * 1_000})),
        world.say(session_id, **(SAID | {"content": f"{MARK}\ud800"})),
        world.say(session_id, **SAID, inReplyTo=MARK, authorId=MARK),
        world.post_message(session_id, raw=f'{{"content": "{MARK}'),
        world.messages(session_id),
        world.messages(session_id, before=MARK, order=MARK),
        world.message(session_id, NOWHERE),
    ]
    return {answer.status for answer in answers}


def test_what_is_said_stands_in_no_log_line(world: World) -> None:
    session_id = world.new()["sessionId"]
    with everything_logged() as log:
        assert use_every_route(world, session_id) == {200, 201, 400, 404, 412, 422}
    text = log.getvalue()
    assert MARK not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) == 13
    assert [(line["role"], line["sequence"]) for line in lines if "role" in line][:2] == [("user", 1), ("agent", 2)]
    assert [line["waited_ms"] for line in lines if "waited_ms" in line] == [20_000]


@pytest.mark.parametrize("code", ["ValidationException", "InternalServerError", "AccessDeniedException"])
@pytest.mark.parametrize("call", ["update_item", "put_item", "get_item", "query"])
def test_nor_does_a_store_that_fails_bring_it_into_one(world: World, code: str, call: str) -> None:
    session_id = world.new()["sessionId"]
    world.say(session_id, **SAID)
    world.dynamo.add_hook(faults.fail(call, code, message="made to fail"))
    with everything_logged() as log, suppress(Exception):
        assert use_every_route(world, session_id) & {500, 503}
    assert log.getvalue()
    assert MARK not in log.getvalue()


def test_nor_does_an_item_that_cannot_be_read(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.say(session_id, **SAID)
    [item] = world.dynamo.items("table-5c1d-messages")
    for damage in ({"role": {"S": MARK}}, {"createdAt": {"N": "1.5"}}, {"content": {"N": "1"}}):
        world.dynamo.put_item(TableName="table-5c1d-messages", Item={**item, **damage})
        with everything_logged() as log:
            assert world.messages(session_id).status in (200, 500)
        assert SAID["content"] not in log.getvalue()
