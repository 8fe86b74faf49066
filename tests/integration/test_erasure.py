"""DELETE of a session while others write messages, through the deployed functions: its life goes, nothing else does."""

import itertools
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from typing import Any, Final

import pytest
from agent_sessions.bootstrap import background
from agent_sessions.erasure.service import ORDER_DELAY_SECONDS
from agent_sessions.errors import SessionNotFound
from agent_sessions.messages.dynamo_store import DynamoMessageStore
from agent_sessions.messages.model import KeyRecord, Message, NewMessage, Slot
from agent_sessions.messages.service import MessageService

from functions.eraser import app as eraser
from tests.engines.fixtures import Table
from tests.engines.tables import create_messages_table
from tests.integration.deployed import Deployed, messages_table
from tests.integration.rush import SkewedClock
from tests.store_suite.races import at_once

TALKERS: Final = 8
ELSEWHERE: Final = 3
HELD: Final = 4
TALKED_BEFORE: Final = 40
"""Messages that are stored before the DELETE."""
PATIENCE_SECONDS: Final = 300


class HeldStore(DynamoMessageStore):
    """A writer that has its number and stores nothing before the gate is opened."""

    def __init__(self, talk: "Talk") -> None:
        super().__init__(talk.table.client, talk.table.name, messages_table(talk.table))
        self._talk = talk

    def put(self, message: Message) -> Slot | None:
        self._wait()
        return super().put(message)

    def put_key(self, session: Any, record: KeyRecord) -> KeyRecord | None:
        self._wait()
        return super().put_key(session, record)

    def _wait(self) -> None:
        self._talk.in_flight.release()
        assert self._talk.gate.wait(PATIENCE_SECONDS)


class Talk(Deployed):
    """A deployment whose sessions are talked in by many threads."""

    def __init__(self, table: Table) -> None:
        self.time = SkewedClock()
        super().__init__(table, clock=self.time)
        background.eraser()  # built before threads ask for it
        self.in_flight = threading.Semaphore(0)
        self.gate = threading.Event()
        self.began_anew = threading.Event()
        self._stored = threading.Semaphore(0)

    def life(self, session_id: str) -> str:
        return f"{session_id}#{self.item(session_id)['attempt']['B'].hex()}"

    def writer(self, store: DynamoMessageStore | None = None) -> MessageService:
        store = store or DynamoMessageStore(self.table.client, self.table.name, messages_table(self.table))
        return MessageService(store, self.time, retention_ms=3_600_000, limit=10_000)

    def append(self, writer: MessageService, session_id: str, *, with_key: bool) -> Message:
        key = uuid.uuid4().hex if with_key else None
        new = NewMessage("user", "words", idempotency_key=key, request_hash=bytes(32) if key else b"")
        return writer.append("acme", session_id, new).message

    def write(self, number: int, session_id: str) -> list[tuple[str, int]]:
        """Write until the session has begun anew, then five times more. Return what was acknowledged, by its key."""
        acknowledged = []
        writer = self.writer()
        left = 5
        while left:
            if self.began_anew.is_set():
                left -= 1
            try:
                message = self.append(writer, session_id, with_key=number % 2 == 0)
            except SessionNotFound:  # deleted: wait for the next life of the same id
                assert self.began_anew.wait(PATIENCE_SECONDS)
                continue
            acknowledged.append((f"{session_id}#{message.attempt.hex()}", message.sequence))
            self._stored.release()
        return acknowledged

    def end_and_begin_anew(self, session_id: str) -> None:
        """Delete the session while others write, and make it again under its key; then let the held writers go on."""
        for _ in range(TALKED_BEFORE):
            assert self._stored.acquire(timeout=PATIENCE_SECONDS)
        for _ in range(HELD):
            assert self.in_flight.acquire(timeout=PATIENCE_SECONDS)
        answer = self.delete(session_id)
        assert answer.status == 200
        assert answer.json["data"]["messagesDeleted"] > 0
        assert self.create(key="again").json["sessionId"] == session_id
        self.began_anew.set()
        self.gate.set()

    def stored(self) -> dict[str, list[int]]:
        """The numbers that are stored, by life; remembered keys have negative ones."""
        found: dict[str, list[int]] = {}
        scan = self.table.client.get_paginator("scan")
        pages = scan.paginate(TableName=messages_table(self.table), ConsistentRead=True)
        for item in itertools.chain.from_iterable(page["Items"] for page in pages):
            found.setdefault(item["life"]["S"], []).append(int(item["seq"]["N"]))
        return found


@pytest.fixture
def talk(engine: Table) -> Iterator[Talk]:
    name = create_messages_table(engine.client, messages_table(engine))
    yield Talk(engine)
    engine.client.delete_table(TableName=name)


def test_whoever_writes_during_a_delete_nothing_of_the_life_is_left_and_nothing_else_goes(talk: Talk) -> None:
    session_id, other = talk.create(key="again").json["sessionId"], talk.new()["sessionId"]
    dead, kept = talk.life(session_id), talk.life(other)

    def act(number: int) -> list[tuple[str, int]]:
        if number == 0:
            talk.end_and_begin_anew(session_id)
            return []
        if number <= HELD:
            message = talk.append(talk.writer(HeldStore(talk)), session_id, with_key=number % 2 == 0)
            return [(f"{session_id}#{message.attempt.hex()}", message.sequence)]
        return talk.write(number, session_id if number <= HELD + TALKERS else other)

    with redirect_stdout(StringIO()):  # the functions' metrics
        acknowledged = [each for of_one in at_once(act, 1 + HELD + TALKERS + ELSEWHERE) for each in of_one]
    anew = talk.life(session_id)
    by_life = Counter(life for life, _ in acknowledged)
    assert by_life.keys() == {dead, anew, kept}
    assert len(set(acknowledged)) == len(acknowledged), "no number is given twice"
    late = talk.stored()
    assert len([number for number in late[dead] if number > 0]) >= HELD, "writers in flight stored after the DELETE"

    with redirect_stdout(StringIO()):
        assert talk.queue.deliver(eraser.handler) == 0, "a writer may still be in flight"
        talk.time.jumped_ms += ORDER_DELAY_SECONDS * 1000
        (_, order), *_ = talk.queue.waiting
        event = {"Records": [{"messageId": "1", "body": order}]}
        answers = at_once(lambda _: eraser.handler(event, None), 4)  # SQS may deliver an order twice
        assert answers == [{"batchItemFailures": []}] * 4
        talk.queue.deliver(eraser.handler)

    assert talk.queue.waiting == []
    assert talk.stored() == {life: late[life] for life in (anew, kept)}
    for life in (anew, kept):
        numbers = sorted(number for number in late[life] if number > 0)
        assert numbers == sorted(sequence for where, sequence in acknowledged if where == life)
        assert numbers == list(range(1, len(numbers) + 1))
