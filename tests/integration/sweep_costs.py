"""What a sweep costs in a table of any size, on DynamoDB Local: calls and consumed units, beside a scan's."""

import base64
import http.client
import json
import re
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from agent_sessions.bootstrap import wiring
from agent_sessions.sessions import dynamo_item as items
from agent_sessions.sessions.model import MS_PER_MINUTE, Session

from functions.expiry_sweeper import app as expiry_sweeper
from functions.session_api import app as session_api
from local.dynamodb_local import DynamoDbLocal
from tests.engines.fake_sns import FakeSns
from tests.engines.tables import create_agent_policies_table, create_sessions_table
from tests.integration.metering import Bill, Meter
from tests.store_suite.examples import TIMEOUT, a_session
from tests.unit.world import BASE, POLICIES, gateway_event

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

NOW_MS: Final = 1_782_547_200_000
MINUTE: Final = MS_PER_MINUTE
DUE_SHARDS: Final = 8
TO_WARN, TO_REARM, TO_EXPIRE = 400, 300, 300
DUE: Final = TO_WARN + TO_REARM + TO_EXPIRE
LOADERS: Final = 2
LISTED: Final = 50
_HEADERS: Final = {
    "content-type": "application/x-amz-json-1.0",
    "x-amz-target": "DynamoDB_20120810.BatchWriteItem",
    "authorization": "AWS4-HMAC-SHA256 Credential=local/20260627/eu-central-1/dynamodb/aws4_request, "
    "SignedHeaders=host, Signature=0",
}


class StoppedClock:
    """Time stands still while the units are read."""

    def now_ms(self) -> int:
        return NOW_MS

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here is busy")


@dataclass(frozen=True)
class Cost:
    """A sweep of 1,000 due sessions, the idle one after it, and a request of each frequent kind.

    `scan` is what a sweep without an index would do.
    """

    sessions: int
    summary: dict[str, Any]
    published: int
    sweep: Bill
    marks: Bill
    idle: Bill
    requests: Mapping[str, Bill]
    scan: Bill | None
    calls: int
    load_seconds: float

    @property
    def units(self) -> float:
        """All that the sweep consumed."""
        return units(self.sweep) + units(self.marks)


def units(bill: Bill) -> float:
    """All capacity units of a bill, the indexes' among them."""
    return bill.table_units + sum(bill.index_units.values())


class PricedStatements:
    """A client that carries each statement of a batch out as the UpdateItem that does the same.

    DynamoDB Local tells what an UpdateItem consumes, and of statements it tells nothing. They cost the same.
    """

    def __init__(self, client: "DynamoDBClient", updates: "DynamoDBClient") -> None:
        self._client = client
        self._updates = updates
        self.batches = 0

    def __getattr__(self, call: str) -> Any:
        return getattr(self._client, call)

    def batch_execute_statement(self, **request: Any) -> dict[str, Any]:
        self.batches += 1
        return {"Responses": [self._update(**statement) for statement in request["Statements"]]}

    def _update(self, Statement: str, Parameters: Sequence[Any]) -> dict[str, Any]:  # noqa: N803 - AWS's names
        match = _STATEMENT.fullmatch(Statement)
        assert match is not None, Statement
        values = iter(enumerate(Parameters))
        change, bound = match["change"], {}
        if "?" in change:
            number, value = next(values)
            change, bound[f":v{number}"] = change.replace("?", f":v{number}"), value
        conditions = []
        for condition, (number, value) in zip(match["where"].split(" AND "), values, strict=True):
            conditions.append(condition.replace("?", f":v{number}"))
            bound[f":v{number}"] = value
        key = bound.pop(conditions[0].partition(" = ")[2])
        self._updates.update_item(
            TableName=match["table"],
            Key={"sessionId": key},
            UpdateExpression=change,
            ConditionExpression=" AND ".join(conditions[1:]),
            ExpressionAttributeValues=bound,
        )
        return {}


_STATEMENT: Final = re.compile('UPDATE "(?P<table>[^"]+)" (?P<change>(SET|REMOVE) .+) WHERE (?P<where>sessionId = .+)')


def measure(sessions: int, *, scan: bool = False) -> Cost:
    """Fill a table with so many live sessions, 1,000 of which are due, and sweep it.

    The server is its own: to delete a large table takes DynamoDB Local longer than to load it.
    """
    name = "sessions"
    with DynamoDbLocal() as server:
        client, updates = server.client(), server.client()
        meter, marks_meter = Meter(client), Meter(updates)
        create_sessions_table(client, name)
        create_agent_policies_table(client, POLICIES)
        started = time.perf_counter()
        _load(server, name, _population(sessions))
        load_seconds = time.perf_counter() - started
        priced, sns = PricedStatements(client, updates), FakeSns()
        environ = {
            "SESSIONS_TABLE": name,
            "AGENT_POLICIES_TABLE": POLICIES,
            "EVENTS_TOPIC_ARN": "topic",
            "EVENT_SOURCE": "/measured",
            "DUE_SHARDS": str(DUE_SHARDS),
        }
        wiring.wire(wiring.Wiring(environ, StoppedClock(), {"dynamodb": priced, "sns": sns}))
        with meter.running() as sweep, marks_meter.running() as marks:
            summary = expiry_sweeper.handler({}, None)
        with meter.running() as idle:
            expiry_sweeper.handler({}, None)
        requests = _requests(meter)
        with meter.running() as scanned:
            if scan:
                _scan(client, name)
        client.close()
        updates.close()
        return Cost(
            sessions=sessions,
            summary=summary,
            published=len(sns.published),
            sweep=sweep,
            marks=marks,
            idle=idle,
            requests=requests,
            scan=scanned if scan else None,
            calls=len(sweep.calls) + priced.batches,
            load_seconds=load_seconds,
        )


def _requests(meter: Meter) -> Mapping[str, Bill]:
    """What each frequent request consumes: a list is the tenant's newest fifty sessions, of all that there are."""
    bills: dict[str, Bill] = {}

    def ask(name: str, event: Mapping[str, Any]) -> Any:
        with meter.running() as bills[name]:
            answer = session_api.handler(dict(event), None)
        assert answer["statusCode"] < 300, answer
        return json.loads(answer["body"])

    ask("first list", gateway_event("list"))  # the process reads the secret of the cursors once
    ask("first create", gateway_event("create-minimal"))  # and that the agent has no policy
    session_id = ask("create", gateway_event("create-minimal"))["sessionId"]
    ask("get", gateway_event("get", path=f"{BASE}/{session_id}"))
    ask("heartbeat", gateway_event("heartbeat", path=f"{BASE}/{session_id}/heartbeat"))
    assert len(ask("list", gateway_event("list", query={"limit": str(LISTED)}))["sessions"]) == LISTED
    return bills


def _population(sessions: int) -> Iterator[Session]:
    for number in range(sessions):
        if number < TO_WARN:
            yield _session(number, expires_in_ms=5 * MINUTE, due_in_ms=0)
        elif number < TO_WARN + TO_REARM:
            yield _session(number, expires_in_ms=30 * MINUTE, due_in_ms=0)
        elif number < DUE:
            yield _session(number, expires_in_ms=-10_000, due_in_ms=-10_000)
        else:
            far_ms = 60 * MINUTE + 10 * number
            yield _session(number, expires_in_ms=far_ms, due_in_ms=far_ms - TIMEOUT.warning_ms)


def _session(number: int, *, expires_in_ms: int, due_in_ms: int) -> Session:
    expires_ms = NOW_MS + expires_in_ms
    renewed_ms = expires_ms - TIMEOUT.timeout_ms
    created_ms = renewed_ms - 20 * MINUTE
    return a_session(
        session_id=str(uuid.UUID(int=(number << 96) | 0x4000_8000_0000_0000_0000)),
        user_id=str(uuid.UUID(int=number % 5_000)),
        created_at_ms=created_ms,
        last_activity_ms=renewed_ms,
        renewed_at_ms=renewed_ms,
        expires_at_ms=expires_ms,
        ends_at_ms=created_ms + TIMEOUT.max_duration_ms,
        due_at_ms=NOW_MS + due_in_ms,
        metadata_json='{"channel":"web","title":"a conversation"}',
        lease=2,
        renewal_count=1,
    )


def _load(server: DynamoDbLocal, table: str, sessions: Iterator[Session]) -> None:
    """Write with a few plain connections: to load a quarter of a million items through botocore takes its time."""
    lock = threading.Lock()
    failures: list[str] = []

    def write() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        while not failures:
            with lock:
                batch = list(islice(sessions, 25))
            if not batch:
                break
            connection.request("POST", "/", _batch_write(table, batch), _HEADERS)
            response = connection.getresponse()
            answer = response.read().decode()
            if response.status != http.HTTPStatus.OK or '"UnprocessedItems":{}' not in answer:
                failures.append(answer)
        connection.close()

    loaders = [threading.Thread(target=write) for _ in range(LOADERS)]
    for loader in loaders:
        loader.start()
    for loader in loaders:
        loader.join()
    assert not failures, failures[0]


def _batch_write(table: str, batch: Sequence[Session]) -> str:
    requests = [{"PutRequest": {"Item": _as_json(session)}} for session in batch]
    return json.dumps({"RequestItems": {table: requests}})


def _as_json(session: Session) -> Any:
    item = items.session_item(session, due_shards=DUE_SHARDS, tenant_shards=4)
    return {
        name: {"B": base64.b64encode(value["B"]).decode()} if "B" in value else value for name, value in item.items()
    }


def _scan(client: Any, table: str) -> None:
    """What a sweep without an index would do each minute: read everything, and let a filter choose."""
    request: dict[str, Any] = {
        "TableName": table,
        "FilterExpression": "dueAt <= :until",
        "ExpressionAttributeValues": {":until": {"N": str(NOW_MS)}},
    }
    while True:
        answer = client.scan(**request)
        if "LastEvaluatedKey" not in answer:
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
