"""Many writers and two readers in one session at once: keys that they share, If-Match, clocks apart, sudden deaths.

Works on any engine, below HTTP: a writer that dies is an exception out of a call to the store, before or after it.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from threading import Barrier
from typing import Any, Final

from agent_sessions.clock import Clock
from agent_sessions.errors import IdempotencyKeyReused, PreconditionFailed, ServiceUnavailable
from agent_sessions.messages.dynamo_store import DynamoMessageStore
from agent_sessions.messages.ids import REQUEST_PARTS, request_hash
from agent_sessions.messages.model import Message, NewMessage
from agent_sessions.messages.pages import MessageQuery, MessageReader
from agent_sessions.messages.service import Appended, MessageService

WRITERS: Final = 16
READERS: Final = 2
SKEWS_MS: Final = (-50, -20, 0, 0, 0, 10, 30, 50)
_STORE_CALLS: Final = ("take_number", "put", "put_key", "move_key", "seal", "get", "key_record", "session")


class Died(BaseException):
    """The writer's process is gone."""


class Mortal:
    """A store whose calls its thread may not survive: before a call, or after it was done."""

    def __init__(self, store: DynamoMessageStore, chance: random.Random, deaths: Counter[str], rate: float) -> None:
        self._store = store
        self._chance = chance
        self._deaths = deaths
        self._rate = rate

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*arguments: Any, **named: Any) -> Any:
            if self._chance.random() < self._rate:
                self._deaths[f"before {name}"] += 1
                raise Died
            answer = method(*arguments, **named)
            if self._chance.random() < self._rate:
                self._deaths[f"after {name}"] += 1
                raise Died
            return answer

        return call


class Skewed:
    """A clock that is wrong by so much."""

    def __init__(self, clock: Clock, by_ms: int) -> None:
        self._clock = clock
        self._by_ms = by_ms

    def now_ms(self) -> int:
        return self._clock.now_ms() + self._by_ms

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)


class Renewals:
    """Counts the renewals that the store accepted, by the number that came with each."""

    def __init__(self, store: DynamoMessageStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self.of_number: dict[int, bool] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def take_number(self, session_id: str, tenant_id: str, attempt: Any, now_ms: int) -> Any:
        write = self._store.take_number(session_id, tenant_id, attempt, now_ms)
        if write.applied and write.session:
            with self._lock:
                assert write.session.last_sequence not in self.of_number, "a number was given twice"
                self.of_number[write.session.last_sequence] = attempt.renewal is not None
        return write


@dataclass
class History:
    """What everybody did and saw."""

    appended: list[tuple[NewMessage, Appended]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    deaths: Counter[str] = field(default_factory=Counter)
    read: list[list[Message]] = field(default_factory=list)
    skipped: list[list[int]] = field(default_factory=list)


def rush(
    store: DynamoMessageStore, clock: Clock, session_id: str, *, each: int, seed: int, death_rate: float
) -> tuple[History, Renewals]:
    """Let each writer append so many messages while the readers follow; return what happened."""
    history, counted = History(), Renewals(store)
    start, over = Barrier(WRITERS + READERS), threading.Event()
    lock = threading.Lock()

    def writer(number: int) -> None:
        chance = random.Random(seed + number)
        mortal: Any = Mortal(counted, chance, history.deaths, death_rate)  # type: ignore[arg-type]
        own = Skewed(clock, SKEWS_MS[number % len(SKEWS_MS)])
        service = MessageService(mortal, own, retention_ms=3_600_000, limit=1_000_000, jitter=chance.random)
        start.wait()
        last = 0
        for turn in range(each):
            new = _request(chance, number, turn, last)
            try:
                appended = service.append("acme", session_id, new)
            except Died:
                continue
            except (PreconditionFailed, IdempotencyKeyReused, ServiceUnavailable) as error:
                with lock:
                    history.refused[type(error).__name__] += 1
                if isinstance(error, PreconditionFailed):
                    last = int(error.present)
                continue
            last = appended.session.last_sequence
            with lock:
                history.appended.append((new, appended))

    with ThreadPoolExecutor(WRITERS + READERS) as pool:
        readers = [pool.submit(_follow, store, clock, session_id, history, start, over) for _ in range(READERS)]
        writers = [pool.submit(writer, number) for number in range(WRITERS)]
        try:
            for each_writer in writers:
                each_writer.result()
        finally:
            over.set()
        for each_reader in readers:
            each_reader.result()
    return history, counted


def _follow(
    store: DynamoMessageStore,
    clock: Clock,
    session_id: str,
    history: History,
    start: Barrier,
    over: threading.Event,
) -> None:
    """Read on from the highest number seen, and seal, until the writers are done and everything is read."""
    read: list[Message] = []
    skipped: list[int] = []
    at, reading = 0, MessageReader(store, clock, retention_ms=3_600_000)
    start.wait()
    while True:
        done = over.is_set()
        page = reading.page("acme", session_id, MessageQuery(limit=100, after_sequence=at, ascending=True))
        read += page.messages
        skipped += page.skipped
        at = page.read_to
        if done and at == page.session.last_sequence:
            break
    history.read.append(read)
    history.skipped.append(skipped)


def _request(chance: random.Random, number: int, turn: int, last: int) -> NewMessage:
    """A user's or an agent's message: a third with a key that others use as well, a sixth with If-Match."""
    kind = chance.randrange(6)
    key = f"key-{chance.randrange(40 + turn * 2)}" if kind < 2 else None
    content = f"said under {key}" if key and chance.random() < 0.9 else f"{number} says {turn}"
    role: Any = "user" if key or chance.random() < 0.7 else "agent"
    parts = dict.fromkeys(REQUEST_PARTS, "") | {"content": content, "role": role}
    return NewMessage(
        role=role,
        content=content,
        request_hash=request_hash(parts),
        idempotency_key=key,
        expected_sequence=last if kind == 5 else None,
    )


def check(history: History, counted: Renewals, session: Any, slots: Callable[[], list[Any]]) -> None:
    """Nothing acknowledged is lost, nothing is there twice, and no reader missed anything."""
    stored = [slot for slot in slots() if isinstance(slot, Message)]
    by_number = {message.sequence: message for message in stored}
    assert len(by_number) == len(stored)
    for new, appended in history.appended:
        message = by_number[appended.message.sequence]
        assert message == appended.message, "what was acknowledged stands there as it was acknowledged"
        assert message.content == new.content
    new_ones = [appended.message.sequence for _, appended in history.appended if appended.is_new]
    assert len(new_ones) == len(set(new_ones)), "no number was acknowledged as new twice"
    writes = Counter(message.write for message in stored)
    assert set(writes.values()) == {1}, "no message is stored twice"
    of_key: dict[str, set[int]] = {}
    for new, appended in history.appended:
        if new.idempotency_key:
            of_key.setdefault(new.idempotency_key, set()).add(appended.message.sequence)
    assert all(len(numbers) == 1 for numbers in of_key.values()), "a key stands for one message"
    for number, message in by_number.items():
        if message.role == "agent":
            assert counted.of_number[number] is False
    assert session.renewal_count == sum(counted.of_number.values()), "a renewal is counted once, with its number"
    assert session.last_sequence == max(counted.of_number)
    assert sorted(counted.of_number) == list(range(1, session.last_sequence + 1))
    moments = [by_number[number].created_at_ms for number in sorted(by_number)]
    assert all(one < other for one, other in pairwise(moments)), "moments only grow"
    for read, skipped in zip(history.read, history.skipped, strict=True):
        assert [message.sequence for message in read] == sorted(by_number), "each number once, in order, none missed"
        assert sorted([*skipped, *by_number]) == list(range(1, session.last_sequence + 1))
