"""The deployed sweeper beside the deployed API in one world: sessions that are due, sweeps, and what was published."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from agent_sessions.bootstrap import wiring
from agent_sessions.sessions import dynamo_item as items
from agent_sessions.sessions.model import Session, TimeoutConfig, minutes_to_ms

from functions.expiry_sweeper import app
from tests.engines.fake_sns import FakeSns, Published
from tests.engines.faults import Hook
from tests.unit.world import AGENT, MINUTE, POLICIES, TABLE, USER, World

TOPIC: Final = "arn:aws:sns:eu-central-1:123456789012:session-events"
SOURCE: Final = "/agent-sessions/eu-central-1/sessions"
RETENTION_MS: Final = 1_440 * MINUTE
LOOK_AHEAD_MS: Final = 175_000
SHARDS: Final = 2


class FakeLambda:
    """What the sweeper asks of Lambda: to be invoked once more."""

    def __init__(self) -> None:
        self.invocations: list[dict[str, Any]] = []

    def invoke(self, **request: Any) -> dict[str, Any]:
        self.invocations.append(request)
        return {"StatusCode": 202}


class SweepWorld(World):
    """One deployment with two shards and, unless a test asks for more, one thread: what happens happens in order."""

    def __init__(self, *, index_lag_ms: int = 0, client: Any = None, sns: Any = None, **settings: str) -> None:
        self._sns_client = sns
        self._numbered = 0
        super().__init__(index_lag_ms=index_lag_ms, client=client, **settings)

    def restart(self, **settings: str) -> None:
        """Begin new processes of both functions."""
        if not hasattr(self, "sns"):
            self.sns = FakeSns(self.clock)
            self.aws_lambda = FakeLambda()
        environ = {
            "SESSIONS_TABLE": TABLE,
            "AGENT_POLICIES_TABLE": POLICIES,
            "EVENTS_TOPIC_ARN": TOPIC,
            "EVENT_SOURCE": SOURCE,
            "DUE_SHARDS": str(SHARDS),
            "SWEEP_THREADS": "1",
            "AWS_LAMBDA_FUNCTION_NAME": "sweeper",
            **settings,
        }
        clients = {"dynamodb": self._client, "sns": self._sns_client or self.sns, "lambda": self.aws_lambda}
        wiring.wire(wiring.Wiring(environ, self.clock, clients))

    # --- sessions

    def put(
        self,
        *,
        expires_in_ms: int,
        warning_minutes: float = 5,
        due_in_ms: int | None = None,
        tenant: str = "acme",
        agent: str = AGENT,
        user: str = USER,
        lease: int = 1,
        metadata: str = "{}",
    ) -> Session:
        """Lay a session down whose lease ends `expires_in_ms` from now, by default not yet warned.

        Without `due_in_ms` its appointment with the sweep is the warning, or the expiry if that has passed.
        """
        self._numbered += 1
        now_ms = self.clock.now_ms()
        timeout = TimeoutConfig(
            30, auto_renew=True, max_duration_minutes=720, warning_threshold_minutes=warning_minutes
        )
        expires_ms = now_ms + expires_in_ms
        warning_ms = expires_ms - minutes_to_ms(warning_minutes)
        due_ms = expires_ms if expires_in_ms <= 0 else warning_ms
        renewed_ms = expires_ms - timeout.timeout_ms
        created_ms = renewed_ms - (lease - 1) * 10 * MINUTE
        session = Session(
            session_id=f"{self._numbered:08x}-0000-4000-8000-000000000000",
            tenant_id=tenant,
            agent_id=agent,
            user_id=user,
            metadata_json=metadata,
            request_hash=b"hash",
            attempt=b"try",
            timeout=timeout,
            created_at_ms=created_ms,
            last_activity_ms=renewed_ms,
            renewed_at_ms=renewed_ms,
            expires_at_ms=expires_ms,
            ends_at_ms=created_ms + timeout.max_duration_ms,
            renewal_count=lease - 1,
            lease=lease,
            due_at_ms=due_ms if due_in_ms is None else now_ms + due_in_ms,
            purge_at_seconds=4_000_000_000,
        )
        item = items.session_item(session, due_shards=self.shards_of_new_sessions, tenant_shards=4)
        self.dynamo.put_item(TableName=TABLE, Item=item)
        self.dynamo.calls.clear()
        return session

    shards_of_new_sessions: int = SHARDS

    def to_warn(self, count: int = 1, **changes: Any) -> list[Session]:
        """Sessions whose warning is due now: five minutes are left of them."""
        return [self.put(**{"expires_in_ms": 5 * MINUTE, **changes}) for _ in range(count)]

    def to_rearm(self, count: int = 1, **changes: Any) -> list[Session]:
        """Sessions that have been renewed since their appointment was made: half an hour is left of them."""
        return [self.put(**{"expires_in_ms": 30 * MINUTE, "due_in_ms": 0, "lease": 2, **changes}) for _ in range(count)]

    def to_wait(self, count: int = 1) -> list[Session]:
        """Sessions that have been warned and have two minutes left."""
        return [self.put(expires_in_ms=2 * MINUTE, due_in_ms=2 * MINUTE) for _ in range(count)]

    def to_expire(self, count: int = 1, **changes: Any) -> list[Session]:
        """Sessions that ended ten seconds ago."""
        return [self.put(**{"expires_in_ms": -10_000, **changes}) for _ in range(count)]

    # --- sweeps

    def sweep(self, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Invoke the deployed handler; without an event as EventBridge does."""
        return app.handler(dict(event or {}), None)

    def sweep_minutes(self, minutes: int) -> list[dict[str, Any]]:
        """Let `minutes` pass, with a sweep at each."""
        summaries = []
        for _ in range(minutes):
            self.clock.at_ms += MINUTE - self.clock.at_ms % MINUTE
            summaries.append(self.sweep())
        return summaries

    def hook(self, *hooks: Hook) -> None:
        """Add hooks to both engines; without any, remove those that are there."""
        for engine in (self.dynamo, self.sns):
            if not hooks:
                engine.hooks.clear()
            for hook in hooks:
                engine.add_hook(hook)

    # --- what came of it

    @property
    def published(self) -> Sequence[Published]:
        return self.sns.published

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event as its subscribers get it, oldest first."""
        return [json.loads(published.message) for published in self.sns.published]

    @property
    def told(self) -> Counter[str]:
        """How often each event id was published."""
        return Counter(event["id"] for event in self.events)

    @property
    def due(self) -> set[str]:
        """The sessions for which something is still to be done."""
        return {item["sessionId"]["S"] for item in self.dynamo.items(TABLE) if items.DUE_SHARD in item}


def warnings_of(sessions: Iterable[Session]) -> Counter[str]:
    """The ids of their present leases' warnings, once each."""
    return Counter(_event_id(session, "expiring") for session in sessions)


def expiries_of(sessions: Iterable[Session]) -> Counter[str]:
    """The ids of their present leases' expiries, once each."""
    return Counter(_event_id(session, "expired") for session in sessions)


def _event_id(session: Session, kind: str) -> str:
    return f"{session.session_id}:{session.created_at_ms}:{session.lease}:{kind}"
