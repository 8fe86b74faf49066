"""Heartbeat and renew: the time arithmetic (docs/contract.md, Time), its slower paths and its races."""

from typing import Any

import pytest

from tests.engines import faults
from tests.unit.world import MINUTE, START_MS, World


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
