"""Policies of agents (docs/contract.md, Agent policies)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from agent_sessions.bootstrap import request_path
from agent_sessions.policies.service import MOST_REMEMBERED, REMEMBERED_MS
from hypothesis import given
from hypothesis import strategies as st

from tests.engines import faults
from tests.unit.world import AGENT, MINUTE, NOWHERE, USER, Answer, World, gateway_event

IN_FORCE_MS = 60_000


def config(world: World, **sent: Any) -> Any:
    """The settings of a new session that asks for these."""
    return world.new(**sent)["timeoutConfig"]


def settings(timeout: float, duration: float, warning: float, *, renew: bool = True) -> dict[str, Any]:
    return {
        "timeoutMinutes": timeout,
        "autoRenew": renew,
        "maxDurationMinutes": duration,
        "warningThresholdMinutes": warning,
    }


# --- what a policy does -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "policy, sent, expected",
    [
        ({}, {}, settings(30, 720, 5)),
        ({"timeoutMinutes": 15.5}, {}, settings(15.5, 720, 5)),
        ({"timeoutMinutes": 15}, {"timeoutMinutes": 60}, settings(60, 720, 5)),
        ({"autoRenew": False}, {}, settings(30, 720, 5, renew=False)),
        ({"autoRenew": False}, {"autoRenew": True}, settings(30, 720, 5)),
        ({"maxDurationMinutes": 100, "timeoutMinutes": 20}, {"autoRenew": False}, settings(20, 100, 5, renew=False)),
        ({"timeoutMinutes": {"max": 20}}, {}, settings(20, 720, 5)),
        ({"timeoutMinutes": {"min": 45}}, {}, settings(45, 720, 5)),
        ({"timeoutMinutes": {"default": 50, "min": 45, "max": 60}}, {}, settings(50, 720, 5)),
        ({"timeoutMinutes": {"default": 50, "min": 45, "max": 60}}, {"timeoutMinutes": 60}, settings(60, 720, 5)),
        # the bounds hold together, and the defaults give way
        ({"maxDurationMinutes": {"max": 10}}, {}, settings(10, 10, 5)),
        ({"maxDurationMinutes": 60}, {"timeoutMinutes": 90}, settings(90, 90, 5)),
        ({"warningThresholdMinutes": {"min": 40}}, {}, settings(40, 720, 40)),
        ({"warningThresholdMinutes": {"min": 10}}, {"timeoutMinutes": 12}, settings(12, 720, 10)),
        ({"warningThresholdMinutes": 20}, {}, settings(30, 720, 20)),
        ({"warningThresholdMinutes": 20}, {"timeoutMinutes": 20}, settings(20, 720, 20)),
        ({"warningThresholdMinutes": 20}, {"timeoutMinutes": 16}, settings(16, 720, 8)),
        ({"warningThresholdMinutes": {"max": 2}}, {}, settings(30, 720, 2)),
    ],
)
def test_for_each_setting_the_session_comes_first_then_the_agent_then_the_service(
    world: World, policy: dict[str, Any], sent: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert world.put_policy(policy).status == 200
    assert config(world, **sent) == expected


@pytest.mark.parametrize(
    "policy, sent, field, bounds",
    [
        ({"timeoutMinutes": {"min": 10, "max": 20}}, {"timeoutMinutes": 9.9}, "timeoutMinutes", "from 10 to 20"),
        ({"timeoutMinutes": {"min": 10, "max": 20}}, {"timeoutMinutes": 4}, "timeoutMinutes", "from 10 to 20"),
        ({"timeoutMinutes": {"max": 20}}, {"timeoutMinutes": "x"}, "timeoutMinutes", "from 5 to 20"),
        ({"maxDurationMinutes": {"max": 60}}, {"timeoutMinutes": 61}, "timeoutMinutes", "from 5 to 60"),
        ({"warningThresholdMinutes": {"min": 9}}, {"timeoutMinutes": 8}, "timeoutMinutes", "from 9 to 1440"),
        ({"maxDurationMinutes": {"max": 60}}, {"maxDurationMinutes": 61}, "maxDurationMinutes",
         "from timeoutMinutes 30 to 60"),
        ({"maxDurationMinutes": {"min": 60}}, {"maxDurationMinutes": 59}, "maxDurationMinutes", "from 60 to 2880"),
        ({"warningThresholdMinutes": {"max": 9}}, {"warningThresholdMinutes": 10}, "warningThresholdMinutes",
         "from 1 to 9"),
        ({"timeoutMinutes": 12}, {"warningThresholdMinutes": 13}, "warningThresholdMinutes",
         "from 1 to timeoutMinutes 12"),
    ],
)  # fmt: skip
def test_what_is_out_of_the_agents_bounds_is_refused_by_the_bounds_that_hold(
    world: World, policy: dict[str, Any], sent: dict[str, Any], field: str, bounds: str
) -> None:
    assert world.put_policy(policy).status == 200
    answer = world.create(timeoutConfig=sent)
    assert answer.fields == [f"timeoutConfig.{field}"]
    assert answer.fault(f"timeoutConfig.{field}")["message"].endswith(bounds)


def test_all_faults_come_in_one_answer_the_agents_bounds_included(world: World) -> None:
    world.put_policy({"timeoutMinutes": {"max": 20}})
    answer = world.create(metadata=[], timeoutConfig={"timeoutMinutes": 21, "autoRenew": 1})
    assert set(answer.fields) == {"metadata", "timeoutConfig.timeoutMinutes", "timeoutConfig.autoRenew"}


def test_an_agent_that_may_have_no_sessions_is_not_found_and_the_others_are(world: World) -> None:
    world.put_policy({"allowed": False})
    refused = world.create()
    assert (refused.status, refused.code) == (404, "AGENT_NOT_FOUND")
    assert world.create(agentId=NOWHERE).status == 201
    assert world.create(tenant="globex").status == 201


def test_where_policies_are_required_an_agent_without_one_is_not_found(world: World) -> None:
    world.restart(REQUIRE_AGENT_POLICY="true")
    assert world.create().code == "AGENT_NOT_FOUND"
    world.put_policy({})
    assert world.create().status == 201
    assert world.create(agentId="x").code == "VALIDATION_ERROR"


def test_agents_are_compared_without_case(world: World) -> None:
    world.put_policy({"timeoutMinutes": 15}, AGENT.upper())
    assert world.create(agentId=AGENT.title()).json["timeoutConfig"]["timeoutMinutes"] == 15
    assert world.policy(AGENT).json["agentId"] == AGENT


def test_a_patch_obeys_the_policy_of_now_in_what_it_sends(world: World) -> None:
    session_id = world.new(timeoutMinutes=60)["sessionId"]
    world.put_policy({"timeoutMinutes": {"max": 40}, "autoRenew": False})
    assert world.get(session_id).json["timeoutConfig"] == settings(60, 720, 5), "what exists keeps its settings"
    assert world.patch(session_id, {"warningThresholdMinutes": 9}).status == 200
    refused = world.patch(session_id, {"timeoutMinutes": 50})
    assert refused.fault("timeoutMinutes")["message"] == "must be from 5 to 40"
    assert world.patch(session_id, {"timeoutMinutes": 40}).json["timeoutConfig"] == settings(40, 720, 9)


@pytest.mark.parametrize("policy", [{"allowed": False}, {"timeoutMinutes": {"max": 20}}, {"timeoutMinutes": 45}])
def test_a_repeat_under_a_key_finds_its_session_whatever_the_policy_says_now(world: World, policy: Any) -> None:
    sent: Any = {"timeoutConfig": {"maxDurationMinutes": 40, "warningThresholdMinutes": 25}}
    made = world.create(key="k", **sent)
    assert made.status == 201
    world.put_policy(policy)
    again = world.create(key="k", **sent)
    assert (again.status, again.json) == (200, made.json)
    assert world.create(key="k", metadata={"other": 1}, **sent).code == "IDEMPOTENCY_KEY_REUSED"
    assert world.create(key="new", **sent).status in (400, 404)
    world.clock.advance(minutes=30)
    assert world.create(key="k", **sent).code == "SESSION_EXPIRED"
    world.clock.advance(minutes=1440)
    assert world.create(key="k", **sent).status in (400, 404), "the key is forgotten, and none is made"


# --- what a policy may be ---------------------------------------------------------------------------------------------


def test_a_policy_comes_back_as_it_was_given(world: World) -> None:
    policy = {
        "allowed": False,
        "autoRenew": False,
        "timeoutMinutes": {"default": 15.123456789, "min": 7.5, "max": 60},
        "maxDurationMinutes": 240,
        "warningThresholdMinutes": {"min": 2},
    }
    given_ms = world.clock.now_ms()
    put = world.put_policy(policy).json
    assert put == {"agentId": AGENT, "updatedAt": "2026-06-27T08:00:00.000Z", **policy}
    assert world.policy().json == put
    world.clock.advance(1_000)
    assert world.put_policy(put).json == {**put, "updatedAt": "2026-06-27T08:00:01.000Z"}, (
        "what is read may be put back"
    )
    assert given_ms < world.clock.now_ms()
    assert world.put_policy({}).json == {"agentId": AGENT, "allowed": True, "updatedAt": "2026-06-27T08:00:01.000Z"}


@pytest.mark.parametrize(
    "policy, fields",
    [
        ({"timeout": 5}, ["body"]),
        ({"timeoutConfig": {"timeoutMinutes": 30}}, ["body"]),
        ({"allowed": None}, ["allowed"]),
        ({"allowed": 1, "autoRenew": "yes"}, ["allowed", "autoRenew"]),
        ({"timeoutMinutes": None}, ["timeoutMinutes"]),
        ({"timeoutMinutes": "30"}, ["timeoutMinutes"]),
        ({"timeoutMinutes": True}, ["timeoutMinutes"]),
        ({"timeoutMinutes": 4.9}, ["timeoutMinutes"]),
        ({"timeoutMinutes": {}}, ["timeoutMinutes"]),
        ({"timeoutMinutes": {"least": 5}}, ["timeoutMinutes"]),
        ({"timeoutMinutes": {"min": 4, "max": 1441}}, ["timeoutMinutes.min", "timeoutMinutes.max"]),
        ({"timeoutMinutes": {"min": 20, "max": 19}}, ["timeoutMinutes.max"]),
        ({"timeoutMinutes": {"default": 10, "min": 20}}, ["timeoutMinutes.default"]),
        ({"maxDurationMinutes": 2881, "warningThresholdMinutes": 0.5},
         ["maxDurationMinutes", "warningThresholdMinutes"]),
        ({"timeoutMinutes": {"min": 60}, "maxDurationMinutes": {"max": 30}}, ["timeoutMinutes"]),
        ({"timeoutMinutes": {"max": 20}, "warningThresholdMinutes": {"min": 30}}, ["timeoutMinutes"]),
        ({"timeoutMinutes": 60, "maxDurationMinutes": {"max": 30}}, ["timeoutMinutes"]),
        ({"maxDurationMinutes": 20}, ["maxDurationMinutes"]),
        ({"warningThresholdMinutes": 31}, ["warningThresholdMinutes"]),
    ],
)  # fmt: skip
def test_what_breaks_the_services_bounds_or_contradicts_itself_is_no_policy(
    world: World, policy: dict[str, Any], fields: list[str]
) -> None:
    answer = world.put_policy(policy)
    assert (answer.code, answer.fields) == ("VALIDATION_ERROR", fields)
    assert world.policy().status == 404


@pytest.mark.parametrize("number", ["1e999", "1" * 1001, "NaN"])
def test_a_number_that_cannot_be_kept_is_no_bound(world: World, number: str) -> None:
    assert world.put_policy(raw=f'{{"timeoutMinutes":{{"max":{number}}}}}').code == "VALIDATION_ERROR"


@pytest.mark.parametrize("agent", ["x", NOWHERE[1:], f"{NOWHERE}0", "%00"])
def test_an_agent_whose_id_is_no_uuid_is_refused(world: World, agent: str) -> None:
    for answer in (world.put_policy({}, agent), world.policy(agent), world.delete_policy(agent)):
        assert answer.fields == ["agentId"]


NUMBERS = st.sampled_from([1, 2.5, 5, 7, 20, 30, 45, 60, 720, 1440, 2880])
WISHES = NUMBERS | st.dictionaries(st.sampled_from(["default", "min", "max"]), NUMBERS, min_size=1)
POLICIES = st.fixed_dictionaries(
    {}, optional={"timeoutMinutes": WISHES, "maxDurationMinutes": WISHES, "warningThresholdMinutes": WISHES}
)
SENT = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("timeoutMinutes", "maxDurationMinutes", "warningThresholdMinutes"), NUMBERS)
)


@given(policy=POLICIES, sent=SENT)
def test_whatever_a_policy_says_a_session_has_what_it_asked_for_within_all_bounds(policy: Any, sent: Any) -> None:
    world = World()
    accepted = world.put_policy(policy)
    if accepted.status != 200:
        return
    assert world.new()["sessionId"], "an accepted policy leaves room for a session that asks for nothing"
    made = world.create(timeoutConfig=sent)
    if made.status != 201:
        assert {field.removeprefix("timeoutConfig.") for field in made.fields} <= sent.keys()
        return
    settings = made.json["timeoutConfig"]
    assert settings == settings | sent
    timeout, duration = settings["timeoutMinutes"], settings["maxDurationMinutes"]
    assert 1 <= settings["warningThresholdMinutes"] <= timeout <= duration
    for name, wish in policy.items():
        if isinstance(wish, dict):
            assert wish.get("min", 0) <= settings[name] <= wish.get("max", 2880)


# --- reading, listing, removing ---------------------------------------------------------------------------------------


def test_a_policy_that_was_taken_away_holds_no_more(world: World) -> None:
    world.put_policy({"timeoutMinutes": 15})
    assert config(world)["timeoutMinutes"] == 15
    assert world.delete_policy().json["data"] == {"success": True, "agentId": AGENT}
    assert config(world)["timeoutMinutes"] == 30
    for answer in (world.policy(), world.delete_policy()):
        assert (answer.status, answer.code) == (404, "AGENT_NOT_FOUND")


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_the_pages_hold_each_policy_of_the_tenant_once_in_order(world: World, limit: int) -> None:
    agents = [f"{digit}0000000-0000-4000-8000-000000000000" for digit in "1a3f7"]
    for agent in agents:
        world.put_policy({}, agent.upper())
    world.put_policy({}, NOWHERE, tenant="globex")
    shown: list[str] = []
    query: dict[str, str] = {"limit": str(limit)}
    while True:
        page = world.policies(**query).json
        assert len(page["agents"]) <= limit
        shown += [policy["agentId"] for policy in page["agents"]]
        if "nextCursor" not in page:
            break
        query["cursor"] = page["nextCursor"]
    assert shown == sorted(agents)


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"cursor": "x"}])
def test_a_page_that_cannot_be_is_refused(world: World, query: dict[str, str]) -> None:
    assert world.policies(**query).fields == list(query)


# --- when a policy holds, and what it costs ---------------------------------------------------------------------------


def test_a_create_under_a_policy_that_was_read_lately_is_one_write_and_so_is_one_without(world: World) -> None:
    world.put_policy({"timeoutMinutes": 15})
    for agent in (AGENT, NOWHERE):
        with world.counted() as first:
            world.create(agentId=agent)
        assert first == {"get_item": 1, "put_item": 1}
        for _ in range(3):
            world.clock.advance(18_000)
            with world.counted() as calls:
                assert world.create(agentId=agent.upper()).status == 201
            assert calls == {"put_item": 1}
        session_id = world.create(agentId=agent).json["sessionId"]
        with world.counted() as calls:
            world.patch(session_id, {"autoRenew": False})
        assert calls == {"get_item": 1, "update_item": 1}
        world.clock.advance(MINUTE)


@pytest.mark.parametrize("late_ms", [0, 1, 30_000, 59_999])
def test_a_change_is_in_force_in_every_process_within_a_minute(world: World, late_ms: int) -> None:
    other = request_path.session_api()

    def create_elsewhere() -> Answer:
        response = other.handle(gateway_event("create-minimal", body={"agentId": AGENT, "userId": USER}))
        return Answer(response["statusCode"], response["headers"], response["body"])

    world.restart()
    assert create_elsewhere().json["timeoutConfig"]["timeoutMinutes"] == 30, "from now on it knows that there is none"
    changes: list[tuple[Callable[[], Answer], int]] = [
        (partial(world.put_policy, {"timeoutMinutes": 15}), 15),
        (partial(world.put_policy, {"timeoutMinutes": 20}), 20),
        (world.delete_policy, 30),
    ]
    for change, expected in changes:
        create_elsewhere()
        world.clock.advance(late_ms)
        assert change().status == 200
        assert config(world)["timeoutMinutes"] == expected, "at once where it was changed"
        world.clock.advance(IN_FORCE_MS)
        assert create_elsewhere().json["timeoutConfig"]["timeoutMinutes"] == expected


@pytest.mark.parametrize("later_ms, reads", [(REMEMBERED_MS - 1, 0), (REMEMBERED_MS, 1)])
def test_a_process_remembers_a_policy_for_55_seconds(world: World, later_ms: int, reads: int) -> None:
    world.create()
    world.clock.advance(later_ms)
    with world.counted() as calls:
        world.create()
    assert calls["get_item"] == reads


@pytest.mark.parametrize(
    "wish, expected", [({"min": 6, "default": 6}, 10), ({"max": 1400, "default": 1400}, 400), ({"default": 30}, 30)]
)
def test_the_services_bounds_hold_for_a_policy_that_is_older_than_they(
    world: World, wish: dict[str, int], expected: int
) -> None:
    world.put_policy({"timeoutMinutes": wish})
    world.restart(SESSION_MIN_TIMEOUT_MINUTES="10", SESSION_MAX_TIMEOUT_MINUTES="400")
    assert config(world)["timeoutMinutes"] == expected


def test_a_clock_that_goes_back_makes_no_policy_last(world: World) -> None:
    world.create()
    world.clock.advance(-MINUTE)
    with world.counted() as calls:
        world.create()
    assert calls["get_item"] == 1


def test_a_process_remembers_no_more_agents_than_it_has_room_for(world: World) -> None:
    agents = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(MOST_REMEMBERED + 1)]
    for agent in agents:
        world.create(agentId=agent)
    with world.counted() as calls:
        world.create(agentId=agents[-1])
        world.create(agentId=agents[1])
    assert calls["get_item"] == 0
    with world.counted() as calls:
        world.create(agentId=agents[0])
    assert calls["get_item"] == 1, "the oldest went"


def test_without_an_answer_about_the_policy_no_session_is_made(world: World) -> None:
    world.dynamo.add_hook(faults.throttle("get_item", times=1))
    with world.counted() as calls:
        assert world.create().code == "SERVICE_UNAVAILABLE"
    assert calls["put_item"] == 0
    assert world.create().status == 201


def test_a_policy_whose_writing_had_no_answer_is_a_503_and_may_be_in_force(world: World) -> None:
    world.create()
    world.dynamo.add_hook(faults.connection_lost("put_item", "after"))
    assert world.put_policy({"timeoutMinutes": 15}).code == "SERVICE_UNAVAILABLE"
    assert config(world)["timeoutMinutes"] == 15
