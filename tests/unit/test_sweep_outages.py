"""A service or the sweeper itself is away for long: what is told when it is back, and in which order."""

from collections.abc import Callable

import pytest
from agent_sessions.wire_format import timestamp

from tests.engines import faults
from tests.engines.faults import Hook
from tests.unit.sweep_world import SweepWorld
from tests.unit.world import MINUTE, TABLE


def population(world: SweepWorld, count: int = 150) -> list[str]:
    """Live sessions whose warnings come up over the next two hours, with five minutes to each expiry."""
    for number in range(count):
        world.put(expires_in_ms=(6 + number % 120) * MINUTE + 17 * number)
    return [f"{number + 1:08x}-0000-4000-8000-000000000000" for number in range(count)]


def kinds(world: SweepWorld) -> dict[str, list[str]]:
    """For each session the kinds of its events, oldest first."""
    found: dict[str, list[str]] = {}
    for event in world.events:
        found.setdefault(event["subject"], []).append(event["type"].rpartition(".")[2])
    return found


@pytest.mark.parametrize(
    "outage",
    [
        lambda: faults.fail("publish_batch", "InternalError"),
        lambda: faults.connection_lost("publish_batch", "before", None),
        lambda: faults.messages_failed(None),
        lambda: faults.throttle("query"),
        lambda: faults.throttle("batch_get_item"),
    ],
)
def test_after_an_hour_s_outage_everything_is_told_once(outage: Callable[[], Hook]) -> None:
    world = SweepWorld()
    ids = population(world)
    world.sweep_minutes(10)
    told_before = len(world.published)
    world.hook(outage())
    world.sweep_minutes(60)
    assert len(world.published) == told_before
    world.hook()
    back_ms = world.clock.now_ms()
    world.sweep_minutes(1)
    caught_up = world.events[told_before:]
    assert sum(event["type"].endswith("expired") for event in caught_up) > 50
    assert sum(event["type"].endswith("expiring") for event in caught_up) > 5
    assert all(event["data"]["timeRemaining"] > 0 for event in caught_up if event["type"].endswith("expiring"))
    world.sweep_minutes(75)
    assert set(world.told.values()) == {1}
    told = kinds(world)
    assert told.keys() == {*ids}
    assert {*map(tuple, told.values())} <= {("expiring", "expired"), ("expired",)}
    unwarned = [session_id for session_id in ids if told[session_id] == ["expired"]]
    assert unwarned, "what ended in the outage has had no warning"
    for event in world.events:
        if event["subject"] in unwarned:
            assert event["data"]["expiresAt"] < timestamp(back_ms + MINUTE)
    assert world.due == set()


def test_an_outage_that_loses_answers_repeats_under_the_same_ids_and_loses_nothing() -> None:
    world = SweepWorld()
    ids = population(world, 60)
    world.hook(faults.connection_lost("publish_batch", "after", None))
    world.sweep_minutes(60)
    world.hook()
    world.sweep_minutes(75)
    told = kinds(world)
    assert told.keys() == {*ids}
    assert all(set(of_one) == {"expiring", "expired"} for of_one in told.values())
    assert world.due == set()


def test_a_sweeper_that_was_down_for_a_day_catches_up_oldest_first() -> None:
    world = SweepWorld(DUE_SHARDS="1")
    world.shards_of_new_sessions = 1
    ids = population(world, 450)
    world.sweep_minutes(3)
    told_before = len(world.published)
    world.clock.advance(minutes=1_440)
    due_at = {item["sessionId"]["S"]: int(item["dueAt"]["N"]) for item in world.dynamo.items(TABLE) if "dueAt" in item}
    assert world.health().json["status"] == "degraded"
    summary = world.sweep()
    assert summary["expired"] > 400
    assert summary["oldestLagSeconds"] > 1_380 * 60
    caught_up = [due_at[event["subject"]] for event in world.events[told_before:]]
    assert caught_up == sorted(caught_up)
    assert {session_id: of_one[-1] for session_id, of_one in kinds(world).items()} == dict.fromkeys(ids, "expired")
    assert set(world.told.values()) == {1}
    assert world.due == set()
    assert world.health().json["status"] == "degraded", "the lag is told"
    world.sweep_minutes(1)
    assert world.health().json["status"] == "healthy"
