"""POST /: docs/contract.md, Create a session; metadata and the idempotency key have files of their own."""

import json
from typing import Any

import pytest

from tests.unit.world import AGENT, BASE, TABLE, USER, World, sample

FIELDS = [
    "sessionId", "channelId", "agentId", "userId", "createdAt", "lastActivity", "expiresAt", "endsAt", "renewAfter",
    "metadata", "timeoutConfig", "lease", "renewalCount", "metadataVersion", "lastSequence", "lastMessageAt",
    "awaitingReply", "timeRemaining", "isNearExpiration",
]  # fmt: skip
DEFAULTS = {"timeoutMinutes": 30, "autoRenew": True, "maxDurationMinutes": 720, "warningThresholdMinutes": 5}
ODD_UUIDS = [
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "6BA7B810-9DAD-11D1-80B4-00C04FD430C8",
    "018F3B7c-1f2e-7aBC-8def-0123456789AB",
]
NO_UUIDS: list[Any] = [
    "",
    "x",
    "b8504bc345f84a41a00a83df46d8555d",
    "{b8504bc3-45f8-4a41-a00a-83df46d8555d}",
    "urn:uuid:b8504bc3-45f8-4a41-a00a-83df46d8555d",
    " b8504bc3-45f8-4a41-a00a-83df46d8555d",
    "b8504bc3-45f8-4a41-a00a-83df46d8555d\n",
    "b8504bc3-45f8-4a41-a00a-83df46d8555g",
    "b8504bc3-45f8-4a41-a00a-83df46d8555d0",
    "b8504bc3-45f8-4a41-a00a-83df46d8555٣",
    "\ud800",
    7,
    True,
    None,
    ["b8504bc3-45f8-4a41-a00a-83df46d8555d"],
    {},
]


def test_a_new_session_has_every_field_and_no_other(world: World) -> None:
    session = world.call("create-minimal").json
    assert list(session) == FIELDS
    assert session["channelId"] == session["sessionId"]
    assert session["agentId"] == AGENT
    assert session["userId"] == USER
    assert session["createdAt"] == session["lastActivity"] == "2026-06-27T08:00:00.000Z"
    assert session["expiresAt"] == "2026-06-27T08:30:00.000Z"
    assert session["endsAt"] == "2026-06-27T20:00:00.000Z"
    assert session["renewAfter"] == "2026-06-27T08:11:00.000Z"
    assert session["lease"] == 1
    assert session["renewalCount"] == 0
    assert session["timeRemaining"] == 30 * 60_000
    assert session["isNearExpiration"] is False


def test_what_was_sent_comes_back_as_sent(world: World) -> None:
    sent = json.loads(sample("create-full")["body"])
    answer = world.call("create-full")
    assert answer.status == 201
    assert {name: answer.json[name] for name in sent} == sent
    assert answer.json["expiresAt"] == "2026-06-27T09:00:00.000Z"
    assert answer.json["endsAt"] == "2026-06-27T16:00:00.000Z"


def test_location_is_the_path_of_the_session_and_leads_to_it(world: World) -> None:
    answer = world.call("create-minimal")
    location = answer.headers["location"]
    assert location == f"{BASE}/{answer.json['sessionId']}"
    assert world.call("get", path=location).json == answer.json


@pytest.mark.parametrize("field", ["agentId", "userId"])
@pytest.mark.parametrize("value", ODD_UUIDS)
def test_a_uuid_of_any_version_passes_and_keeps_its_case(world: World, field: str, value: str) -> None:
    answer = world.create(**{field: value})
    assert answer.status == 201
    assert answer.json[field] == value
    assert world.get(answer.json["sessionId"]).json[field] == value


@pytest.mark.parametrize("field", ["agentId", "userId"])
@pytest.mark.parametrize("value", NO_UUIDS, ids=repr)
def test_what_is_no_uuid_is_refused_by_name(world: World, field: str, value: Any) -> None:
    answer = world.create(**{field: value})
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == [field]
    assert "value" in answer.fault(field)


@pytest.mark.parametrize("field", ["agentId", "userId"])
def test_a_missing_field_is_refused_by_name_and_has_no_value_to_show(world: World, field: str) -> None:
    body = {"agentId": AGENT, "userId": USER}
    del body[field]
    answer = world.post(body)
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fault(field).keys() == {"field", "message"}


def test_all_offending_fields_come_in_one_answer(world: World) -> None:
    answer = world.call("create-invalid")
    assert answer.status == 400
    assert sorted(answer.fields) == [
        "agentId",
        "metadata",
        "timeoutConfig.autoRenew",
        "timeoutConfig.maxDurationMinutes",
        "timeoutConfig.timeoutMinutes",
        "timeoutConfig.warningThresholdMinutes",
        "userId",
    ]


def test_nothing_is_stored_of_a_refused_request(world: World) -> None:
    with world.counted() as calls:
        assert world.call("create-invalid").status == 400
    assert not calls
    assert not list(world.dynamo.items(TABLE))


@pytest.mark.parametrize("field", ["metadata", "timeoutConfig"])
def test_null_means_omitted_for_metadata_and_timeout_config(world: World, field: str) -> None:
    answer = world.post({"agentId": AGENT, "userId": USER, field: None})
    assert answer.status == 201
    assert answer.json["metadata"] == {}
    assert answer.json["timeoutConfig"] == DEFAULTS


@pytest.mark.parametrize("value", [[], "", "30", 30, True, False], ids=repr)
def test_a_timeout_config_that_is_no_object_is_refused_by_name(world: World, value: Any) -> None:
    answer = world.create(timeoutConfig=value)
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == ["timeoutConfig"]


def test_unknown_fields_are_ignored_wherever_they_stand(world: World) -> None:
    answer = world.create(
        sessionId="mine",
        createdAt=None,
        tenantId="another",
        timeoutConfig={"timeoutMinutes": 10, "timeout_minutes": "x", "extra": None},
    )
    assert answer.status == 201
    assert list(answer.json) == FIELDS
    assert answer.json["timeoutConfig"] == DEFAULTS | {"timeoutMinutes": 10}
    assert answer.json["sessionId"] != "mine"


@pytest.mark.parametrize("value", ["true", 1, 0, "", [], None], ids=repr)
def test_auto_renew_is_a_boolean_and_nothing_that_resembles_one(world: World, value: Any) -> None:
    answer = world.create(timeoutConfig={"autoRenew": value})
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == ["timeoutConfig.autoRenew"]


# --- rules between the fields


def test_a_refusal_by_another_field_names_that_field_and_its_value(world: World) -> None:
    answer = world.create(timeoutConfig={"timeoutMinutes": 60, "maxDurationMinutes": 59, "warningThresholdMinutes": 61})
    for field in ("maxDurationMinutes", "warningThresholdMinutes"):
        assert "timeoutMinutes 60" in answer.fault(f"timeoutConfig.{field}")["message"]


@pytest.mark.parametrize("value", [4, 29, 2881, "60"])
@pytest.mark.parametrize("timeout", [{}, {"timeoutMinutes": 30}])
def test_a_refused_duration_names_the_bound_that_really_holds(world: World, timeout: Any, value: Any) -> None:
    answer = world.create(timeoutConfig=timeout | {"maxDurationMinutes": value})
    assert "from timeoutMinutes 30 to 2880" in answer.fault("timeoutConfig.maxDurationMinutes")["message"]


@pytest.mark.parametrize("value", [0.5, 31, None])
def test_a_refused_threshold_names_the_bound_that_really_holds(world: World, value: Any) -> None:
    answer = world.create(timeoutConfig={"warningThresholdMinutes": value})
    assert "from 1 to timeoutMinutes 30" in answer.fault("timeoutConfig.warningThresholdMinutes")["message"]


@pytest.mark.parametrize("field", list(DEFAULTS))
@pytest.mark.parametrize("value", [10, True, None, "x"])
def test_a_timeout_setting_beside_timeout_config_is_refused_and_the_message_names_its_place(
    world: World, field: str, value: Any
) -> None:
    answer = world.create(**{field: value, "userId": 7})
    assert answer.fields == [field, "userId"]
    assert f"timeoutConfig.{field}" in answer.fault(field)["message"]
    assert answer.fault(field)["value"] == value


def test_beside_a_timeout_at_fault_the_others_are_held_to_their_own_range(world: World) -> None:
    sent = {"timeoutMinutes": 1, "maxDurationMinutes": 4, "warningThresholdMinutes": 1441}
    answer = world.create(timeoutConfig=sent)
    assert answer.fields == [f"timeoutConfig.{field}" for field in sent]
    assert answer.fault("timeoutConfig.warningThresholdMinutes")["message"] == "must be from 1 to 1440"


# --- a session as it is seen


def test_bounds_and_defaults_are_the_deployments() -> None:
    world = World(
        SESSION_DEFAULT_TIMEOUT_MINUTES="12.5",
        SESSION_MIN_TIMEOUT_MINUTES="2",
        SESSION_MAX_TIMEOUT_MINUTES="100",
        SESSION_MAX_DURATION_MINUTES="50",
        SESSION_WARNING_THRESHOLD_MINUTES="3",
    )
    assert world.new()["timeoutConfig"] == {
        "timeoutMinutes": 12.5,
        "autoRenew": True,
        "maxDurationMinutes": 50,
        "warningThresholdMinutes": 3,
    }
    assert world.new(timeoutMinutes=100)["timeoutConfig"]["maxDurationMinutes"] == 100
    assert world.new(timeoutMinutes=2, warningThresholdMinutes=2)["timeRemaining"] == 120_000
    assert world.new(timeoutMinutes=2)["timeoutConfig"]["warningThresholdMinutes"] == 1
    assert world.new(timeoutMinutes=5)["timeoutConfig"]["warningThresholdMinutes"] == 2.5
    assert world.new(maxDurationMinutes=200)["timeoutConfig"]["maxDurationMinutes"] == 200
    for refused in ({"timeoutMinutes": 1.9}, {"timeoutMinutes": 101}, {"maxDurationMinutes": 201}):
        assert world.create(timeoutConfig=refused).status == 400
