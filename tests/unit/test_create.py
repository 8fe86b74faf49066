"""POST /: docs/contract.md, Create a session; metadata and the idempotency key have files of their own."""

import hashlib
import json
import re
from datetime import datetime
from typing import Any

import pytest

from tests.unit.world import AGENT, BASE, MINUTE, START_MS, TABLE, USER, World, at, sample

FIELDS = [
    "sessionId",
    "channelId",
    "agentId",
    "userId",
    "createdAt",
    "lastActivity",
    "expiresAt",
    "endsAt",
    "renewAfter",
    "metadata",
    "timeoutConfig",
    "lease",
    "renewalCount",
    "metadataVersion",
    "timeRemaining",
    "isNearExpiration",
]
DEFAULTS = {"timeoutMinutes": 30, "autoRenew": True, "maxDurationMinutes": 720, "warningThresholdMinutes": 5}
UUID_V4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
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


def milliseconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds() * 1000


def test_agent_and_user_alone_give_the_defaults_and_exactly_thirty_minutes(world: World) -> None:
    answer = world.call("create-minimal")
    assert answer.status == 201
    session = answer.json
    assert session["timeoutConfig"] == DEFAULTS
    assert session["metadata"] == {}
    assert milliseconds_between(session["createdAt"], session["expiresAt"]) == 30 * 60_000
    assert milliseconds_between(session["createdAt"], session["endsAt"]) == 720 * 60_000


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


def test_a_session_reads_back_as_it_was_created(world: World) -> None:
    created = world.call("create-full").json
    read = world.get(created["sessionId"])
    assert read.status == 200
    assert read.text == json.dumps(created, ensure_ascii=False, separators=(",", ":"))


def test_session_ids_have_the_form_of_a_uuid_v4_and_never_repeat(world: World) -> None:
    ids = [world.new()["sessionId"] for _ in range(200)]
    assert len(set(ids)) == 200
    assert all(UUID_V4.fullmatch(session_id) for session_id in ids)


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


def test_a_bad_key_is_named_beside_the_bad_fields(world: World) -> None:
    answer = world.call("create-invalid", headers={"idempotency-key": ""})
    assert "Idempotency-Key" in answer.fields
    assert "agentId" in answer.fields


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


@pytest.mark.parametrize("field", list(DEFAULTS))
def test_null_in_a_timeout_setting_is_an_error(world: World, field: str) -> None:
    answer = world.create(timeoutConfig={field: None})
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == [f"timeoutConfig.{field}"]
    assert answer.fault(f"timeoutConfig.{field}")["value"] is None


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


def test_names_of_fields_count_in_their_case(world: World) -> None:
    answer = world.post({"agentid": AGENT, "agent_id": AGENT, "userId": USER})
    assert answer.fields == ["agentId"]


@pytest.mark.parametrize("value", ["true", 1, 0, "", [], None], ids=repr)
def test_auto_renew_is_a_boolean_and_nothing_that_resembles_one(world: World, value: Any) -> None:
    answer = world.create(timeoutConfig={"autoRenew": value})
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == ["timeoutConfig.autoRenew"]


@pytest.mark.parametrize("value", [True, False])
def test_auto_renew_is_echoed(world: World, value: bool) -> None:  # noqa: FBT001
    assert world.new(autoRenew=value)["timeoutConfig"]["autoRenew"] is value


# --- the seed cases of the numbers; the properties are in test_create_numbers.py


@pytest.mark.parametrize("text", ["4", "0", "-1", "1441", '"30"', "true", "null", "1e999"])
def test_a_timeout_out_of_range_or_of_another_type_is_refused_by_name(world: World, text: str) -> None:
    answer = world.post_raw(f'{{"agentId":"{AGENT}","userId":"{USER}","timeoutConfig":{{"timeoutMinutes":{text}}}}}')
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == ["timeoutConfig.timeoutMinutes"]


@pytest.mark.parametrize("text", ["5", "1440", "7.5"])
def test_a_timeout_in_range_passes_as_sent(world: World, text: str) -> None:
    answer = world.post_raw(f'{{"agentId":"{AGENT}","userId":"{USER}","timeoutConfig":{{"timeoutMinutes":{text}}}}}')
    assert answer.status == 201
    assert answer.json["timeoutConfig"]["timeoutMinutes"] == json.loads(text)
    assert answer.json["timeRemaining"] == json.loads(text) * 60_000


def test_a_refusal_names_field_rule_and_value(world: World) -> None:
    fault = world.create(timeoutConfig={"timeoutMinutes": 1441}).fault("timeoutConfig.timeoutMinutes")
    assert fault["value"] == 1441
    assert "5" in fault["message"]
    assert "1440" in fault["message"]


# --- rules between the fields


@pytest.mark.parametrize(
    "sent, effective",
    [
        ({"timeoutMinutes": 720}, (720, 720, 5)),
        ({"timeoutMinutes": 721}, (721, 721, 5)),
        ({"timeoutMinutes": 1440}, (1440, 1440, 5)),
        ({"timeoutMinutes": 5}, (5, 720, 2.5)),
        ({"timeoutMinutes": 9}, (9, 720, 4.5)),
        ({"timeoutMinutes": 8}, (8, 720, 4)),
        ({"timeoutMinutes": 10}, (10, 720, 5)),
        ({"timeoutMinutes": 5, "warningThresholdMinutes": 5}, (5, 720, 5)),
        ({"timeoutMinutes": 60, "maxDurationMinutes": 60, "warningThresholdMinutes": 60}, (60, 60, 60)),
        ({"maxDurationMinutes": 30}, (30, 30, 5)),
        ({"maxDurationMinutes": 2880}, (30, 2880, 5)),
        ({"timeoutMinutes": 5, "maxDurationMinutes": 5}, (5, 5, 2.5)),
        ({"warningThresholdMinutes": 1}, (30, 720, 1)),
        ({"warningThresholdMinutes": 30}, (30, 720, 30)),
        ({"timeoutMinutes": 7.5, "maxDurationMinutes": 7.5, "warningThresholdMinutes": 1.25}, (7.5, 7.5, 1.25)),
    ],
)
def test_what_the_rules_between_fields_let_pass(
    world: World, sent: dict[str, Any], effective: tuple[float, float, float]
) -> None:
    config = world.new(**sent)["timeoutConfig"]
    numbers = config["timeoutMinutes"], config["maxDurationMinutes"], config["warningThresholdMinutes"]
    assert numbers == effective


@pytest.mark.parametrize(
    "sent, fields",
    [
        ({"maxDurationMinutes": 29}, ["maxDurationMinutes"]),
        ({"maxDurationMinutes": 2880.5}, ["maxDurationMinutes"]),
        ({"timeoutMinutes": 60, "maxDurationMinutes": 59.999}, ["maxDurationMinutes"]),
        ({"warningThresholdMinutes": 30.001}, ["warningThresholdMinutes"]),
        ({"warningThresholdMinutes": 0.999}, ["warningThresholdMinutes"]),
        ({"timeoutMinutes": 5, "warningThresholdMinutes": 6}, ["warningThresholdMinutes"]),
        (
            {"timeoutMinutes": 60, "maxDurationMinutes": 59, "warningThresholdMinutes": 61},
            ["maxDurationMinutes", "warningThresholdMinutes"],
        ),
    ],
)
def test_what_the_rules_between_fields_refuse(world: World, sent: dict[str, float], fields: list[str]) -> None:
    answer = world.create(timeoutConfig=sent)
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == [f"timeoutConfig.{field}" for field in fields]
    for field in fields:
        assert answer.fault(f"timeoutConfig.{field}")["value"] == sent[field]


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


def test_a_session_whose_timeout_is_its_whole_life_ends_for_its_duration(world: World) -> None:
    session = world.new(timeoutMinutes=1440)
    assert session["expiresAt"] == session["endsAt"]


# --- a session as it is seen


def test_time_remaining_counts_down_and_is_near_expiration_within_the_threshold(world: World) -> None:
    session_id = world.new(timeoutMinutes=10, warningThresholdMinutes=3)["sessionId"]
    world.clock.advance(7 * 60_000 - 1)
    seen = world.get(session_id).json
    assert (seen["timeRemaining"], seen["isNearExpiration"]) == (180_001, False)
    world.clock.advance(1)
    seen = world.get(session_id).json
    assert (seen["timeRemaining"], seen["isNearExpiration"]) == (180_000, True)
    world.clock.advance(179_999)
    seen = world.get(session_id).json
    assert (seen["timeRemaining"], seen["isNearExpiration"]) == (1, True)


def test_the_version_of_the_metadata_depends_on_the_stored_text_alone(world: World) -> None:
    session = world.create(metadata={"größe": 1.5}).json
    assert session["metadataVersion"] == hashlib.sha256('{"größe":1.5}'.encode()).hexdigest()[:16]
    world.clock.advance(minutes=1)
    world.heartbeat(session["sessionId"])
    assert world.get(session["sessionId"]).json["metadataVersion"] == session["metadataVersion"]
    assert world.create(metadata={"größe": 1.25}).json["metadataVersion"] != session["metadataVersion"]


def test_the_lease_counts_renewals_and_patches_that_move_the_expiry(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.clock.advance(minutes=1)
    assert world.heartbeat(session_id).json["lease"] == 2
    assert world.patch(session_id, {"timeoutMinutes": 60}).json["lease"] == 3
    assert world.patch(session_id, {"autoRenew": False}).json["lease"] == 3


@pytest.mark.parametrize(
    "settings, minutes",
    [
        ({}, 11),
        ({"timeoutMinutes": 60, "warningThresholdMinutes": 10}, 23.5),
        ({"timeoutMinutes": 9, "warningThresholdMinutes": 5}, 0.5),
        ({"timeoutMinutes": 8, "warningThresholdMinutes": 5}, 0),
        ({"timeoutMinutes": 5}, 0),
        ({"timeoutMinutes": 1440}, None),
        ({"autoRenew": False}, None),
        ({"timeoutMinutes": 30, "maxDurationMinutes": 30}, None),
    ],
)
def test_renew_after_is_half_way_to_the_earliest_warning(
    world: World, settings: dict[str, Any], minutes: float | None
) -> None:
    session = world.new(**settings)
    assert session["renewAfter"] == (None if minutes is None else at(START_MS + round(minutes * MINUTE)))


def test_renew_after_counts_from_the_last_renewal_and_is_null_at_the_cap(world: World) -> None:
    session_id = world.new(maxDurationMinutes=40)["sessionId"]
    world.clock.advance(minutes=5)
    assert world.heartbeat(session_id).json["renewAfter"] == at(START_MS + 16 * MINUTE)
    world.clock.advance(minutes=15)
    capped = world.heartbeat(session_id).json
    assert capped["expiresAt"] == capped["endsAt"]
    assert capped["renewAfter"] is None
    assert world.patch(session_id, {"maxDurationMinutes": 700}).json["renewAfter"] == at(START_MS + 31 * MINUTE)


def test_reading_is_no_activity(world: World) -> None:
    created = world.new()
    world.clock.advance(minutes=20)
    seen = world.get(created["sessionId"]).json
    assert seen | {"timeRemaining": created["timeRemaining"]} == created


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
