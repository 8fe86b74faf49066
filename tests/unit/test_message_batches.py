"""Several messages in one request: all are stored or none, numbered in a row (docs/contract.md, Post a batch)."""

import json
from typing import Any

import pytest
from agent_sessions.messages.ids import message_id
from agent_sessions.sessions.model import life_of

from tests.engines.faults import Kill, Killed, Meanwhile, connection_lost, fail
from tests.unit.world import AGENT, MESSAGES, USER, World, at

TALK: list[dict[str, Any]] = [
    {"content": "Where is it?"},
    {"content": "", "role": "tool", "parts": [{"type": "result"}]},
    {"content": "Shipped.", "role": "agent"},
]
KEY = {"idempotency-key": "k"}
NO_KEY: dict[str, str] = {}
BOTH = pytest.mark.parametrize("headers", [NO_KEY, KEY], ids=["no key", "key"])
WHEN = pytest.mark.parametrize("when", ["before", "after"])


def post(world: World, session_id: str, messages: Any = TALK, **headers: str) -> Any:
    return world.post_batch(session_id, messages, headers={name.replace("_", "-"): v for name, v in headers.items()})


def read(world: World, session_id: str) -> Any:
    return world.messages(session_id, afterSequence=0).json


def numbers(answer: Any) -> list[int]:
    return [message["sequence"] for message in answer.json["messages"]]


def test_the_messages_come_back_in_order_with_consecutive_numbers_and_a_millisecond_each(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.say(session_id)
    world.clock.advance(1_000)
    answer = world.post_batch(session_id, TALK, headers=NO_KEY)
    assert answer.status == 201
    found = answer.json["messages"]
    assert numbers(answer) == [2, 3, 4]
    assert [message["createdAt"] for message in found] == [at(world.clock.now_ms() + n) for n in range(3)]
    assert [(m["content"], m["role"], m["authorId"]) for m in found] == [
        ("Where is it?", "user", USER), ("", "tool", AGENT), ("Shipped.", "agent", AGENT),
    ]  # fmt: skip
    assert answer.json["sessionStatus"]["lastSequence"] == 4
    assert answer.json["data"] == {name: value for name, value in answer.json.items() if name != "data"}
    assert read(world, session_id)["messages"][1:] == found
    assert world.get(session_id).json["lastMessageAt"] == found[-1]["createdAt"]


def test_what_follows_at_once_comes_later_still(world: World) -> None:
    """A batch of 25 reaches 24 ms ahead; the next message, and the next batch, come after that."""
    session_id = world.new()["sessionId"]
    for send in (lambda: post(world, session_id, TALK[:1] * 25), lambda: world.say(session_id)) * 2:
        assert send().status == 201
    messages = world.messages(session_id, afterSequence=0, limit=100).json["messages"]
    times = [message["createdAt"] for message in messages]
    assert len(messages) == 52
    assert times == sorted(set(times))


@pytest.mark.parametrize(
    "roles, renewed, awaiting",
    [
        ("user agent", 1, False), ("agent user", 1, True), ("user tool system", 1, True), ("agent", 0, False),
        ("tool system", 0, None), ("user", 1, True),
    ],
)  # fmt: skip
def test_a_users_message_renews_once_and_the_last_speaker_decides_whether_a_reply_is_awaited(
    world: World, roles: str, renewed: int, *, awaiting: bool | None
) -> None:
    for before in ("user", "agent"):
        session_id = world.new()["sessionId"]
        world.say(session_id, role=before)
        was = world.get(session_id).json
        world.clock.advance(60_000)
        answer = post(world, session_id, [{"content": "x", "role": role} for role in roles.split()])
        assert answer.json["sessionStatus"]["wasRenewed"] == bool(renewed)
        session = world.get(session_id).json
        assert session["renewalCount"] == was["renewalCount"] + renewed
        assert session["awaitingReply"] == (was["awaitingReply"] if awaiting is None else awaiting)


def test_a_wait_begins_after_the_last_question_of_a_batch(world: World) -> None:
    session_id = world.new()["sessionId"]
    post(world, session_id, [{"content": "Q"}, {"content": "note", "role": "system"}])
    item = world.item(session_id)
    assert (item["openSeq"], item["lastSeq"]) == ({"N": "1"}, {"N": "2"})


def test_a_repeat_under_a_key_returns_the_same_messages_and_another_request_is_refused(world: World) -> None:
    session_id = world.new()["sessionId"]
    first = post(world, session_id, **KEY)
    with world.counted() as calls:
        again = post(world, session_id, **KEY)
    assert (first.status, again.status) == (201, 200)
    assert again.json["messages"] == first.json["messages"]
    assert again.json["sessionStatus"]["wasRenewed"] is False
    assert calls == {"get_item": 2, "query": 1}
    for other in (TALK[:2], [*TALK[:2], {"content": "No.", "role": "agent"}], TALK[::-1], [*TALK, *TALK]):
        answer = post(world, session_id, other, **KEY)
        assert (answer.status, answer.json["error"]["details"]) == (422, {"differing": ["messages"]})
    assert world.say(session_id, headers=KEY).status == 422
    world.say(session_id, headers={"idempotency-key": "single"})
    assert post(world, session_id, TALK[:1], idempotency_key="single").status == 422
    assert len(read(world, session_id)["messages"]) == 4


def test_one_number_is_expected_of_the_whole_batch_and_a_used_key_wins_over_it(world: World) -> None:
    session_id = world.new()["sessionId"]
    assert post(world, session_id, if_match='"0"', **KEY).status == 201
    stale = post(world, session_id, if_match='"0"')
    assert (stale.status, stale.json["error"]["details"]) == (412, {"lastSequence": 3})
    assert post(world, session_id, if_match='"0"', **KEY).status == 200
    world.clock.advance(10)
    assert numbers(post(world, session_id, if_match='"3"')) == [4, 5, 6]


@pytest.mark.parametrize("limit, statuses", [(2, (429,)), (3, (201, 429)), (5, (201, 429))])
def test_a_batch_fits_into_the_session_whole_or_not_at_all(world: World, limit: int, statuses: tuple[int, ...]) -> None:
    world.restart(MESSAGES_PER_SESSION=str(limit))
    session_id = world.new()["sessionId"]
    for status in statuses:
        assert post(world, session_id).status == status
        world.clock.advance(1_000)
    assert len(read(world, session_id)["messages"]) == 3 * statuses.count(201)


def test_an_earlier_message_can_be_answered_and_none_of_the_batch_itself(world: World) -> None:
    session_id = world.new()["sessionId"]
    question = world.say(session_id).json["message"]["id"]
    world.clock.advance(10)
    answer = post(world, session_id, [{"content": "x"}, {"content": "A", "role": "agent", "inReplyTo": question}])
    assert [message["inReplyTo"] for message in answer.json["messages"]] == [None, question]
    strange = world.say(world.new()["sessionId"]).json["message"]["id"]
    refused = post(world, session_id, [{"content": "x", "inReplyTo": each} for each in ("no", question, strange)])
    fields = [field["field"] for field in refused.json["error"]["details"]["fields"]]
    assert (refused.status, fields) == (400, ["messages[0].inReplyTo", "messages[2].inReplyTo"])


def test_a_message_of_an_earlier_life_or_of_a_number_to_come_cannot_be_answered(world: World) -> None:
    def new() -> str:
        return str(world.post({"agentId": AGENT, "userId": USER}, key="again").json["sessionId"])

    session_id = new()
    earlier = world.say(session_id).json["message"]["id"]
    world.delete(session_id)
    assert new() == session_id
    world.say(session_id)
    attempt = world.item(session_id)["attempt"]["B"]
    for reference in (earlier, message_id(session_id, attempt, 2)):
        answer = post(world, session_id, [{"content": "A", "role": "agent", "inReplyTo": reference}])
        assert (answer.status, answer.fields) == (400, ["messages[0].inReplyTo"])
    assert len(read(world, session_id)["messages"]) == 1


def test_a_batch_whose_key_is_used_meanwhile_is_answered_with_what_was_stored(world: World) -> None:
    session_id = world.new()["sessionId"]
    first: list[Any] = []
    world.dynamo.add_hook(
        Meanwhile("update_item", "before", lambda: first.append(post(world, session_id, if_match='"0"', **KEY)))
    )
    second = post(world, session_id, if_match='"0"', **KEY)
    assert (first[0].status, second.status) == (201, 200)
    assert second.json["messages"] == first[0].json["messages"]


def test_everything_at_fault_is_named_with_its_place(world: World) -> None:
    session_id = world.new()["sessionId"]
    bad = [
        {"content": "x", "transport": "http"}, "text", {"content": "x" * 4_001}, {}, {"content": "x", "role": "king"},
        {"content": "x" * 32_000, "role": "agent"}, {"content": "x", "attachments": [{}], "metadata": []},
    ]  # fmt: skip
    answer = post(world, session_id, bad, idempotency_key="", if_match="3")
    assert answer.status == 400
    assert [field["field"] for field in answer.json["error"]["details"]["fields"]] == [
        "Idempotency-Key", "If-Match", "messages[0].transport", "messages[1]", "messages[2].content",
        "messages[3].content", "messages[4].role", "messages[6].attachments", "messages[6].metadata",
    ]  # fmt: skip
    assert read(world, session_id)["lastSequence"] == 0


@pytest.mark.parametrize("messages", [[], TALK[:1] * 26, {}, "x", None, 1])
def test_a_batch_is_a_list_of_1_to_25(world: World, messages: Any) -> None:
    session_id = world.new()["sessionId"]
    answer = world.post_batch(session_id, body={"messages": messages}, headers=NO_KEY)
    assert (answer.status, answer.json["error"]["details"]["fields"][0]["field"]) == (400, "messages")


def test_a_body_of_a_megabyte_is_taken_and_comes_back_within_lambdas_bound(world: World) -> None:
    """Quotes weigh most: two bytes on the wire, and four in Lambda's answer, which has each message twice."""
    session_id = world.new()["sessionId"]
    body = {"messages": [{"content": '"' * 20_800, "role": "agent"}] * 25}
    assert 1_000_000 < len(json.dumps(body, separators=(",", ":"))) <= 1_048_576
    answer = world.post_batch(session_id, body=body, headers=NO_KEY)
    assert answer.status == 201
    assert len(json.dumps(answer.text)) < 6_000_000
    body["messages"][0]["content"] += '"' * 4_400
    assert world.post_batch(session_id, body=body, headers=NO_KEY).status == 413


# --- what goes wrong on the way


@BOTH
@WHEN
@pytest.mark.parametrize("call", ["update_item", "transact_write_items"])
@pytest.mark.parametrize("later_ms", [0, 60_000])
def test_all_or_nothing_is_left_of_a_writer_that_dies_and_a_repeat_stores_all_once(
    world: World, call: str, when: Any, headers: dict[str, str], later_ms: int
) -> None:
    session_id = world.new()["sessionId"]
    dying = world.dynamo.add_hook(Kill(0, when, call))
    with pytest.raises(Killed):
        world.post_batch(session_id, TALK, headers=headers)
    world.dynamo.remove_hook(dying)
    world.clock.advance(later_ms)
    stored = call == "transact_write_items" and when == "after"
    assert len(read(world, session_id)["messages"]) == (3 if stored else 0)
    world.clock.advance(1_000)
    repeat = world.post_batch(session_id, TALK, headers=headers)
    assert repeat.status == (200 if stored and headers else 201)
    world.clock.advance(3_100)
    page = read(world, session_id)
    assert [m["content"] for m in page["messages"]][-3:] == [m["content"] for m in TALK]
    assert len(page["messages"]) == (6 if stored and not headers else 3)
    assert sorted([*page["skipped"], *(m["sequence"] for m in page["messages"])]) == [
        *range(1, page["lastSequence"] + 1)
    ]


@BOTH
@WHEN
def test_an_answer_that_is_lost_once_changes_nothing(world: World, when: Any, headers: dict[str, str]) -> None:
    session_id = world.new()["sessionId"]
    world.dynamo.add_hook(connection_lost("transact_write_items", when, times=1))
    answer = world.post_batch(session_id, TALK, headers=headers)
    assert (answer.status, numbers(answer)) == (201, [1, 2, 3])
    assert read(world, session_id)["messages"] == answer.json["messages"]


@BOTH
def test_numbers_of_which_a_reader_sealed_one_are_left_for_others_without_a_second_renewal(
    world: World, headers: dict[str, str]
) -> None:
    session_id = world.new()["sessionId"]

    def seal_the_middle() -> None:
        life = life_of(session_id, world.item(session_id)["attempt"]["B"])
        item = {"life": {"S": life}, "seq": {"N": "2"}, "sealed": {"BOOL": True}, "purgeAt": {"N": "1"}}
        world.dynamo.put_item(TableName=MESSAGES, Item=item)

    world.dynamo.add_hook(Meanwhile("transact_write_items", "before", seal_the_middle))
    answer = world.post_batch(session_id, TALK, headers=headers)
    assert (answer.status, numbers(answer)) == (201, [4, 5, 6])
    page = read(world, session_id)
    assert (page["skipped"], page["messages"]) == ([1, 2, 3], answer.json["messages"])
    assert world.get(session_id).json["renewalCount"] == 1
    assert answer.json["sessionStatus"]["wasRenewed"] is True
    assert world.post_batch(session_id, TALK, headers=headers).status == (200 if headers else 201)


def test_a_late_batch_seals_its_numbers_and_a_writer_who_must_be_next_is_refused_then(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.dynamo.add_hook(Meanwhile("update_item", "after", lambda: world.clock.advance(10_001)))
    assert post(world, session_id, if_match='"0"').status == 503
    page = read(world, session_id)
    assert (page["messages"], page["skipped"]) == ([], [1, 2, 3])

    def slow() -> None:
        world.clock.advance(4_000)
        assert read(world, session_id)["skipped"] == [1, 2, 3, 4, 5, 6]

    world.dynamo.add_hook(Meanwhile("transact_write_items", "before", slow))
    stale = post(world, session_id, if_match='"3"')
    assert (stale.status, stale.json["error"]["details"]) == (412, {"lastSequence": 6})


def test_callers_who_share_a_key_store_one_batch(world: World) -> None:
    session_id = world.new()["sessionId"]
    others: list[Any] = []
    hook = Meanwhile("transact_write_items", "before", lambda: others.append(post(world, session_id, **KEY)))
    world.dynamo.add_hook(hook)
    answer = post(world, session_id, **KEY)
    assert (answer.status, others[0].status) == (200, 201)
    assert answer.json["messages"] == others[0].json["messages"]
    page = read(world, session_id)
    assert (page["messages"], page["skipped"], page["lastSequence"]) == (answer.json["messages"], [1, 2, 3], 6)


def test_a_store_that_goes_on_refusing_is_a_503(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.dynamo.add_hook(fail("transact_write_items", "TransactionInProgressException"))
    assert post(world, session_id, **KEY).status == 503
