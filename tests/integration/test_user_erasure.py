"""The erasure of a user with 1,000 sessions beside a user with as many, on the real engine.

Every call is a call of the deployed functions. What dies when is in tests/unit/test_user_erasure.py.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from typing import Any, Final

import pytest
from agent_sessions.bootstrap import background

from functions.eraser import app as eraser
from tests.engines.fixtures import Table
from tests.engines.tables import create_messages_table
from tests.integration.deployed import Deployed, messages_table
from tests.integration.metering import Meter
from tests.store_suite.examples import a_session, item_of
from tests.unit.world import MINUTE, START_MS, USER

SESSIONS: Final = 1_000
TALKED_IN: Final = 1
MESSAGES: Final = 2_000
OTHER_USER: Final = "9a1b7c3e-52d4-4f60-8a8b-0c1d2e3f4a5b"


def sessions_of(user: str) -> Iterator[Any]:
    """Items of a user's sessions: a third of them closed and announced, some talked in at length."""
    for number in range(SESSIONS):
        created = START_MS - number * 1_000
        item = item_of(
            a_session(
                user_id=user,
                attempt=number.to_bytes(8),
                created_at_ms=created,
                expires_at_ms=START_MS + 30 * MINUTE,
                ends_at_ms=START_MS + 700 * MINUTE,
            )
        )
        if number % 3 == 0:
            item["listedAt"] = {"N": str(-created)}
            del item["dueShard"]
        if number < TALKED_IN:
            item["lastSeq"] = {"N": str(MESSAGES)}
        yield item


def messages_of(sessions: Iterable[Any]) -> Iterator[Any]:
    for session in sessions:
        life = {"S": f"{session['sessionId']['S']}#{session['attempt']['B'].hex()}"}
        for number in range(1, int(session.get("lastSeq", {"N": "0"})["N"]) + 1):
            yield {"life": life, "seq": {"N": str(number)}, "content": {"S": "words"}}


def write(table: Table, name: str, items: Iterable[Any]) -> None:
    left: Any = [{"PutRequest": {"Item": item}} for item in items]
    for start in range(0, len(left), 25):
        table.client.batch_write_item(RequestItems={name: left[start : start + 25]})


def stored(table: Table, name: str) -> list[Any]:
    pages = table.client.get_paginator("scan").paginate(TableName=name, ConsistentRead=True)
    return [item for page in pages for item in page["Items"]]


@pytest.fixture
def deployment(engine: Table) -> Iterator[Deployed]:
    name = create_messages_table(engine.client, messages_table(engine))
    yield Deployed(engine)
    engine.client.delete_table(TableName=name)


def test_a_thousand_sessions_go_and_those_of_another_user_stay_byte_for_byte(deployment: Deployed) -> None:
    table, names = deployment.table, (deployment.table.name, messages_table(deployment.table))
    mine, others = list(sessions_of(USER)), list(sessions_of(OTHER_USER))
    write(table, names[0], mine + others)
    write(table, names[1], [*messages_of(mine), *messages_of(others)])
    kept = {session["sessionId"]["S"]: session for session in others}
    renewed: Counter[int] = Counter()
    begun, over = threading.Event(), threading.Event()
    background.eraser()  # built before threads ask for it

    def renew() -> None:
        """Renew sessions that the erasure has yet to reach; it must reach them all the same."""
        answers = {200}
        while answers != {404} and not over.is_set():
            answers = {deployment.renew(session["sessionId"]["S"]).status for session in mine[1::50]}
            renewed.update(answers)
            begun.set()

    renewer = threading.Thread(target=renew)
    with redirect_stdout(StringIO()):
        renewer.start()
        try:
            assert begun.wait(300)
            erasure_id = deployment.erase().json["erasureId"]
            deployment.clock.advance(1)
            while deployment.erasure(erasure_id).json["status"] == "running":
                assert deployment.queue.waiting
                deployment.queue.deliver(eraser.handler)
                deployment.clock.advance(minutes=1)
            renewer.join(300)  # it ends once it finds none of them
        finally:
            over.set()
            renewer.join()
        done = deployment.erasure(erasure_id).json
    assert (done["sessions"], done["messages"]) == (SESSIONS, TALKED_IN * MESSAGES)
    assert {200, 404} <= renewed.keys() <= {200, 404, 410}
    left = [item for item in stored(table, names[0]) if "attempt" in item]
    assert {item["sessionId"]["S"]: item for item in left} == kept
    assert sorted(map(str, stored(table, names[1]))) == sorted(map(str, messages_of(others)))


def test_what_an_erasure_costs(talking: Deployed, meter: Meter) -> None:
    sessions = [talking.new()["sessionId"] for _ in range(3)]
    talking.say(sessions[0])
    with meter.running() as bill:
        assert talking.erase().json["sessions"] == 3
    calls = Counter(bill.operations)
    assert calls == {"PutItem": 3, "Query": 2, "BatchGetItem": 1, "DeleteItem": 3, "BatchWriteItem": 1}
    deletes = [call for call in bill.calls if call.operation == "DeleteItem"]
    assert {call.table_units for call in deletes} == {1.0}
    assert [call.index_units for call in deletes] == [{"due": 1.0, "byUser": 1.0, "byTenant": 1.0}] * 3
    assert {call.table_units for call in bill.calls if call.operation == "PutItem"} == {1.0}
    assert [call.table_units for call in bill.calls if call.operation == "BatchGetItem"] == [3.0]
    with meter.running() as bill:
        talking.erasure(sessions[0])
    assert (bill.operations, bill.table_units) == (["GetItem"], 1.0)
