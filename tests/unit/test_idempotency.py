"""The Idempotency-Key of POST / (docs/contract.md, Create a session)."""

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.engines import faults
from tests.unit.world import AGENT, MINUTE, TABLE, USER, World

UUID_V4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
RETENTION = 1440 * MINUTE


def test_the_same_key_and_request_give_the_same_session(world: World) -> None:
    first = world.call("create-idempotent")
    again = world.call("create-idempotent")
    assert (first.status, again.status) == (201, 200)
    assert again.json == first.json
    assert len(list(world.dynamo.items(TABLE))) == 1


def test_a_repeat_shows_the_session_as_it_is_now(world: World) -> None:
    session_id = world.create(key="k").json["sessionId"]
    world.clock.advance(minutes=10)
    beaten = world.heartbeat(session_id).json
    world.clock.advance(minutes=1)
    patched = world.patch(session_id, {"timeoutMinutes": 60}).json
    again = world.create(key="k")
    assert again.status == 200
    assert again.json == patched
    assert again.json["lastActivity"] == beaten["lastActivity"]
    assert again.json["renewalCount"] == 1


def test_a_repeat_is_no_activity(world: World) -> None:
    first = world.create(key="k").json
    world.clock.advance(minutes=10)
    again = world.create(key="k").json
    assert again["lastActivity"] == first["lastActivity"]
    assert again["expiresAt"] == first["expiresAt"]
    assert again["timeRemaining"] == 20 * MINUTE


def test_a_repeat_is_compared_with_the_request_and_not_with_the_session_as_patched(world: World) -> None:
    session_id = world.create(key="k", timeoutConfig={"timeoutMinutes": 10}).json["sessionId"]
    world.patch(session_id, {"timeoutMinutes": 20})
    assert world.create(key="k", timeoutConfig={"timeoutMinutes": 10}).status == 200
    assert world.create(key="k", timeoutConfig={"timeoutMinutes": 20}).code == "IDEMPOTENCY_KEY_REUSED"


@pytest.mark.parametrize(
    "changed",
    [
        {"agentId": USER},
        {"userId": AGENT},
        {"metadata": {"a": 2}},
        {"metadata": {"a": 1, "b": None}},
        {"metadata": {"a": 1.5}},
        {"metadata": {"a": "1"}},
        {"metadata": {"a": True}},
        {"metadata": {"a": [1]}},
        {"metadata": {}},
        {"timeoutConfig": {"timeoutMinutes": 31}},
        {"timeoutConfig": {"timeoutMinutes": 30, "autoRenew": False}},
        {"timeoutConfig": {"maxDurationMinutes": 60}},
    ],
    ids=repr,
)
def test_the_same_key_with_a_different_request_is_refused(world: World, changed: dict[str, Any]) -> None:
    sent: dict[str, Any] = {"metadata": {"a": 1}, "timeoutConfig": {"timeoutMinutes": 30}}
    first = world.create(key="k", **sent)
    answer = world.create(key="k", **(sent | changed))
    assert answer.code == "IDEMPOTENCY_KEY_REUSED"
    assert world.get(first.json["sessionId"]).json == first.json


@pytest.mark.parametrize(
    "changed",
    [
        {"agentId": USER},
        {"userId": AGENT},
        {"metadata": {"a": 2}},
        {"timeoutConfig": {"timeoutMinutes": 31}},
        {"agentId": USER, "timeoutConfig": None},
        {"agentId": USER, "userId": AGENT, "metadata": None, "timeoutConfig": {"autoRenew": True}},
    ],
    ids=repr,
)
def test_a_refusal_names_what_differs_and_nothing_else(world: World, changed: dict[str, Any]) -> None:
    sent: dict[str, Any] = {"metadata": {"a": 1}, "timeoutConfig": {"timeoutMinutes": 30}}
    world.create(key="k", **sent)
    answer = world.create(key="k", **(sent | changed))
    assert answer.details == {"differing": list(changed)}
    assert all(name in answer.json["error"]["message"] for name in changed)


def test_the_case_of_agent_and_user_makes_no_different_request(world: World) -> None:
    first = world.create(key="k")
    again = world.create(key="k", agentId=AGENT.upper(), userId=USER.upper())
    assert again.status == 200
    assert again.json == first.json


@pytest.mark.parametrize("field", ["metadata", "timeoutConfig"])
@pytest.mark.parametrize("empty", [None, {}])
def test_null_empty_and_omitted_are_one_request(world: World, field: str, empty: Any) -> None:
    world.create(key="k")
    assert world.create(key="k", **{field: empty}).status == 200


def test_what_stands_for_a_request_takes_no_more_room_than_one_hash(world: World) -> None:
    session_id = world.create(key="k", metadata={"a": 1}).json["sessionId"]
    assert len(world.item(session_id)["requestHash"]["B"]) == 32


def test_a_session_made_before_its_parts_were_hashed_differs_in_all_of_them(world: World) -> None:
    session_id = world.create(key="k").json["sessionId"]
    item = world.item(session_id) | {"requestHash": {"B": bytes(range(32))}}
    world.dynamo.put_item(TableName=TABLE, Item=item)
    answer = world.create(key="k")
    assert answer.details == {"differing": ["agentId", "userId", "metadata", "timeoutConfig"]}


def test_the_order_of_keys_makes_no_different_request(world: World) -> None:
    first = world.post_raw(
        f'{{"agentId":"{AGENT}","userId":"{USER}","metadata":{{"a":{{"x":1,"y":2}},"b":[1,2]}}}}',
        headers={"idempotency-key": "k"},
    )
    again = world.post_raw(
        f'{{ "metadata": {{"b":[1,2], "a":{{"y":2,"x":1}} }}, "userId":"{USER}","agentId":"{AGENT}"}}',
        headers={"idempotency-key": "k"},
    )
    assert (first.status, again.status) == (201, 200)
    assert again.text == first.text


def test_the_order_in_a_list_makes_a_different_request(world: World) -> None:
    world.create(key="k", metadata={"a": [1, 2]})
    assert world.create(key="k", metadata={"a": [2, 1]}).code == "IDEMPOTENCY_KEY_REUSED"


def test_unknown_fields_make_no_different_request(world: World) -> None:
    world.create(key="k")
    assert world.create(key="k", unknown=1).status == 200


def test_a_key_belongs_to_its_tenant(world: World) -> None:
    ours = world.create(key="k")
    theirs = world.create(key="k", tenant="globex", metadata={"other": True})
    assert (ours.status, theirs.status) == (201, 201)
    assert ours.json["sessionId"] != theirs.json["sessionId"]


def test_tenant_and_key_are_not_just_strung_together(world: World) -> None:
    one = world.create(tenant="a", key="bc")
    other = world.create(tenant="ab", key="c")
    colons = world.create(tenant="a:b", key="c"), world.create(tenant="a", key="b:c")
    ids = {answer.json["sessionId"] for answer in (one, other, *colons)}
    assert len(ids) == 4


def test_without_a_key_the_same_request_makes_two_sessions(world: World) -> None:
    assert world.create().json["sessionId"] != world.create().json["sessionId"]


def test_keys_count_in_their_case(world: World) -> None:
    assert world.create(key="Key").json["sessionId"] != world.create(key="key").json["sessionId"]


@given(key=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255))
@example(key="!" * 255)
@example(key="~")
def test_every_key_of_visible_ascii_gives_the_form_of_a_uuid_v4_and_always_the_same(key: str) -> None:
    first = World().create(key=key)
    world = World()
    elsewhere = world.create(key=key)
    assert first.status == 201
    assert UUID_V4.fullmatch(first.json["sessionId"])
    assert elsewhere.json["sessionId"] == first.json["sessionId"]
    assert world.create(key=key).status == 200


@pytest.mark.parametrize("key", ["", " ", "a b", "\t", "a\n", "é", "\x7f", "\x1f", "x" * 256, "\ud800"], ids=ascii)
def test_any_other_key_is_refused(world: World, key: str) -> None:
    answer = world.create(key=key)
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == ["Idempotency-Key"]
    assert not list(world.dynamo.items(TABLE))


# --- as long as the session's record exists


def test_a_repeat_of_an_expired_session_is_gone(world: World) -> None:
    first = world.create(key="k").json
    world.clock.advance(minutes=30)
    answer = world.create(key="k")
    assert answer.code == "SESSION_EXPIRED"
    assert answer.details == {
        "expiresAt": first["expiresAt"],
        "reason": "idle_timeout",
        "sessionId": first["sessionId"],
    }
    assert "Idempotency-Key" in answer.json["error"]["message"]
    assert "Idempotency-Key" not in world.get(first["sessionId"]).json["error"]["message"]


def test_a_different_request_is_refused_after_the_expiry_too(world: World) -> None:
    world.create(key="k")
    world.clock.advance(minutes=31)
    assert world.create(key="k", metadata={"a": 1}).code == "IDEMPOTENCY_KEY_REUSED"


def test_a_repeat_is_gone_until_the_retention_is_over_and_then_makes_a_new_session(world: World) -> None:
    first = world.create(key="k").json
    world.clock.advance(30 * MINUTE + RETENTION - 1)
    assert world.create(key="k").status == 410
    world.clock.advance(1)
    anew = world.create(key="k")
    assert anew.status == 201
    assert anew.json["sessionId"] == first["sessionId"]
    assert anew.json["createdAt"] > first["createdAt"]
    assert world.get(first["sessionId"]).status == 200
    assert world.create(key="k").json == anew.json


def test_after_the_retention_a_different_request_makes_a_new_session_as_well(world: World) -> None:
    world.create(key="k", metadata={"first": True})
    world.clock.advance(30 * MINUTE + RETENTION)
    anew = world.create(key="k", metadata={"second": True})
    assert anew.status == 201
    assert anew.json["metadata"] == {"second": True}


def test_delete_forgets_the_key_with_the_session(world: World) -> None:
    first = world.create(key="k").json
    world.delete(first["sessionId"])
    anew = world.create(key="k", metadata={"other": "request"})
    assert anew.status == 201
    assert anew.json["renewalCount"] == 0


def test_a_renewed_session_keeps_its_key_past_its_first_expiry(world: World) -> None:
    first = world.create(key="k").json
    world.clock.advance(minutes=20)
    world.heartbeat(first["sessionId"])
    world.clock.advance(minutes=20)
    assert world.create(key="k").status == 200


# --- calls


def test_create_and_repeat_are_one_write_each_and_no_more(world: World) -> None:
    for _ in range(2):
        with world.counted() as calls:
            world.create(key="k")
        assert calls == {"put_item": 1}


def test_a_create_whose_answer_was_lost_and_that_the_sdk_repeats_is_still_a_create(world: World) -> None:
    class Repeat(faults.Hook):
        """Does the call once before it is done: what the SDK's own retry looks like to the table."""

        done = False

        def before(self, call: str, request: Any) -> None:
            if call == "put_item" and not self.done:
                self.done = True
                world.dynamo.put_item(**request)

    world.dynamo.add_hook(Repeat())
    answer = world.create(key="k")
    assert answer.status == 201
    assert world.get(answer.json["sessionId"]).json == answer.json
    assert len(list(world.dynamo.items(TABLE))) == 1


def test_a_rival_with_the_same_key_in_the_same_millisecond_is_a_repeat(world: World) -> None:
    rivals = []
    world.dynamo.add_hook(faults.Meanwhile("put_item", "before", lambda: rivals.append(world.create(key="k"))))
    ours = world.create(key="k")
    assert rivals[0].status == 201
    assert ours.status == 200
    assert ours.json == rivals[0].json
