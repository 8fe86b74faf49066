"""PATCH /{id}/timeout: merging, checking and the arithmetic (docs/contract.md, Time)."""

from typing import Any

import pytest

from tests.engines import faults
from tests.unit.world import MINUTE, World

SETTINGS = ["timeoutMinutes", "autoRenew", "maxDurationMinutes", "warningThresholdMinutes"]


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


@pytest.mark.parametrize(
    "sent, refusal",
    [
        ({"timeoutMinutes": 60}, None),
        ({"timeoutMinutes": 61}, "must be at most the session's maxDurationMinutes of 60"),
        ({"timeoutMinutes": 61, "maxDurationMinutes": 61}, None),
        ({"timeoutMinutes": 10}, None),
        ({"timeoutMinutes": 9}, "must be at least the session's warningThresholdMinutes of 10"),
        ({"timeoutMinutes": 9, "warningThresholdMinutes": 9}, None),
    ],
)
def test_a_timeout_fits_the_settings_that_the_session_keeps(
    world: World, sent: dict[str, Any], refusal: str | None
) -> None:
    kept: dict[str, Any] = {"timeoutMinutes": 30, "maxDurationMinutes": 60, "warningThresholdMinutes": 10}
    answer = world.patch(world.new(**kept)["sessionId"], sent)
    if refusal is None:
        assert answer.json["timeoutConfig"] == kept | sent | {"autoRenew": True}
    else:
        assert (answer.status, answer.fields) == (400, ["timeoutMinutes"])
        assert refusal in answer.fault("timeoutMinutes")["message"]


@pytest.mark.parametrize("field", SETTINGS)
@pytest.mark.parametrize("text", ["null", '"30"', "[]", "{}", "1e999", "1" * 1001])
def test_a_setting_of_the_wrong_type_is_named_without_a_prefix(world: World, field: str, text: str) -> None:
    session = world.new()
    answer = world.patch(session["sessionId"], raw=f'{{"{field}":{text}}}')
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == [field]
    assert world.get(session["sessionId"]).json == session


def test_a_conflict_with_a_kept_field_hides_no_conflict_among_the_fields_sent(world: World) -> None:
    session_id = world.new(maxDurationMinutes=45)["sessionId"]
    answer = world.patch(session_id, {"timeoutMinutes": 60, "warningThresholdMinutes": 61})
    assert answer.fields == ["timeoutMinutes", "warningThresholdMinutes"]


def test_to_the_millisecond_a_patch_may_leave_one_and_not_none(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.clock.advance(10 * MINUTE - 1)
    assert world.patch(session_id, {"timeoutMinutes": 10}).json["timeRemaining"] == 1
    other = world.new()["sessionId"]
    world.clock.advance(10 * MINUTE)
    assert world.patch(other, {"timeoutMinutes": 10}).status == 400
    assert world.get(other).json["timeRemaining"] == 20 * MINUTE


# --- races


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
