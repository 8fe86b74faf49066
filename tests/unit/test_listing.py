"""GET /: live sessions of the caller's tenant in pages (docs/contract.md, Routes)."""

import base64
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from agent_sessions.lists.pages import EXTRA_QUERIES, MAX_BATCHES
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines import faults
from tests.unit.world import AGENT, NOWHERE, USER, Answer, World

OTHER = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
TENANT_SHARDS = 4


def ids(page: Any) -> list[str]:
    return [session["sessionId"] for session in page["sessions"]]


def pages(
    world: World, *, tenant: str = "acme", between: Callable[[], object] | None = None, **query: str
) -> Iterator[Any]:
    """Every page from the first to the last."""
    while True:
        page = world.page(tenant=tenant, **query)
        assert page.status == 200, page.text
        yield page.json
        if "nextCursor" not in page.json:
            return
        query["cursor"] = page.json["nextCursor"]
        if between is not None:
            between()


def walk(world: World, **query: Any) -> list[str]:
    """The ids of every session on all pages."""
    return [session_id for page in pages(world, **query) for session_id in ids(page)]


def new_sessions(world: World, count: int, **fields: Any) -> list[str]:
    """Some sessions a millisecond apart, newest first."""
    made = []
    for _ in range(count):
        world.clock.advance(1)
        made.append(world.create(**fields).json["sessionId"])
    return made[::-1]


# --- who is in it


def test_deleted_and_expired_sessions_are_not_listed_and_make_no_hole(world: World) -> None:
    short = [world.new(timeoutMinutes=5)["sessionId"] for _ in range(20)]
    made = new_sessions(world, 20)
    world.delete(made[3])
    world.clock.advance(minutes=5)
    page = world.page(limit="19").json
    assert ids(page) == [session_id for session_id in made if session_id != made[3]]
    assert not set(short) & set(walk(world))


def test_a_new_session_appears_within_seconds_and_a_deleted_one_never() -> None:
    world = World(index_lag_ms=1_500)
    first, second = world.new()["sessionId"], world.new()["sessionId"]
    world.delete(second)
    assert ids(world.page().json) == []
    world.clock.advance(1_500)
    assert ids(world.page().json) == [first]
    world.delete(first)
    assert ids(world.page().json) == []


def test_an_entry_of_the_index_brings_no_session_of_another_tenant_into_a_list(world: World) -> None:
    world.update(world.new()["sessionId"], "SET tenantId = userId")
    assert ids(world.page().json) == []


# --- filters


@pytest.fixture
def mixed(world: World) -> tuple[World, dict[tuple[str, str], str]]:
    """One session of each of two agents with each of two users, and another tenant's."""
    made = {}
    for agent, owner in itertools.product((AGENT, OTHER), (USER, OTHER)):
        [made[agent, owner]] = new_sessions(world, 1, agentId=agent, userId=owner)
    new_sessions(world, 3, tenant="globex")
    return world, made


@pytest.mark.parametrize(
    "query, found",
    [
        ({"userId": USER}, [(OTHER, USER), (AGENT, USER)]),
        ({"agentId": AGENT}, [(AGENT, OTHER), (AGENT, USER)]),
        ({"agentId": OTHER, "userId": OTHER}, [(OTHER, OTHER)]),
        ({"agentId": AGENT.upper(), "userId": USER.upper()}, [(AGENT, USER)]),
        ({"userId": NOWHERE}, []),
        ({"agentId": NOWHERE}, []),
    ],
)
def test_filters_find_the_tenants_sessions_of_user_and_agent_whatever_their_case(
    mixed: tuple[World, dict[tuple[str, str], str]], query: dict[str, str], found: list[tuple[str, str]]
) -> None:
    world, made = mixed
    assert ids(world.page(**query).json) == [made[each] for each in found]


@pytest.mark.parametrize("name", ["userId", "agentId"])
@pytest.mark.parametrize("value", ["", "x", "*", NOWHERE + " ", NOWHERE[:-1], f"{NOWHERE},{NOWHERE}", "null"])
def test_a_malformed_filter_is_refused_by_name(world: World, name: str, value: str) -> None:
    answer = world.page(**{name: value})
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == [name]
    assert answer.fault(name)["value"] == value


def test_all_malformed_parameters_come_in_one_answer(world: World) -> None:
    assert world.page(userId="x", agentId="y", limit="z").fields == ["userId", "agentId", "limit"]


# --- limit


@pytest.mark.parametrize(
    "query, length", [({"limit": "1"}, 1), ({"limit": "100"}, 100), ({}, 50), ({"cursor": ""}, 50)]
)
def test_a_page_has_as_many_sessions_as_the_limit_says_or_fifty(
    world: World, query: dict[str, str], length: int
) -> None:
    new_sessions(world, 101)
    assert len(world.page(**query).json["sessions"]) == length


@pytest.mark.parametrize(
    "limit",
    ["0", "101", "-1", "1.5", "", " ", "abc", "1e2", "+5", "5 ", "0x10", "٣", "\uff15", "NaN", "9" * 5_000],
)
def test_a_limit_out_of_range_is_refused_by_name(world: World, limit: str) -> None:
    answer = world.page(limit=limit)
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == ["limit"]


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 10])
def test_the_last_page_has_no_cursor_also_when_it_is_full(world: World, count: int) -> None:
    new_sessions(world, count)
    seen = list(pages(world, limit="5"))
    assert len(seen) == max(1, -(-count // 5))
    assert all("nextCursor" in page for page in seen[:-1])


# --- cursors


@pytest.fixture
def cursor(world: World) -> str:
    """A good one: of the list of all sessions, behind the first of three."""
    new_sessions(world, 3)
    return str(world.page(limit="1").json["nextCursor"])


def refused(world: World, **query: Any) -> bool:
    answer = world.page(**query)
    return answer.status == 400 and answer.fields == ["cursor"]


def test_a_cursor_is_good_more_than_once_and_for_another_page_size(world: World, cursor: str) -> None:
    assert world.page(cursor=cursor, limit="100").json == world.page(cursor=cursor).json
    assert len(world.page(cursor=cursor).json["sessions"]) == 2


def test_a_cursor_of_another_tenant_is_refused(world: World, cursor: str) -> None:
    assert refused(world, cursor=cursor, tenant="globex")


@pytest.mark.parametrize("query", [{"userId": USER}, {"agentId": AGENT}, {"userId": USER, "agentId": AGENT}])
def test_a_cursor_is_bound_to_its_filters(world: World, cursor: str, query: dict[str, str]) -> None:
    assert refused(world, cursor=cursor, **query)
    filtered = world.page(limit="1", **query).json["nextCursor"]
    assert world.page(limit="1", cursor=filtered, **query).status == 200
    assert refused(world, cursor=filtered)
    assert refused(world, cursor=filtered, **(query | {"userId": OTHER}))
    assert refused(world, cursor=filtered, **(query | {"agentId": OTHER}))


def test_a_cursor_cannot_be_changed_in_any_place_nor_cut_nor_lengthened(world: World, cursor: str) -> None:
    octets = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    changed = [octets[:place] + bytes([octets[place] ^ 1]) + octets[place + 1 :] for place in range(len(octets))]
    cut = [octets[:length] for length in range(1, len(octets))]
    for forged in (*changed, *cut, octets + b"\0", octets * 2):
        assert refused(world, cursor=base64.urlsafe_b64encode(forged).decode().rstrip("="))


def test_a_cursor_tells_nothing_of_the_tenant(world: World) -> None:
    for _ in range(2):
        world.create(tenant="tenant-8f2")
    cursor = world.page(tenant="tenant-8f2", limit="1").json["nextCursor"]
    assert b"tenant-8f2" not in base64.urlsafe_b64decode(cursor + "==")


# --- the session of an Idempotency-Key


def page_of_key(world: World, key: str, *, tenant: str = "acme", **query: str) -> Answer:
    return world.call("list", headers={"idempotency-key": key}, query=query, tenant=tenant)


def test_a_list_with_a_key_has_just_the_session_that_was_made_with_it_in_one_read(world: World) -> None:
    new_sessions(world, 3)
    made = world.create(key="k").json
    with world.counted() as calls:
        page = page_of_key(world, "k")
    assert calls == {"get_item": 1}
    assert page.json["sessions"] == [made]
    assert page.json["total"] == 1
    assert "nextCursor" not in page.json


def test_a_list_with_a_key_finds_a_session_before_the_index_does() -> None:
    world = World(index_lag_ms=60_000)
    made = world.create(key="k").json
    assert page_of_key(world, "k").json["sessions"] == [made]
    assert world.page().json["sessions"] == []


def test_a_list_with_a_key_is_empty_where_no_live_session_of_the_tenant_was_made_with_it(world: World) -> None:
    ended, expired = world.create(key="ended").json, world.create(key="expired").json
    world.delete(ended["sessionId"])
    assert ids(page_of_key(world, "expired").json) == [expired["sessionId"]]
    assert page_of_key(world, "expired", tenant="globex").json["sessions"] == []
    world.clock.advance(minutes=30)
    for key in ("ended", "expired", "unused"):
        page = page_of_key(world, key)
        assert page.status == 200
        assert page.json == {
            "sessions": [],
            "total": 0,
            "stats": {"totalSessions": 0, "activeSessions": 0, "expiredSessions": 0},
        }


@pytest.mark.parametrize("name, value", [("userId", USER), ("agentId", AGENT), ("cursor", "x")])
def test_a_list_with_a_key_has_no_other_filter(world: World, name: str, value: str) -> None:
    world.create(key="k")
    with world.counted() as calls:
        assert page_of_key(world, "k", **{name: value}).fields == [name]
    assert not calls


def test_a_list_with_a_key_takes_a_limit_and_an_empty_cursor(world: World) -> None:
    world.create(key="k")
    assert page_of_key(world, "k", limit="1", cursor="").json["total"] == 1
    assert page_of_key(world, "k", limit="0").fields == ["limit"]


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 256])
def test_a_list_with_a_malformed_key_is_refused(world: World, key: str) -> None:
    assert page_of_key(world, key).fields == ["Idempotency-Key"]


# --- over all pages


CHANGES = st.lists(
    st.tuples(st.sampled_from(["create", "delete", "heartbeat", "expire", "announce"]), st.integers(0, 39)), max_size=4
)


@given(
    count=st.integers(0, 40),
    limit=st.integers(1, 15),
    steps=st.lists(st.integers(0, 2), min_size=40, max_size=40),
    changes=st.lists(CHANGES, max_size=12),
    query=st.sampled_from([{}, {"userId": USER}, {"agentId": AGENT}]),
)
@settings(max_examples=25)
def test_whatever_happens_between_the_pages_what_lived_throughout_comes_exactly_once(
    count: int, limit: int, steps: list[int], changes: list[list[tuple[str, int]]], query: dict[str, str]
) -> None:
    world = World()
    made = []
    for step in steps[:count]:
        world.clock.advance(step)
        made.append(world.new(timeoutMinutes=60)["sessionId"])
    gone: set[str] = set()
    later: set[str] = set()
    todo = iter(changes)

    def between() -> None:
        for change, number in next(todo, []):
            world.clock.advance(number % 2)
            if change == "create":
                later.add(world.new()["sessionId"])
            elif made:
                session_id = made[number % len(made)]
                if change == "heartbeat":
                    world.heartbeat(session_id)
                    continue
                gone.add(session_id)
                if change == "delete":
                    world.delete(session_id)
                elif world.item(session_id) and change == "announce":
                    world.announce(session_id)
                elif world.item(session_id):
                    world.update(session_id, "SET expiresAt = createdAt")

    seen = walk(world, limit=str(limit), between=between, **query)
    throughout = set(made) - gone
    assert len(set(seen)) == len(seen)
    assert throughout <= set(seen)
    assert not set(seen) - set(made) - later


def test_a_crowd_of_expired_sessions_is_walked_through_in_bounded_calls(world: World) -> None:
    survivor = world.new(timeoutMinutes=60)["sessionId"]
    new_sessions(world, 1_100, timeoutConfig={"timeoutMinutes": 5})
    world.clock.advance(minutes=6)
    empty, seen = 0, []
    query: dict[str, str] = {"limit": "10"}
    while True:
        with world.counted() as calls:
            page = world.page(**query).json
        assert calls["query"] <= TENANT_SHARDS + EXTRA_QUERIES
        assert calls["batch_get_item"] <= MAX_BATCHES
        seen += ids(page)
        empty += not page["sessions"]
        if "nextCursor" not in page:
            break
        query["cursor"] = page["nextCursor"]
    assert seen == [survivor]
    assert empty


def test_an_agent_that_is_rare_is_found_in_bounded_calls(world: World) -> None:
    rare = new_sessions(world, 1, agentId=OTHER)
    new_sessions(world, 800)
    with world.counted() as calls:
        found = [ids(page) for page in pages(world, agentId=OTHER, limit="5")]
    assert [session_id for page in found for session_id in page] == rare
    assert len(found) > 1, "one call must not read everything"
    assert calls["query"] <= len(found) * (TENANT_SHARDS + EXTRA_QUERIES)


# --- an impatient store


def test_what_a_batch_leaves_unread_is_asked_for_again(world: World) -> None:
    made = new_sessions(world, 5)
    world.dynamo.add_hook(faults.unprocessed_keys(times=2))
    assert ids(world.page().json) == made


def test_a_page_with_room_left_looks_behind_the_expired(world: World) -> None:
    survivor = world.new(timeoutMinutes=60)["sessionId"]
    new_sessions(world, 20, timeoutConfig={"timeoutMinutes": 5})
    world.clock.advance(minutes=6)
    assert ids(world.page(limit="10").json) == [survivor]
