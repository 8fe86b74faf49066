"""Sees what happens to the table and the topic, and when; knows nothing of the code that makes it happen."""

import json
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tests.engines.faults import Hook
from tests.simulation.timeline import Timeline


class Creation(NamedTuple):
    """One session. An idempotency key can bring a deleted one's id back, so that the id alone does not say which."""

    session_id: str
    created_ms: int


class State(NamedTuple):
    """What one write made of a session: when it reached the table, and what its caller took for now."""

    applied_ms: int
    said_ms: int
    lease: int
    expires_ms: int
    warning_ms: int


@dataclass(slots=True)
class Biography:
    """One session, from its creation to its removal."""

    shard: int
    states: list[State] = field(default_factory=list)
    deleted_ms: int | None = None


class LeaseId(NamedTuple):
    """One lease of one session."""

    creation: Creation
    lease: int


class Published(NamedTuple):
    """One event, and what the sweep had read before it."""

    at_ms: int
    read_ms: int
    read: State | None
    """The session as it lay in the table when it was read: None where it was gone."""
    event: Mapping[str, Any]


@dataclass(slots=True)
class Run:
    """One invocation of the sweeper."""

    fired_ms: int
    began_ms: int | None = None
    """When it first asked what is due: it had its claim by then."""
    ended_ms: int | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)


class Query(NamedTuple):
    """The first query that a run made of a shard."""

    at_ms: int
    run: Run


class Witness(Hook):
    """Writes everything down. Must be the first hook of both engines, so that it sees a call at its very moment."""

    def __init__(self, timeline: Timeline) -> None:
        self.biographies: dict[Creation, Biography] = {}
        self.warnings: dict[LeaseId, list[Published]] = {}
        self.expiries: dict[LeaseId, list[Published]] = {}
        self.ids: Counter[str] = Counter()
        self.runs: list[Run] = []
        self.queries: dict[int, list[Query]] = {}
        self.acting: Final = threading.local()
        """`acting.run` is the run of the thread that calls; API calls have none."""
        self._timeline = timeline
        self._present: dict[str, Creation] = {}
        self._reads: dict[tuple[int, str], tuple[int, State | None]] = {}
        """What each run (by its `id`) read last of a session."""

    def after(self, call: str, request: Mapping[str, Any], response: dict[str, Any]) -> None:
        now_ms = self._timeline.now_ms()
        if call == "put_item":
            self._written(request["Item"], now_ms, int(request["Item"]["createdAt"]["N"]))
        elif call == "update_item" and request["Key"]["sessionId"]["S"] != "sweep":
            self._written(response["Attributes"], now_ms, int(request["ExpressionAttributeValues"][":now"]["N"]))
        elif call == "delete_item":
            self.biographies[self._present.pop(request["Key"]["sessionId"]["S"])].deleted_ms = now_ms
        elif call == "query":
            self._queried(request, now_ms)
        elif call == "batch_get_item":
            for key in request["RequestItems"]["sessions"]["Keys"]:
                self._read(key["sessionId"]["S"], now_ms)
        elif call == "publish_batch":
            failed = {failure["Id"] for failure in response.get("Failed", [])}
            for entry in request["PublishBatchRequestEntries"]:
                if entry["Id"] not in failed:
                    self._published(json.loads(entry["Message"]), now_ms)

    def state(self, session_id: str) -> State | None:
        """The session as it lies in the table now."""
        creation = self._present.get(session_id)
        return None if creation is None else self.biographies[creation].states[-1]

    def _written(self, item: Mapping[str, Any], now_ms: int, said_ms: int) -> None:
        creation = Creation(item["sessionId"]["S"], int(item["createdAt"]["N"]))
        biography = self.biographies.get(creation)
        if biography is None:
            biography = self.biographies[creation] = Biography(int(item["dueShard"]["N"]))
            self._present[creation.session_id] = creation
        warning_ms = int(item["timeoutMs"]["N"]) - int(item["warnAfterMs"]["N"])
        state = State(now_ms, said_ms, int(item["lease"]["N"]), int(item["expiresAt"]["N"]), warning_ms)
        if not biography.states or biography.states[-1][2:] != state[2:]:
            biography.states.append(state)

    def _queried(self, request: Mapping[str, Any], now_ms: int) -> None:
        run: Run = self.acting.run
        if run.began_ms is None:
            run.began_ms = now_ms
        if "ExclusiveStartKey" not in request:
            shard = int(request["ExpressionAttributeValues"][":shard"]["N"])
            self.queries.setdefault(shard, []).append(Query(now_ms, run))

    def _read(self, session_id: str, now_ms: int) -> None:
        self._reads[id(self.acting.run), session_id] = now_ms, self.state(session_id)

    def _published(self, event: Mapping[str, Any], now_ms: int) -> None:
        self.ids[event["id"]] += 1
        session_id, created, lease, kind = event["id"].rsplit(":", 3)
        read_ms, read = self._reads[id(self.acting.run), session_id]
        log = self.warnings if kind == "expiring" else self.expiries
        lease_id = LeaseId(Creation(session_id, int(created)), int(lease))
        log.setdefault(lease_id, []).append(Published(now_ms, read_ms, read, event))
