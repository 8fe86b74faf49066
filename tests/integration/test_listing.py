"""Ten thousand sessions listed page by page: each exactly once, newest first, and no call reads more than its bound."""

import random
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any, Final

import pytest
from agent_sessions.lists.pages import EXTRA_QUERIES, MAX_BATCHES, MIN_KEYS_PER_QUERY
from agent_sessions.sessions.model import Session

from local.dynamodb_local import DynamoDbLocal
from tests.engines.fixtures import Table
from tests.engines.tables import create_sessions_table
from tests.integration.deployed import Deployed
from tests.integration.metering import Bill, Meter
from tests.integration.shipped import patient_client
from tests.store_suite.examples import TENANT_SHARDS, a_session, item_of, secret_on
from tests.unit.world import MINUTE, START_MS

SESSIONS: Final = 10_000
PAGE: Final = 100
USER: Final = str(uuid.uuid4())
DEAD_USER: Final = str(uuid.uuid4())
AGENT: Final = str(uuid.uuid4())
RARE_AGENT: Final = str(uuid.uuid4())
ENTRY_BYTES: Final = 300
"""More than an entry of a listing index takes."""


def everybodys_sessions() -> list[Session]:
    """Several made in each millisecond, in no order: a user with 2,500 of them, an agent with 2,000, one with three."""
    chance = random.Random(10_000)
    users = [USER, *(str(uuid.uuid4()) for _ in range(3))]
    agents = [AGENT, *(str(uuid.uuid4()) for _ in range(4))]
    moments = [START_MS - 20 * MINUTE + number // 7 for number in range(SESSIONS)]
    chance.shuffle(moments)
    rare = set(chance.sample(range(SESSIONS), 3))
    return [
        made_at(moment, users[number % 4], RARE_AGENT if number in rare else agents[number % 5])
        for number, moment in enumerate(moments)
    ]


def made_at(moment: int, user: str, agent: str, minutes: int = 30) -> Session:
    return a_session(
        session_id=str(uuid.UUID(int=random.getrandbits(128), version=4)),
        user_id=user,
        agent_id=agent,
        created_at_ms=moment,
        last_activity_ms=moment,
        renewed_at_ms=moment,
        expires_at_ms=moment + minutes * MINUTE,
        metadata_json="{}",
    )


def fill(table: Table, sessions: list[Session]) -> None:
    """Lay them all down, 25 at a time."""
    _write(table, [{"PutRequest": {"Item": item_of(session)}} for session in sessions])


def empty(table: Table, sessions: Iterable[Session]) -> None:
    """Take them away, there or not."""
    _write(table, [{"DeleteRequest": {"Key": {"sessionId": {"S": session.session_id}}}} for session in sessions])


def _write(table: Table, requests: list[Any]) -> None:
    def write(batch: list[Any]) -> None:
        assert not table.client.batch_write_item(RequestItems={table.name: batch})["UnprocessedItems"]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, [requests[start : start + 25] for start in range(0, len(requests), 25)]))


@pytest.fixture(scope="module")
def crowd() -> list[Session]:
    return everybodys_sessions()


@pytest.fixture(scope="module")
def client(dynamo_local: DynamoDbLocal) -> Iterator[Any]:
    client = patient_client(dynamo_local.endpoint_url)
    yield client
    client.close()


@pytest.fixture(scope="module")
def meter(client: Any) -> Meter:
    return Meter(client)


@pytest.fixture(scope="module")
def table(client: Any, crowd: list[Session]) -> Iterator[Table]:
    name = create_sessions_table(client, f"listing-{uuid.uuid4().hex}")
    table = Table(client, name, "dynamodb-local")
    secret_on(table).read()
    fill(table, crowd)
    yield table
    client.delete_table(TableName=name)


@pytest.fixture
def full(table: Table) -> Deployed:
    """The deployment with ten thousand live sessions of one tenant."""
    return Deployed(table)


def pages(
    deployed: Deployed, meter: Meter, query: Mapping[str, str], limit: int = PAGE
) -> Iterator[tuple[list[Any], Bill]]:
    """Every page with what it cost."""
    cursor: Mapping[str, str] = {}
    while True:
        with meter.running() as bill:
            answer = deployed.page(**query, **cursor, limit=str(limit))
        assert answer.status == 200
        yield answer.json["sessions"], bill
        if "nextCursor" not in answer.json:
            return
        cursor = {"cursor": answer.json["nextCursor"]}


def check_bound(bill: Bill, partitions: int, limit: int = PAGE) -> None:
    """The bound that listing states: on queries, on batch reads, and so on the units that a call can consume."""
    queries = [call for call in bill.calls if call.operation == "Query"]
    reads = [call for call in bill.calls if call.operation == "BatchGetItem"]
    others = [call.operation for call in bill.calls if call.operation not in ("Query", "BatchGetItem")]
    assert others in ([], ["GetItem"])  # the secret of the cursors, once in a process
    assert len(queries) <= partitions + EXTRA_QUERIES
    assert len(reads) <= MAX_BATCHES
    keys = max(limit + 1, MIN_KEYS_PER_QUERY)
    assert max(sum(call.index_units.values()) for call in queries) <= -(-keys * ENTRY_BYTES // 4096) / 2
    assert max((call.table_units for call in reads), default=0) <= limit


def most(costs: list[Bill]) -> str:
    """What the dearest page cost, for docs/decisions.md."""
    queries = max(bill.operations.count("Query") for bill in costs)
    reads = max(bill.operations.count("BatchGetItem") for bill in costs)
    index_units = max(sum(bill.index_units.values()) for bill in costs)
    table_units = max(bill.table_units for bill in costs)
    return f"{queries} queries ({index_units:g} units), {reads} batch reads ({table_units:g} units)"


def ids(sessions: list[Any]) -> list[str]:
    return [session["sessionId"] for session in sessions]


LISTS: Final[Mapping[str, tuple[dict[str, str], int]]] = {
    "tenant": ({}, TENANT_SHARDS),
    "user": ({"userId": USER.upper()}, 1),
    "agent": ({"agentId": AGENT}, TENANT_SHARDS),
    "user and agent": ({"userId": USER, "agentId": AGENT.upper()}, 1),
    "rare agent": ({"agentId": RARE_AGENT}, TENANT_SHARDS),
    "user and rare agent": ({"userId": USER, "agentId": RARE_AGENT}, 1),
}


@pytest.mark.parametrize("name", LISTS)
def test_over_all_pages_every_session_comes_once_newest_first_and_no_page_costs_more_than_its_bound(
    full: Deployed, meter: Meter, crowd: list[Session], name: str
) -> None:
    query, partitions = LISTS[name]
    wanted = {
        session.session_id
        for session in crowd
        if session.user_id == query.get("userId", session.user_id).lower()
        and session.agent_id == query.get("agentId", session.agent_id).lower()
    }
    listed: list[Any] = []
    costs: list[Bill] = []
    for sessions, bill in pages(full, meter, query):
        listed += sessions
        costs.append(bill)
        check_bound(bill, partitions)
    assert len(listed) == len(wanted)
    assert set(ids(listed)) == wanted
    made = [session["createdAt"] for session in listed]
    assert made == sorted(made, reverse=True)
    sys.stdout.write(f"\n{name}: {len(listed)} sessions in {len(costs)} pages; at most {most(costs)}\n")


def test_small_pages_are_as_complete(full: Deployed, meter: Meter, crowd: list[Session]) -> None:
    """Seven at a time, which parts the sessions of a millisecond in every way."""
    listed: list[str] = []
    for sessions, bill in pages(full, meter, {"userId": USER, "agentId": AGENT}, 7):
        listed += ids(sessions)
        check_bound(bill, 1, 7)
    wanted = [it.session_id for it in crowd if (it.user_id, it.agent_id) == (USER, AGENT)]
    assert sorted(listed) == sorted(wanted)


def test_sessions_come_and_go_while_the_pages_are_read(full: Deployed, meter: Meter, crowd: list[Session]) -> None:
    stop = Event()
    gone = random.Random(1).sample(crowd, 200)

    def stir() -> list[str]:
        """Delete and create until told to stop; return what was created."""
        made = []
        for session in gone:
            if stop.is_set():
                break
            assert full.delete(session.session_id).status == 200
            made.append(full.create().json["sessionId"])
        return made

    with ThreadPoolExecutor(1) as pool:
        stirring = pool.submit(stir)
        try:
            listed = [session_id for sessions, _ in pages(full, meter, {}) for session_id in ids(sessions)]
        finally:
            stop.set()
        made = stirring.result()
    assert made
    fill(full.table, gone)
    empty(full.table, [a_session(session_id=session_id) for session_id in made])
    assert len(listed) == len(set(listed))
    lived_throughout = {session.session_id for session in crowd} - {session.session_id for session in gone}
    assert lived_throughout <= set(listed) <= {session.session_id for session in crowd} | set(made)


def test_those_that_have_expired_cost_bounded_work_and_hide_none_that_live(full: Deployed, meter: Meter) -> None:
    """The sweep takes the dead off the lists within minutes; until then they are read past."""
    dead = [made_at(START_MS - 10 * MINUTE + number, DEAD_USER, AGENT, minutes=5) for number in range(1_500)]
    alive = [made_at(START_MS - 11 * MINUTE - number, DEAD_USER, AGENT) for number in range(30)]
    fill(full.table, dead + alive)
    listed: list[str] = []
    for sessions, bill in pages(full, meter, {"userId": DEAD_USER}, 50):
        listed += ids(sessions)
        check_bound(bill, 1, 50)
    empty(full.table, dead + alive)
    assert listed == [session.session_id for session in alive]
