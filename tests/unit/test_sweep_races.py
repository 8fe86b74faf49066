"""What callers do between a sweep's read and its mark: no mark lands on a lease that it was not meant for."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.engines import faults
from tests.engines.faults import When
from tests.unit.sweep_world import SweepWorld
from tests.unit.world import MINUTE

MOMENTS: list[tuple[str, When]] = [
    ("batch_get_item", "after"),
    ("publish_batch", "before"),
    ("publish_batch", "after"),
    ("batch_execute_statement", "before"),
]
"""Every place between the read and the first mark."""


def told(world: SweepWorld) -> Counter[tuple[int, str]]:
    """How often each lease's warning and expiry were published."""
    return Counter(
        (event["data"]["lease"], event["type"].removeprefix("agent-sessions.session.")) for event in world.events
    )


def until_the_warning(world: SweepWorld) -> str:
    """A session made by the API at the moment at which its warning is due: five of thirty minutes are left."""
    session = world.new()
    world.clock.advance(minutes=25)
    return str(session["sessionId"])


@pytest.mark.parametrize("call, when", MOMENTS)
@pytest.mark.parametrize("act", [SweepWorld.heartbeat, SweepWorld.renew])
def test_a_session_renewed_between_read_and_mark_is_warned_anew(
    call: str, when: When, act: Callable[[SweepWorld, str], Any]
) -> None:
    world = SweepWorld()
    session_id = until_the_warning(world)
    world.hook(faults.Meanwhile(call, when, lambda: act(world, session_id)))
    assert world.sweep()["warned"] == 1
    renewed = world.get(session_id).json
    assert world.item(session_id)["dueAt"] == {"N": str(world.clock.now_ms())}, "not marked"
    world.hook()
    world.sweep_minutes(21)
    assert told(world) == {(1, "expiring"): 1}
    world.sweep_minutes(4)
    assert told(world) == {(1, "expiring"): 1, (2, "expiring"): 1}
    assert world.events[-1]["data"]["expiresAt"] == renewed["expiresAt"]
    world.sweep_minutes(6)
    assert told(world) == {(1, "expiring"): 1, (2, "expiring"): 1, (2, "expired"): 1}


@pytest.mark.parametrize("call, when", MOMENTS)
@pytest.mark.parametrize(
    "patch, warned_at, ends_at",
    [
        ({"timeoutMinutes": 60}, {(2, "expiring"): 1}, 60),
        ({"timeoutMinutes": 27}, {(2, "expiring"): 1}, 27),
        ({"warningThresholdMinutes": 10}, {}, 30),
        ({"warningThresholdMinutes": 1}, {}, 30),
        ({"autoRenew": False}, {}, 30),
        ({"maxDurationMinutes": 100}, {}, 30),
    ],
)
def test_a_session_patched_between_read_and_mark_is_warned_once_a_lease(
    call: str, when: When, patch: dict[str, Any], warned_at: dict[tuple[int, str], int], ends_at: int
) -> None:
    world = SweepWorld()
    session_id = until_the_warning(world)
    world.hook(faults.Meanwhile(call, when, lambda: world.patch(session_id, patch)))
    world.sweep()
    world.hook()
    world.sweep_minutes(ends_at - 25 + 1)
    lease = 2 if "timeoutMinutes" in patch else 1
    assert told(world) == {(1, "expiring"): 1, **warned_at, (lease, "expired"): 1}
    assert world.due == set()


@pytest.mark.parametrize("call, when", MOMENTS)
def test_a_session_deleted_between_read_and_mark_does_not_come_back(call: str, when: When) -> None:
    world = SweepWorld()
    session_id = until_the_warning(world)
    world.hook(faults.Meanwhile(call, when, lambda: world.delete(session_id)))
    summary = world.sweep()
    assert (summary["failed"], summary["left"]) == (0, 0)
    assert world.item(session_id) is None
    world.hook()
    world.sweep_minutes(10)
    assert told(world) == {(1, "expiring"): 1}


@pytest.mark.parametrize("call, when", MOMENTS)
def test_a_session_that_its_key_brings_back_is_not_taken_for_the_one_that_was_read(call: str, when: When) -> None:
    world = SweepWorld()
    first = world.create(key="one").json
    session_id = first["sessionId"]
    world.clock.advance(minutes=25)

    def again() -> None:
        world.delete(session_id)
        assert world.create(key="one").json["sessionId"] == session_id

    world.hook(faults.Meanwhile(call, when, again))
    world.sweep()
    world.hook()
    second = world.get(session_id).json
    assert second["createdAt"] != first["createdAt"]
    world.sweep_minutes(32)
    creations = Counter((event["id"].split(":")[1], event["id"].split(":")[3]) for event in world.events)
    assert sorted(kind for _, kind in creations) == ["expired", "expiring", "expiring"]
    assert set(creations.values()) == {1}, "each under an id of its own"
    assert world.due == set()


@pytest.mark.parametrize("call, when", [*MOMENTS, ("batch_execute_statement", "after")])
def test_an_expired_session_that_its_key_brings_back_while_it_is_announced_lives_on(call: str, when: When) -> None:
    world = SweepWorld()
    session_id = world.create(key="one").json["sessionId"]
    world.clock.advance(minutes=30, milliseconds=5_000)

    def again() -> None:
        world.delete(session_id)
        assert world.create(key="one").status == 201

    world.hook(faults.Meanwhile(call, when, again))
    world.sweep()  # its expiry is published only where it was closed before
    world.hook()
    assert world.get(session_id).status == 200
    assert world.page().json["total"] == 1, "and is listed"
    assert world.due == {session_id}


@pytest.mark.parametrize(
    "patch", [{"warningThresholdMinutes": 10}, {"timeoutMinutes": 40}, {"timeoutMinutes": 20, "autoRenew": False}]
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_session_patched_while_its_appointment_is_moved_keeps_the_patch_s(patch: dict[str, Any], when: When) -> None:
    world = SweepWorld()
    session_id = world.new()["sessionId"]
    world.clock.advance(minutes=20)
    world.heartbeat(session_id)
    world.clock.advance(minutes=5)
    call = "batch_execute_statement" if when == "before" else "batch_get_item"
    world.hook(faults.Meanwhile(call, when, lambda: world.patch(session_id, patch)))
    assert world.sweep()["rearmed"] == 0, "the mark was refused"
    wanted = world.get(session_id).json["timeoutConfig"]
    world.hook()
    item = world.item(session_id)
    assert int(item["dueAt"]["N"]) == int(item["expiresAt"]["N"]) - wanted["warningThresholdMinutes"] * MINUTE


def test_a_session_renewed_while_the_answer_was_on_its_way_is_not_told_to_be_over() -> None:
    world = SweepWorld()
    session_id = world.new(warningThresholdMinutes=1)["sessionId"]
    world.clock.advance(minutes=30, milliseconds=-2_000)

    def slow_answer() -> None:
        world.clock.advance(1_000)
        assert world.heartbeat(session_id).status == 200
        world.clock.advance(20_000)

    world.hook(faults.Meanwhile("batch_get_item", "after", slow_answer))
    world.sweep()
    assert told(world)[1, "expired"] == 0


def test_a_session_renewed_while_the_rest_of_its_page_was_read_again_is_not_told_to_be_over() -> None:
    world = SweepWorld()
    session_id = world.new(warningThresholdMinutes=1)["sessionId"]
    others = [world.new(warningThresholdMinutes=1)["sessionId"] for _ in range(20)]
    world.clock.advance(minutes=30, milliseconds=-1_000)

    def late_renewal() -> None:
        assert world.heartbeat(session_id).status == 200
        world.clock.advance(8_000)

    world.hook(
        faults.unprocessed_keys(len(others), which=lambda key: key["sessionId"]["S"] in others),
        faults.Meanwhile("batch_get_item", "after", late_renewal),
    )
    world.sweep()
    over = {event["subject"] for event in world.events if event["type"].endswith(".expired")}
    assert session_id not in over  # its warning, of the lease as it was read, is in order


def test_an_index_that_lags_repeats_nothing() -> None:
    world = SweepWorld(index_lag_ms=1_000)
    world.to_warn(3)
    world.to_rearm(3)
    world.to_expire(3)
    world.clock.advance(1_000)
    first = world.sweep()
    assert (first["warned"], first["rearmed"], first["expired"]) == (3, 3, 3)
    world.clock.advance(10)
    second = world.sweep()
    assert (second["due"], second["waiting"], second["gone"]) == (9, 6, 3)
    assert len(world.published) == 6


def test_sessions_deleted_since_the_index_was_written_are_gone() -> None:
    world = SweepWorld(index_lag_ms=1_000)
    session = world.new()
    world.clock.advance(minutes=25)
    assert world.delete(session["sessionId"]).status == 200
    assert world.sweep()["gone"] == 1
    assert world.events == []
