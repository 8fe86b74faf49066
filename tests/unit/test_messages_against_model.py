"""Random operations on a session's messages, and a reference model of a few lines that always agrees."""

import random
from typing import Any

import pytest

from tests.unit.world import World

OPERATIONS = 250


class Model:
    """What a conversation is: a list, what keys stand for, and whether somebody waits for an answer."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []
        self.keys: dict[str, tuple[int, str, str]] = {}
        self.awaiting = False
        self.renewals = 0

    def append(self, role: str, content: str, key: str | None, expected: int | None) -> tuple[int, int | None]:
        """Return the status, and the number where there is one."""
        if key in self.keys:
            number, *same = self.keys[key]
            return (200, number) if same == [role, content] else (422, None)
        if expected not in (None, len(self.messages)):
            return 412, None
        self.messages.append((role, content))
        if key:
            self.keys[key] = (len(self.messages), role, content)
        self.awaiting = role == "user" or (self.awaiting and role != "agent")
        self.renewals += role == "user"
        return 201, len(self.messages)

    def page(self, *, limit: int, after: int | None, before: int | None) -> tuple[list[int], bool]:
        """Return the numbers of a page, newest first, and whether there are more."""
        high = len(self.messages) if before is None else min(len(self.messages), before - 1)
        numbers = list(range((after or 0) + 1, high + 1))
        chosen = numbers[:limit] if after is not None else numbers[-limit:]
        return chosen[::-1], len(numbers) > limit


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_done_the_model_agrees(world: World, seed: int) -> None:
    chance = random.Random(seed)
    model, session_id = Model(), world.new()["sessionId"]
    met: set[int] = set()
    for _ in range(OPERATIONS):
        world.clock.advance(chance.choice([0, 0, 1, 40, -30, 2_000]))
        if chance.random() < 0.6:
            met.add(append(world, model, session_id, chance))
        else:
            read(world, model, session_id, chance)
        told = world.get(session_id).json
        assert (told["lastSequence"], told["awaitingReply"], told["renewalCount"]) == (
            len(model.messages), model.awaiting, model.renewals,
        )  # fmt: skip
    assert met == {200, 201, 412, 422}
    everything = world.messages(session_id, afterSequence=0, limit=100).json["messages"]
    assert [(message["role"], message["content"]) for message in everything] == model.messages[:100]
    moments = [message["createdAt"] for message in everything]
    assert moments == sorted(set(moments))


def append(world: World, model: Model, session_id: str, chance: random.Random) -> int:
    role = chance.choice(["user", "user", "agent", "system", "tool"])
    content = chance.choice(["yes", "no"])
    key = chance.choice([None, None, *"abcdef"])
    expected = chance.choice([None, None, None, len(model.messages), chance.randrange(50)])
    headers = {} if key is None else {"idempotency-key": key}
    headers |= {} if expected is None else {"if-match": f'"{expected}"'}
    status, number = model.append(role, content, key, expected)
    answer = world.say(session_id, content, role=role, headers=headers)
    assert answer.status == status, answer.text
    if number is not None:
        assert answer.json["message"]["sequence"] == number
    return status


def read(world: World, model: Model, session_id: str, chance: random.Random) -> None:
    most = len(model.messages) + 2
    limit = chance.randrange(1, 12)
    after = chance.choice([None, chance.randrange(most)])
    before = chance.choice([None, chance.randrange(1, most)])
    query: dict[str, Any] = {"limit": limit, "order": "desc"}
    query |= {} if after is None else {"afterSequence": after}
    query |= {} if before is None else {"beforeSequence": before}
    page = world.messages(session_id, **query).json
    numbers, has_more = model.page(limit=limit, after=after, before=before)
    assert ([message["sequence"] for message in page["messages"]], page["hasMore"]) == (numbers, has_more)
    assert page["skipped"] == []
