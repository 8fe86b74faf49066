"""Lag is how late the sweep came: no caller can raise it, and it is right to the second when the sweep was late."""

import random
from typing import Any

import pytest

from tests.unit.sweep_world import SweepWorld
from tests.unit.world import MINUTE, TABLE


def lags(world: SweepWorld, minutes: int) -> set[float]:
    """The lags of sweeps that come every minute."""
    return {summary["oldestLagSeconds"] for summary in world.sweep_minutes(minutes)}


def check_healthy(world: SweepWorld) -> None:
    health = world.health().json
    assert (health["status"], health["sweepLagSeconds"]) == ("healthy", 0)


@pytest.mark.parametrize("after_seconds", [0, 0.001, 5, 59.999])
def test_a_threshold_that_is_patched_to_the_whole_timeout_is_no_lag(after_seconds: float) -> None:
    world = SweepWorld()
    session_id = world.new(timeoutMinutes=60)["sessionId"]
    assert lags(world, 40) == {0}
    world.clock.advance(milliseconds=round(after_seconds * 1000))
    world.patch(session_id, {"warningThresholdMinutes": 60})
    assert lags(world, 1) == {0}
    assert len(world.events) == 1
    check_healthy(world)
    assert lags(world, 25) == {0}
    assert len(world.events) == 2


@pytest.mark.parametrize("beat_seconds", [1_794, 1_799, 1_799.999])
def test_a_heartbeat_that_meets_the_cap_late_in_a_lease_is_no_lag(beat_seconds: float) -> None:
    world = SweepWorld()
    session_id = world.new(timeoutMinutes=30, maxDurationMinutes=31, warningThresholdMinutes=5)["sessionId"]
    began_ms = world.clock.now_ms()
    assert lags(world, 29) == {0}
    world.clock.at_ms = began_ms + round(beat_seconds * 1000)
    assert world.heartbeat(session_id).json["lease"] == 2
    assert lags(world, 1) == {0}
    check_healthy(world)
    assert [event["data"]["lease"] for event in world.events] == [1, 2]
    assert lags(world, 5) == {0}


def a_random_change(rng: random.Random) -> dict[str, Any]:
    timeout = rng.choice([5, 10, 30, 60])
    return rng.choice(
        [
            {"warningThresholdMinutes": rng.choice([1, 2, 5, 5.5, 60])},
            {"timeoutMinutes": timeout},
            {"maxDurationMinutes": rng.choice([timeout, 90, 720])},
            {"autoRenew": rng.random() < 0.5},
            {"timeoutMinutes": timeout, "warningThresholdMinutes": rng.uniform(1, timeout)},
        ]
    )


def act(world: SweepWorld, rng: random.Random, living: list[str]) -> int:
    """One caller does something; return 1 where it was a PATCH that was done."""
    if len(living) < 40 and rng.random() < 0.3:
        living.append(world.new(timeoutMinutes=rng.choice([5, 10, 30, 60]))["sessionId"])
        return 0
    if not living:
        return 0
    session_id = rng.choice(living)
    patches = rng.random() < 0.5
    if patches:
        answer = world.patch(session_id, a_random_change(rng))
    else:
        answer = rng.choice([world.heartbeat, world.renew])(session_id)
    if answer.status in (404, 410):
        living.remove(session_id)
    return int(patches and answer.status == 200)


@pytest.mark.parametrize("seed", range(2))
def test_in_a_day_of_random_patches_with_punctual_sweeps_there_is_no_lag(seed: int) -> None:
    world, rng, living = SweepWorld(), random.Random(seed), list[str]()
    patched = 0
    for _ in range(1_440):
        minute_ms = world.clock.now_ms() - world.clock.now_ms() % MINUTE
        for at_ms in sorted(minute_ms + rng.randrange(MINUTE) for _ in range(rng.choice([0, 1, 3]))):
            world.clock.at_ms = max(world.clock.at_ms, at_ms)
            patched += act(world, rng, living)
        assert lags(world, 1) == {0}
    assert patched > 300
    assert len(world.events) > 300
    check_healthy(world)


@pytest.mark.parametrize("late_ms", [66_000, 70_000, 183_000, 600_000, 86_400_000])
@pytest.mark.parametrize("what", ["to_warn", "to_rearm", "to_expire"])
def test_when_the_sweep_comes_late_the_lag_is_right_to_the_second(what: str, late_ms: int) -> None:
    """The oldest of the sessions that wait says how late it came; one that cannot be read says nothing."""
    world = SweepWorld(SESSION_RETENTION_MINUTES="10000")
    world.sweep()
    place: dict[str, Any] = {
        "to_warn": {"expires_in_ms": 4 * MINUTE, "warning_minutes": 1, "due_in_ms": 3 * MINUTE},
        "to_rearm": {"expires_in_ms": late_ms + 20 * MINUTE, "due_in_ms": 3 * MINUTE},
        "to_expire": {"expires_in_ms": 3 * MINUTE, "due_in_ms": 3 * MINUTE},
    }[what]
    for later in range(5):
        world.put(**{**place, "due_in_ms": 3 * MINUTE + later * 1_000})
    damaged = world.put(expires_in_ms=MINUTE, due_in_ms=MINUTE)
    item = world.item(damaged.session_id)
    del item["endsAt"]
    world.dynamo.put_item(TableName=TABLE, Item=item)
    world.clock.advance(milliseconds=3 * MINUTE + late_ms)
    summary = world.sweep()
    assert summary["oldestLagSeconds"] == late_ms / 1000
    assert summary["passedOver"] == 1
    health = world.health().json
    assert health["sweepLagSeconds"] == late_ms / 1000
    assert health["status"] == ("degraded" if late_ms > 3 * MINUTE else "healthy")
    world.sweep_minutes(1)
    check_healthy(world)
