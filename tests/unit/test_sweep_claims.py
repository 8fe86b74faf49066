"""A run's claim and its time: what a run that died, slow calls and a failed start cost the next minute."""

import pytest
from agent_sessions.errors import ServiceUnavailable

from tests.engines import faults
from tests.simulation.promises import THREE_MINUTES_MS
from tests.unit.sweep_world import FakeLambda, SweepWorld, warnings_of
from tests.unit.world import MINUTE, START_MS, TABLE

LOOK_AHEAD_MS = 175_000


@pytest.mark.parametrize("nth", range(12))
@pytest.mark.parametrize("fires_ms", [120_000, 130_000, 150_000, 170_000])
def test_a_run_that_dies_holding_its_claim_makes_no_warning_late(nth: int, fires_ms: int) -> None:
    """The first run just misses the sessions; the next fires late in its minute and dies; the third must do it all."""
    world = SweepWorld()
    world.sweep()
    sessions = [world.put(expires_in_ms=5 * MINUTE + LOOK_AHEAD_MS + 1 + number) for number in range(40)]
    world.clock.at_ms = START_MS + 119_000
    world.hook(faults.Kill(nth, "after"))
    with pytest.raises(faults.Killed):
        world.sweep()
    world.hook()
    world.clock.at_ms = START_MS + fires_ms
    world.sweep()
    assert world.told.keys() == warnings_of(sessions).keys()
    assert max(published.at_ms for published in world.published) <= START_MS + LOOK_AHEAD_MS
    assert world.clock.now_ms() <= START_MS + LOOK_AHEAD_MS


@pytest.mark.parametrize("milliseconds", [1_000, 2_500, 4_500])
def test_a_run_of_slow_calls_ends_within_its_time_and_keeps_its_claim(milliseconds: int) -> None:
    world = SweepWorld(DUE_SHARDS="8")
    world.shards_of_new_sessions = 8
    world.to_warn(400)
    world.to_expire(400)
    world.hook(faults.Latency(world.clock, milliseconds))
    began_ms = world.clock.now_ms()
    summary = world.sweep()
    assert world.clock.now_ms() - began_ms <= 50_000 + 4 * milliseconds + 2_000
    assert summary["warned"] + summary["expired"] > 0
    assert set(world.told.values()) == {1}
    world.hook()
    world.sweep_minutes(2)
    assert set(world.told.values()) == {1}, "what was published was marked"
    assert world.told.total() == 800


def test_a_run_that_lost_its_claim_stops() -> None:
    world = SweepWorld(DUE_SHARDS="1")
    world.shards_of_new_sessions = 1
    world.to_warn(300)

    def rob() -> None:
        world.clock.advance(milliseconds=16_000)
        world.dynamo.update_item(
            TableName="table-5c1d",
            Key={"sessionId": {"S": "sweep"}},
            UpdateExpression="SET claimedBy0 = :other, claimedUntil0 = :until",
            ExpressionAttributeValues={
                ":other": {"S": "other"},
                ":until": {"N": str(world.clock.now_ms() + 15_000)},
            },
        )

    world.hook(faults.Meanwhile("batch_get_item", "after", rob))
    summary = world.sweep()
    assert summary["warned"] == 0
    assert summary["left"] == 300
    assert (world.dynamo.peek("table-5c1d", "sweep") or {})["claimedBy0"] == {"S": "other"}


def test_in_overload_every_shard_gets_its_share() -> None:
    """More shards than threads: the last ones must not wait until the first ones are done."""
    world = SweepWorld(DUE_SHARDS="8", SWEEP_THREADS="1")
    world.shards_of_new_sessions = 8
    world.to_warn(2_400)
    world.hook(faults.Latency(world.clock, 300))
    world.sweep()
    told = {published.message.split('"subject":"')[1][:36] for published in world.published}
    by_shard = {item["dueShard"]["N"] for item in world.dynamo.items("table-5c1d") if item["sessionId"]["S"] in told}
    assert len(by_shard) == 8
    assert world.sweep()["left"] > 0, "there was more than one run can do"


def test_a_range_that_cannot_be_started_keeps_no_other_from_it() -> None:
    world = SweepWorld(DUE_SHARDS="8", SWEEP_FAN_OUT="4")
    invoke = world.aws_lambda.invoke

    def fails_at_first(**request: object) -> dict[str, object]:
        if "[0, 1]" in str(request["Payload"]):
            raise ServiceUnavailable
        return invoke(**request)

    world.aws_lambda.invoke = fails_at_first  # type: ignore[method-assign]
    with pytest.raises(ServiceUnavailable):
        world.sweep()
    assert len(world.aws_lambda.invocations) == 3
    assert isinstance(world.aws_lambda, FakeLambda)


def test_a_hot_session_whose_mark_stays_busy_is_no_lag() -> None:
    world = SweepWorld(DUE_SHARDS="1")
    world.shards_of_new_sessions = 1
    [hot] = world.to_rearm(1)
    world.hook(faults.statements_throttled(None, which=lambda statement: hot.session_id in str(statement)))
    summaries = world.sweep_minutes(6)
    assert [(summary["passedOver"], summary["oldestLagSeconds"]) for summary in summaries] == [(1, 0)] * 6
    health = world.health().json
    assert (health["status"], health["sweepLagSeconds"]) == ("healthy", 0)


def test_a_late_sweep_says_how_late_it_came_to_the_second() -> None:
    world = SweepWorld()
    world.to_expire(1, expires_in_ms=-THREE_MINUTES_MS - 42_000)
    assert world.sweep()["oldestLagSeconds"] == 222


def test_a_claim_that_could_not_be_given_up_at_once_is_given_up_a_little_later() -> None:
    world = SweepWorld()
    world.to_warn()
    world.hook(faults.throttle("update_item", times=2, skip=1))
    assert world.sweep()["warned"] == 1
    assert "claimedUntil0" not in (world.dynamo.peek(TABLE, "sweep") or {})
