"""The sweep and the API's services, as they are deployed, on fakes that live in virtual time; a witness watches."""

import random
from collections.abc import Callable
from typing import Any, Final

from agent_sessions.clock import Clock
from agent_sessions.erasure.service import SessionRemoval
from agent_sessions.events.sns_topic import SnsPublisher
from agent_sessions.sessions.dynamo_store import DynamoSessionStore
from agent_sessions.sessions.model import minutes_to_ms
from agent_sessions.sessions.service import SessionService
from agent_sessions.settings import SessionSettings, SweepSettings
from agent_sessions.sweep.dynamo_due import DynamoDueStore
from agent_sessions.sweep.dynamo_record import DynamoSweepRecord
from agent_sessions.sweep.engine import Sweep, SweepTuning

from tests.engines.fake_dynamo import FakeDynamo
from tests.engines.fake_sns import FakeSns
from tests.engines.faults import Hook
from tests.engines.tables import create_sessions_table
from tests.simulation.timeline import Pace, Timeline
from tests.simulation.witness import Run, Witness

START_MS: Final = 1_782_547_200_000
"""2026-06-27T08:00:00.000Z, a whole minute."""
TENANT: Final = "acme"
AGENT: Final = "b8504bc3-45f8-4a41-a00a-83df46d8555d"
USER: Final = "6c6f2d1e-0a3b-4f7d-9e58-1b2c3d4e5f60"
SKEW_MS: Final = 20
"""How far the clock of one of the API's functions is off, either way."""


class Latency(Hook):
    """Lets each way of a call, there and back, take what the timeline says."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    def before(self, call: str, request: object) -> None:
        self._timeline.pause(self._timeline.call_takes_ms(call))

    def after(self, call: str, request: object, response: object) -> None:
        self._timeline.pause(self._timeline.call_takes_ms(call))


class SkewedClock:
    """The clock of one of the API's functions."""

    def __init__(self, clock: Clock, skew_ms: int) -> None:
        self._clock = clock
        self._skew_ms = skew_ms

    def now_ms(self) -> int:
        return self._clock.now_ms() + self._skew_ms

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)


def _not_asked() -> Any:
    raise AssertionError("no session of this day is talked in")


class Stage:
    """An empty deployment at START_MS; `index_lag_ms` is asked for each change of an index."""

    def __init__(self, rng: random.Random, index_lag_ms: int | Callable[[], int] = 0) -> None:
        self.rng = rng
        self.timeline = Timeline(START_MS)
        self.witness = Witness(self.timeline)
        self.dynamo = FakeDynamo(self.timeline, index_lag_ms)
        self.sns = FakeSns(self.timeline)
        self.table = create_sessions_table(self.dynamo.as_client())
        for engine in (self.dynamo, self.sns):
            engine.add_hook(self.witness)
            engine.add_hook(Latency(self.timeline))
        self.settings = SessionSettings.from_env({"SESSIONS_TABLE": self.table})
        self.services = [self._service(skew_ms) for skew_ms in (-SKEW_MS, 0, SKEW_MS)]
        self.removal = SessionRemoval(self._store(), _not_asked, _not_asked, self.timeline, self.settings.retention_ms)
        settings = SweepSettings.from_env(
            {"SESSIONS_TABLE": self.table, "EVENTS_TOPIC_ARN": "topic", "EVENT_SOURCE": "/simulation"}
        )
        self.shards = range(settings.shards)
        self.sweep = Sweep(
            store=DynamoDueStore(self.dynamo.as_client(), self.table),
            claims=DynamoSweepRecord(self.dynamo.as_client(), self.table),
            publisher=SnsPublisher(self.sns.as_client(), settings.events_topic_arn),
            clock=self.timeline,
            tuning=SweepTuning(settings.sweep_look_ahead_seconds * 1000, 1, settings.event_source),
            new_id=self.new_id,
            jitter=rng.random,
        )

    def _store(self) -> DynamoSessionStore:
        return DynamoSessionStore(
            self.dynamo.as_client(),
            self.table,
            retention_ms=self.settings.retention_ms,
            due_shards=self.settings.due_shards,
            tenant_shards=self.settings.tenant_shards,
        )

    def _service(self, skew_ms: int) -> SessionService:
        return SessionService(
            self._store(),
            SkewedClock(self.timeline, skew_ms),
            self.new_id,
            retention_ms=self.settings.retention_ms,
            longest_ms=minutes_to_ms(self.settings.longest_duration_minutes),
        )

    def fire(self, when_ms: int, pace: Pace | None = None) -> Run:
        """Have the scheduler start a sweep at that moment."""
        run = Run(when_ms)

        def work() -> None:
            self.witness.acting.run = run
            self.witness.runs.append(run)
            run.summary = self.sweep.run(self.shards).as_json()
            run.ended_ms = self.timeline.now_ms()

        self.timeline.start(when_ms, work, pace)
        return run

    def new_id(self) -> str:
        octets = self.rng.randbytes(16).hex()
        return f"{octets[:8]}-{octets[8:12]}-4{octets[13:16]}-a{octets[17:20]}-{octets[20:]}"
