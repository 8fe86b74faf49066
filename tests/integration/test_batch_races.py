"""Batches, single messages and a reader at once, on DynamoDB Local: each batch is whole, once, and in a row."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from agent_sessions.errors import TooManyConflicts
from agent_sessions.messages.batches import MessageBatches, NewBatch
from agent_sessions.messages.dynamo_store import DynamoMessageStore
from agent_sessions.messages.model import NewMessage
from agent_sessions.messages.service import MessageService

from tests.engines.fixtures import Table
from tests.engines.tables import create_messages_table
from tests.integration.deployed import messages_table
from tests.integration.test_talk_rush import Talk

RETENTION_MS = 3_600_000
BATCHES = 30


def patiently(append: Callable[[], Any]) -> Any:
    """Repeat what lost five races. Each was lost to a write of somebody else, and they have few left to make."""
    while True:
        try:
            return append()
        except TooManyConflicts:
            continue


def test_batches_that_race_are_whole_once_and_in_a_row(engine: Table) -> None:
    name = create_messages_table(engine.client, messages_table(engine))
    talk = Talk(engine.client, engine.name, name)
    store, clock = DynamoMessageStore(engine.client, engine.name, name), talk.clock
    batches = MessageBatches(store, clock, retention_ms=RETENTION_MS, limit=1_000_000)
    single = MessageService(store, clock, retention_ms=RETENTION_MS, limit=1_000_000)

    def write(turn: int) -> Any:
        """Every batch is sent by two callers who share its key; a third writer seals and posts between them."""
        number, caller = divmod(turn, 3)
        if caller == 2:
            session = talk.sessions.get(talk.session_id)
            assert session is not None
            store.seal(session, session.last_sequence + 1)  # the next writer finds its number sealed
            return patiently(lambda: single.append("acme", talk.session_id, NewMessage("agent", "between")))
        new = NewBatch(
            tuple(NewMessage("user", f"{number} {place}") for place in range(3)),
            request_hash=number.to_bytes(32),
            idempotency_key=f"batch-{number}",
        )
        return patiently(lambda: batches.append("acme", talk.session_id, new))

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(write, range(3 * BATCHES)))
    slots = {slot.sequence: slot for slot in talk.slots()}
    engine.client.delete_table(TableName=name)
    stored = [slot for _, slot in sorted(slots.items()) if hasattr(slot, "content")]
    session = talk.sessions.get(talk.session_id)
    assert session is not None
    assert slots.keys() >= set(range(1, session.last_sequence + 1)), "what was not needed is sealed"
    times = [message.created_at_ms for message in stored]
    assert times == sorted(set(times))
    told = [message.content for message in stored if message.content != "between"]
    assert len(told) == 3 * BATCHES == len(set(told))
    for number in range(BATCHES):
        one, other = done[3 * number], done[3 * number + 1]
        numbers = [message.sequence for message in one.messages]
        assert numbers == list(range(numbers[0], numbers[0] + 3))
        assert one.messages == other.messages
        assert [slots[each].content for each in numbers] == [f"{number} {place}" for place in range(3)]
        assert one.is_new + other.is_new <= 1
