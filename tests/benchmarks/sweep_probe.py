"""Runs one way of sweeping a made-up backlog in a process of its own, with the network stubbed below botocore.

`python -m tests.benchmarks.sweep_probe WAY SESSIONS LATENCY_MS` prints what it measured as JSON, on the last line.
`ours` is the deployed handler; `loop` reads and decides alike, then publishes and updates one session after another;
`threads` is the same loop for each shard, on eight threads; `memory` is `ours` with a clock that stands still, so that
no run is cut short.
"""

import json
import re
import resource
import sys
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from typing import Any, Final

from agent_sessions.aws_clients.tuning import client_config
from agent_sessions.bootstrap import wiring
from agent_sessions.clock import Clock, SystemClock
from agent_sessions.events.cloud_events import session_event
from agent_sessions.sessions import dynamo_item as items
from agent_sessions.sessions.model import MS_PER_MINUTE, Session
from agent_sessions.sweep.calls import PAGE
from agent_sessions.sweep.decision import Action, decide
from agent_sessions.sweep.dynamo_due import DynamoDueStore
from agent_sessions.sweep.ports import PageKey
from boto3 import client as boto3_client
from botocore.awsrequest import AWSResponse
from botocore.httpsession import URLLib3Session

from functions.expiry_sweeper import app
from tests.store_suite.examples import first_lease

SHARDS: Final = 8
ENVIRON: Final = {
    "SESSIONS_TABLE": "sessions",
    "EVENTS_TOPIC_ARN": "arn:aws:sns:eu-west-1:123456789012:events",
    "EVENT_SOURCE": "/agent-sessions/eu-west-1/bench",
    "DUE_SHARDS": str(SHARDS),
}
METADATA: Final = '{"channel":"web","title":"a conversation"}'
_ID: Final = "%08x-0000-4000-8000-000000000000"
_SHARD: Final = re.compile(rb'":shard": ?\{"N": ?"(\d+)"')
_IDS: Final = re.compile(rb'"S": ?"([0-9a-f]{8})-0000-4000')


class Backlog:
    """Answers as DynamoDB and SNS would for so many due sessions; makes each answer when it is asked for."""

    def __init__(self, sessions: int, clock: Clock) -> None:
        self._a_shard = sessions // SHARDS
        now_ms = clock.now_ms()
        session = first_lease(now_ms + 5 * MS_PER_MINUTE, session_id=_ID % 0, metadata_json=METADATA)
        item = items.session_item(session, due_shards=SHARDS, tenant_shards=4)
        item |= {name: {"B": "AAAA"} for name in ("requestHash", "attempt")}
        self._item = json.dumps(item)
        self._entry = json.dumps({name: item[name] for name in (items.SESSION_ID, items.DUE_SHARD, items.DUE_AT)})

    def answer(self, request: Any) -> bytes:
        target = request.headers.get("X-Amz-Target")
        if target is None:
            return self._published(request.body)
        operation = (target if isinstance(target, str) else target.decode()).partition(".")[2]
        return {
            "Query": self._due,
            "BatchGetItem": self._sessions,
            "BatchExecuteStatement": _marked,
            "UpdateItem": _updated,
        }[operation](request.body)

    def _due(self, body: bytes) -> bytes:
        [shard] = _SHARD.findall(body)
        first = int(shard) * self._a_shard
        last = first + self._a_shard
        after = _IDS.findall(body)
        start = int(after[0], 16) + 1 if after else first
        numbers = range(start, min(start + PAGE, last))
        entries = [self._entry.replace(_ID % 0, _ID % number) for number in numbers]
        more = f', "LastEvaluatedKey": {entries[-1]}' if numbers and numbers[-1] + 1 < last else ""
        return f'{{"Count": {len(entries)}, "Items": [{", ".join(entries)}]{more}}}'.encode()

    def _sessions(self, body: bytes) -> bytes:
        found = [self._item.replace(_ID % 0, _ID % int(number, 16)) for number in _IDS.findall(body)]
        return f'{{"Responses": {{"sessions": [{", ".join(found)}]}}, "UnprocessedKeys": {{}}}}'.encode()

    def _published(self, body: str | bytes) -> bytes:
        text = body if isinstance(body, str) else body.decode()
        if "Action=PublishBatch" not in text:
            return b"<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>"
        sent = "".join(
            f"<member><MessageId>m-{number}</MessageId><Id>{number}</Id></member>"
            for number in range(text.count(".Id="))
        )
        return (
            f"<PublishBatchResponse><PublishBatchResult><Failed/><Successful>{sent}</Successful></PublishBatchResult>"
            "<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></PublishBatchResponse>"
        ).encode()


def _marked(body: bytes) -> bytes:
    return b'{"Responses": [' + b", ".join([b'{"TableName": "sessions"}'] * body.count(b'"Statement"')) + b"]}"


def _updated(_body: bytes) -> bytes:
    return b"{}"


class _Raw(BytesIO):
    """What botocore reads of urllib3's answer."""

    def stream(self) -> Any:
        yield self.read()


class StandingClock:
    """Stands still."""

    def __init__(self) -> None:
        self._now_ms = SystemClock().now_ms()

    def now_ms(self) -> int:
        return self._now_ms

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here is busy")


def stub_network(backlog: Backlog, latency_ms: float) -> None:
    """Everything above the connection is done as ever; each call takes `latency_ms`."""

    def send(_session: URLLib3Session, request: Any) -> AWSResponse:
        answer = backlog.answer(request)
        time.sleep(latency_ms / 1000)
        headers = {"content-length": str(len(answer)), "x-amz-crc32": str(zlib.crc32(answer))}
        return AWSResponse(request.url, 200, headers, _Raw(answer))  # type: ignore[arg-type]

    URLLib3Session.send = send  # type: ignore[method-assign,assignment]


def ours(clock: Clock) -> int:
    """The deployed handler, as it is."""
    wiring.wire(wiring.Wiring(ENVIRON, clock))
    summary = app.handler({}, None)
    assert (summary["failed"], summary["left"]) == (0, 0), summary
    return int(summary["warned"])


def one_by_one(clock: Clock, *, threads: int) -> int:
    """Reads and decides alike; then a call to publish and a call to mark for each session, with clients as tuned."""
    dynamodb = boto3_client("dynamodb", config=client_config(connections=threads))
    sns = boto3_client("sns", config=client_config(connections=threads))
    work = partial(_sweep_shard, dynamodb, sns, clock)
    if threads == 1:
        return sum(map(work, range(SHARDS)))
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(SHARDS)))


def _sweep_shard(dynamodb: Any, sns: Any, clock: Clock, shard: int) -> int:
    store = DynamoDueStore(dynamodb, "sessions")
    warned = 0
    after: PageKey | None = None
    while True:
        page = store.due(shard, clock.now_ms() + 175_000, after, PAGE)
        found = store.read_many([entry.session_id for entry in page.entries]).found
        for session in found.values():
            now_ms = clock.now_ms()
            if decide(session, now_ms, 175_000) is Action.WARN:
                _warn(dynamodb, sns, session, now_ms)
                warned += 1
        after = page.next
        if after is None:
            return warned


def _warn(dynamodb: Any, sns: Any, session: Session, now_ms: int) -> None:
    event = session_event("expiring", session, now_ms, ENVIRON["EVENT_SOURCE"])
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in event.attributes.items()}
    sns.publish(TopicArn=ENVIRON["EVENTS_TOPIC_ARN"], Message=event.body, MessageAttributes=attributes)
    marked = session._replace(due_at_ms=session.expires_at_ms)
    dynamodb.update_item(
        TableName="sessions",
        Key=items.session_key(session.session_id),
        UpdateExpression="SET dueAt = :dueAt",
        ConditionExpression="lease = :lease AND createdAt = :createdAt",
        ExpressionAttributeValues={
            ":dueAt": {"N": str(marked.due_at_ms)},
            ":lease": {"N": str(session.lease)},
            ":createdAt": {"N": str(session.created_at_ms)},
        },
    )


def main() -> None:
    way, sessions, latency_ms = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    clock: Clock = StandingClock() if way == "memory" else SystemClock()
    ways: dict[str, Callable[[Clock], int]] = {
        "ours": ours,
        "memory": ours,
        "loop": partial(one_by_one, threads=1),
        "threads": partial(one_by_one, threads=SHARDS),
    }
    stub_network(Backlog(SHARDS * PAGE, clock), 0)
    ways[way](clock)  # clients are made, the interpreter specialises
    stub_network(Backlog(sessions, clock), latency_ms)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, worked = time.perf_counter(), time.process_time()
    warned = ways[way](clock)
    seconds = time.perf_counter() - started
    assert warned == sessions, (warned, sessions)
    measured = {
        "seconds": seconds,
        "cpu_seconds": time.process_time() - worked,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "grown_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024,
    }
    sys.stdout.write("\n" + json.dumps(measured) + "\n")


if __name__ == "__main__":
    main()
