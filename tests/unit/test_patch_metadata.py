"""PATCH /{id}: a JSON Merge Patch of the metadata (docs/contract.md, Change the metadata)."""

import json
from typing import Any

import pytest

from tests.engines import faults
from tests.unit.test_metadata import compact, metadata_text, nested, sized
from tests.unit.world import AGENT, USER, Answer, World

LIMIT = 10_240


def with_metadata(world: World, text: str) -> str:
    """The id of a new session whose metadata is just this text."""
    answer = world.post_raw(f'{{"agentId":"{AGENT}","userId":"{USER}","metadata":{text}}}')
    assert answer.status == 201, answer.text
    return str(answer.json["sessionId"])


def patch(world: World, session_id: str, text: str, **changes: Any) -> Answer:
    """Patch with metadata written just like this."""
    return world.patch_metadata(session_id, raw=f'{{"metadata":{text}}}', **changes)


@pytest.mark.parametrize(
    "original, sent, result",
    [
        ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
        ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
        ('{"a":"b"}', '{"a":null}', "{}"),
        ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
        ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
        ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
        ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
        ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
        ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
        ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
        # from here on ours
        ('{"z":1,"a":{"y":2,"b":3}}', '{"a":{"b":4,"c":5},"b":[null,{"d":null}]}',
         '{"z":1,"a":{"y":2,"b":4,"c":5},"b":[null,{"d":null}]}'),
        ('{"z":1,"a":2}', '{"z":9007199254740993}', '{"z":9007199254740993,"a":2}'),
        (f'{{"n":{"7" * 1000},"x":1.5}}', '{"x":-0.0}', f'{{"n":{"7" * 1000},"x":-0.0}}'),
        ('{"a":"\\u00fc"}', '{"b":"\\u2028😀"}', '{"a":"ü","b":"\u2028😀"}'),
    ],
)  # fmt: skip
def test_a_patch_merges_as_rfc_7396_says_and_keeps_order_and_numbers(
    world: World, original: str, sent: str, result: str
) -> None:
    session_id = with_metadata(world, original)
    answer = patch(world, session_id, sent)
    assert answer.status == 200
    assert metadata_text(answer) == result
    assert metadata_text(world.get(session_id)) == result


def test_a_patch_is_no_activity_and_starts_no_lease(world: World) -> None:
    before = world.create(metadata={"a": 1}).json
    world.clock.advance(minutes=10)
    after = world.patch_metadata(before["sessionId"], {"a": 2}).json
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"metadata", "metadataVersion", "timeRemaining"}


@pytest.mark.parametrize("sent", ["{}", '{"unknown":null}', '{"a":{"b":1}}'])
def test_a_patch_that_changes_nothing_writes_nothing(world: World, sent: str) -> None:
    session_id = with_metadata(world, '{"a":{"b":1}}')
    before = world.item(session_id)
    answer = patch(world, session_id, sent)
    assert (answer.status, answer.json) == (200, world.get(session_id).json)
    assert world.item(session_id) == before


@pytest.mark.parametrize("body, field", [({}, "body"), ({"meta": {}}, "body"), ({"metadata": None}, "metadata")])
def test_a_body_without_a_patch_is_refused(world: World, body: dict[str, Any], field: str) -> None:
    session = world.create(metadata={"a": 1}).json
    answer = world.patch_metadata(session["sessionId"], raw=json.dumps(body))
    assert (answer.code, answer.fields) == ("VALIDATION_ERROR", [field])
    assert world.get(session["sessionId"]).json == session


@pytest.mark.parametrize("sent", ["[]", '"x"', "1", "true", '{"n":1e400}', f'{{"n":[{"1" * 1001}]}}', '{"a":"\\ud800"}',
                                  nested(101, "objects"), nested(101, "arrays"), nested(500, "objects"),
                                  '{"a":' * 100 + '{"b":null}' + "}" * 100])  # fmt: skip
def test_what_metadata_may_not_hold_a_patch_may_not_bring(world: World, sent: str) -> None:
    session_id = with_metadata(world, '{"kept":1}')
    answer = patch(world, session_id, sent)
    assert (answer.code, answer.fields) == ("VALIDATION_ERROR", ["metadata"])
    assert metadata_text(world.get(session_id)) == '{"kept":1}'


def test_a_hundred_levels_may_come_by_a_patch(world: World) -> None:
    session_id = with_metadata(world, "{}")
    assert metadata_text(patch(world, session_id, nested(100, "objects"))) == nested(100, "objects")


def test_the_size_that_counts_is_the_results(world: World) -> None:
    session_id = with_metadata(world, sized(LIMIT - 6, "é"))  # `,"b":1` has six bytes
    full = patch(world, session_id, '{"b":1}')
    assert len(metadata_text(full).encode()) == LIMIT
    refused = patch(world, session_id, '{"b":12}')
    assert refused.fields == ["metadata"]
    assert "10240" in refused.fault("metadata")["message"]
    whole = patch(world, session_id, '{"a":"x","b":' + compact("y" * (LIMIT - 16)) + "}")
    assert len(metadata_text(whole).encode()) == LIMIT, "what goes makes room for what comes"


def test_a_session_that_is_gone_wins_over_whatever_is_wrong_with_the_patch(world: World) -> None:
    session_id = with_metadata(world, "{}")
    world.clock.advance(minutes=30)
    answer = world.patch_metadata(session_id, raw="{", headers={"if-match": "x"})
    assert answer.code == "SESSION_EXPIRED"


# --- If-Match ---------------------------------------------------------------------------------------------------------


def test_a_patch_under_the_present_version_is_taken_and_gives_the_next(world: World) -> None:
    session = world.create(metadata={"a": 1}).json
    answer = world.patch_metadata(
        session["sessionId"], {"a": 2}, headers={"If-Match": f'"{session["metadataVersion"]}"'}
    )
    assert answer.json["metadata"] == {"a": 2}
    late = world.patch_metadata(session["sessionId"], {"a": 3}, headers={"if-match": f'"{session["metadataVersion"]}"'})
    assert late.code == "PRECONDITION_FAILED"
    assert late.details == {"metadataVersion": answer.json["metadataVersion"]}
    assert world.get(session["sessionId"]).json["metadata"] == {"a": 2}


@pytest.mark.parametrize(
    "version", ["", "x", "*", "0123456789abcdef", '"0123456789ABCDEF"', '"0123456789abcde"', 'W/"0"']
)
def test_an_if_match_that_is_no_version_is_refused(world: World, version: str) -> None:
    answer = world.patch_metadata(with_metadata(world, "{}"), {"a": 1}, headers={"if-match": version})
    assert (answer.code, answer.fields) == ("VALIDATION_ERROR", ["If-Match"])


def test_a_version_that_is_overtaken_between_read_and_write_is_a_412(world: World) -> None:
    session = world.create(metadata={"a": 1}).json
    session_id = session["sessionId"]
    world.dynamo.add_hook(faults.Meanwhile("update_item", "before", lambda: world.patch_metadata(session_id, {"b": 2})))
    answer = world.patch_metadata(session_id, {"a": 3}, headers={"if-match": f'"{session["metadataVersion"]}"'})
    assert answer.code == "PRECONDITION_FAILED"
    assert world.get(session_id).json["metadata"] == {"a": 1, "b": 2}


# --- races ------------------------------------------------------------------------------------------------------------


def test_two_patches_at_once_are_both_kept(world: World) -> None:
    session_id = with_metadata(world, "{}")
    world.dynamo.add_hook(faults.Meanwhile("update_item", "before", lambda: world.patch_metadata(session_id, {"b": 2})))
    assert metadata_text(world.patch_metadata(session_id, {"a": 1})) == '{"b":2,"a":1}'


@pytest.mark.parametrize("rival", [World.heartbeat, World.renew, World.patch])
def test_a_renewal_and_a_patch_of_timeouts_meanwhile_hold_no_patch_up(world: World, rival: Any) -> None:
    session_id = with_metadata(world, "{}")
    world.dynamo.add_hook(faults.Meanwhile("update_item", "before", lambda: rival(world, session_id)))
    with world.counted() as calls:
        answer = world.patch_metadata(session_id, {"a": 1})
    assert answer.json == world.get(session_id).json
    assert answer.json["metadata"] == {"a": 1}
    assert calls["update_item"] == 2, "the rival's and ours"


def test_a_session_that_ends_between_read_and_write_is_not_patched(world: World) -> None:
    session_id = with_metadata(world, "{}")
    world.dynamo.add_hook(faults.Meanwhile("update_item", "before", lambda: world.delete(session_id)))
    assert world.patch_metadata(session_id, {"a": 1}).code == "SESSION_NOT_FOUND"
    assert world.item(session_id) is None


def test_after_five_lost_races_the_caller_is_to_try_again(world: World) -> None:
    session_id = with_metadata(world, "{}")
    numbers = iter(range(5))
    overtake = lambda: world.patch_metadata(session_id, {"n": next(numbers)})  # noqa: E731 - short, and named
    world.dynamo.add_hook(faults.Meanwhile("update_item", "before", overtake, times=5))
    with world.counted() as calls:
        answer = world.patch_metadata(session_id, {"a": 1})
    assert answer.code == "SERVICE_UNAVAILABLE"
    assert calls["update_item"] == 5 + 5, "five attempts, and five of the rivals"
    assert world.get(session_id).json["metadata"] == {"n": 4}


@pytest.mark.parametrize("under_version", [False, True])
def test_a_write_that_the_sdk_sent_twice_as_its_answer_was_lost_has_succeeded(
    world: World,
    under_version: bool,  # noqa: FBT001
) -> None:
    session = world.create(metadata={"a": 1}).json
    headers = {"if-match": f'"{session["metadataVersion"]}"'} if under_version else {}
    first_sending = lambda: world.patch_metadata(session["sessionId"], {"a": 2})  # noqa: E731 - short, and named
    world.dynamo.add_hook(faults.Meanwhile("update_item", "before", first_sending))
    answer = world.patch_metadata(session["sessionId"], {"a": 2}, headers=headers)
    assert (answer.status, answer.json["metadata"]) == (200, {"a": 2})
