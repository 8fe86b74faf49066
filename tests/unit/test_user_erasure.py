"""The erasure of a user: whatever dies when, nothing of the user is left, and nothing of anybody else is touched."""

import copy
import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import pytest
from agent_sessions.bootstrap import wiring
from agent_sessions.erasure import users
from agent_sessions.erasure.service import DELETE_MS, ORDER_MS
from agent_sessions.erasure.users import SETTLED_MS

from functions.eraser import app as eraser
from tests.engines import faults
from tests.engines.fake_sns import FakeSns
from tests.unit.world import (
    AGENT,
    ERASER_QUEUE,
    ERASURES,
    MESSAGES,
    MINUTE,
    NOWHERE,
    POLICIES,
    TABLE,
    TOPIC,
    USER,
    World,
    at,
)

OTHER_USER: Final = "9a1b7c3e-52d4-4f60-8a8b-0c1d2e3f4a5b"
DIGEST_MODULUS: Final = 1 << 256


class Erasing(World):
    """A deployment with its eraser and its topic."""

    def restart(self, **settings: str) -> None:
        self.sns = FakeSns(self.clock)
        environ = {
            "SESSIONS_TABLE": TABLE,
            "MESSAGES_TABLE": MESSAGES,
            "AGENT_POLICIES_TABLE": POLICIES,
            "ERASER_QUEUE_URL": ERASER_QUEUE,
            **TOPIC,
            **settings,
        }
        clients = {"dynamodb": self._client, "sqs": self.queue, "sns": self.sns}
        wiring.wire(wiring.Wiring(environ, self.clock, clients))

    def session_of(self, user: str = USER, *, talk: int = 0, tenant: str = "acme", key: str | None = None) -> str:
        body = {"agentId": AGENT, "userId": user}
        session_id: str = self.post(body, key=key, tenant=tenant).json["sessionId"]
        for number in range(talk):
            answer = self.post_message(
                session_id, {"content": f"{number}"}, headers={"idempotency-key": f"k{number}"}, tenant=tenant
            )
            assert answer.status == 201, answer.text
        return session_id

    def kept(self, sessions: set[str]) -> tuple[dict[str, Any], list[Any]]:
        """What both tables hold of these sessions, byte for byte."""
        found = {session_id: copy.deepcopy(self.item(session_id)) for session_id in sessions}
        said = [copy.deepcopy(each) for each in self.dynamo.items(MESSAGES) if each["life"]["S"][:36] in sessions]
        return found, said

    def left(self, others: set[str]) -> list[Any]:
        """What the tables hold beside these sessions and the records of erasures."""
        sessions = [each for each in self.dynamo.items(TABLE) if "attempt" in each]
        return [each for each in sessions if each["sessionId"]["S"] not in others] + [
            each for each in self.dynamo.items(MESSAGES) if each["life"]["S"][:36] not in others
        ]

    def pass_orders(self, minutes: int = 6) -> None:
        """Let the queue deliver for some minutes."""
        for _ in range(minutes):
            self.clock.advance(minutes=1)
            self.queue.deliver(eraser.handler)

    @property
    def events(self) -> list[Any]:
        return [json.loads(each.message) for each in self.sns.published]


@pytest.fixture
def world() -> Erasing:
    return Erasing()


def digest_of(session_ids: set[str]) -> str:
    """As docs/contract.md defines it."""
    total = sum(int.from_bytes(hashlib.sha256(each.encode()).digest()) for each in session_ids)
    return f"{total % DIGEST_MODULUS:064x}"


def a_crowd(world: Erasing, pairs: int = 2) -> tuple[set[str], set[str]]:
    """Sessions of the user, live, closed and announced, every other one talked in; and as many of others."""
    mine: set[str] = set()
    others: set[str] = set()
    for _ in range(pairs):
        mine |= {world.session_of(), world.session_of(USER.upper(), talk=3)}
        others |= {world.session_of(OTHER_USER, talk=2), world.session_of(talk=2, tenant="zenith")}
    for crowd in (mine, others):
        first, second = sorted(crowd)[:2]
        world.close(first)
        world.announce(second)
    return mine, others


def test_a_user_with_few_sessions_is_erased_before_the_answer_and_done_a_minute_later(world: Erasing) -> None:
    mine, others = a_crowd(world, pairs=4)
    kept = world.kept(others)
    answer = world.erase()
    assert answer.status == 202
    running = answer.json
    assert running == {
        "erasureId": running["erasureId"],
        "status": "running",
        "requestedAt": at(world.clock.now_ms()),
        "sessions": 8,
        "messages": 12,
    }
    assert answer.headers["location"] == f"{ERASURES}/{running['erasureId']}"
    assert world.left(others) == []
    assert {world.get(session_id).status for session_id in mine} == {404}
    assert {world.renew(session_id).status for session_id in mine} == {404}
    requested_at = running["requestedAt"]
    assert world.queue.deliver(eraser.handler) == 0
    assert world.erasure(running["erasureId"]).json == running
    world.pass_orders(1)
    done = world.erasure(running["erasureId"]).json
    assert done == running | {
        "status": "done",
        "receipt": {
            "requestedAt": requested_at,
            "finishedAt": at(world.clock.now_ms()),
            "userIdHash": hashlib.sha256(USER.lower().encode()).hexdigest(),
            "sessionsDigest": digest_of(mine),
        },
    }
    assert world.kept(others) == kept
    assert world.queue.waiting == []


def test_what_is_published_has_the_hash_and_neither_the_user_nor_a_session(world: Erasing) -> None:
    session_id = world.session_of()
    erasure_id = world.erase().json["erasureId"]
    world.pass_orders(1)
    [event] = world.events
    receipt = world.erasure(erasure_id).json["receipt"]
    assert event["type"] == "agent-sessions.user.erased"
    assert event["data"] == {"erasureId": erasure_id, "tenantId": "acme", "sessions": 1, "messages": 0} | receipt
    [published] = world.sns.published
    assert published.attributes == {"type": event["type"], "tenantId": "acme"}
    everything = published.message + json.dumps(world.erasure(erasure_id).json) + str(list(world.dynamo.items(TABLE)))
    assert not {USER, session_id} & set(everything.split('"'))
    assert USER not in everything, "not in the record either, once it is done"


def test_a_user_without_sessions_is_erased_as_well(world: Erasing) -> None:
    erasure_id = world.erase(NOWHERE).json["erasureId"]
    world.pass_orders(1)
    done = world.erasure(erasure_id).json
    assert (done["status"], done["sessions"], done["receipt"]["sessionsDigest"]) == ("done", 0, "0" * 64)


def test_a_session_that_is_created_after_the_request_stays_and_so_does_its_next_life(world: Erasing) -> None:
    gone = world.session_of(key="again", talk=1)
    world.clock.advance(1)
    erasure_id = world.erase().json["erasureId"]
    world.clock.advance(1)
    assert world.session_of(key="again", talk=2) == gone
    new = {gone, world.session_of(talk=1)}
    kept = world.kept(new)
    world.pass_orders()
    assert world.erasure(erasure_id).json["status"] == "done"
    assert world.kept(new) == kept


def test_a_session_that_the_index_shows_late_is_found_before_it_is_done(world: Erasing) -> None:
    world = Erasing(index_lag_ms=50_000)
    mine = {world.session_of(), world.session_of(talk=1)}
    erasure_id = world.erase().json["erasureId"]
    assert {world.get(each).status for each in mine} == {200}
    world.pass_orders(1)
    assert world.left(set()) == []
    assert world.erasure(erasure_id).json["status"] == "running", "that pass has found something"
    world.pass_orders(2)
    done = world.erasure(erasure_id).json
    assert (done["status"], done["sessions"]) == ("done", 2)
    assert done["receipt"]["sessionsDigest"] == digest_of(mine)


def test_a_message_that_was_in_flight_goes_with_the_order_of_its_session(world: Erasing) -> None:
    session_id = world.session_of(talk=1)
    life = world.item(session_id)["attempt"]["B"].hex()
    world.erase()
    item: Any = {"life": {"S": f"{session_id}#{life}"}, "seq": {"N": "2"}, "content": {"S": "late"}}
    world.dynamo.put_item(TableName=MESSAGES, Item=item)
    world.pass_orders(2)
    assert world.left(set()) == []


@pytest.mark.parametrize("damage", ["attempt", "metadata", "expiresAt", "createdAt", "userId"])
def test_a_session_that_cannot_be_read_is_erased_too(world: Erasing, damage: str) -> None:
    session_id = world.session_of(talk=damage != "attempt")
    world.update(session_id, f"REMOVE {damage}")
    erasure_id = world.erase().json["erasureId"]
    world.pass_orders(2)
    assert world.left(set()) == []
    assert world.erasure(erasure_id).json["sessions"] == 1


def test_a_large_erasure_goes_on_in_turns(world: Erasing) -> None:
    for _ in range(230):
        world.session_of()
    other = world.session_of(OTHER_USER, talk=2)
    kept = world.kept({other})
    slow = world.dynamo.add_hook(faults.Latency(world.clock, DELETE_MS / 50, "delete_item"))
    running = world.erase().json
    assert 40 <= running["sessions"] <= 60
    world.clock.advance(1_000)
    turns = 0
    while world.erasure(running["erasureId"]).json["sessions"] < 230:
        assert world.queue.deliver(eraser.handler) == 1
        turns += 1
    world.dynamo.remove_hook(slow)
    assert turns == 1
    world.pass_orders()
    assert world.erasure(running["erasureId"]).json["status"] == "done"
    assert world.kept({other}) == kept
    assert world.left({other}) == []


def test_all_sessions_have_ended_before_the_first_message_is_removed(world: Erasing) -> None:
    mine, _ = a_crowd(world, pairs=120)
    answers: set[int] = set()
    first = faults.Meanwhile(
        "batch_write_item", "before", lambda: answers.update(world.renew(each).status for each in mine)
    )
    world.dynamo.add_hook(first)
    assert world.erase().json["sessions"] == len(mine)
    assert answers == {404}


def test_a_record_that_is_full_of_lives_is_emptied_first(world: Erasing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "MOST_LIVES", 30)
    mine, others = a_crowd(world, pairs=130)
    slow = world.dynamo.add_hook(faults.Latency(world.clock, DELETE_MS / 20, "batch_write_item"))
    erasure_id = world.erase().json["erasureId"]
    [record] = [each for each in world.dynamo.items(TABLE) if each["sessionId"]["S"] == f"erasure#{erasure_id}"]
    assert 30 - 20 <= len(json.loads(record["lives"]["S"])) < 30 + 100
    assert 0 < int(record["removedSessions"]["N"]) < len(mine)
    world.dynamo.remove_hook(slow)
    in_the_end(world, erasure_id, mine, others)


def test_a_turn_soon_after_the_request_is_not_the_last_even_if_it_finds_nothing() -> None:
    world = Erasing(index_lag_ms=50_000)
    mine = {world.session_of(talk=1)}
    slow = world.dynamo.add_hook(faults.Latency(world.clock, DELETE_MS, "query"))
    erasure_id = world.erase().json["erasureId"]
    world.dynamo.remove_hook(slow)
    assert world.queue.deliver(eraser.handler) == 1, "the request had no time to finish"
    assert world.erasure(erasure_id).json["status"] == "running"
    in_the_end(world, erasure_id, mine, set())


def test_a_turn_that_ends_what_another_began_is_not_the_last() -> None:
    world = Erasing(index_lag_ms=50_000)
    mine = {world.session_of() for _ in range(60)}
    erasure_id = world.erase().json["erasureId"]
    world.clock.advance(SETTLED_MS)
    slow = world.dynamo.add_hook(faults.Latency(world.clock, ORDER_MS / 40, "delete_item"))
    assert world.queue.deliver(eraser.handler) == 1
    assert 0 < world.erasure(erasure_id).json["sessions"] < 60
    world.dynamo.remove_hook(slow)
    assert world.queue.deliver(eraser.handler) == 1
    halfway = world.erasure(erasure_id).json
    assert (halfway["sessions"], halfway["status"]) == (60, "running")
    in_the_end(world, erasure_id, mine, set())


def test_an_order_that_comes_after_the_end_changes_and_publishes_nothing(world: Erasing) -> None:
    erasure_id = world.erase().json["erasureId"]
    [(_, order)] = world.queue.waiting
    world.pass_orders(1)
    done, published = world.erasure(erasure_id).json, len(world.events)
    world.clock.advance(minutes=5)
    eraser.handler({"Records": [{"messageId": "2", "body": order}]}, None)
    assert (world.erasure(erasure_id).json, len(world.events)) == (done, published)


def test_another_tenants_erasure_and_an_unknown_one_are_the_same_404(world: Erasing) -> None:
    erasure_id = world.erase().json["erasureId"]
    assert world.erasure(erasure_id.upper()).status == 200
    answers = [
        world.erasure(erasure_id, tenant="zenith"),
        *(world.erasure(each) for each in (NOWHERE, "sweep", "erasure%23x", world.session_of())),
    ]
    assert {(each.status, each.code) for each in answers} == {(404, "ERASURE_NOT_FOUND")}
    assert len({each.json["error"]["message"] for each in answers}) == 1


@pytest.mark.parametrize("body", [{}, {"userId": None}, {"userId": "me"}, {"userId": 7}, {"userId": f"{USER} "}, []])
def test_a_request_without_a_users_id_is_refused_and_nothing_is_done(world: Erasing, body: Any) -> None:
    session_id = world.session_of()
    answer = world.call("erasure", raw=json.dumps(body))
    assert answer.status == 400
    assert world.get(session_id).status == 200
    assert world.queue.waiting == []


def test_other_verbs_and_deeper_paths_are_answered_as_everywhere(world: Erasing) -> None:
    assert world.call("get", path=ERASURES).headers["allow"] == "POST, OPTIONS"
    assert world.call("delete", path=f"{ERASURES}/{NOWHERE}").headers["allow"] == "GET, HEAD, OPTIONS"
    assert world.call("get", path=f"{ERASURES}/{NOWHERE}/more").code == "ROUTE_NOT_FOUND"


# --- what can go wrong


def in_the_end(world: Erasing, erasure_id: str | None, mine: set[str], others: set[str]) -> None:
    """Whatever happened: all of it is gone, was counted once, and is done."""
    world.pass_orders(8)
    assert world.left(others) == []
    assert world.queue.waiting == []
    if erasure_id is not None:
        done = world.erasure(erasure_id).json
        assert (done["status"], done["sessions"]) == ("done", len(mine))
        assert done["receipt"]["sessionsDigest"] == digest_of(mine)
    assert len({event["id"] for event in world.events}) <= 1


def erasure_ids(world: Erasing) -> Iterator[str]:
    for item in world.dynamo.items(TABLE):
        if item["sessionId"]["S"].startswith("erasure#"):
            yield item["sessionId"]["S"].removeprefix("erasure#")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_request_killed_at_any_call_is_carried_out_whole_or_not_at_all(when: faults.When) -> None:
    met = 0
    for nth in range(100):
        world = Erasing()
        mine, others = a_crowd(world, pairs=1)
        kept = world.kept(others)
        kill = faults.Kill(nth, when)
        world.dynamo.add_hook(kill)
        world.queue.add_hook(kill)
        with suppress(faults.Killed):
            world.erase()
        world.dynamo.hooks.clear()
        world.queue.hooks.clear()
        met += kill.dead
        erasure_id = next(erasure_ids(world), None)
        if erasure_id is None:
            world.pass_orders()
            assert {world.get(each).status for each in mine if "dueShard" in world.item(each)} <= {200, 410}
            continue
        in_the_end(world, erasure_id, mine, others)
        assert world.kept(others) == kept
        if not kill.dead:
            break
    assert met > 8


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_eraser_killed_at_any_call_finishes_what_it_began(when: faults.When) -> None:
    met = 0
    for nth in range(100):
        world = Erasing(index_lag_ms=50_000)  # so that the eraser finds all of it
        mine, others = a_crowd(world, pairs=1)
        kept = world.kept(others)
        erasure_id = world.erase().json["erasureId"]
        world.clock.advance(SETTLED_MS)
        kill = faults.Kill(nth, when)
        for engine in (world.dynamo, world.queue, world.sns):
            engine.add_hook(kill)
        for _ in range(3):
            with suppress(faults.Killed):
                world.queue.deliver(eraser.handler)
            world.clock.advance(minutes=1)
        for engine in (world.dynamo, world.queue, world.sns):
            engine.hooks.clear()
        met += kill.dead
        in_the_end(world, erasure_id, mine, others)
        assert world.kept(others) == kept
        if not kill.dead:
            break
    assert met > 8


@pytest.mark.parametrize("call", ["query", "batch_get_item", "put_item", "delete_item", "batch_write_item"])
def test_throttling_is_waited_for(world: Erasing, call: str) -> None:
    mine, others = a_crowd(world)
    world.dynamo.add_hook(faults.throttle(call, times=7, skip=call == "put_item"))
    in_the_end(world, world.erase().json["erasureId"], mine, others)


def test_lost_answers_are_not_mistaken_for_another_turn(world: Erasing) -> None:
    mine, others = a_crowd(world)
    world.dynamo.add_hook(faults.connection_lost("put_item", "after", 2, skip=1))
    in_the_end(world, world.erase().json["erasureId"], mine, others)


@pytest.mark.parametrize("index_lag_ms", [0, 50_000])
def test_keys_that_the_store_leaves_unread_are_read_again(index_lag_ms: int) -> None:
    world = Erasing(index_lag_ms=index_lag_ms)
    mine, others = a_crowd(world)
    world.dynamo.add_hook(faults.unprocessed_keys(times=20))
    in_the_end(world, world.erase().json["erasureId"], mine, others)


def test_a_page_of_which_nothing_was_read_is_not_the_end() -> None:
    world = Erasing(index_lag_ms=50_000)
    mine = {world.session_of()}
    erasure_id = world.erase().json["erasureId"]
    world.dynamo.add_hook(faults.unprocessed_keys(times=2))
    in_the_end(world, erasure_id, mine, set())


def test_a_turn_that_was_overtaken_takes_nothing_back() -> None:
    world = Erasing(index_lag_ms=50_000)
    mine, others = a_crowd(world)
    erasure_id = world.erase().json["erasureId"]
    world.clock.advance(SETTLED_MS)
    [(_, order)] = world.queue.waiting
    world.dynamo.add_hook(faults.Meanwhile("delete_item", "before", lambda: world.pass_orders(3), skip=1))
    eraser.handler({"Records": [{"messageId": "2", "body": order}]}, None)
    assert world.queue.waiting == [], "a turn that was overtaken orders no other"
    assert world.erasure(erasure_id).json["status"] == "done"
    in_the_end(world, erasure_id, mine, others)
    assert len(world.events) == 1


@pytest.mark.parametrize("next_user", [USER, OTHER_USER])
def test_what_the_index_shows_of_a_life_before_brings_the_next_life_into_no_danger(next_user: str) -> None:
    world = Erasing(index_lag_ms=50_000)
    session_id = world.session_of(key="again")
    world.clock.advance(50_000)
    slow = world.dynamo.add_hook(faults.Latency(world.clock, DELETE_MS, "query"))
    if next_user == USER:  # created after the request
        world.erase()
    world.delete(session_id)
    assert world.session_of(next_user, key="again") == session_id
    world.clock.advance(1)
    if next_user == OTHER_USER:  # created before it, under a key that had made a session of the user
        world.erase()
    world.dynamo.remove_hook(slow)
    kept = world.kept({session_id})
    for _ in range(3):
        world.queue.deliver(eraser.handler)
    world.pass_orders(3)
    assert world.kept({session_id}) == kept


def test_a_session_that_was_never_talked_in_costs_no_order(world: Erasing) -> None:
    world.session_of()
    world.erase()
    assert len(world.queue.waiting) == 1, "the erasure's own"


def test_two_turns_at_the_same_time_count_each_session_once(world: Erasing) -> None:
    world = Erasing(index_lag_ms=50_000)
    mine, others = a_crowd(world)
    erasure_id = world.erase().json["erasureId"]
    world.clock.advance(SETTLED_MS)
    [(_, order)] = world.queue.waiting
    event = {"Records": [{"messageId": "2", "body": order}]}
    world.dynamo.add_hook(faults.Meanwhile("delete_item", "before", lambda: eraser.handler(event, None), skip=3))
    in_the_end(world, erasure_id, mine, others)


@pytest.mark.parametrize("doing", ["renew", "delete", "talk", "sweep"])
def test_what_happens_to_sessions_meanwhile_saves_none_of_them(world: Erasing, doing: str) -> None:
    mine, others = a_crowd(world)

    def meanwhile() -> None:
        for session_id in mine:
            if doing == "renew":
                world.renew(session_id)
            elif doing == "delete":
                world.delete(session_id)
            elif doing == "talk":
                world.say(session_id)
            elif world.item(session_id):
                world.close(session_id)

    world.dynamo.add_hook(faults.Meanwhile("delete_item", "before", meanwhile, times=3))
    erasure_id = world.erase().json["erasureId"]
    assert {world.renew(session_id).status for session_id in mine} == {404}
    in_the_end(world, erasure_id, mine, others)


def test_a_queue_that_does_not_answer_is_a_503_and_nothing_was_done(world: Erasing) -> None:
    session_id = world.session_of()
    world.queue.add_hook(faults.connection_lost("send_message", "before", None))
    assert world.erase().status == 503
    assert world.get(session_id).status == 200
    assert list(erasure_ids(world)) == []


def test_a_topic_that_does_not_answer_leaves_the_erasure_running_until_it_does(world: Erasing) -> None:
    world.session_of()
    erasure_id = world.erase().json["erasureId"]
    hook = world.sns.add_hook(faults.connection_lost("publish_batch", "before", None))
    world.pass_orders(2)
    assert world.erasure(erasure_id).json["status"] == "running"
    world.sns.remove_hook(hook)
    world.pass_orders(1)
    assert world.erasure(erasure_id).json["status"] == "done"
    assert len(world.events) == 1


def test_the_records_go_ninety_days_after_the_request(world: Erasing) -> None:
    world.erase()
    [record] = [each for each in world.dynamo.items(TABLE) if each["sessionId"]["S"].startswith("erasure#")]
    assert int(record["purgeAt"]["N"]) == (world.clock.now_ms() + 90 * 1440 * MINUTE) // 1000
