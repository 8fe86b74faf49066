"""What moto cannot do: it loses conditional updates that are made at the same time, and compares like with like only.

Many threads at once on one item, and a condition that compares a number with something else.
"""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, Final, TypeVar

import pytest
from agent_sessions.lists import dynamo_secret
from agent_sessions.sessions import dynamo_item as items
from agent_sessions.sessions.dynamo_store import DynamoSessionStore
from agent_sessions.sessions.leases import Renewal, RenewalPath, patch_of
from agent_sessions.sessions.service import Deletion
from agent_sessions.sweep import dynamo_record
from agent_sessions.sweep.health import SweepRecord

from tests.store_suite.examples import (
    MINUTE,
    NOW,
    TENANT,
    TIMEOUT,
    Table,
    a_session,
    item,
    patched,
    put,
    records_on,
    secret_on,
    store_on,
)

THREADS: Final = 16
_T = TypeVar("_T")


@pytest.fixture
def table(engine: Table) -> Table:
    return engine


@pytest.fixture
def store(table: Table) -> DynamoSessionStore:
    return store_on(table)


def at_once(act: Callable[[int], _T], threads: int = THREADS) -> list[_T]:
    """Let so many threads act at the same moment, each with its number."""
    barrier = Barrier(threads)

    def start(number: int) -> _T:
        barrier.wait(300)
        return act(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(start, range(threads)))


def test_of_many_creates_of_one_id_one_goes_through(store: DynamoSessionStore) -> None:
    sessions = [a_session(attempt=bytes([number])) for number in range(THREADS)]
    session_id = sessions[0].session_id
    sessions = [session._replace(session_id=session_id) for session in sessions]
    answers = at_once(lambda number: store.create(sessions[number]))
    [winner] = [session for session, held in zip(sessions, answers, strict=True) if held is None]
    assert [held for held in answers if held is not None] == [winner] * (THREADS - 1)
    assert store.get(session_id) == winner


def test_of_many_creates_in_place_of_a_retired_session_one_goes_through(
    table: Table, store: DynamoSessionStore
) -> None:
    old = put(table, a_session(expires_at_ms=0, created_at_ms=0))
    answers = at_once(
        lambda number: store.create(a_session(session_id=old.session_id, attempt=bytes([number]), created_at_ms=NOW))
    )
    assert Counter(held is None for held in answers) == {True: 1, False: THREADS - 1}


def test_no_renewal_is_lost_among_many_at_one_moment(store: DynamoSessionStore) -> None:
    session = a_session()
    store.create(session)
    writes = at_once(
        lambda _: [
            store.renew(session.session_id, TENANT, Renewal(RenewalPath.USUAL, manual=False), NOW) for _ in range(20)
        ]
    )
    renewals = [write.session.renewal_count for batch in writes for write in batch if write.applied and write.session]
    assert sorted(renewals) == list(range(1, 20 * THREADS + 1))
    found = store.get(session.session_id)
    assert found is not None
    assert (found.renewal_count, found.lease) == (20 * THREADS, 20 * THREADS + 1)


def test_of_many_renewals_by_clocks_that_differ_none_needs_more_than_a_second_attempt(
    store: DynamoSessionStore,
) -> None:
    session = a_session()
    store.create(session)

    def act(number: int) -> None:
        for step in range(20):
            clock = NOW + step + number
            if not store.renew(session.session_id, TENANT, Renewal(RenewalPath.USUAL, manual=False), clock).applied:
                again = Renewal(RenewalPath.USUAL, manual=False, overtaken_at_ms=clock)
                assert store.renew(session.session_id, TENANT, again, clock + 1).applied

    at_once(act)
    found = store.get(session.session_id)
    assert found is not None
    latest = NOW + 19 + THREADS - 1
    assert (found.renewal_count, found.lease) == (20 * THREADS, 20 * THREADS + 1)
    assert (found.renewed_at_ms, found.expires_at_ms) == (latest, latest + 30 * MINUTE)


def test_one_of_many_patches_of_one_reading_goes_through(table: Table, store: DynamoSessionStore) -> None:
    session = put(table, a_session())
    wanted = [TIMEOUT._replace(timeout_minutes=31 + number) for number in range(THREADS)]
    writes = at_once(lambda number: store.patch(session, patch_of(session, wanted[number], NOW), NOW))
    [winner] = [write.session for write in writes if write.applied]
    assert winner in [patched(session, timeout) for timeout in wanted]
    assert all(write.session == winner for write in writes)


def test_one_of_many_deletes_gets_the_session(table: Table, store: DynamoSessionStore) -> None:
    session = put(table, a_session())
    answers = at_once(lambda _: store.delete(session.session_id, TENANT))
    assert [answer for answer in answers if answer] == [Deletion(True, session, session.attempt)]


def test_no_renewal_or_patch_outlives_a_delete(table: Table, store: DynamoSessionStore) -> None:
    session = put(table, a_session())

    def act(number: int) -> None:
        if number == THREADS // 2:
            store.delete(session.session_id, TENANT)
        for step in range(10):
            store.renew(session.session_id, TENANT, Renewal(RenewalPath.USUAL, manual=True), NOW + step)
            store.patch(session, patch_of(session, TIMEOUT._replace(timeout_minutes=31), NOW), NOW)

    at_once(act)
    assert item(table, session.session_id) is None


def test_a_claim_is_given_to_one_of_many(table: Table) -> None:
    ranges = [range(8), range(4), range(4, 8), [2, 5]]
    claimed = at_once(
        lambda number: (number % 4, records_on(table).claim(ranges[number % 4], f"run {number}", NOW, NOW + MINUTE))
    )
    winners = sorted(which for which, given in claimed if given)
    assert winners in ([0], [3], [1, 2])
    assert item(table, dynamo_record.RECORD) is not None


@pytest.mark.parametrize("value", [{"S": "soon"}, {"BOOL": True}, {"M": {}}, {"L": []}, {"B": b"soon"}], ids=str)
def test_a_claim_that_is_no_number_holds_nobody_up(table: Table, value: dict[str, Any]) -> None:
    records = records_on(table)
    table.client.update_item(
        TableName=table.name,
        Key=items.session_key(dynamo_record.RECORD),
        UpdateExpression="SET claimedUntil0 = :value, sweptAtX = :value, sweptAt1 = :value, gaugeAt = :value",
        ExpressionAttributeValues={":value": value},
    )
    assert records.sweep_record() == SweepRecord({}, None)
    assert records.claim([0], "first", NOW, NOW + MINUTE)
    assert not records.claim([0], "second", NOW + 1, NOW + MINUTE)


@pytest.mark.parametrize("held", [None, {"S": "secret"}], ids=str)
def test_the_cursor_secret_is_made_once_by_processes_that_start_at_once(
    table: Table, held: dict[str, Any] | None
) -> None:
    if held is not None:
        table.client.put_item(TableName=table.name, Item={**items.session_key(dynamo_secret.RECORD), "secret": held})
    secrets = at_once(lambda _: secret_on(table).read())
    assert len(set(secrets)) == 1
    assert secret_on(table).read() == secrets[0]
