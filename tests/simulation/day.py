"""A virtual day of sessions, callers and sweeps: the product's own services on the fakes, all drawn from one seed."""

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent_sessions.errors import (
    InvalidRequest,
    ServiceUnavailable,
    SessionExpired,
    SessionNotFound,
    SessionRenewalFailed,
)
from agent_sessions.sessions.model import MS_PER_MINUTE, Minutes, Session, TimeoutConfig
from agent_sessions.sessions.service import NewSession, SessionService
from botocore.exceptions import ConnectionClosedError

from local.dynamo.refusals import Refused
from tests.engines.faults import Hook
from tests.simulation.stage import AGENT, START_MS, TENANT, USER, Stage

INDEX_LAG_MS: Final = 1_000
LONGEST_CALL_MS: Final = 4_500
"""How long a call of the API may be on its way: `agent_sessions.aws_clients.tuning` says how long it takes at most."""
SLOW_MS: Final = 38_000
"""How much of a run may pass with slow calls."""


@dataclass(frozen=True)
class Plan:
    """How much happens."""

    seed: int
    sessions: int
    minutes: int = 1_440
    """How long callers act; sweeps go on until the last session has ended."""
    longest_timeout: int = 1_440
    """In minutes; shorter, for a day that is over sooner."""
    failing: float = 0
    """The share of all calls that fail, and of the entries of batches that are left undone."""
    hot: int = 0
    """How many sessions beat every five seconds for half of the time while most of their writes are throttled."""


class SweepPace:
    """How long the calls of one run take: a few milliseconds, and from some call on very long, until a budget is spent.

    No call takes longer than botocore's timeouts allow. A run of fifty seconds that spends 38 of them on such calls
    still comes to all that it found: it starts nothing for which there would be no time if calls stayed as slow.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._quick = rng.randint(1, 3)
        self._budget_ms = 0
        if rng.random() < 0.35:
            self._budget_ms = rng.choice([rng.randint(1_000, SLOW_MS), SLOW_MS])
        self._stall_ms = rng.choice([200, 1_000, 2_200])
        self._skip = rng.choice([2, 3, rng.randint(2, 40)])  # the claim's own way there and back

    def __call__(self, call: str) -> int:
        if self._skip > 0 or self._budget_ms <= 0:
            self._skip -= 1
            return self._quick
        taken_ms = min(self._budget_ms, self._rng.randint(1, self._stall_ms))
        self._budget_ms -= taken_ms
        return taken_ms


class Trouble(Hook):
    """Lets a share of all calls fail before or after they are done, and leaves a share of each batch's entries undone.

    No answer of SNS gets lost: that costs a repeat, which the judge takes for a fault.
    """

    def __init__(self, rng: random.Random, share: float) -> None:
        self._rng = rng
        self._share = share
        self.failed = 0
        self.left = 0

    def before(self, call: str, request: Mapping[str, Any]) -> None:
        if self._happens(self._share if call == "publish_batch" else self._share / 2):
            raise self._failure()

    def after(self, call: str, request: Mapping[str, Any], response: dict[str, Any]) -> None:
        if call != "publish_batch" and self._happens(self._share / 2):
            raise self._failure()

    def refuses(self, call: str, entry: Mapping[str, Any]) -> bool:
        left = self._rng.random() < self._share
        self.left += left
        return left

    def _happens(self, share: float) -> bool:
        failed = self._rng.random() < share
        self.failed += failed
        return failed

    def _failure(self) -> Exception:
        if self._rng.random() < 0.5:
            return ConnectionClosedError(endpoint_url="https://fake")
        return Refused("ThrottlingException", "made to fail")


class Hot(Hook):
    """Throttles nine in ten writes to the sessions that beat too often."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.session_ids: set[str] = set()
        self.ever: set[str] = set()
        self.throttled = 0

    def heat(self, session_id: str) -> None:
        """Throttle the writes to a session from now on."""
        self.session_ids.add(session_id)
        self.ever.add(session_id)

    def explains(self, fault: str) -> bool:
        """Whether an event was repeated because its mark was throttled until the run gave up on it."""
        return fault.startswith("sent ") and any(session_id in fault for session_id in self.ever)

    def before(self, call: str, request: Mapping[str, Any]) -> None:
        if call == "update_item" and self._throttles(request["Key"]["sessionId"]["S"]):
            raise Refused("ThrottlingException", "too hot")

    def refuses(self, call: str, entry: Mapping[str, Any]) -> bool:
        if call != "batch_execute_statement":
            return False
        return any(self._throttles(value["S"]) for value in entry["Parameters"] if "S" in value)

    def _throttles(self, session_id: str) -> bool:
        throttled = session_id in self.session_ids and self._rng.random() < 0.9
        self.throttled += throttled
        return throttled


class Day(Stage):
    """Lives through a plan; `witness` has what happened."""

    def __init__(self, plan: Plan) -> None:
        rng = random.Random(plan.seed)
        super().__init__(rng, lambda: rng.randint(0, INDEX_LAG_MS))
        self.plan = plan
        self.end_of_calls_ms = START_MS + plan.minutes * MS_PER_MINUTE
        self.refusals = 0
        self.trouble = Trouble(random.Random(f"trouble {plan.seed}"), plan.failing)
        self.hot = Hot(random.Random(f"hot {plan.seed}"))
        for engine in (self.dynamo, self.sns):
            engine.add_hook(self.hot)
            engine.add_hook(self.trouble)

    def live(self) -> None:
        """Let it all happen."""
        for _ in range(self.plan.sessions):
            caller = Caller(self)
            self.timeline.at(self._when_created_ms(), caller.create)
        for _ in range(self.plan.hot):
            beating = HotCaller(self)
            self.timeline.at(START_MS + self.rng.randrange(MS_PER_MINUTE), beating.create)
        minutes = self.plan.minutes + self.plan.longest_timeout + 5
        for minute in range(minutes):
            self._schedule(START_MS + minute * MS_PER_MINUTE)
        self.timeline.run_until(START_MS + (minutes + 3) * MS_PER_MINUTE)
        assert threading.active_count() < 50, "every run and every call came to its end"

    def _when_created_ms(self) -> int:
        """Any time of the day, or with others in the same second, as after a deployment."""
        if self.rng.random() < 0.3:
            crowd = self.rng.randrange(max(1, self.plan.minutes // 60))
            return START_MS + crowd * 60 * MS_PER_MINUTE + self.rng.randint(0, 1_000)
        return START_MS + self.rng.randrange(self.plan.minutes * MS_PER_MINUTE)

    def _schedule(self, minute_ms: int) -> None:
        """One sweep anywhere inside the minute; now and then EventBridge delivers it twice."""
        fires_ms = minute_ms + self.rng.choice([0, 59_999, self.rng.randrange(60_000)])
        self.fire(fires_ms, SweepPace(self.rng))
        if self.rng.random() < 0.01:
            self.fire(fires_ms + self.rng.randrange(2_000), SweepPace(self.rng))


class Caller:
    """One client with one session, or with a second one under the same idempotency key."""

    def __init__(self, day: Day) -> None:
        self._day = day
        self._rng = day.rng
        self._key = f"key-{day.rng.getrandbits(64)}" if day.rng.random() < 0.05 else None
        self._acts_left = day.rng.choice([0, 0, 1, 2, 4, 8, 16, 24])
        self._session: Session | None = None

    def create(self) -> None:
        request = NewSession(AGENT, USER, "{}", self._new_timeout(), b"hash", self._key)
        try:
            created = self._service().create(TENANT, request)
        except ServiceUnavailable:
            self._day.timeline.at(self._day.timeline.now_ms() + 1_000, self.create)
        else:
            self._carry_on(created.snapshot.session)

    def _service(self) -> SessionService:
        return self._rng.choice(self._day.services)

    def _carry_on(self, session: Session) -> None:
        self._session = session
        if self._acts_left == 0:
            return
        self._acts_left -= 1
        now_ms = self._day.timeline.now_ms()
        when_ms = self._next_act_ms(session, now_ms)
        if when_ms >= self._day.end_of_calls_ms:
            return
        if self._rng.random() < 0.1:
            self._day.timeline.start(when_ms, self._act, lambda _call: self._rng.randint(0, LONGEST_CALL_MS))
        else:
            self._day.timeline.at(when_ms, self._act)

    def _next_act_ms(self, session: Session, now_ms: int) -> int:
        if self._rng.random() < 0.25:
            look_ahead_ms = self._day.sweep.tuning.look_ahead_ms
            edge_ms = self._rng.choice(
                [
                    session.warning_at_ms,
                    session.warning_at_ms - look_ahead_ms,
                    session.expires_at_ms,
                    session.expires_at_ms + 5_000,
                ]
            )
            spread_ms = self._rng.choice([100, 3_000, 60_000, 200_000])
            wanted_ms = edge_ms + self._rng.randint(-spread_ms, spread_ms)
            if wanted_ms > now_ms:
                return wanted_ms
        return now_ms + 1 + round(self._rng.random() * 1.02 * session.timeout.timeout_ms)

    def _act(self) -> None:
        session = self._session
        assert session is not None
        service, session_id = self._service(), session.session_id
        chance = self._rng.random()
        try:
            if chance < 0.05:
                self._delete(session_id)
                return
            if chance < 0.25:
                snapshot = service.patch_timeout(
                    TENANT, session_id, lambda session: self._changed_timeout(session.timeout)
                )
            elif chance < 0.4:
                snapshot = service.renew(TENANT, session_id)
            else:
                snapshot = service.heartbeat(TENANT, session_id)
        except (InvalidRequest, SessionRenewalFailed, ServiceUnavailable):
            self._day.refusals += 1
            self._carry_on(session)
        except (SessionExpired, SessionNotFound):
            self._day.refusals += 1
            if self._key is not None or self._rng.random() < 0.1:
                self._delete(session_id)
        else:
            self._carry_on(snapshot.session)

    def _delete(self, session_id: str) -> None:
        try:
            self._day.removal.end(TENANT, session_id)
        except (SessionNotFound, ServiceUnavailable):
            return
        if self._key is not None:
            again_ms = self._day.timeline.now_ms() + self._rng.choice([1, 1_000, 60_000, 3_600_000])
            if again_ms < self._day.end_of_calls_ms:
                self._day.timeline.at(again_ms, self.create)

    def _new_timeout(self) -> TimeoutConfig:
        rng = self._rng
        longest = self._day.plan.longest_timeout
        usual = rng.choice([5, 5, 5, 10, 10, 30, 30, 30, 60, 240, 1_440])
        timeout = self._minutes(
            min(longest, rng.choice([usual, usual, usual, usual, rng.uniform(5, 15), rng.uniform(5, longest)]))
        )
        return TimeoutConfig(
            timeout_minutes=timeout,
            auto_renew=rng.random() < 0.75,
            max_duration_minutes=self._duration(timeout),
            warning_threshold_minutes=self._threshold(timeout),
        )

    def _changed_timeout(self, timeout: TimeoutConfig) -> TimeoutConfig:
        """A patch that passes the API's checks: one setting, or all."""
        wanted = self._new_timeout()
        what = self._rng.choice(["threshold", "threshold", "timeout", "duration", "autoRenew", "all"])
        if what == "threshold":
            return timeout._replace(warning_threshold_minutes=self._threshold(timeout.timeout_minutes))
        if what == "autoRenew":
            return timeout._replace(auto_renew=not timeout.auto_renew)
        if what == "duration":
            return timeout._replace(max_duration_minutes=self._duration(timeout.timeout_minutes))
        if what == "timeout":
            within = self._minutes(
                self._rng.uniform(5, min(self._day.plan.longest_timeout, timeout.max_duration_minutes))
            )
            return timeout._replace(
                timeout_minutes=within,
                warning_threshold_minutes=min(timeout.warning_threshold_minutes, within),
            )
        return wanted

    def _threshold(self, timeout: Minutes) -> Minutes:
        rng = self._rng
        return self._minutes(min(timeout, rng.choice([1, 2, 5, 5, timeout, rng.uniform(1, float(timeout))])))

    def _duration(self, timeout: Minutes) -> Minutes:
        rng = self._rng
        longest = self._day.settings.longest_duration_minutes
        return self._minutes(
            rng.choice([timeout, *[max(timeout, 720)] * 3, *[rng.uniform(float(timeout), float(longest))] * 3])
        )

    def _minutes(self, minutes: Minutes) -> Minutes:
        """Whole minutes as often as fractions."""
        return round(minutes) if self._rng.random() < 0.7 and round(minutes) == minutes else minutes


class HotCaller(Caller):
    """One client that beats far too often, until half of the time is over."""

    def _new_timeout(self) -> TimeoutConfig:
        return TimeoutConfig(15, auto_renew=True, max_duration_minutes=1_440, warning_threshold_minutes=5)

    def _carry_on(self, session: Session) -> None:
        self._session = session
        self._day.hot.heat(session.session_id)
        self._day.timeline.at(self._day.timeline.now_ms() + 5_000, self._act)

    def _act(self) -> None:
        session = self._session
        assert session is not None
        if self._day.timeline.now_ms() >= START_MS + self._day.plan.minutes * MS_PER_MINUTE // 2:
            self._day.hot.session_ids.discard(session.session_id)
            return
        try:
            session = self._service().heartbeat(TENANT, session.session_id).session
        except ServiceUnavailable:
            self._day.refusals += 1
        self._carry_on(session)


def summary(day: Day) -> dict[str, Any]:
    """Figures that tell how much a simulation is worth."""
    worked = [run for run in day.witness.runs if run.began_ms is not None and run.ended_ms is not None]
    durations = sorted((run.ended_ms or 0) - (run.began_ms or 0) for run in worked)
    return {
        "sessions": len(day.witness.biographies),
        "calls": sum(day.dynamo.calls.values()) + sum(day.sns.calls.values()),
        "runs": len(day.witness.runs),
        "runs that waited over 2 s": sum((run.began_ms or 0) - run.fired_ms > 2_000 for run in worked),
        "runs over 20 s": sum(duration > 20_000 for duration in durations),
        "unfinished runs": sum(bool(run.summary["failed"] or run.summary["left"]) for run in worked),
        "longest run, s": durations[-1] / 1000,
        "events": len(day.sns.published),
        "handovers": day.timeline.handovers,
    }
