"""When a session is over, to the millisecond, and what is left of it (docs/contract.md, Expired, ended, unknown)."""

import pytest

from tests.unit.world import MINUTE, NOWHERE, SESSION_ROUTES, START_MS, World, at

RETENTION = 1440 * MINUTE
READS = ["get", "heartbeat", "renew", "patch"]
"""The routes that need a live session; DELETE ends an expired one as well."""


def test_the_retention_is_a_setting() -> None:
    world = World(SESSION_RETENTION_MINUTES="60")
    session_id = world.new()["sessionId"]
    world.clock.advance(90 * MINUTE - 1)
    assert world.get(session_id).status == 410
    world.clock.advance(1)
    assert world.get(session_id).status == 404


@pytest.mark.parametrize("route", READS)
def test_an_announced_session_is_expired_whatever_the_clock_says(world: World, route: str) -> None:
    session = world.new()
    world.clock.advance(minutes=29)
    world.announce(session["sessionId"])
    answer = SESSION_ROUTES[route](world, session["sessionId"])
    assert answer.details == {"expiresAt": session["expiresAt"], "reason": "idle_timeout"}


# --- DELETE


def test_delete_ends_a_session_and_says_so_in_the_clients_shape(world: World) -> None:
    session_id = world.new()["sessionId"]
    answer = world.delete(session_id)
    assert answer.status == 200
    assert answer.json.keys() == {"success", "message", "data"}
    assert answer.json["success"] is True
    assert isinstance(answer.json["message"], str)
    assert answer.json["data"] == {
        "success": True,
        "sessionId": session_id,
        "messagesDeleted": 0,
        "pending": False,
    }


# --- TTL: DynamoDB may delete from `purgeAt` (epoch seconds) on, or days later


def test_ttl_is_written_at_creation_a_day_after_the_latest_end_that_is_remembered_and_never_moves(
    world: World,
) -> None:
    session_id = world.new(timeoutMinutes=30, maxDurationMinutes=60)["sessionId"]
    written = world.item(session_id)["purgeAt"]
    assert int(written["N"]) * 1000 == START_MS + (2880 + 1440) * MINUTE + RETENTION
    for minutes in (2880, 60, 30, 2880):
        assert world.patch(session_id, {"maxDurationMinutes": minutes}).status == 200
        assert world.item(session_id)["purgeAt"] == written
    while world.clock.now_ms() < START_MS + (2880 - 20) * MINUTE:
        world.clock.advance(minutes=20)
        assert world.heartbeat(session_id).status == 200
    assert world.item(session_id)["purgeAt"] == written
    world.clock.advance(minutes=20)
    assert world.get(session_id).details == {"expiresAt": at(START_MS + 2880 * MINUTE), "reason": "max_duration"}


@pytest.mark.parametrize("route", list(SESSION_ROUTES))
def test_a_deleted_session_is_gone_for_every_route(world: World, route: str) -> None:
    session_id = world.new()["sessionId"]
    world.delete(session_id)
    answer = SESSION_ROUTES[route](world, session_id)
    assert answer.code == "SESSION_NOT_FOUND"
    assert answer.json == SESSION_ROUTES[route](world, NOWHERE).json
