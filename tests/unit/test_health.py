"""GET /health, from the record that the sweep writes (docs/contract.md, Health)."""

import pytest
from agent_sessions.sweep.dynamo_record import DynamoSweepRecord
from agent_sessions.sweep.health import Gauge, ShardSweep

from tests.engines import faults
from tests.unit.world import MINUTE, START_MS, TABLE, World, at

FIELDS = {
    "status", "timestamp", "activeSessions", "expiringSoon", "lastSweepAt", "sweepLagSeconds", "passedOver",
    "eventLagSeconds",
}  # fmt: skip


def swept(world: World, *, lag_seconds: float = 0, shards: int = 8, first: int = 0, passed_over: int = 0) -> None:
    """A sweep of some shards finishes now."""
    records = DynamoSweepRecord(world.dynamo.as_client(), TABLE)
    now_ms = world.clock.now_ms()
    wanted = range(first, first + shards)
    assert records.claim(wanted, "a-run", now_ms, now_ms + 70_000)
    assert records.release(wanted, "a-run", {shard: ShardSweep(now_ms, lag_seconds, passed_over) for shard in wanted})


def test_before_the_first_sweep_the_service_is_degraded_and_knows_no_numbers(world: World) -> None:
    answer = world.health()
    assert answer.status == 200
    assert answer.json == {
        "status": "degraded",
        "timestamp": at(START_MS),
        "activeSessions": None,
        "expiringSoon": None,
        "lastSweepAt": None,
        "sweepLagSeconds": None,
        "passedOver": None,
        "eventLagSeconds": None,
    }


def test_after_a_sweep_in_time_the_service_is_healthy(world: World) -> None:
    swept(world, lag_seconds=1.5)
    world.clock.advance(minutes=1)
    answer = world.health()
    assert answer.status == 200
    assert answer.json == {
        "status": "healthy",
        "timestamp": at(START_MS + MINUTE),
        "activeSessions": None,
        "expiringSoon": None,
        "lastSweepAt": at(START_MS),
        "sweepLagSeconds": 1.5,
        "passedOver": 0,
        "eventLagSeconds": None,
    }


def test_a_sweep_more_than_three_minutes_old_degrades(world: World) -> None:
    swept(world)
    world.clock.advance(3 * MINUTE)
    assert world.health().json["status"] == "healthy"
    world.clock.advance(1)
    answer = world.health()
    assert (answer.status, answer.json["status"]) == (200, "degraded")
    assert answer.json["lastSweepAt"] == at(START_MS)


def test_what_a_sweep_passed_over_is_added_up_and_degrades_nothing(world: World) -> None:
    swept(world, shards=4, passed_over=2)
    swept(world, shards=4, first=4, passed_over=1)
    answer = world.health().json
    assert (answer["passedOver"], answer["status"]) == (12, "healthy")


def test_a_lag_of_more_than_three_minutes_degrades(world: World) -> None:
    swept(world, lag_seconds=180)
    assert world.health().json["status"] == "healthy"
    swept(world, lag_seconds=180.001)
    answer = world.health()
    assert (answer.status, answer.json["status"]) == (200, "degraded")


def test_the_worst_shard_counts(world: World) -> None:
    swept(world, shards=8)
    world.clock.advance(minutes=4)
    swept(world, shards=7)
    answer = world.health().json
    assert answer["status"] == "degraded"
    assert answer["lastSweepAt"] == at(START_MS)
    swept(world, shards=1, first=7, lag_seconds=7)
    answer = world.health().json
    assert answer["status"] == "healthy"
    assert answer["sweepLagSeconds"] == 7


def test_a_shard_that_was_never_swept_degrades(world: World) -> None:
    swept(world, shards=7)
    assert world.health().json["status"] == "degraded"


def test_the_gauge_is_shown_while_it_is_at_most_six_minutes_old(world: World) -> None:
    DynamoSweepRecord(world.dynamo.as_client(), TABLE).write_gauge(Gauge(54_000, 120, START_MS))
    world.clock.advance(6 * MINUTE)
    seen = world.health().json
    assert (seen["activeSessions"], seen["expiringSoon"]) == (54_000, 120)
    world.clock.advance(1)
    seen = world.health().json
    assert (seen["activeSessions"], seen["expiringSoon"]) == (None, None)


@pytest.mark.parametrize(
    "code", ["ThrottlingException", "InternalServerError", "ResourceNotFoundException", "AccessDeniedException"]
)
def test_a_table_that_cannot_be_read_is_unhealthy(world: World, code: str) -> None:
    swept(world)
    world.dynamo.add_hook(faults.fail("get_item", code))
    answer = world.health()
    assert answer.status == 503
    assert answer.json == dict.fromkeys(FIELDS) | {"status": "unhealthy", "timestamp": at(START_MS)}
