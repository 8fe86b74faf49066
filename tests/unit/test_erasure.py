"""The end of a session that was talked in: whatever dies when, no message and no remembered key is left in the end."""

import json
from typing import Any, Final

import pytest
from agent_sessions.bootstrap import wiring
from agent_sessions.erasure.service import DELETE_MS, ORDER_DELAY_SECONDS, ORDER_MS

from functions.eraser import app as eraser
from template_reader import create_tables
from tests.engines import faults
from tests.engines.fake_queue import FakeQueue
from tests.engines.fake_sns import FakeSns
from tests.engines.tables import TEMPLATE
from tests.unit.world import POLICIES, TABLE, TOPIC, World

MESSAGES: Final = "messages"


class TalkedIn(World):
    """A deployment with its eraser."""

    def __init__(self) -> None:
        self.queue: Any = None
        super().__init__()
        create_tables(self.dynamo.as_client(), TEMPLATE, {"MessagesTable": MESSAGES})

    def restart(self, **settings: str) -> None:
        self.queue = self.queue or FakeQueue(self.clock)
        environ = {
            "SESSIONS_TABLE": TABLE,
            "MESSAGES_TABLE": MESSAGES,
            "AGENT_POLICIES_TABLE": POLICIES,
            "ERASER_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/eraser",
            **TOPIC,
            **settings,
        }
        clients = {"dynamodb": self._client, "sqs": self.queue, "sns": FakeSns(self.clock)}
        wiring.wire(wiring.Wiring(environ, self.clock, clients))

    def life(self, session_id: str) -> str:
        attempt: bytes = self.item(session_id)["attempt"]["B"]
        return f"{session_id}#{attempt.hex()}"

    def talk(self, session_id: str, messages: int, *, keys: int = 0, sealed: int = 0) -> None:
        """Store so many messages, remembered keys and sealed numbers, as the messages' own function does."""
        last = messages + sealed
        self.update_values(session_id, "SET lastSeq = :last", {":last": {"N": str(last)}})
        for number in range(1, last + 1):
            self.write(self.life(session_id), number, sealed=number <= sealed)
        for number in range(1, keys + 1):
            self.write(self.life(session_id), -(2**90) - number)

    def write(self, life: str, number: int, *, sealed: bool = False) -> None:
        mark = {"sealed": {"BOOL": True}} if sealed else {"content": {"S": "words"}}
        item: Any = {"life": {"S": life}, "seq": {"N": str(number)}, **mark}
        self.dynamo.put_item(TableName=MESSAGES, Item=item)

    def update_values(self, session_id: str, update: str, values: Any) -> None:
        self.dynamo.update_item(
            TableName=TABLE,
            Key={"sessionId": {"S": session_id}},
            UpdateExpression=update,
            ExpressionAttributeValues=values,
        )

    def left(self) -> set[str]:
        """The lives that still have something stored."""
        return {item["life"]["S"] for item in self.dynamo.items(MESSAGES)}

    def pass_orders(self, minutes: int = 10) -> None:
        """Let the queue deliver for some minutes."""
        for _ in range(minutes):
            self.clock.advance(minutes=1)
            self.queue.deliver(eraser.handler)


@pytest.fixture
def world() -> TalkedIn:
    return TalkedIn()


def test_a_session_that_was_never_talked_in_ends_with_one_call(world: TalkedIn) -> None:
    session_id = world.new()["sessionId"]
    with world.counted() as calls:
        answer = world.delete(session_id)
    assert calls == {"delete_item": 1}
    assert answer.json["data"] == {"success": True, "sessionId": session_id, "messagesDeleted": 0, "pending": False}
    assert world.queue.waiting == []


def test_messages_and_remembered_keys_go_with_the_session_and_nothing_else_goes(world: TalkedIn) -> None:
    session_id, other = world.new()["sessionId"], world.new()["sessionId"]
    world.talk(session_id, 60, keys=7, sealed=3)
    world.talk(other, 5, keys=1)
    kept = world.life(other)
    answer = world.delete(session_id)
    assert answer.json["data"] == {"success": True, "sessionId": session_id, "messagesDeleted": 60, "pending": False}
    assert world.left() == {kept}
    world.pass_orders()
    assert world.left() == {kept}
    assert world.queue.waiting == []
    assert world.get(session_id).status == 404


def test_what_a_writer_in_flight_adds_after_the_delete_is_removed_by_the_order(world: TalkedIn) -> None:
    session_id = world.new()["sessionId"]
    world.talk(session_id, 2)
    life = world.life(session_id)
    world.delete(session_id)
    world.write(life, 3)
    world.write(life, -(2**90))
    assert world.left() == {life}
    world.clock.advance(ORDER_DELAY_SECONDS * 1000 - 1)
    assert world.queue.deliver(eraser.handler) == 0, "a writer may still be in flight"
    world.pass_orders(1)
    assert world.left() == set()


def test_an_order_leaves_the_next_life_of_the_same_id_alone(world: TalkedIn) -> None:
    session_id = world.create(key="again").json["sessionId"]
    world.talk(session_id, 2)
    former = world.life(session_id)
    world.delete(session_id)
    assert world.create(key="again").json["sessionId"] == session_id
    world.talk(session_id, 4)
    world.write(former, 3)
    world.pass_orders()
    assert world.left() == {world.life(session_id)}
    assert len(list(world.dynamo.items(MESSAGES))) == 4


def test_a_queue_that_does_not_answer_is_a_503_and_nothing_was_done(world: TalkedIn) -> None:
    session_id = world.new()["sessionId"]
    world.talk(session_id, 2)
    hook = world.queue.add_hook(faults.connection_lost("send_message", "before", None))
    assert world.delete(session_id).status == 503
    assert world.get(session_id).status == 200
    assert len(list(world.dynamo.items(MESSAGES))) == 2
    world.queue.remove_hook(hook)
    assert world.delete(session_id).status == 200
    assert world.left() == set()


def test_a_delete_that_has_no_more_time_leaves_the_rest_to_the_order(world: TalkedIn) -> None:
    session_id = world.new()["sessionId"]
    world.talk(session_id, 130)
    world.dynamo.add_hook(Slow(world, "batch_write_item", DELETE_MS // 2))
    answer = world.delete(session_id)
    assert answer.json["data"]["pending"] is True
    assert answer.json["data"]["messagesDeleted"] == 50
    world.pass_orders()
    assert world.left() == set()
    assert world.queue.waiting == []


def test_an_order_that_has_no_more_time_sends_itself_on(world: TalkedIn) -> None:
    session_id = world.new()["sessionId"]
    world.talk(session_id, 130)
    life = world.life(session_id)
    world.remove(session_id)
    world.queue.send_message(
        QueueUrl="q", MessageBody=json.dumps({"kind": "life", "sessionId": session_id, "life": life}), DelaySeconds=0
    )
    world.dynamo.add_hook(Slow(world, "batch_write_item", ORDER_MS))
    for turn in range(1, 6):
        assert world.queue.deliver(eraser.handler) == 1
        assert len(list(world.dynamo.items(MESSAGES))) == max(0, 130 - 25 * turn)
    world.queue.deliver(eraser.handler)
    assert world.left() == set()


def test_an_order_whose_session_is_still_there_removes_nothing(world: TalkedIn) -> None:
    """The DELETE died between the order and the session: it was never answered, and the session lives."""
    session_id = world.new()["sessionId"]
    world.talk(session_id, 3)
    world.dynamo.add_hook(faults.Kill(1, "before", "delete_item"))
    with pytest.raises(faults.Killed):
        world.delete(session_id)
    world.dynamo.hooks.clear()
    world.pass_orders()
    assert world.get(session_id).status == 200
    assert len(list(world.dynamo.items(MESSAGES))) == 3


def test_deletes_that_the_store_leaves_undone_are_repeated(world: TalkedIn) -> None:
    session_id = world.new()["sessionId"]
    world.talk(session_id, 30)
    world.dynamo.add_hook(faults.unprocessed_items(times=20))
    assert world.delete(session_id).json["data"]["messagesDeleted"] == 30
    assert world.left() == set()


def test_what_cannot_be_removed_now_is_pending_and_goes_by_the_order(world: TalkedIn) -> None:
    session_id = world.new()["sessionId"]
    world.talk(session_id, 3)
    busy = world.dynamo.add_hook(faults.throttle("query"))
    answer = world.delete(session_id).json["data"]
    assert (answer["messagesDeleted"], answer["pending"]) == (0, True)
    world.dynamo.remove_hook(busy)
    world.pass_orders()
    assert world.left() == set()


def test_more_messages_than_one_page_of_the_store_holds_are_removed(world: TalkedIn) -> None:
    class TwoAtATime(faults.Hook):
        def before(self, call: str, request: Any) -> None:
            if call == "query":
                request["Limit"] = 2

    session_id = world.new()["sessionId"]
    world.talk(session_id, 7)
    world.dynamo.add_hook(TwoAtATime())
    assert world.delete(session_id).json["data"]["messagesDeleted"] == 7


def test_the_end_of_a_session_beyond_its_retention_is_a_404_and_removes_its_messages(world: TalkedIn) -> None:
    session_id = world.new()["sessionId"]
    world.talk(session_id, 3)
    world.clock.advance(minutes=30 + 1_440)
    assert world.delete(session_id).code == "SESSION_NOT_FOUND"
    assert world.left() == set()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("skip", range(6), ids=["delete, refused", "order", "delete", "query", "batch", "batch"])
def test_a_delete_killed_at_any_call_leaves_everything_or_nothing(
    world: TalkedIn, skip: int, when: faults.When
) -> None:
    session_id, other = world.new()["sessionId"], world.new()["sessionId"]
    world.talk(session_id, 30, keys=3)
    world.talk(other, 3, keys=1)
    kept = world.life(other)
    life = world.life(session_id)
    hook = faults.Kill(skip, when)
    world.dynamo.add_hook(hook)
    world.queue.add_hook(hook)
    died = False
    try:
        world.delete(session_id)
    except faults.Killed:
        died = True
    world.dynamo.hooks.clear()
    world.queue.hooks.clear()
    assert died == ((skip, when) != (0, "after")), "the first call is refused: nothing comes after it"
    if world.item(session_id) is None:
        world.write(life, 31)  # a writer that took its number before
    world.pass_orders()
    if world.item(session_id) is None:
        assert world.left() == {kept}
    else:
        assert world.left() == {kept, life}
        assert world.delete(session_id).status == 200
        world.pass_orders()
        assert world.left() == {kept}
    assert len([item for item in world.dynamo.items(MESSAGES) if item["life"]["S"] == kept]) == 4


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("skip", range(4))
def test_an_eraser_killed_at_any_call_gets_its_order_again(world: TalkedIn, skip: int, when: faults.When) -> None:
    session_id = world.new()["sessionId"]
    world.talk(session_id, 3)
    life = world.life(session_id)
    world.delete(session_id)
    world.write(life, 4)
    world.dynamo.add_hook(faults.Kill(skip, when))
    world.clock.advance(minutes=2)
    try:
        world.queue.deliver(eraser.handler)
    except faults.Killed:
        world.dynamo.hooks.clear()
        assert world.queue.waiting, "the queue keeps what was not answered"
    world.dynamo.hooks.clear()
    world.pass_orders()
    assert world.left() == set()


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"kind":"unknown"}', '{"kind":"life"}', "no json"])
def test_what_is_no_order_goes_to_the_dead_letters_and_holds_up_no_other(world: TalkedIn, body: str) -> None:
    session_id = world.new()["sessionId"]
    world.talk(session_id, 1)
    life = world.life(session_id)
    world.remove(session_id)
    order = json.dumps({"kind": "life", "sessionId": session_id, "life": life})
    event = {"Records": [{"messageId": "bad", "body": body}, {"messageId": "good", "body": order}]}
    assert eraser.handler(event, None) == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    assert world.left() == set()


@pytest.mark.parametrize("damaged", ["attempt", "metadata", "expiresAt"])
def test_a_damaged_session_that_was_talked_in_can_be_deleted(world: TalkedIn, damaged: str) -> None:
    session_id = world.new()["sessionId"]
    world.talk(session_id, 2)
    life = world.life(session_id)
    world.update(session_id, f"REMOVE {damaged}")
    assert world.delete(session_id).status == 200
    assert world.item(session_id) is None
    assert world.left() == ({life} if damaged == "attempt" else set()), "a life without a name cannot be looked up"


class Slow(faults.Hook):
    """Lets calls of one name take their time."""

    def __init__(self, world: World, call: str, takes_ms: int) -> None:
        self._world, self._call, self._takes_ms = world, call, takes_ms

    def after(self, call: str, request: Any, response: Any) -> None:
        if call == self._call:
            self._world.clock.advance(self._takes_ms)
