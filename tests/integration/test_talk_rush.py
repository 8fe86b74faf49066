"""Sixteen writers, two readers, and death: on DynamoDB Local some thousand messages, in memory more."""

from collections import Counter
from typing import Any

import pytest
from agent_sessions.messages.dynamo_item import slot_from_item
from agent_sessions.messages.dynamo_store import DynamoMessageStore
from agent_sessions.sessions.dynamo_store import DynamoSessionStore
from agent_sessions.sessions.ids import new_session_id
from agent_sessions.sessions.service import SessionService

from local.dynamo.client import MemoryDynamo
from tests.engines.fixtures import Table
from tests.engines.tables import create_messages_table, create_sessions_table
from tests.integration.deployed import messages_table
from tests.integration.rush import SkewedClock
from tests.integration.talk_rush import WRITERS, History, Renewals, check, rush
from tests.store_suite.examples import TIMEOUT
from tests.unit.world import AGENT, USER


class Talk:
    """One session and its tables."""

    def __init__(self, client: Any, sessions: str, messages: str) -> None:
        self.clock = SkewedClock(ms_a_look=5)
        from agent_sessions.sessions.service import NewSession  # noqa: PLC0415

        self.client = client
        self.messages = messages
        self.sessions = DynamoSessionStore(client, sessions, retention_ms=3_600_000, due_shards=1, tenant_shards=1)
        self.store = DynamoMessageStore(client, sessions, messages)
        service = SessionService(
            self.sessions, self.clock, new_session_id, retention_ms=3_600_000, longest_ms=172_800_000
        )
        request = NewSession(AGENT, USER, "{}", TIMEOUT, b"hash", None)
        self.session_id = service.create("acme", request).snapshot.session.session_id

    def run(self, *, each: int, seed: int, death_rate: float) -> tuple[History, Renewals]:
        history, counted = rush(self.store, self.clock, self.session_id, each=each, seed=seed, death_rate=death_rate)
        check(history, counted, self.sessions.get(self.session_id), self.slots)
        return history, counted

    def slots(self) -> list[Any]:
        found: list[Any] = []
        request: dict[str, Any] = {"TableName": self.messages, "ConsistentRead": True}
        while True:
            answer = self.client.scan(**request)
            found += [slot_from_item(item) for item in answer["Items"] if int(item["seq"]["N"]) > 0]
            if "LastEvaluatedKey" not in answer:
                return found
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def assert_met(history: History, deaths: int) -> None:
    """The run has met what it is for."""
    assert sum(history.deaths.values()) >= deaths, history.deaths
    assert {f"{when} {call}" for when in ("before", "after") for call in ("take_number", "put", "put_key")} <= (
        history.deaths.keys()
    )
    assert history.refused["PreconditionFailed"] > 0
    assert history.refused["IdempotencyKeyReused"] > 0
    assert all(history.skipped)
    repeats = Counter(new.idempotency_key for new, _ in history.appended if new.idempotency_key)
    assert max(repeats.values()) > 1
    assert not all(appended.is_new for _, appended in history.appended)


def test_nothing_is_lost_repeated_or_late_on_dynamodb_local(engine: Table) -> None:
    name = create_messages_table(engine.client, messages_table(engine))
    history, _ = Talk(engine.client, engine.name, name).run(each=200, seed=20_261_126, death_rate=0.03)
    engine.client.delete_table(TableName=name)
    assert len(history.appended) > WRITERS * 200 / 3
    assert_met(history, deaths=50)


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_repeated_or_late_in_memory(seed: int) -> None:
    client = MemoryDynamo(SkewedClock()).as_client()
    talk = Talk(client, create_sessions_table(client), create_messages_table(client))
    history, _ = talk.run(each=600, seed=seed, death_rate=0.01)
    assert_met(history, deaths=150)
