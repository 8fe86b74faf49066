"""What must hold of one session whatever is lost, damaged or repeated on the way."""

from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from tests.unit.world import TABLE, World

LOST = ReadTimeoutError(endpoint_url="https://dynamodb")


def lose_the_answer(world: World, *, applied: bool, then: Any = None) -> None:
    """Let the next put be carried out or not, and its answer be lost either way; `then` happens right after."""
    write = world.dynamo.put_item

    def put(**request: Any) -> Any:
        world.dynamo.put_item = write  # type: ignore[method-assign]
        if applied:
            write(**request)
        if then is not None:
            then(request["Item"]["sessionId"]["S"])
        raise LOST

    world.dynamo.put_item = put  # type: ignore[method-assign]


def sessions_in(world: World) -> list[str]:
    return [item["sessionId"]["S"] for item in world.dynamo.items(TABLE)]


@pytest.mark.parametrize("key", [None, "a-key"])
@pytest.mark.parametrize("applied", [True, False], ids=["written", "not written"])
def test_a_create_whose_answer_was_lost_makes_one_session(world: World, key: str | None, applied: bool) -> None:  # noqa: FBT001
    lose_the_answer(world, applied=applied)
    answer = world.create(key=key) if key else world.create()
    assert answer.status == 201
    assert sessions_in(world) == [answer.json["sessionId"]]


def test_a_session_deleted_before_its_creator_heard_of_it_does_not_come_back(world: World) -> None:
    deleted: list[str] = []

    def delete(session_id: str) -> None:
        assert world.delete(session_id).status == 200
        deleted.append(session_id)

    lose_the_answer(world, applied=True, then=delete)
    answer = world.create()
    assert answer.status == 201
    assert world.get(deleted[0]).status == 404
    assert sessions_in(world) == [answer.json["sessionId"]]


def test_a_create_that_is_lost_twice_is_a_503(world: World) -> None:
    write = world.dynamo.put_item

    def put(**_: Any) -> Any:
        raise LOST

    world.dynamo.put_item = put  # type: ignore[method-assign]
    assert world.create().status == 503
    world.dynamo.put_item = write  # type: ignore[method-assign]
    assert sessions_in(world) == []


DAMAGE: list[tuple[str, Any]] = [
    ("expiresAt", {"N": "1782547200000.25"}),
    ("expiresAt", {"N": "-1000000000000000000000000000000"}),
    ("endsAt", {"N": "1000000000000000000"}),
    ("createdAt", {"S": "yesterday"}),
    ("lease", {"N": "1.5"}),
    ("renewalCount", {"N": "-1"}),
    ("timeoutMinutes", {"N": "1E+120"}),
    ("autoRenew", {"S": "true"}),
    ("metadata", {"S": "no json"}),
    ("metadata", {"S": "{broken}"}),
    ("metadata", {"S": "[]"}),
    ("metadata", {"S": '{"a":NaN}'}),
    ("metadata", {"S": '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"}),
    ("userId", {"N": "7"}),
    ("requestHash", {"S": "text"}),
    ("purgeAt", {"NULL": True}),
    ("attempt", None),
    ("agentId", None),
]


@pytest.mark.parametrize("name, value", DAMAGE, ids=lambda value: str(value)[:40])
def test_delete_ends_a_session_whose_item_is_damaged_and_reads_never_show_it(
    world: World, name: str, value: Any
) -> None:
    session_id = world.new()["sessionId"]
    item = world.item(session_id)
    item.pop(name)
    world.dynamo.put_item(TableName=TABLE, Item=item if value is None else item | {name: value})
    assert world.get(session_id).status == 500
    assert world.delete(session_id).status == 200
    assert sessions_in(world) == []


@pytest.mark.parametrize("route", [World.heartbeat, World.renew])
def test_no_renewal_by_a_late_clock_revives_a_session_that_the_sweep_has_closed(world: World, route: Any) -> None:
    session_id = world.new()["sessionId"]
    world.clock.advance(minutes=29)
    world.close(session_id)  # the sweep's clock is ahead, or this call has been on its way for long
    before = world.item(session_id)
    assert route(world, session_id).status == 410
    assert world.patch(session_id, {"timeoutMinutes": 60}).status == 410
    assert world.item(session_id) == before
