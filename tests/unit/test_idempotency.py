"""The Idempotency-Key of POST / (docs/contract.md, Create a session)."""

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.engines import faults
from tests.unit.world import AGENT, TABLE, USER, World

UUID_V4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_the_same_key_and_request_give_the_same_session(world: World) -> None:
    first = world.call("create-idempotent")
    again = world.call("create-idempotent")
    assert (first.status, again.status) == (201, 200)
    assert again.json == first.json
    assert len(list(world.dynamo.items(TABLE))) == 1


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
        {"agentId": USER, "userId": AGENT, "metadata": None, "timeoutConfig": {"autoRenew": True}},
    ],
    ids=repr,
)
def test_the_same_key_with_a_different_request_is_refused(world: World, changed: dict[str, Any]) -> None:
    sent: dict[str, Any] = {"metadata": {"a": 1}, "timeoutConfig": {"timeoutMinutes": 30}}
    first = world.create(key="k", **sent)
    answer = world.create(key="k", **(sent | changed))
    assert answer.code == "IDEMPOTENCY_KEY_REUSED"
    assert answer.details == {"differing": list(changed)}
    assert all(name in answer.json["error"]["message"] for name in changed)
    assert world.get(first.json["sessionId"]).json == first.json


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


def test_tenant_and_key_are_not_just_strung_together(world: World) -> None:
    one = world.create(tenant="a", key="bc")
    other = world.create(tenant="ab", key="c")
    colons = world.create(tenant="a:b", key="c"), world.create(tenant="a", key="b:c")
    ids = {answer.json["sessionId"] for answer in (one, other, *colons)}
    assert len(ids) == 4


@settings(max_examples=30)
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


# --- calls


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
