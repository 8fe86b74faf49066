"""Reading: pages in both directions, from every kind of cursor, around numbers that are open or sealed."""

from contextlib import suppress
from typing import Any

import pytest
from agent_sessions.messages import pages

from tests.engines.faults import Kill, Killed, Meanwhile
from tests.unit.world import World, at


def say(world: World, session_id: str, count: int, **fields: Any) -> None:
    for _ in range(count):
        assert world.say(session_id, f"{world.get(session_id).json['lastSequence'] + 1}", **fields).status == 201
        world.clock.advance(1_000)


def die(world: World, session_id: str, count: int = 1) -> None:
    """Let writers take a number each and die before they store anything."""
    for _ in range(count):
        dying = world.dynamo.add_hook(Kill(0, "before", "put_item"))
        with suppress(Killed):
            world.say(session_id)
        world.dynamo.remove_hook(dying)


def numbers(page: Any) -> list[int]:
    return [message["sequence"] for message in page["messages"]]


@pytest.fixture
def talk(world: World) -> tuple[World, str]:
    """Nine messages, a second apart; the last one is a second old."""
    session_id = world.new()["sessionId"]
    say(world, session_id, 9)
    return world, session_id


@pytest.mark.parametrize(
    "query, found, has_more",
    [
        ({}, [9, 8, 7, 6, 5, 4, 3, 2, 1], False),
        ({"limit": 3}, [9, 8, 7], True),
        ({"limit": 3, "order": "asc"}, [7, 8, 9], True),
        ({"limit": 9}, [9, 8, 7, 6, 5, 4, 3, 2, 1], False),
        ({"limit": 3, "beforeSequence": 4}, [3, 2, 1], False),
        ({"limit": 2, "beforeSequence": 4}, [3, 2], True),
        ({"beforeSequence": 1}, [], False),
        ({"beforeSequence": 0}, [], False),
        ({"limit": 3, "beforeSequence": 99}, [9, 8, 7], True),
        ({"limit": 3, "afterSequence": 0}, [1, 2, 3], True),
        ({"limit": 3, "afterSequence": 0, "order": "desc"}, [3, 2, 1], True),
        ({"limit": 3, "afterSequence": 6}, [7, 8, 9], False),
        ({"afterSequence": 9}, [], False),
        ({"afterSequence": 99}, [], False),
        ({"limit": 3, "afterSequence": 2, "beforeSequence": 5}, [3, 4], False),
        ({"limit": 1, "afterSequence": 2, "beforeSequence": 5}, [3], True),
        ({"afterSequence": 5, "beforeSequence": 3}, [], False),
    ],
)
def test_a_page_is_the_newest_that_fit_or_with_a_lower_bound_the_oldest(
    talk: tuple[World, str], query: dict[str, Any], found: list[int], *, has_more: bool
) -> None:
    world, session_id = talk
    page = world.messages(session_id, **query).json
    assert (numbers(page), page["hasMore"]) == (found, has_more)


@pytest.mark.parametrize("form", ["milliseconds", "iso"])
def test_moments_bound_a_page_as_numbers_do(talk: tuple[World, str], form: str) -> None:
    world, session_id = talk
    created = {m["sequence"]: m["createdAt"] for m in world.messages(session_id).json["messages"]}
    started_ms = world.clock.now_ms() - 9_000
    for number, moment in created.items():
        text = moment if form == "iso" else str(started_ms + 1_000 * (number - 1))
        assert at(started_ms + 1_000 * (number - 1)) == moment
        before = world.messages(session_id, before=text, limit=2).json
        assert numbers(before) == [n for n in (number - 1, number - 2) if n > 0]
        after = world.messages(session_id, after=text, limit=2, order="asc").json
        assert numbers(after) == [n for n in (number + 1, number + 2) if n <= 9]
        assert after["hasMore"] == (number + 2 < 9)


@pytest.mark.parametrize("text", ["2026-06-27T10:00:03.000+02:00", "2026-06-27T08:00:03Z", "20260627T080003Z"])
def test_a_moment_is_read_in_any_form_of_iso_8601_with_a_zone(talk: tuple[World, str], text: str) -> None:
    world, session_id = talk
    assert numbers(world.messages(session_id, before=text).json) == [3, 2, 1]


def test_the_cursors_are_elizaos_and_ours(talk: tuple[World, str]) -> None:
    world, session_id = talk
    page = world.messages(session_id, limit=3).json
    newest_ms = world.clock.now_ms() - 1_000
    assert page["cursors"] == {
        "before": newest_ms - 2_000,
        "after": newest_ms,
        "beforeSequence": 7,
        "afterSequence": 9,
    }
    assert world.messages(session_id, afterSequence=9).json["cursors"] == {"afterSequence": 9}
    assert world.messages(session_id, after=newest_ms).json["cursors"] == {"afterSequence": 9}
    assert list(page) == [
        "messages", "hasMore", "cursors", "skipped", "lastSequence", "awaitingReply", "pollAfterMs",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "query, at_fault",
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"before": "yesterday"}, "before"),
        ({"before": "2026-06-27"}, "before"),
        ({"before": "2026-06-27T08:00:03"}, "before"),
        ({"after": -1}, "after"),
        ({"after": "1.5"}, "after"),
        ({"beforeSequence": -1}, "beforeSequence"),
        ({"afterSequence": "1e3"}, "afterSequence"),
        ({"before": 1, "beforeSequence": 1}, "beforeSequence"),
        ({"after": 1, "afterSequence": 1}, "afterSequence"),
        ({"order": "up"}, "order"),
        ({"expired": "1"}, "expired"),
        ({"waitSeconds": 5}, "waitSeconds"),
        ({"waitSeconds": 21, "afterSequence": 0}, "waitSeconds"),
    ],
)
def test_a_query_that_breaks_a_rule_is_refused_by_its_parameter(
    world: World, query: dict[str, Any], at_fault: str
) -> None:
    answer = world.messages(world.new()["sessionId"], **query)
    assert (answer.status, answer.fields) == (400, [at_fault])


def test_an_expired_sessions_messages_are_read_only_on_request_and_within_the_retention(
    talk: tuple[World, str],
) -> None:
    world, session_id = talk
    said = world.messages(session_id).json["messages"][0]
    world.clock.advance(minutes=30)
    assert world.messages(session_id).code == "SESSION_EXPIRED"
    assert world.message(session_id, said["id"]).code == "SESSION_EXPIRED"
    assert len(world.messages(session_id, expired="true").json["messages"]) == 9
    assert world.message(session_id, said["id"], query={"expired": "true"}).json == said
    assert world.messages(session_id, expired="true", tenant="globex").code == "SESSION_NOT_FOUND"
    world.clock.advance(minutes=1440)
    assert world.messages(session_id, expired="true").code == "SESSION_NOT_FOUND"


# --- open and sealed numbers


def test_a_page_holds_no_number_above_an_open_one_until_its_writer_stores_it(talk: tuple[World, str]) -> None:
    world, session_id = talk
    seen: list[Any] = []

    def others() -> None:
        assert world.say(session_id, "11").status == 201
        world.clock.advance(2_900)
        moment = world.clock.now_ms()
        bounds: list[dict[str, Any]] = [
            {"afterSequence": 7}, {}, {"beforeSequence": 12}, {"before": moment}, {"after": moment - 4_950},
            {"after": moment},
        ]  # fmt: skip
        seen.extend(world.messages(session_id, **bound).json for bound in bounds)

    world.dynamo.add_hook(Meanwhile("put_item", "before", others))
    assert world.say(session_id, "10").json["message"]["sequence"] == 10
    assert [numbers(page)[:1] for page in seen[1:4]] == [[9]] * 3
    assert numbers(seen[0]) == [8, 9]
    assert {page["cursors"]["afterSequence"] for page in seen} == {9}
    assert {page["lastSequence"] for page in seen} == {11}
    assert [page["hasMore"] for page in seen] == [False] * 6
    assert numbers(world.messages(session_id, afterSequence=9).json) == [10, 11]


def test_an_open_number_below_the_page_is_found_as_long_as_its_writer_may_be_under_way(world: World) -> None:
    session_id = world.new()["sessionId"]
    say(world, session_id, 2)
    seen: list[Any] = []

    def others() -> None:
        for _ in range(9):
            world.say(session_id)
            world.clock.advance(200)
        seen.append(world.messages(session_id, limit=3).json)

    world.dynamo.add_hook(Meanwhile("put_item", "before", others))
    world.say(session_id, "open")
    assert (numbers(seen[0]), seen[0]["cursors"]["afterSequence"]) == ([2, 1], 2)


def test_a_number_whose_writer_died_is_sealed_after_three_seconds_named_and_passed(talk: tuple[World, str]) -> None:
    world, session_id = talk
    die(world, session_id, 2)
    page = world.messages(session_id, afterSequence=8).json
    assert (numbers(page), page["skipped"], page["cursors"]["afterSequence"]) == ([9], [], 9)
    world.clock.advance(3_001)
    page = world.messages(session_id, afterSequence=8).json
    assert (numbers(page), page["skipped"], page["cursors"]["afterSequence"]) == ([9], [10, 11], 11)
    say(world, session_id, 1)
    page = world.messages(session_id, afterSequence=9).json
    assert (numbers(page), page["skipped"]) == ([12], [10, 11])
    page = world.messages(session_id, limit=2).json
    assert (numbers(page), page["skipped"], page["hasMore"]) == ([12, 9], [10, 11], True)


def test_moments_step_over_sealed_numbers(talk: tuple[World, str]) -> None:
    world, session_id = talk
    die(world, session_id, 3)
    world.clock.advance(4_000)
    say(world, session_id, 3)
    newest_ms = world.clock.now_ms() - 1_000
    assert numbers(world.messages(session_id, before=newest_ms - 1_000, limit=3).json) == [13, 9, 8]
    assert numbers(world.messages(session_id, after=newest_ms - 2_001).json) == [15, 14, 13]
    assert numbers(world.messages(session_id, after=newest_ms - 8_000).json)[-1] in (9, 13)


def test_more_is_told_of_messages_only_and_not_of_sealed_numbers(world: World) -> None:
    session_id = world.new()["sessionId"]
    die(world, session_id, 2)
    world.clock.advance(4_000)
    say(world, session_id, 2)
    die(world, session_id, 2)
    world.clock.advance(4_000)
    page = world.messages(session_id, afterSequence=0, limit=2).json
    assert (numbers(page), page["hasMore"], page["skipped"]) == ([3, 4], False, [1, 2, 5, 6])
    page = world.messages(session_id, limit=2).json
    assert (numbers(page), page["hasMore"]) == ([4, 3], False)


def test_a_run_of_dead_writers_costs_a_page_a_bounded_number_of_calls(world: World) -> None:
    session_id = world.new()["sessionId"]
    say(world, session_id, 1)
    die(world, session_id, 60)
    world.clock.advance(4_000)
    say(world, session_id, 1)
    world.clock.advance(2_000)
    read_to, skipped, rounds = 0, 0, 0
    while read_to < 62:
        with world.counted() as calls:
            page = world.messages(session_id, afterSequence=read_to, limit=1).json
        assert calls["put_item"] <= pages.MAX_SEALS
        assert calls["query"] <= pages.MAX_QUERIES
        assert page["cursors"]["afterSequence"] > read_to
        read_to, skipped, rounds = page["cursors"]["afterSequence"], skipped + len(page["skipped"]), rounds + 1
        assert rounds < 60
    assert skipped == 60
