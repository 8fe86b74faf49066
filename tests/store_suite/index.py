"""What listing asks of a store: keys of an index in order and page by page, and many sessions at once."""

import uuid
from collections import Counter
from itertools import pairwise
from typing import Final

import pytest
from agent_sessions.lists.dynamo_index import DynamoSessionIndex
from agent_sessions.lists.pages import IndexKey, Partition, Place
from agent_sessions.sessions.dynamo_store import BATCH_GET_LIMIT, DynamoSessionStore
from agent_sessions.sessions.ids import new_session_id
from agent_sessions.sessions.model import Session

from tests.store_suite.examples import (
    DUE_SHARDS,
    NOW,
    RETENTION,
    TENANT,
    TENANT_SHARDS,
    Table,
    a_session,
    index_on,
    put,
    store_on,
    without,
)

USER: Final = str(uuid.uuid4())
AGENT: Final = str(uuid.uuid4()).upper()


@pytest.fixture
def table(engine: Table) -> Table:
    return engine


@pytest.fixture
def index(table: Table) -> DynamoSessionIndex:
    return index_on(table)


def listed_at(table: Table, *moments: int, tenant: str = TENANT, user: str = USER) -> list[Session]:
    """Sessions of one user that were made at these moments, in this order."""
    return [
        put(table, a_session(tenant_id=tenant, user_id=user, agent_id=AGENT, created_at_ms=moment))
        for moment in moments
    ]


def paged(index: DynamoSessionIndex, partition: Partition, limit: int, *, at_most: int = 100) -> list[list[IndexKey]]:
    """Every page of a partition."""
    pages: list[list[IndexKey]] = []
    after = None
    for _ in range(at_most):
        page = index.keys(partition, after, limit)
        pages.append(page.keys)
        if page.next is None:
            return pages
        after = page.next
    raise AssertionError(f"more than {at_most} pages")


def ids(pages: list[list[IndexKey]]) -> list[str]:
    return [key.session_id for page in pages for key in page]


def test_a_tenants_sessions_are_found_in_shards_that_are_written_no_more(
    table: Table, index: DynamoSessionIndex
) -> None:
    sessions = listed_at(table, *(NOW + step for step in range(24)))
    fewer = DynamoSessionStore(table.client, table.name, retention_ms=RETENTION, due_shards=DUE_SHARDS, tenant_shards=1)
    fewer.create(new := a_session(created_at_ms=NOW))
    first, *others = [set(ids(paged(index, partition, 50))) for partition in index.partitions(TENANT, None)]
    assert set.union(first, *others) == {session.session_id for session in [*sessions, new]}
    assert new.session_id in first


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7, 11, 12, 13])
def test_over_all_pages_each_key_comes_once_and_in_order(table: Table, index: DynamoSessionIndex, limit: int) -> None:
    sessions = listed_at(table, *(NOW + step for step in range(12)))
    [partition] = index.partitions(TENANT, USER)
    pages = paged(index, partition, limit)
    assert ids(pages) == [session.session_id for session in reversed(sessions)]
    assert max(map(len, pages)) <= limit


@pytest.mark.parametrize("moments", [[NOW] * 8, list(range(NOW, NOW + 8))], ids=["at one moment", "one after another"])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_page_goes_on_behind_a_session_that_was_deleted_meanwhile(
    table: Table, index: DynamoSessionIndex, moments: list[int], limit: int
) -> None:
    sessions = listed_at(table, *moments)
    [partition] = index.partitions(TENANT, USER)
    seen: list[str] = []
    after: Place | None = None
    while True:
        keys, after = index.keys(partition, after, limit)
        seen += [key.session_id for key in keys]
        if after is None:
            break
        store_on(table).delete(after.session_id, TENANT)
    assert Counter(seen) == Counter(session.session_id for session in sessions)


def test_the_tenants_partitions_hold_each_of_its_sessions_once(table: Table, index: DynamoSessionIndex) -> None:
    sessions = [session for _ in range(6) for session in listed_at(table, NOW, NOW + 1, user=str(uuid.uuid4()))]
    pages = [page for partition in index.partitions(TENANT, None) for page in paged(index, partition, 5)]
    assert Counter(ids(pages)) == Counter(session.session_id for session in sessions)
    for page in pages:
        assert all(newer.listed_at_ms >= older.listed_at_ms for newer, older in pairwise(page))


def test_a_tenant_whose_name_looks_like_a_shard_of_another_shares_nothing_with_it(
    table: Table, index: DynamoSessionIndex
) -> None:
    for tenant in ("acme#0", "acme#1", "acme#1#0"):
        listed_at(table, NOW, tenant=tenant)
    assert [paged(index, partition, 9) for partition in index.partitions(TENANT, None)] == [[[]]] * TENANT_SHARDS


def test_a_session_taken_off_the_lists_or_deleted_is_in_no_partition(table: Table, index: DynamoSessionIndex) -> None:
    off, gone, there = listed_at(table, NOW, NOW + 1, NOW + 2)
    put(table, off._replace(closed=True))
    store_on(table).delete(gone.session_id, TENANT)
    every = [*index.partitions(TENANT, USER), *index.partitions(TENANT, None)]
    assert [key for partition in every for key in ids(paged(index, partition, 9))] == [there.session_id] * 2


def test_many_sessions_are_read_at_once_and_those_that_are_gone_left_out(
    table: Table, index: DynamoSessionIndex
) -> None:
    sessions = listed_at(table, *(NOW + step for step in range(BATCH_GET_LIMIT - 1)))
    read = index.read_many([*(session.session_id for session in sessions), new_session_id()])
    assert read.found == {session.session_id: session for session in sessions}
    assert read.unread == []


def test_an_announced_session_is_told_apart_among_many(table: Table, index: DynamoSessionIndex) -> None:
    over = put(table, a_session(closed=True, announced=True))
    alive = put(table, a_session())
    assert index.read_many([over.session_id, alive.session_id]).found == {
        over.session_id: over,
        alive.session_id: alive,
    }


def test_an_item_that_makes_no_sense_does_not_hide_the_others(table: Table, index: DynamoSessionIndex) -> None:
    damaged, whole = listed_at(table, NOW, NOW)
    without(table, damaged.session_id, "expiresAt")
    read = index.read_many([damaged.session_id, whole.session_id])
    assert read == (
        {whole.session_id: whole},
        [],
        {damaged.session_id: "TypeError: expiresAt must hold N, not nothing"},
    )
