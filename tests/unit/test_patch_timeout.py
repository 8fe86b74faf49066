"""PATCH /{id}/timeout: merging, checking and the arithmetic (docs/contract.md, Time)."""

from typing import Any

import pytest

from tests.engines import faults
from tests.unit.world import MINUTE, START_MS, World, at

SETTINGS = ["timeoutMinutes", "autoRenew", "maxDurationMinutes", "warningThresholdMinutes"]


@pytest.mark.parametrize(
    "sent",
    [
        {"timeoutMinutes": 45},
        {"autoRenew": False},
        {"maxDurationMinutes": 1000.5},
        {"warningThresholdMinutes": 1.5},
        {"timeoutMinutes": 1440, "maxDurationMinutes": 2880, "warningThresholdMinutes": 1440, "autoRenew": False},
    ],
)
def test_what_is_sent_replaces_and_what_is_omitted_stays(world: World, sent: dict[str, Any]) -> None:
    session = world.new()
    answer = world.patch(session["sessionId"], sent)
    assert answer.status == 200
    assert answer.json["timeoutConfig"] == session["timeoutConfig"] | sent
    assert world.get(session["sessionId"]).json == answer.json


def test_a_patch_answers_with_the_whole_session(world: World) -> None:
    session = world.new()
    assert world.patch(session["sessionId"]).json.keys() == session.keys()


def test_the_timeout_counts_from_the_creation_where_nothing_was_renewed(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.clock.advance(minutes=10)
    patched = world.patch(session_id, {"timeoutMinutes": 60}).json
    assert patched["expiresAt"] == at(START_MS + 60 * MINUTE)
    assert patched["timeRemaining"] == 50 * MINUTE


def test_the_timeout_counts_from_the_last_renewal(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.clock.advance(minutes=10)
    world.heartbeat(session_id)
    world.clock.advance(minutes=5)
    patched = world.patch(session_id, {"timeoutMinutes": 20}).json
    assert patched["expiresAt"] == at(START_MS + 30 * MINUTE)


def test_activity_that_renewed_nothing_does_not_count_as_a_renewal(world: World) -> None:
    session_id = world.new(autoRenew=False)["sessionId"]
    world.clock.advance(minutes=10)
    world.heartbeat(session_id)
    patched = world.patch(session_id, {"timeoutMinutes": 40}).json
    assert patched["expiresAt"] == at(START_MS + 40 * MINUTE)
    assert patched["lastActivity"] == at(START_MS + 10 * MINUTE)


def test_a_patch_is_no_activity_and_no_renewal(world: World) -> None:
    session = world.new()
    world.clock.advance(minutes=10)
    patched = world.patch(session["sessionId"], {"timeoutMinutes": 60}).json
    assert patched["lastActivity"] == session["lastActivity"]
    assert patched["renewalCount"] == 0
    again = world.patch(session["sessionId"], {"timeoutMinutes": 30}).json
    assert again | {"timeRemaining": session["timeRemaining"], "lease": 1} == session


def test_the_end_moves_with_the_duration_and_the_expiry_stays_before_it(world: World) -> None:
    session_id = world.new()["sessionId"]
    shorter = world.patch(session_id, {"timeoutMinutes": 10, "maxDurationMinutes": 10.5}).json
    assert shorter["endsAt"] == at(START_MS + 630_000)
    assert shorter["expiresAt"] == at(START_MS + 10 * MINUTE)
    world.clock.advance(minutes=5)
    capped = world.heartbeat(session_id).json
    assert capped["expiresAt"] == capped["endsAt"]
    longer = world.patch(session_id, {"maxDurationMinutes": 60}).json
    assert longer["endsAt"] == at(START_MS + 60 * MINUTE)
    assert longer["expiresAt"] == at(START_MS + 15 * MINUTE)


def test_a_session_at_its_cap_can_be_renewed_again_once_the_cap_was_raised(world: World) -> None:
    session_id = world.new(maxDurationMinutes=30)["sessionId"]
    assert world.renew(session_id).status == 422
    world.patch(session_id, {"maxDurationMinutes": 60})
    world.clock.advance(minutes=10)
    assert world.renew(session_id).json["expiresAt"] == at(START_MS + 40 * MINUTE)


def test_auto_renew_can_be_turned_off_and_on(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.patch(session_id, {"autoRenew": False})
    world.clock.advance(minutes=1)
    assert world.heartbeat(session_id).json["renewalCount"] == 0
    world.patch(session_id, {"autoRenew": True})
    assert world.heartbeat(session_id).json["renewalCount"] == 1


@pytest.mark.parametrize("body", [{}, {"timeoutMinutes": 30}, {"autoRenew": True, "unknown": 1}])
def test_a_patch_that_says_nothing_new_is_a_200_that_changes_nothing(world: World, body: dict[str, Any]) -> None:
    session = world.new()
    world.clock.advance(minutes=10)
    before = world.item(session["sessionId"])
    answer = world.patch(session["sessionId"], body)
    assert answer.status == 200
    assert answer.json == world.get(session["sessionId"]).json
    assert world.item(session["sessionId"]) == before


@pytest.mark.parametrize(
    "body, field",
    [
        ({"timeoutConfig": {"timeoutMinutes": 60}}, "timeoutConfig"),
        ({"timeoutConfig": None}, "timeoutConfig"),
        ({"timeoutminutes": 60}, "body"),
        ({"timeout_minutes": 60}, "body"),
        ({"metadata": {}}, "body"),
    ],
)
def test_a_patch_of_nothing_that_is_known_is_refused_and_names_what_is(
    world: World, body: dict[str, Any], field: str
) -> None:
    session = world.new()
    answer = world.patch(session["sessionId"], body)
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == [field]
    assert all(setting in answer.fault(field)["message"] for setting in SETTINGS)
    assert world.get(session["sessionId"]).json == session


def test_an_unknown_field_beside_a_known_one_is_ignored(world: World) -> None:
    answer = world.patch(world.new()["sessionId"], {"timeoutConfig": {"timeoutMinutes": 60}, "timeoutMinutes": 45})
    assert answer.json["timeoutConfig"]["timeoutMinutes"] == 45


def test_a_session_that_is_gone_wins_over_a_patch_of_nothing_that_is_known(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.clock.advance(minutes=30)
    assert world.patch(session_id, {"unknown": 1}).code == "SESSION_EXPIRED"


@pytest.mark.parametrize(
    "sent, rule",
    [
        ({"maxDurationMinutes": 4}, "from the session's timeoutMinutes of 61 to 2880"),
        ({"maxDurationMinutes": 2881}, "from the session's timeoutMinutes of 61 to 2880"),
        ({"maxDurationMinutes": "x"}, "from the session's timeoutMinutes of 61 to 2880"),
        ({"warningThresholdMinutes": 0}, "from 1 to the session's timeoutMinutes of 61"),
        ({"timeoutMinutes": 70, "maxDurationMinutes": 69}, "from timeoutMinutes 70 to 2880"),
        ({"timeoutMinutes": 4, "maxDurationMinutes": 4}, "from 5 to 2880"),
    ],
)
def test_a_refusal_names_the_bound_that_really_holds(world: World, sent: dict[str, Any], rule: str) -> None:
    session_id = world.new(timeoutMinutes=61)["sessionId"]
    fault = world.patch(session_id, sent).fault(list(sent)[-1])
    assert rule in fault["message"]


@pytest.mark.parametrize("field", SETTINGS)
@pytest.mark.parametrize("text", ["null", '"30"', "[]", "{}", "1e999", "1" * 1001])
def test_a_setting_of_the_wrong_type_is_named_without_a_prefix(world: World, field: str, text: str) -> None:
    session = world.new()
    answer = world.patch(session["sessionId"], raw=f'{{"{field}":{text}}}')
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == [field]
    assert world.get(session["sessionId"]).json == session


@pytest.mark.parametrize(
    "field, value",
    [
        *[("timeoutMinutes", value) for value in (4.999, 0, -1, 1440.001, True)],
        *[("maxDurationMinutes", value) for value in (29.999, 0, -1, 2880.001, True)],
        *[("warningThresholdMinutes", value) for value in (0.999, 0, -1, 30.001, True)],
    ],
)
def test_the_ranges_are_those_of_the_creation(world: World, field: str, value: float) -> None:
    answer = world.patch(world.new()["sessionId"], {field: value})
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fault(field)["value"] == value


def test_all_offending_fields_come_in_one_answer(world: World) -> None:
    session_id = world.new()["sessionId"]
    sent = {"timeoutMinutes": "x", "autoRenew": 1, "maxDurationMinutes": 2881, "warningThresholdMinutes": 0}
    assert sorted(world.patch(session_id, sent).fields) == sorted(SETTINGS)


@pytest.mark.parametrize(
    "kept, sent, field, kept_value",
    [
        ({"maxDurationMinutes": 600}, {"timeoutMinutes": 601}, "timeoutMinutes", 600),
        ({"warningThresholdMinutes": 12.5}, {"timeoutMinutes": 12}, "timeoutMinutes", 12.5),
        ({"timeoutMinutes": 61}, {"maxDurationMinutes": 60}, "maxDurationMinutes", 61),
        ({"timeoutMinutes": 17}, {"warningThresholdMinutes": 18}, "warningThresholdMinutes", 17),
    ],
)
def test_a_conflict_with_a_kept_field_names_the_field_sent_and_the_kept_value(
    world: World, kept: dict[str, Any], sent: dict[str, Any], field: str, kept_value: float
) -> None:
    session_id = world.new(**kept)["sessionId"]
    answer = world.patch(session_id, sent)
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == [field]
    fault = answer.fault(field)
    assert fault["value"] == sent[field]
    assert str(kept_value) in fault["message"]


@pytest.mark.parametrize(
    "kept, sent",
    [
        ({"maxDurationMinutes": 600}, {"timeoutMinutes": 600}),
        ({"warningThresholdMinutes": 12.5}, {"timeoutMinutes": 12.5}),
        ({"timeoutMinutes": 61}, {"maxDurationMinutes": 61}),
        ({"timeoutMinutes": 17}, {"warningThresholdMinutes": 17}),
    ],
)
def test_what_equals_a_kept_field_is_no_conflict(world: World, kept: dict[str, Any], sent: dict[str, Any]) -> None:
    session_id = world.new(**kept)["sessionId"]
    assert world.patch(session_id, sent).json["timeoutConfig"].items() >= (kept | sent).items()


def test_both_sides_of_a_rule_may_move_together(world: World) -> None:
    session_id = world.new()["sessionId"]
    answer = world.patch(session_id, {"timeoutMinutes": 1000, "maxDurationMinutes": 1000})
    assert answer.json["expiresAt"] == answer.json["endsAt"] == at(START_MS + 1000 * MINUTE)
    answer = world.patch(session_id, {"timeoutMinutes": 5, "maxDurationMinutes": 5, "warningThresholdMinutes": 5})
    assert answer.json["expiresAt"] == answer.json["endsAt"] == at(START_MS + 5 * MINUTE)


def test_a_conflict_among_the_fields_sent_is_refused(world: World) -> None:
    session_id = world.new()["sessionId"]
    answer = world.patch(session_id, {"timeoutMinutes": 60, "maxDurationMinutes": 50, "warningThresholdMinutes": 61})
    assert answer.fields == ["maxDurationMinutes", "warningThresholdMinutes"]


def test_a_conflict_with_a_kept_field_hides_no_conflict_among_the_fields_sent(world: World) -> None:
    session_id = world.new(maxDurationMinutes=45)["sessionId"]
    answer = world.patch(session_id, {"timeoutMinutes": 60, "warningThresholdMinutes": 61})
    assert answer.fields == ["timeoutMinutes", "warningThresholdMinutes"]


@pytest.mark.parametrize(
    "settings, sent, fields",
    [
        ({}, {"timeoutMinutes": 10}, ["timeoutMinutes"]),
        ({}, {"timeoutMinutes": 9.5, "warningThresholdMinutes": 2}, ["timeoutMinutes"]),
        ({"timeoutMinutes": 60}, {"timeoutMinutes": 5, "maxDurationMinutes": 60}, ["timeoutMinutes"]),
        (
            {"timeoutMinutes": 60},
            {"timeoutMinutes": 5, "maxDurationMinutes": 10},
            ["timeoutMinutes", "maxDurationMinutes"],
        ),
    ],
)
def test_a_patch_that_would_end_the_session_is_refused(
    world: World, settings: dict[str, Any], sent: dict[str, Any], fields: list[str]
) -> None:
    session = world.new(**settings)
    world.clock.advance(minutes=10)
    before = world.get(session["sessionId"]).json
    answer = world.patch(session["sessionId"], sent)
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == fields
    assert world.get(session["sessionId"]).json == before


def test_a_duration_that_is_over_already_is_refused(world: World) -> None:
    session_id = world.new(timeoutMinutes=10)["sessionId"]
    for _ in range(3):
        world.clock.advance(minutes=9)
        world.heartbeat(session_id)
    assert world.patch(session_id, {"maxDurationMinutes": 27}).fields == ["maxDurationMinutes"]
    barely = world.patch(session_id, {"maxDurationMinutes": 27.0001}).json
    assert barely["timeRemaining"] == 6


def test_to_the_millisecond_a_patch_may_leave_one_and_not_none(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.clock.advance(10 * MINUTE - 1)
    assert world.patch(session_id, {"timeoutMinutes": 10}).json["timeRemaining"] == 1
    other = world.new()["sessionId"]
    world.clock.advance(10 * MINUTE)
    assert world.patch(other, {"timeoutMinutes": 10}).status == 400
    assert world.get(other).json["timeRemaining"] == 20 * MINUTE


# --- the sweep's appointment and leases


def due(world: World, session_id: str) -> tuple[int, int, int]:
    """Lease, appointment and expiry; the moments in minutes since the start."""
    item = world.item(session_id)
    moments = (int(item[name]["N"]) - START_MS for name in ("dueAt", "expiresAt"))
    return (int(item["lease"]["N"]), *(moment // MINUTE for moment in moments))  # type: ignore[return-value]


@pytest.mark.parametrize(
    "sent, expected",
    [
        ({"timeoutMinutes": 40}, (2, 35, 40)),
        ({"timeoutMinutes": 20}, (2, 15, 20)),
        ({"warningThresholdMinutes": 10}, (1, 20, 30)),
        ({"timeoutMinutes": 40, "warningThresholdMinutes": 1}, (2, 39, 40)),
        ({"maxDurationMinutes": 60}, (1, 25, 30)),
        ({"autoRenew": False}, (1, 25, 30)),
    ],
)
def test_a_patch_makes_a_new_appointment_and_a_new_lease_where_the_expiry_moved(
    world: World, sent: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    session_id = world.new()["sessionId"]
    assert due(world, session_id) == (1, 25, 30)
    world.patch(session_id, sent)
    assert due(world, session_id) == expected


@pytest.mark.parametrize(
    "sent, expected",
    [
        ({"timeoutMinutes": 40}, (2, 35, 40)),
        ({"warningThresholdMinutes": 10}, (1, 30, 30)),
        ({"warningThresholdMinutes": 1}, (1, 30, 30)),
        ({"autoRenew": False}, (1, 30, 30)),
        ({"maxDurationMinutes": 60}, (1, 30, 30)),
    ],
)
def test_a_lease_that_was_warned_stays_warned_unless_the_expiry_moved(
    world: World, sent: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    session_id = world.new()["sessionId"]
    world.warn(session_id)
    world.patch(session_id, sent)
    assert due(world, session_id) == expected


# --- races


def test_a_patch_that_lost_a_race_starts_over_from_what_it_met(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.clock.advance(minutes=10)
    world.dynamo.add_hook(faults.Meanwhile("update_item", "before", lambda: world.heartbeat(session_id)))
    patched = world.patch(session_id, {"timeoutMinutes": 20}).json
    assert patched["expiresAt"] == at(START_MS + 30 * MINUTE)
    assert patched["renewalCount"] == 1


def test_two_patches_at_once_are_both_kept(world: World) -> None:
    session_id = world.new()["sessionId"]
    rival = faults.Meanwhile("update_item", "before", lambda: world.patch(session_id, {"autoRenew": False}))
    world.dynamo.add_hook(rival)
    config = world.patch(session_id, {"warningThresholdMinutes": 9}).json["timeoutConfig"]
    assert (config["autoRenew"], config["warningThresholdMinutes"]) == (False, 9)


def test_a_patch_that_became_a_conflict_in_a_race_is_refused(world: World) -> None:
    session_id = world.new()["sessionId"]
    rival = faults.Meanwhile("update_item", "before", lambda: world.patch(session_id, {"timeoutMinutes": 60}))
    world.dynamo.add_hook(rival)
    answer = world.patch(session_id, {"maxDurationMinutes": 59})
    assert answer.fields == ["maxDurationMinutes"]
    assert "60" in answer.fault("maxDurationMinutes")["message"]


def test_an_expiry_in_between_wins(world: World) -> None:
    session_id = world.new()["sessionId"]
    wait = faults.Meanwhile("get_item", "before", lambda: world.clock.advance(minutes=30))
    world.dynamo.add_hook(wait)
    assert world.patch(session_id, {"timeoutMinutes": 60}).code == "SESSION_EXPIRED"
