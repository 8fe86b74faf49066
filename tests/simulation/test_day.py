"""Twenty thousand sessions in a virtual day: every warning and every expiry at its time, once. Takes half a minute."""

import pytest

from tests.simulation.day import INDEX_LAG_MS, Day, Plan, summary
from tests.simulation.promises import Judge
from tests.unit.test_sweep_day import EXCEPTIONS


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
    assert figures["longest run, s"] > 39
    assert figures["runs over 20 s"] > 100
    assert figures["runs that waited over 2 s"] > 100
    assert figures["unfinished runs"] == 0
    assert verdict.ended > 15_000
    assert verdict.exceptions.keys() == EXCEPTIONS
    assert verdict.least_spare_ms < 20_000
    assert verdict.longest_lead_ms > 170_000
    assert verdict.longest_expiry_ms > 160_000
