"""Twenty thousand sessions in a virtual day: every warning and every expiry at its time, once. Takes half a minute."""

import pytest

from tests.simulation.day import INDEX_LAG_MS, Day, Plan, summary
from tests.simulation.promises import Judge
from tests.simulation.test_sweep_day import EXCEPTIONS


@pytest.mark.parametrize("seed", [20_260_627])
def test_in_a_day_of_twenty_thousand_sessions_nothing_is_missed_late_early_stale_or_repeated(seed: int) -> None:
    day = Day(Plan(seed=seed, sessions=20_000))
    day.live()
    verdict = Judge(day.witness, INDEX_LAG_MS).judge()
    figures = summary(day)
    print(figures, verdict, sep="\n")  # noqa: T201 - shown by -s, and where it fails
    assert verdict.faults == []
    # What the judgement is worth: runs that took all their time, runs that met one another, every exception.
    assert figures["sessions"] >= 20_000
    assert figures["longest run, s"] > 37
    assert figures["runs over 20 s"] > 100
    assert figures["runs that waited over 2 s"] > 100
    assert figures["unfinished runs"] == 0
    assert verdict.ended > 15_000
    assert verdict.exceptions.keys() == EXCEPTIONS
    assert verdict.least_spare_ms < 20_000
    assert verdict.longest_lead_ms > 170_000
    assert verdict.longest_expiry_ms > 160_000


def test_in_a_day_of_failing_calls_and_hot_sessions_nothing_is_missed_late_early_or_stale() -> None:
    """Each run has eight shards and one thread: all wait for others. Only a hot session's event may come twice."""
    day = Day(Plan(seed=20_261_126, sessions=10_000, failing=0.01, hot=5))
    day.live()
    verdict = Judge(day.witness, INDEX_LAG_MS).judge()
    print(summary(day), verdict, day.trouble.failed, day.trouble.left, sep="\n")  # noqa: T201 - shown where it fails
    assert [fault for fault in verdict.faults if not day.hot.explains(fault)] == []
    assert verdict.ended > 7_500
    assert day.trouble.failed > 500
    assert day.trouble.left > 250
    assert sum(run.summary["passedOver"] > 0 for run in day.witness.runs) > 100
    assert max(run.summary["passedOver"] for run in day.witness.runs) <= day.plan.hot
