"""What each request costs in calls to DynamoDB, counted below the client: in our fake, and in botocore over moto."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from moto import mock_aws

from tests.engines import faults
from tests.engines.tables import create_sessions_table
from tests.unit.world import NOWHERE, TABLE, USER, World

Counted = Any


@pytest.fixture(params=["fake", "moto"])
def counting(request: pytest.FixtureRequest) -> Iterator[tuple[World, Counted]]:
    """A world, and what counts its calls by the names of the API."""
    if request.param == "fake":
        world = World()

        @contextmanager
        def counted() -> Iterator[Counter[str]]:
            calls: Counter[str] = Counter()
            with world.counted() as methods:
                yield calls
            calls.update({name.title().replace("_", ""): count for name, count in methods.items()})

        yield world, counted
        return
    client = request.getfixturevalue("moto_client")
    sent: Counter[str] = Counter()

    def count(request: Any, **_: Any) -> None:
        sent[request.headers["X-Amz-Target"].decode().split(".")[1]] += 1

    @contextmanager
    def counted_by_botocore() -> Iterator[Counter[str]]:
        calls: Counter[str] = Counter()
        before = Counter(sent)
        yield calls
        calls.update(sent - before)

    client.meta.events.register("before-send.dynamodb", count)
    with mock_aws():
        create_sessions_table(client, TABLE)
        yield World(client=client), counted_by_botocore
    client.meta.events.unregister("before-send.dynamodb", count)


def test_create_is_one_call(counting: tuple[World, Counted]) -> None:
    world, counted = counting
    for name in ("create-minimal", "create-full", "create-idempotent", "create-idempotent"):
        with counted() as calls:
            assert world.call(name).status in {200, 201}
        assert calls == {"PutItem": 1}


def test_get_is_one_call_live_expired_or_unknown(counting: tuple[World, Counted]) -> None:
    world, counted = counting
    session_id = world.new()["sessionId"]
    for wanted in (session_id, NOWHERE):
        with counted() as calls:
            world.get(wanted)
        assert calls == {"GetItem": 1}
    world.clock.advance(minutes=30)
    with counted() as calls:
        assert world.get(session_id).status == 410
    assert calls == {"GetItem": 1}


def test_get_reads_what_was_last_written(world: World) -> None:
    session_id = world.new()["sessionId"]
    log = world.dynamo.add_hook(faults.Log())
    world.get(session_id)
    [(_, request)] = log.calls
    assert request["ConsistentRead"] is True


@pytest.mark.parametrize("route", ["heartbeat", "renew"])
def test_a_renewal_is_one_call_time_after_time(counting: tuple[World, Counted], route: str) -> None:
    world, counted = counting
    session_id = world.new()["sessionId"]
    for _ in range(5):
        world.clock.advance(minutes=4)
        with counted() as calls:
            assert getattr(world, route)(session_id).status == 200
        assert calls == {"UpdateItem": 1}


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


def test_a_patch_is_a_read_and_a_write_and_a_refused_or_empty_one_a_read(counting: tuple[World, Counted]) -> None:
    world, counted = counting
    session_id = world.new()["sessionId"]
    for body, expected in (
        ({"timeoutMinutes": 60}, {"GetItem": 1, "UpdateItem": 1}),
        ({}, {"GetItem": 1}),
        ({"timeoutMinutes": 0}, {"GetItem": 1}),
    ):
        with counted() as calls:
            world.patch(session_id, body)
        assert calls == expected


def test_delete_is_one_call(counting: tuple[World, Counted]) -> None:
    world, counted = counting
    session_id = world.new()["sessionId"]
    for status in (200, 404):
        with counted() as calls:
            assert world.delete(session_id).status == status
        assert calls == {"DeleteItem": 1}


def test_a_list_is_a_query_for_each_partition_and_one_batch(counting: tuple[World, Counted]) -> None:
    world, counted = counting
    for _ in range(3):
        world.new()
    with counted() as calls:
        world.page()
    assert calls == {"Query": 4, "BatchGetItem": 1}
    with counted() as calls:
        world.page(userId=USER)
    assert calls == {"Query": 1, "BatchGetItem": 1}


def test_the_secret_of_cursors_is_read_once_and_only_when_a_cursor_is_made(counting: tuple[World, Counted]) -> None:
    world, counted = counting
    for _ in range(3):
        world.new()
    with counted() as calls:
        cursor = world.page(userId=USER, limit="1").json["nextCursor"]
    assert calls == {"Query": 1, "BatchGetItem": 1, "GetItem": 1, "UpdateItem": 1}
    with counted() as calls:
        world.page(userId=USER, limit="1", cursor=cursor)
    assert calls == {"Query": 1, "BatchGetItem": 1}


def test_health_is_one_small_read_however_many_sessions_there_are(counting: tuple[World, Counted]) -> None:
    world, counted = counting
    for _ in range(20):
        world.new()
    with counted() as calls:
        world.health()
    assert calls == {"GetItem": 1}
