"""What each request costs in calls to DynamoDB; tests/integration/test_costs.py has them from the engine's meter."""

from typing import Any

import pytest

from tests.engines import faults
from tests.unit.world import NOWHERE, USER, World


def test_create_is_one_call_and_one_more_where_the_agents_policy_was_not_read_lately(world: World) -> None:
    with world.counted() as calls:
        world.call("create-minimal")
    assert calls == {"get_item": 1, "put_item": 1}
    for name in ("create-minimal", "create-full", "create-idempotent", "create-idempotent"):
        with world.counted() as calls:
            assert world.call(name).status in {200, 201}
        assert calls == {"put_item": 1}


def test_get_is_one_call_live_expired_or_unknown(world: World) -> None:
    session_id = world.new()["sessionId"]
    for wanted in (session_id, NOWHERE):
        with world.counted() as calls:
            world.get(wanted)
        assert calls == {"get_item": 1}
    world.clock.advance(minutes=30)
    with world.counted() as calls:
        assert world.get(session_id).status == 410
    assert calls == {"get_item": 1}


def test_get_reads_what_was_last_written(world: World) -> None:
    session_id = world.new()["sessionId"]
    log = world.dynamo.add_hook(faults.Log())
    world.get(session_id)
    [(_, request)] = log.calls
    assert request["ConsistentRead"] is True


@pytest.mark.parametrize("route", ["heartbeat", "renew"])
def test_a_renewal_is_one_call_time_after_time(world: World, route: str) -> None:
    session_id = world.new()["sessionId"]
    for _ in range(5):
        world.clock.advance(minutes=4)
        with world.counted() as calls:
            assert getattr(world, route)(session_id).status == 200
        assert calls == {"update_item": 1}


@pytest.mark.parametrize(
    "route, settings, is_warned",
    [
        ("heartbeat", {"autoRenew": False}, False),
        ("heartbeat", {"maxDurationMinutes": 30}, False),
        ("heartbeat", {"maxDurationMinutes": 31}, False),
        ("heartbeat", {}, True),
        ("renew", {}, True),
        ("renew", {"maxDurationMinutes": 31}, True),
    ],
)
def test_the_slower_paths_of_a_renewal_are_two_calls(
    world: World,
    route: str,
    settings: dict[str, Any],
    is_warned: bool,  # noqa: FBT001
) -> None:
    session_id = world.new(**settings)["sessionId"]
    world.clock.advance(minutes=26)
    if is_warned:
        world.warn(session_id)
    with world.counted() as calls:
        assert getattr(world, route)(session_id).status == 200
    assert calls == {"update_item": 2}


def test_a_renewal_that_is_refused_at_the_cap_is_one_call(world: World) -> None:
    session_id = world.new(maxDurationMinutes=30)["sessionId"]
    with world.counted() as calls:
        assert world.renew(session_id).status == 422
    assert calls == {"update_item": 1}


def test_a_patch_is_a_read_and_a_write_and_a_refused_or_empty_one_a_read(world: World) -> None:
    session_id = world.new()["sessionId"]
    for body, expected in (
        ({"timeoutMinutes": 60}, {"get_item": 1, "update_item": 1}),
        ({}, {"get_item": 1}),
        ({"timeoutMinutes": 0}, {"get_item": 1}),
    ):
        with world.counted() as calls:
            world.patch(session_id, body)
        assert calls == expected


def test_a_patch_of_metadata_is_a_read_and_a_write_and_one_that_changes_nothing_a_read(world: World) -> None:
    session_id = world.create(metadata={"a": 1}).json["sessionId"]
    for patch, expected in (
        ({"b": 2}, {"get_item": 1, "update_item": 1}),
        ({"a": 1, "c": None}, {"get_item": 1}),
        (None, {"get_item": 1}),
    ):
        with world.counted() as calls:
            world.patch_metadata(session_id, patch)
        assert calls == expected


def test_delete_is_one_call(world: World) -> None:
    session_id = world.new()["sessionId"]
    for status in (200, 404):
        with world.counted() as calls:
            assert world.delete(session_id).status == status
        assert calls == {"delete_item": 1}


def test_a_list_is_a_query_for_each_partition_and_one_batch(world: World) -> None:
    for _ in range(3):
        world.new()
    with world.counted() as calls:
        world.page()
    assert calls == {"query": 4, "batch_get_item": 1}
    with world.counted() as calls:
        world.page(userId=USER)
    assert calls == {"query": 1, "batch_get_item": 1}


def test_the_secret_of_cursors_is_read_once_and_only_when_a_cursor_is_made(world: World) -> None:
    for _ in range(3):
        world.new()
    with world.counted() as calls:
        cursor = world.page(userId=USER, limit="1").json["nextCursor"]
    assert calls == {"query": 1, "batch_get_item": 1, "get_item": 1, "update_item": 1}
    with world.counted() as calls:
        world.page(userId=USER, limit="1", cursor=cursor)
    assert calls == {"query": 1, "batch_get_item": 1}


def test_health_is_one_small_read_however_many_sessions_there_are(world: World) -> None:
    for _ in range(20):
        world.new()
    with world.counted() as calls:
        world.health()
    assert calls == {"get_item": 1}
