"""The README is true: its figures are those that `make bench` and the cost model give."""

import re
from typing import Final

import pytest

from tests.unit.world import ROOT
from tools.cost import model

README: Final = (ROOT / "README.md").read_text("utf-8")
BENCHMARKS: Final = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
SUMMARY: Final = "<!-- written by make bench: begin -->(.*?)<!-- written by make bench: end -->"


def test_the_summary_is_that_of_the_last_run() -> None:
    [in_readme], [on_page] = (re.findall(SUMMARY, text, re.DOTALL) for text in (README, BENCHMARKS))
    assert in_readme == on_page
    assert len(re.findall(r"^\| .* \| [\d.]+ \|", in_readme, re.MULTILINE)) >= 3


def test_what_the_last_run_measured_holds() -> None:
    verdicts = re.findall(r"\| at (?:most|least) [\d.]+ \|[^|]*\| (.+) \|$", BENCHMARKS, re.MULTILINE)
    assert set(verdicts) == {"yes"}
    assert "Not measured" not in BENCHMARKS


def test_the_cost_is_what_the_model_gives() -> None:
    [(sessions, cost, fixed)] = re.findall(
        r"Cost: ([\d,]+) sessions a month.* about \$(\d+), of which \$(\d+) are", README
    )
    live = round(int(sessions.replace(",", "")) * model.LIFETIME / model.MONTH)
    assert sum(model.components(live).values()) == pytest.approx(int(cost), abs=0.6)
    assert model.components(live)["metrics, alarms, dashboard"] == pytest.approx(int(fixed), abs=0.6)
    assert model.ACTIVE == 3600
