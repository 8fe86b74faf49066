"""Heartbeat and renew: the time arithmetic (docs/contract.md, Time), its slower paths and its races."""

from typing import Any

import pytest

from tests.engines import faults
from tests.unit.world import MINUTE, START_MS, World, at


@pytest.mark.parametrize("route", ["heartbeat", "renew"])
def test_a_renewal_sets_activity_expiry_and_count(world: World, route: str) -> None:
    created = world.new(timeoutMinutes=30)
    world.clock.advance(minutes=12.5)
    answer = getattr(world, route)(created["sessionId"])
    assert answer.status == 200
    now = START_MS + 750_000
    assert answer.json == created | {
        "lastActivity": at(now),
        "expiresAt": at(now + 30 * MINUTE),
        "renewAfter": at(now + 11 * MINUTE),
        "lease": 2,
        "renewalCount": 1,
        "timeRemaining": 30 * MINUTE,
    }
    assert world.get(created["sessionId"]).json == answer.json


@pytest.mark.parametrize("route", ["heartbeat", "renew"])
def test_a_renewal_stops_at_the_end_of_the_duration(world: World, route: str) -> None:
    created = world.new(timeoutMinutes=30, maxDurationMinutes=45)
    world.clock.advance(minutes=20)
    renewed = getattr(world, route)(created["sessionId"]).json
    assert renewed["expiresAt"] == renewed["endsAt"] == created["endsAt"]
    assert renewed["renewalCount"] == 1
    assert renewed["timeRemaining"] == 25 * MINUTE


def test_a_whole_timeout_that_just_fits_ends_at_the_end(world: World) -> None:
    created = world.new(timeoutMinutes=30, maxDurationMinutes=60)
    world.clock.advance(30 * MINUTE - 1)
    nearly = world.heartbeat(created["sessionId"]).json
    assert nearly["expiresAt"] == at(START_MS + 60 * MINUTE - 1)
    world.clock.advance(1)
    there = world.heartbeat(created["sessionId"]).json
    assert there["expiresAt"] == there["endsAt"]
    assert there["renewalCount"] == 2


def test_renew_with_nothing_left_to_gain_is_refused_and_says_when_the_end_is(world: World) -> None:
    created = world.new(timeoutMinutes=30, maxDurationMinutes=30)
    world.clock.advance(minutes=1)
    answer = world.renew(created["sessionId"])
    assert answer.code == "SESSION_RENEWAL_FAILED"
    assert answer.details == {"endsAt": created["endsAt"]}
    assert world.get(created["sessionId"]).json | {"timeRemaining": 30 * MINUTE} == created


def test_a_heartbeat_with_nothing_left_to_gain_records_activity_and_extends_nothing(world: World) -> None:
    created = world.new(timeoutMinutes=30, maxDurationMinutes=30)
    world.clock.advance(minutes=10)
    answer = world.heartbeat(created["sessionId"])
    assert answer.status == 200
    assert answer.json == created | {"lastActivity": at(START_MS + 10 * MINUTE), "timeRemaining": 20 * MINUTE}


def test_a_heartbeat_without_auto_renew_moves_the_activity_and_nothing_else(world: World) -> None:
    created = world.new(autoRenew=False)
    world.clock.advance(minutes=10)
    beaten = world.heartbeat(created["sessionId"])
    assert beaten.status == 200
    assert beaten.json == created | {"lastActivity": at(START_MS + 10 * MINUTE), "timeRemaining": 20 * MINUTE}
    world.clock.advance(minutes=20)
    assert world.heartbeat(created["sessionId"]).code == "SESSION_EXPIRED"


def test_renew_renews_without_auto_renew(world: World) -> None:
    created = world.new(autoRenew=False)
    world.clock.advance(minutes=10)
    renewed = world.renew(created["sessionId"]).json
    assert renewed["expiresAt"] == at(START_MS + 40 * MINUTE)
    assert renewed["renewalCount"] == 1


@pytest.mark.parametrize("route", ["heartbeat", "renew"])
@pytest.mark.parametrize("settings", [{}, {"maxDurationMinutes": 50}, {"autoRenew": False}])
def test_a_warning_that_went_out_changes_nothing_for_the_caller(
    world: World, route: str, settings: dict[str, Any]
) -> None:
    plain, warned = world.new(**settings), world.new(**settings)
    world.clock.advance(minutes=26)
    world.warn(warned["sessionId"])
    expected = getattr(world, route)(plain["sessionId"]).json
    answer = getattr(world, route)(warned["sessionId"])
    assert answer.json == expected | {"sessionId": warned["sessionId"], "channelId": warned["sessionId"]}


def test_a_fraction_of_a_millisecond_is_rounded_and_never_drifts(world: World) -> None:
    session = world.new(timeoutMinutes=7.123456)
    assert session["timeRemaining"] == 427_407
    for _ in range(3):
        world.clock.advance(1_001)
        assert world.heartbeat(session["sessionId"]).json["timeRemaining"] == 427_407


# --- the moment at which the sweep looks at a session


def due(world: World, session_id: str) -> tuple[int, int]:
    item = world.item(session_id)
    return int(item["dueAt"]["N"]), int(item["expiresAt"]["N"])


# --- clocks of two functions, and races


@pytest.mark.parametrize("route", ["heartbeat", "renew"])
def test_a_function_whose_clock_is_behind_takes_nothing_back(world: World, route: str) -> None:
    session_id = world.new()["sessionId"]
    world.clock.advance(minutes=10)
    first = world.heartbeat(session_id).json
    world.clock.advance(-7)
    answer = getattr(world, route)(session_id)
    assert answer.status == 200
    assert answer.json["lastActivity"] == first["lastActivity"]
    assert answer.json["expiresAt"] == first["expiresAt"]
    assert answer.json["renewalCount"] == 2


def test_a_renewal_behind_the_recorded_activity_ends_at_the_cap_which_that_activity_reaches(world: World) -> None:
    session = world.new(autoRenew=False, maxDurationMinutes=50)
    world.clock.advance(minutes=20)
    world.heartbeat(session["sessionId"])
    world.clock.advance(-7)
    answer = world.renew(session["sessionId"])
    assert answer.status == 200
    assert answer.json["expiresAt"] == session["endsAt"]


@pytest.mark.parametrize("route", ["heartbeat", "renew", "patch", "get"])
def test_a_delete_in_between_wins(world: World, route: str) -> None:
    session_id = world.new()["sessionId"]
    call = "get_item" if route == "get" else "update_item"
    world.dynamo.add_hook(faults.Meanwhile(call, "before", lambda: world.delete(session_id)))
    assert getattr(world, route)(session_id).code == "SESSION_NOT_FOUND"
    assert world.item(session_id) is None


@pytest.mark.parametrize("route", ["heartbeat", "renew", "patch"])
def test_an_announcement_in_between_wins(world: World, route: str) -> None:
    session_id = world.new()["sessionId"]
    world.dynamo.add_hook(faults.Meanwhile("update_item", "before", lambda: world.announce(session_id)))
    assert getattr(world, route)(session_id).code == "SESSION_EXPIRED"


@pytest.mark.parametrize("route", ["heartbeat", "renew"])
def test_a_warning_in_between_costs_a_second_write_and_nothing_else(world: World, route: str) -> None:
    session_id = world.new()["sessionId"]
    world.clock.advance(minutes=25)
    world.dynamo.add_hook(faults.Meanwhile("update_item", "before", lambda: world.warn(session_id)))
    renewed = getattr(world, route)(session_id).json
    assert renewed["renewalCount"] == 1
    assert due(world, session_id) == (START_MS + 50 * MINUTE, START_MS + 55 * MINUTE)


class AlwaysElsewhere(faults.Hook):
    """Somebody changes the session just before each write of ours: each attempt finds another state."""

    def __init__(self, world: World, session_id: str, *updates: str) -> None:
        self.world = world
        self.session_id = session_id
        self.updates = updates
        self.writes = 0
        self.busy = False

    def before(self, call: str, request: Any) -> None:
        if call != "update_item" or self.busy:
            return
        self.busy = True
        self.world.update(self.session_id, self.updates[self.writes % len(self.updates)])
        self.writes += 1
        self.busy = False


WARNED_AND_ARMED = ("SET dueAt = expiresAt", "SET dueAt = createdAt")
PATCHED_AND_BACK = ("SET warningThresholdMinutes = renewalCount", "SET warningThresholdMinutes = lease")


@pytest.mark.parametrize(
    "route, updates",
    [("heartbeat", WARNED_AND_ARMED), ("renew", WARNED_AND_ARMED), ("patch", PATCHED_AND_BACK)],
)
def test_five_lost_races_are_enough(world: World, route: str, updates: tuple[str, str]) -> None:
    session_id = world.new()["sessionId"]
    rival = world.dynamo.add_hook(AlwaysElsewhere(world, session_id, *updates))
    answer = getattr(world, route)(session_id)
    assert answer.code == "SERVICE_UNAVAILABLE"
    assert int(answer.headers["retry-after"]) >= 1
    assert rival.writes == 5
    world.dynamo.remove_hook(rival)
    assert world.get(session_id).json["renewalCount"] == 0
