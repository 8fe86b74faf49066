"""The export of a session: all of it, in parts of at most 1 MB, each message once and in order."""

import json
from typing import Any

import pytest
from agent_sessions.messages.pages import EXPORT_LIMIT

from tests.engines import faults
from tests.unit.world import NOWHERE, World


def parts_of(world: World, session_id: str) -> list[Any]:
    """All parts, read on from cursor to cursor."""
    parts = []
    query: dict[str, str] = {}
    while True:
        answer = world.export(session_id, query={"expired": "true", **query})
        assert answer.status == 200, answer.text
        parts.append(answer.json)
        if "nextCursor" not in answer.json:
            return parts
        query = {"cursor": answer.json["nextCursor"]}


def test_a_session_without_messages_is_one_part(world: World) -> None:
    session = world.new(timeoutMinutes=40)
    assert parts_of(world, session["sessionId"]) == [{"session": session, "messages": [], "skipped": []}]


def test_session_and_messages_are_as_everywhere_and_reading_them_is_no_activity(world: World) -> None:
    session_id = world.create(metadata={"n": 1}).json["sessionId"]
    for role in ("user", "agent", "tool"):
        world.clock.advance(1_000)
        world.say(session_id, role=role, metadata={"of": role})
    world.redact(session_id, world.messages(session_id).json["messages"][1]["id"])
    [part] = parts_of(world, session_id)
    assert part["session"] == world.get(session_id).json
    assert part["messages"] == world.messages(session_id, afterSequence=0).json["messages"]


def test_a_long_session_comes_in_parts_of_a_megabyte(world: World) -> None:
    session_id = world.new()["sessionId"]
    for number in range(40):
        parts = [{"n": number, "text": "x" * 31_000}]
        assert world.say(session_id, "", parts=parts).status == 201
    world.clock.advance(minutes=1)
    found = parts_of(world, session_id)
    assert len(found) == 2
    assert all(len(json.dumps(part["messages"])) <= 1_050_000 for part in found)
    assert [message["sequence"] for part in found for message in part["messages"]] == list(range(1, 41))


def test_short_messages_come_a_thousand_at_a_time(world: World) -> None:
    assert EXPORT_LIMIT == 1_000
    session_id = world.new()["sessionId"]
    for _ in range(EXPORT_LIMIT + 1):
        world.say(session_id, "x", role="tool")
    world.clock.advance(minutes=1)
    assert [len(part["messages"]) for part in parts_of(world, session_id)] == [EXPORT_LIMIT, 1]


def test_an_export_stops_before_an_open_number_and_goes_on_when_that_is_closed(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.dynamo.add_hook(faults.Kill(0, "before", "put_item"))
    with pytest.raises(faults.Killed):
        world.say(session_id)
    world.dynamo.hooks.clear()
    world.say(session_id, "second")
    waiting = world.export(session_id).json
    assert (waiting["messages"], waiting["skipped"]) == ([], [])
    world.clock.advance(minutes=1)
    rest = world.export(session_id, query={"cursor": waiting["nextCursor"]}).json
    assert [message["sequence"] for message in rest["messages"]] == [2]
    assert rest["skipped"] == [1]
    assert "nextCursor" not in rest


def test_an_expired_session_is_exported_only_where_that_is_asked_for(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.say(session_id)
    world.clock.advance(minutes=31)
    assert world.export(session_id).status == 410
    [part] = parts_of(world, session_id)
    assert (part["session"]["timeRemaining"], len(part["messages"])) == (0, 1)
    world.clock.advance(minutes=1440)
    assert world.export(session_id, query={"expired": "true"}).status == 404


@pytest.mark.parametrize("cursor", ["x", "1", NOWHERE, "of another life", "of another session"])
def test_what_is_no_cursor_of_this_life_is_refused(world: World, cursor: str) -> None:
    session_id, other = world.create(key="again").json["sessionId"], world.new()["sessionId"]
    ids = {
        "of another life": world.say(session_id).json["message"]["id"],
        "of another session": world.say(other).json["message"]["id"],
    }
    world.delete(session_id)
    world.create(key="again")
    answer = world.export(session_id, query={"cursor": ids.get(cursor, cursor)})
    assert (answer.status, answer.fields) == (400, ["cursor"])


def test_another_tenant_exports_nothing(world: World) -> None:
    session_id = world.new()["sessionId"]
    assert world.export(session_id, tenant="zenith").status == 404


def test_a_part_is_one_read_of_the_session_and_one_query(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.say(session_id)
    with world.counted() as calls:
        world.export(session_id)
    assert calls == {"get_item": 1, "query": 1}
