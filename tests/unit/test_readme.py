"""The README is true: its figures are those that `make bench` and the cost model give."""

import re
from typing import Final

import pytest

from tests.benchmarks.report import REQUESTS, in_short
from tests.unit.world import ROOT
from tools.cost import model

README: Final = (ROOT / "README.md").read_text("utf-8")
BENCHMARKS: Final = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
SUMMARY: Final = "<!-- written by make bench: begin -->(.*?)<!-- written by make bench: end -->"


def test_the_figures_are_those_of_the_last_run_and_what_is_slower_is_named() -> None:
    [in_readme], [on_page] = (re.findall(SUMMARY, text, re.DOTALL) for text in (README, BENCHMARKS))
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in on_page.strip().splitlines()[2:]]
    found = {
        peer: {name: float(cell) for name, cell in zip(REQUESTS, cells, strict=True) if cell} for peer, *cells in rows
    }
    assert len(found) >= 3
    assert in_readme.strip() == in_short(found).strip()
    assert ("Slower here" in in_readme) == any(ratio > 1 for ratios in found.values() for ratio in ratios.values())


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
