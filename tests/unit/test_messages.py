"""What is said in a session: the append, its answers and its refusals (docs/contract.md, Messages)."""

import json
import re
from typing import Any

import pytest

from tests.engines.faults import Kill, Killed, Meanwhile, connection_lost, throttle
from tests.unit.world import AGENT, BASE, MESSAGES, MINUTE, NOWHERE, TABLE, USER, World, at

UUID8 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def keyed(key: str) -> dict[str, str]:
    return {"idempotency-key": key}


def contents(world: World, session_id: str, **query: Any) -> list[str]:
    return [message["content"] for message in world.messages(session_id, **query).json["messages"]]


def test_a_message_comes_back_whole_with_a_number_an_id_and_the_servers_time(world: World) -> None:
    session = world.new()
    world.clock.advance(1_234)
    answer = world.say(
        session["sessionId"],
        "Grüße, 世界 \U0001f600",
        metadata={"z": 1, "a": [1.5, None]},
        parts=[{"type": "text"}],
        attachments=[{"url": "https://example.com/a.png"}],
    )
    assert answer.status == 201
    message = dict(answer.json["message"])
    message_id = message.pop("id")
    assert UUID8.fullmatch(message_id)
    assert answer.headers["location"] == f"{BASE}/{session['sessionId']}/messages/{message_id}"
    assert list(message) == [
        "sequence", "sessionId", "content", "role", "isAgent", "authorId", "inReplyTo", "createdAt", "parts",
        "attachments", "metadata",
    ]  # fmt: skip
    assert message == {
        "sequence": 1,
        "sessionId": session["sessionId"],
        "content": "Grüße, 世界 \U0001f600",
        "role": "user",
        "isAgent": False,
        "authorId": USER,
        "inReplyTo": None,
        "createdAt": at(world.clock.now_ms()),
        "parts": [{"type": "text"}],
        "attachments": [{"url": "https://example.com/a.png"}],
        "metadata": {"z": 1, "a": [1.5, None]},
    }
    assert list(message["metadata"]) == ["z", "a"]
    assert "世界" in answer.text, "an answer is UTF-8, not escapes"


def test_the_answer_repeats_itself_in_data_and_has_elizaos_form_of_a_users_message(world: World) -> None:
    session_id = world.new()["sessionId"]
    body = world.say(session_id, "Hi", metadata={"k": 1}).json
    data = body.pop("data")
    assert data == body
    assert body["userMessage"] == {
        "id": body["message"]["id"],
        "channel_id": session_id,
        "message_server_id": "00000000-0000-0000-0000-000000000000",
        "author_id": USER,
        "content": "Hi",
        "created_at": world.clock.now_ms(),
        "source_type": "user",
        "raw_message": {"content": "Hi", "attachments": []},
        "metadata": {"k": 1},
        "in_reply_to_message_id": None,
        "authorId": USER,
        "createdAt": at(world.clock.now_ms()),
    }
    assert "userMessage" not in world.say(session_id, "Yes", role="agent").json


def test_a_users_message_renews_as_a_heartbeat_does_and_the_others_do_not(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.clock.advance(minutes=3)
    status = world.say(session_id).json["sessionStatus"]
    assert status == {
        "expiresAt": at(world.clock.now_ms() + 30 * MINUTE),
        "renewalCount": 1,
        "wasRenewed": True,
        "isNearExpiration": False,
        "lastSequence": 1,
    }
    for role in ("agent", "system", "tool"):
        world.clock.advance(minutes=1)
        status = world.say(session_id, role=role).json["sessionStatus"]
        assert (status["wasRenewed"], status["renewalCount"]) == (False, 1)
    assert world.get(session_id).json["lastActivity"] == at(world.clock.now_ms() - 3 * MINUTE)


@pytest.mark.parametrize("timeouts", [{"autoRenew": False}, {"maxDurationMinutes": 30}], ids=["not renewed", "capped"])
def test_where_a_heartbeat_renews_nothing_a_message_is_activity_alone(world: World, timeouts: dict[str, Any]) -> None:
    session = world.new(**timeouts)
    world.clock.advance(minutes=1)
    status = world.say(session["sessionId"]).json["sessionStatus"]
    assert (status["wasRenewed"], status["expiresAt"]) == (False, session["expiresAt"])
    assert world.get(session["sessionId"]).json["lastActivity"] == at(world.clock.now_ms())


@pytest.mark.parametrize("timeouts", [{}, {"autoRenew": False}, {"maxDurationMinutes": 35}])
def test_a_clock_behind_those_of_others_loses_neither_number_nor_renewal(
    world: World, timeouts: dict[str, Any]
) -> None:
    session_id = world.new(**timeouts)["sessionId"]
    world.clock.advance(minutes=10)
    first = world.say(session_id).json
    world.clock.advance(-40)
    for _ in range(3):
        second = world.say(session_id).json
        assert second["message"]["createdAt"] > first["message"]["createdAt"]
        assert second["sessionStatus"]["expiresAt"] >= first["sessionStatus"]["expiresAt"]
        assert second["message"]["sequence"] == first["message"]["sequence"] + 1
        first = second


def test_after_a_warning_a_users_message_moves_the_appointment_as_a_heartbeat_does(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.clock.advance(minutes=26)
    world.warn(session_id)
    assert world.say(session_id).json["sessionStatus"]["wasRenewed"]
    assert world.item(session_id)["dueAt"]["N"] == str(world.clock.now_ms() + 25 * MINUTE)


def test_the_session_shows_its_last_number_and_whether_an_answer_is_awaited(world: World) -> None:
    session = world.new()
    session_id = session["sessionId"]
    assert (session["lastSequence"], session["lastMessageAt"], session["awaitingReply"]) == (0, None, False)
    world.say(session_id)
    told = world.get(session_id).json
    assert (told["lastSequence"], told["lastMessageAt"], told["awaitingReply"]) == (1, at(world.clock.now_ms()), True)
    world.say(session_id, role="tool")
    assert world.get(session_id).json["awaitingReply"] is True
    world.say(session_id, role="agent")
    assert world.get(session_id).json["awaitingReply"] is False
    fields = list(told)
    assert fields[fields.index("metadataVersion") + 1 :][:4] == [
        "lastSequence", "lastMessageAt", "awaitingReply", "timeRemaining",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "fields, at_fault",
    [
        ({}, "content"),
        ({"content": 5}, "content"),
        ({"content": ""}, "content"),
        ({"content": "a\0b"}, "content"),
        ({"content": "\ud800"}, "content"),
        ({"content": "x" * 4_001}, "content"),
        ({"content": "\U0001f600" * 2_001}, "content"),
        ({"content": "x" * 32_001, "role": "agent"}, "content"),
        ({"content": "x", "role": "assistant"}, "role"),
        ({"content": "x", "role": None}, "role"),
        ({"content": "x", "authorId": "me"}, "authorId"),
        ({"content": "x", "inReplyTo": "nobody"}, "inReplyTo"),
        ({"content": "x", "inReplyTo": NOWHERE}, "inReplyTo"),
        ({"content": "x", "inReplyTo": 5}, "inReplyTo"),
        ({"content": "x", "parts": {}}, "parts"),
        ({"content": "x", "parts": ["text"]}, "parts"),
        ({"content": "x", "parts": [{"k": "x" * 32_768}]}, "parts"),
        ({"content": "x", "attachments": [{}]}, "attachments"),
        ({"content": "x", "attachments": [{"url": 5}]}, "attachments"),
        ({"content": "x", "attachments": [{"url": "a"}] * 11}, "attachments"),
        ({"content": "x", "attachments": [{"url": "x" * 10_240}]}, "attachments"),
        ({"content": "x", "metadata": []}, "metadata"),
        ({"content": "x", "metadata": {"k": "x" * 10_240}}, "metadata"),
        ({"content": "x", "transport": "pigeon"}, "transport"),
        ({"content": "x", "transport": "sse"}, "transport"),
        ({"content": "x", "mode": "stream"}, "mode"),
        ({"content": "x", "mode": "http"}, "mode"),
    ],
)
def test_a_message_that_breaks_a_rule_is_refused_by_its_field(
    world: World, fields: dict[str, Any], at_fault: str
) -> None:
    session_id = world.new()["sessionId"]
    answer = world.post_message(session_id, fields)
    assert (answer.status, answer.fields) == (400, [at_fault])
    assert world.get(session_id).json["lastSequence"] == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "x" * 4_000},
        {"content": "\U0001f600" * 2_000},
        {"content": "世" * 32_000, "role": "agent"},
        {"content": "", "parts": [{"type": "image"}]},
        {"content": "x", "metadata": None},
        {"content": "x", "mode": "websocket", "unknown": 1},
        {"content": "x", "transport": "websocket", "mode": "sync"},
    ],
)
def test_the_limits_themselves_are_allowed(world: World, fields: dict[str, Any]) -> None:
    raw = json.dumps(fields, ensure_ascii=False)
    assert world.post_message(world.new()["sessionId"], raw=raw).status == 201


def test_a_body_of_128_kilobytes_is_read_and_a_larger_one_is_refused(world: World) -> None:
    session_id = world.new()["sessionId"]
    fits = json.dumps({"content": "x", "unknown": "y" * (131_072 - len('{"content": "x", "unknown": ""}'))})
    assert len(fits) == 131_072
    assert world.post_message(session_id, raw=fits).status == 201
    assert world.post_message(session_id, raw=fits + " ").code == "PAYLOAD_TOO_LARGE"


def test_a_reply_names_an_earlier_message_of_this_session_and_no_other(world: World) -> None:
    one, other = world.new()["sessionId"], world.new()["sessionId"]
    asked = world.say(one).json["message"]["id"]
    for given in (asked, asked.upper()):
        assert world.say(one, role="agent", inReplyTo=given).json["message"]["inReplyTo"] == asked
    world.say(other)
    for headers in ({}, keyed("k")):
        answer = world.say(other, role="agent", inReplyTo=asked, headers=headers)
        assert (answer.status, answer.fields) == (400, ["inReplyTo"])
    assert world.get(other).json["lastSequence"] == 1


@pytest.mark.parametrize("body", [{"content": "x"}, {"content": 5}], ids=["good", "bad"])
def test_a_session_that_is_gone_or_over_wins_over_the_body(world: World, body: dict[str, Any]) -> None:
    expired, deleted = world.new()["sessionId"], world.new()["sessionId"]
    world.delete(deleted)
    assert world.post_message(deleted, body).code == "SESSION_NOT_FOUND"
    assert world.post_message(NOWHERE, body).code == "SESSION_NOT_FOUND"
    assert world.post_message("no-id", body).code == "SESSION_NOT_FOUND"
    assert world.post_message(expired, body, tenant="globex").code == "SESSION_NOT_FOUND"
    world.clock.advance(minutes=30)
    answer = world.post_message(expired, body)
    assert (answer.code, answer.details["reason"]) == ("SESSION_EXPIRED", "idle_timeout")


def test_a_session_whose_expiry_is_being_published_takes_no_message(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.announce(session_id)
    for role in ("user", "agent"):
        assert world.say(session_id, role=role).code == "SESSION_EXPIRED"


# --- keys and If-Match


def test_the_same_key_with_the_same_request_gives_the_same_message_once(world: World) -> None:
    session_id = world.new()["sessionId"]
    first = world.say(session_id, "Hi", headers=keyed("k"), metadata={"a": 1, "b": 2})
    renewed = world.get(session_id).json["renewalCount"]
    world.clock.advance(minutes=1)
    again = world.say(session_id, "Hi", headers=keyed("k"), metadata={"b": 2, "a": 1}, authorId=USER.upper())
    assert again.code == "IDEMPOTENCY_KEY_REUSED", "an author that is sent is not one that is left out"
    again = world.say(session_id, "Hi", headers=keyed("k"), metadata={"b": 2, "a": 1})
    assert (first.status, again.status) == (201, 200)
    assert again.json["message"] == first.json["message"]
    assert again.json["sessionStatus"]["wasRenewed"] is False
    assert world.get(session_id).json["renewalCount"] == renewed
    assert contents(world, session_id) == ["Hi"]


@pytest.mark.parametrize(
    "fields, differs",
    [({"content": "Ho"}, "content"), ({"metadata": {"a": 1}}, "metadata"), ({"role": "tool"}, "role")],
)
def test_the_same_key_with_another_request_is_refused_and_says_what_differs(
    world: World, fields: dict[str, Any], differs: str
) -> None:
    session_id = world.new()["sessionId"]
    world.say(session_id, "Hi", headers=keyed("k"))
    answer = world.say(session_id, **({"content": "Hi"} | fields), headers=keyed("k"))
    assert (answer.code, answer.details) == ("IDEMPOTENCY_KEY_REUSED", {"differing": [differs]})


def test_a_key_belongs_to_its_session(world: World) -> None:
    for session_id in (world.new()["sessionId"], world.new()["sessionId"]):
        assert world.say(session_id, headers=keyed("k")).status == 201


def test_if_match_takes_a_message_only_as_the_next_one(world: World) -> None:
    session_id = world.new()["sessionId"]
    assert world.say(session_id, headers={"if-match": '"1"'}).details == {"lastSequence": 0}
    assert world.say(session_id, headers={"if-match": '"0"'}).status == 201
    answer = world.say(session_id, headers={"if-match": '"0"'})
    assert (answer.status, answer.details) == (412, {"lastSequence": 1})
    assert world.say(session_id, headers={"if-match": '"1"'}).json["message"]["sequence"] == 2


@pytest.mark.parametrize("value", ["1", '""', '"01"', '"-1"', '"1", "2"', 'W/"1"', "*"])
def test_a_malformed_if_match_is_refused(world: World, value: str) -> None:
    answer = world.say(world.new()["sessionId"], headers={"if-match": value})
    assert (answer.status, answer.fields) == (400, ["If-Match"])


def test_a_key_that_was_used_wins_over_if_match_and_the_limit(world: World) -> None:
    world.restart(MESSAGES_PER_SESSION="1")
    session_id = world.new()["sessionId"]
    headers = keyed("k") | {"if-match": '"0"'}
    assert world.say(session_id, headers=headers).status == 201
    assert world.say(session_id, headers=headers).status == 200
    assert world.say(session_id, headers=keyed("k2") | {"if-match": '"0"'}).code == "PRECONDITION_FAILED"


def test_of_two_that_send_one_key_under_if_match_at_once_both_get_the_message(world: World) -> None:
    session_id = world.new()["sessionId"]
    headers = keyed("k") | {"if-match": '"0"'}
    others: list[Any] = []
    hook = Meanwhile("update_item", "before", lambda: others.append(world.say(session_id, "Hi", headers=headers)))
    world.dynamo.add_hook(hook)
    answer = world.say(session_id, "Hi", headers=headers)
    assert (answer.status, others[0].status) == (200, 201)
    assert answer.json["message"] == others[0].json["message"]


@pytest.mark.parametrize("later_ms, number", [(3_000, 1), (3_001, 2)])
def test_a_key_whose_writer_died_gets_another_number_once_readers_may_have_passed_the_first(
    world: World, later_ms: int, number: int
) -> None:
    session_id = world.new()["sessionId"]
    dying = world.dynamo.add_hook(Kill(1, "before", "put_item"))  # the key is remembered, the message is not stored
    with pytest.raises(Killed):
        world.say(session_id, headers=keyed("k"))
    world.dynamo.remove_hook(dying)
    world.clock.advance(later_ms)
    assert world.say(session_id, headers=keyed("k")).json["message"]["sequence"] == number


def test_a_session_with_as_many_messages_as_it_may_have_takes_no_more(world: World) -> None:
    world.restart(MESSAGES_PER_SESSION="2")
    session_id = world.new()["sessionId"]
    for status in (201, 201, 429):
        assert world.say(session_id).status == status
        world.clock.advance(1_000)
    answer = world.say(session_id, headers=keyed("k"))
    assert (answer.code, "retry-after" in answer.headers) == ("MESSAGE_LIMIT_REACHED", False)


# --- what goes wrong on the way


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("headers", [{}, keyed("k")], ids=["no key", "key"])
def test_an_answer_that_is_lost_once_changes_nothing(world: World, when: Any, headers: dict[str, str]) -> None:
    session_id = world.new()["sessionId"]
    world.dynamo.add_hook(connection_lost("put_item", when, times=1))
    assert world.say(session_id, "Hi", headers=headers).status == 201
    assert contents(world, session_id) == ["Hi"]


def test_a_store_that_is_busy_is_a_503_and_the_key_finds_or_makes_the_message(world: World) -> None:
    session_id = world.new()["sessionId"]
    busy = world.dynamo.add_hook(throttle("put_item"))
    assert world.say(session_id, "Hi", headers=keyed("k")).code == "SERVICE_UNAVAILABLE"
    world.dynamo.remove_hook(busy)
    assert world.say(session_id, "Hi", headers=keyed("k")).status == 201
    assert contents(world, session_id) == []  # the number before it is still open
    world.clock.advance(3_000)
    assert contents(world, session_id) == ["Hi"]


@pytest.mark.parametrize("nth", range(3))
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("later_ms", [0, 60_000])
def test_a_repeat_finishes_what_a_dead_writer_began(world: World, nth: int, when: Any, later_ms: int) -> None:
    """A keyed append writes the number, the key and the message; the writer dies around each of them."""
    session_id = world.new()["sessionId"]
    dying = world.dynamo.add_hook(Kill(0, when, "update_item") if nth == 0 else Kill(nth - 1, when, "put_item"))
    with pytest.raises(Killed):
        world.say(session_id, "Hi", headers=keyed("k"))
    world.dynamo.remove_hook(dying)
    world.clock.advance(later_ms)
    contents(world, session_id)
    first = world.say(session_id, "Hi", headers=keyed("k"))
    again = world.say(session_id, "Hi", headers=keyed("k"))
    assert first.json["message"] == again.json["message"]
    assert (first.status in (200, 201), again.status) == (True, 200)
    world.clock.advance(3_100)
    page = world.messages(session_id, afterSequence=0).json
    assert [message["content"] for message in page["messages"]] == ["Hi"]
    assert sorted([*page["skipped"], page["messages"][0]["sequence"]]) == list(range(1, page["lastSequence"] + 1))
    found_by_the_repeat = nth == 2 or (nth, when) == (1, "after")
    taken_by_the_dead = (nth, when) != (0, "before")
    assert world.get(session_id).json["renewalCount"] == (1 if found_by_the_repeat or not taken_by_the_dead else 2)


def test_a_number_that_a_reader_sealed_costs_the_writer_another_and_no_second_renewal(world: World) -> None:
    session_id = world.new()["sessionId"]

    def slow() -> None:
        world.clock.advance(4_000)
        assert world.messages(session_id, afterSequence=0).json["skipped"] == [1]

    world.dynamo.add_hook(Meanwhile("put_item", "before", slow))
    answer = world.say(session_id, "Hi")
    assert (answer.json["message"]["sequence"], answer.json["sessionStatus"]["renewalCount"]) == (2, 1)
    assert answer.json["sessionStatus"]["wasRenewed"] is True
    assert contents(world, session_id) == ["Hi"]


def test_a_number_that_was_sealed_under_if_match_is_a_412(world: World) -> None:
    session_id = world.new()["sessionId"]

    def slow() -> None:
        world.clock.advance(4_000)
        world.messages(session_id)

    world.dynamo.add_hook(Meanwhile("put_item", "before", slow))
    answer = world.say(session_id, headers={"if-match": '"0"'})
    assert (answer.code, answer.details) == ("PRECONDITION_FAILED", {"lastSequence": 1})


def test_a_writer_that_was_kept_too_long_stores_nothing_behind_its_readers(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.dynamo.add_hook(Meanwhile("update_item", "after", lambda: world.clock.advance(11_000)))
    assert world.say(session_id, "late").code == "SERVICE_UNAVAILABLE"
    page = world.messages(session_id, afterSequence=0).json
    assert (page["messages"], page["skipped"], page["cursors"]) == ([], [1], {"afterSequence": 1})


def test_two_callers_with_one_key_at_the_same_moment_store_one_message(world: World) -> None:
    session_id = world.new()["sessionId"]
    others: list[Any] = []
    world.dynamo.add_hook(
        Meanwhile("put_item", "before", lambda: others.append(world.say(session_id, "Hi", headers=keyed("k"))))
    )
    mine = world.say(session_id, "Hi", headers=keyed("k"))
    assert others[0].json["message"] == mine.json["message"]
    assert {mine.status, others[0].status} == {200, 201}
    page = world.messages(session_id, afterSequence=0).json
    assert ([message["sequence"] for message in page["messages"]], page["skipped"]) == ([2], [1])


# --- lives


def test_a_session_made_again_under_its_key_shows_nothing_of_its_former_life(world: World) -> None:
    first = world.create(key="same").json["sessionId"]
    said = world.say(first, "secret", headers=keyed("k")).json["message"]["id"]
    world.delete(first)
    again = world.create(key="same").json["sessionId"]
    assert again == first
    assert contents(world, again) == []
    assert world.say(again, role="agent", inReplyTo=said).fields == ["inReplyTo"]
    answer = world.say(again, "other", headers=keyed("k"))
    assert (answer.status, answer.json["message"]["sequence"]) == (201, 1)
    assert answer.json["message"]["id"] != said
    assert contents(world, again, before=world.clock.now_ms() + 1) == ["other"]
    assert world.message(again, said).code == "MESSAGE_NOT_FOUND"
    assert world.say(again, role="agent", inReplyTo=said, headers=keyed("reply")).fields == ["inReplyTo"]


@pytest.mark.parametrize("headers", [{}, keyed("k")], ids=["no key", "key"])
def test_a_writer_of_a_former_life_stores_nothing_in_the_next(world: World, headers: dict[str, str]) -> None:
    session_id = world.create(key="same").json["sessionId"]

    def next_life() -> None:
        world.delete(session_id)
        world.create(key="same")

    world.dynamo.add_hook(Meanwhile("update_item", "after", next_life))
    world.say(session_id, "former", headers=headers)
    world.clock.advance(10_000)
    assert contents(world, session_id) == []
    assert world.get(session_id).json["lastSequence"] == 0


def test_a_message_is_read_by_its_id_in_its_session_alone(world: World) -> None:
    one, other = world.new()["sessionId"], world.new()["sessionId"]
    said = world.say(one, "Hi").json["message"]
    assert world.message(one, said["id"]).json == said
    assert world.message(one, said["id"].upper()).json == said
    for session_id, message_id in ((one, NOWHERE), (one, "x"), (other, said["id"])):
        assert world.message(session_id, message_id).code == "MESSAGE_NOT_FOUND"
    assert world.message(one, said["id"], tenant="globex").code == "SESSION_NOT_FOUND"
    assert world.message(NOWHERE, said["id"]).code == "SESSION_NOT_FOUND"


# --- scopes and routes


@pytest.mark.parametrize("scope, allowed, default", [
    ("client", {"user"}, "user"),
    ("agent", {"agent", "system", "tool"}, "agent"),
    ("full", {"user", "agent", "system", "tool"}, "user"),
    ("unheard-of", set(), None),
])  # fmt: skip
def test_a_scope_writes_as_its_roles_only(world: World, scope: str, allowed: set[str], default: str | None) -> None:
    session_id = world.new()["sessionId"]
    for role in ("user", "agent", "system", "tool"):
        with world.counted() as calls:
            answer = world.post_message(session_id, {"content": "x", "role": role}, scope=scope)
        assert answer.status == (201 if role in allowed else 403)
        assert bool(calls) == (role in allowed), "a scope is checked before anything is read"
    answer = world.post_message(session_id, {"content": "x"}, scope=scope)
    assert answer.status == 403 if default is None else answer.json["message"]["role"] == default


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_routes_take_a_trailing_slash_and_answer_head(world: World, slash: str) -> None:
    session_id = world.new()["sessionId"]
    path = f"{BASE}/{session_id.upper()}/messages{slash}"
    said = world.call("message-post", path=path, body={"content": "x"}).json["message"]
    for name, there in (("message-list", path), ("message-get", f"{BASE}/{session_id}/messages/{said['id']}{slash}")):
        assert world.call(name, path=there).status == 200
        head = world.call(name, path=there, method="HEAD")
        assert (head.status, head.text) == (200, "")


@pytest.mark.parametrize(
    "path, allow", [("messages", "GET, POST, DELETE, HEAD, OPTIONS"), ("messages/x", "GET, DELETE, HEAD, OPTIONS")]
)
@pytest.mark.parametrize("of_messages", [True, False], ids=["messages", "sessions"])
def test_both_functions_answer_a_wrong_verb_with_the_right_ones(
    world: World, path: str, allow: str, *, of_messages: bool
) -> None:
    name = "message-list" if of_messages else "get"
    answer = world.call(name, path=f"{BASE}/{NOWHERE}/{path}", method="PUT")
    assert (answer.status, answer.headers["allow"]) == (405, allow)


def test_an_agents_answer_is_awaited_from_the_last_question_on(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.say(session_id)
    assert world.messages(session_id).json["pollAfterMs"] == 300
    world.clock.advance(10_000)
    assert world.messages(session_id).json["pollAfterMs"] == 1_000
    world.clock.advance(minutes=9)
    assert world.messages(session_id).json["pollAfterMs"] == 5_000
    world.clock.advance(minutes=1)
    page = world.messages(session_id).json
    assert (page["awaitingReply"], page["pollAfterMs"]) == (True, None)


def test_a_message_outlives_no_session_and_ends_a_day_before_its_record(world: World) -> None:
    session_id = world.new()["sessionId"]
    world.say(session_id, headers=keyed("k"))
    purges = {int(item["purgeAt"]["N"]) for item in world.dynamo.items(MESSAGES)}
    [session] = world.dynamo.items(TABLE)
    assert purges == {int(session["purgeAt"]["N"]) - 86_400}


def test_what_is_stored_says_what_an_event_needs(world: World) -> None:
    session = world.new()
    world.say(session["sessionId"], role="agent")
    [item] = world.dynamo.items(MESSAGES)
    assert item["tenantId"]["S"] == "acme"
    assert (item["agentId"]["S"], item["userId"]["S"], item["role"]["S"]) == (AGENT, USER, "agent")
