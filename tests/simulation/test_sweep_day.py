"""The virtual day in small, and the judge itself: a service that keeps its promises less well does not pass."""

import random

import pytest
from agent_sessions.sweep import decision as due

from tests.simulation.day import INDEX_LAG_MS, Day, Plan, summary
from tests.simulation.promises import Judge, Verdict

SMALL = Plan(seed=7, sessions=250, minutes=60, longest_timeout=30)
EXCEPTIONS = {
    "a lease shorter than three minutes may end without a warning",
    "a lowered threshold does not recall a warning",
    "asked for at less than three minutes' notice: at the next sweep",
    "deleted after its end, before it was announced",
}


def judged(day: Day) -> Verdict:
    day.live()
    return Judge(day.witness, INDEX_LAG_MS).judge()


def kinds(verdict: Verdict) -> set[str]:
    return {fault.partition(":")[0] for fault in verdict.faults}


@pytest.mark.parametrize("seed", [1, 2])
def test_in_a_small_day_nothing_is_missed_late_early_stale_or_repeated(seed: int) -> None:
    day = Day(Plan(seed=seed, sessions=400, minutes=90, longest_timeout=60))
    verdict = judged(day)
    assert verdict.faults == []
    assert verdict.ended > 300
    assert verdict.exceptions.keys() >= EXCEPTIONS - {"a lease shorter than three minutes may end without a warning"}
    assert summary(day)["unfinished runs"] == 0
    assert not any("dueShard" in item for item in day.dynamo.items(day.table)), "nothing is left to be done"


def test_in_a_small_day_of_failing_calls_and_hot_sessions_nothing_is_missed_late_early_or_stale() -> None:
    """Each run has eight shards and one thread: all wait for others. Only a hot session's event may come twice."""
    day = Day(Plan(seed=3, sessions=400, minutes=90, longest_timeout=60, failing=0.01, hot=2))
    verdict = judged(day)
    assert [fault for fault in verdict.faults if not day.hot.explains(fault)] == []
    assert verdict.ended > 300
    assert day.trouble.failed > 50
    assert day.trouble.left > 5
    assert day.hot.throttled > 500
    assert any(run.summary["passedOver"] for run in day.witness.runs)
    assert not any("dueShard" in item for item in day.dynamo.items(day.table)), "nothing is left to be done"


class Hanging:
    """A run's pace: now and then one of its calls hangs on its way for longer than the claim lasts."""

    def __init__(self, rng: random.Random) -> None:
        self._nth = rng.choice([0, 0, rng.randint(2, 40)])
        self._hangs_ms = rng.randint(16_000, 70_000)

    def __call__(self, call: str) -> int:
        self._nth -= 1
        return self._hangs_ms if self._nth == 0 else 2


class HangingDay(Day):
    """Calls hang in every second run at most, and the run after it begins within the look-ahead."""

    def _schedule(self, minute_ms: int) -> None:
        pace = Hanging(self.rng) if minute_ms // 60_000 % 2 else lambda _call: 2
        self.fire(minute_ms + self.rng.randrange(30_000), pace)


@pytest.mark.parametrize("seed", range(3))
def test_a_call_that_hangs_for_longer_than_the_claim_lasts_costs_repeats_only(seed: int) -> None:
    day = HangingDay(Plan(seed=seed, sessions=400, minutes=90, longest_timeout=60))
    verdict = judged(day)
    assert kinds(verdict) <= {"sent 2 times", "sent 3 times"}
    assert len(verdict.faults) < verdict.warned / 10
    assert sum((run.ended_ms or 0) - run.fired_ms > 16_000 for run in day.witness.runs) > 5
    assert not any("dueShard" in item for item in day.dynamo.items(day.table)), "nothing is left to be done"


def test_the_judge_sees_a_sweep_that_does_not_look_far_enough_ahead() -> None:
    day = Day(SMALL)
    day.sweep.tuning = day.sweep.tuning._replace(look_ahead_ms=120_000)
    assert kinds(judged(day)) == {"warned late"}


def test_the_judge_sees_an_expiry_that_does_not_wait_for_renewals_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due, "EXPIRY_GRACE_MS", 0)
    assert "announced at the wrong time" in kinds(judged(Day(SMALL)))


def test_the_judge_sees_warnings_that_are_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    day = Day(SMALL)
    monkeypatch.setattr(
        "agent_sessions.sweep.shard.ShardRun._publish", lambda _self, _kind, sessions, _tries: [*sessions]
    )
    assert kinds(judged(day)) == {"never warned", "never announced"}
