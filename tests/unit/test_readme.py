"""The README is true: its figures are those that `make bench` and the cost model give."""

import re
from typing import Final

import pytest

from tests.unit.world import ROOT
from tools.cost import model

README: Final = (ROOT / "README.md").read_text("utf-8")
BENCHMARKS: Final = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
AS_PRINTED: Final = 0.011
"""Two decimals, and a little for runs that differ by less than anybody would notice."""


def figures(page: str, heading: str, row: str) -> list[float]:
    """Return the first number of each cell in the table row that begins with `row`, below `heading`."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    [cells] = re.findall(rf"^\| {re.escape(row)} \|(.*)\|$", section, re.MULTILINE)
    return [float(found[0].replace(",", "")) for cell in cells.split("|") if (found := re.findall(r"[\d,.]*\d", cell))]


def ratios(heading: str, peer: str, columns: int) -> list[float]:
    ours, theirs = figures(BENCHMARKS, heading, "agent-sessions"), figures(BENCHMARKS, heading, peer)
    return [our / their for our, their in zip(ours[:columns], theirs[:columns], strict=True)]


COLD: Final = "Cold start of a create"
WARM: Final = "Warm requests"


@pytest.mark.parametrize(
    "row, cold, warm",
    [
        ("Powertools and `boto3.resource`, as usually deployed", "usual style", "usual style"),
        ("the same, with precompiled bytecode", "usual style, precompiled", None),
        ("FastAPI with Mangum, precompiled", "FastAPI + Mangum, precompiled", "FastAPI + Mangum"),
    ],
)
def test_the_instructions_are_those_that_the_last_run_measured(row: str, cold: str, warm: str | None) -> None:
    measured = ratios(COLD, cold, 1) + (ratios(WARM, warm, 3) if warm else [])
    assert figures(README, "How fast", row) == pytest.approx(measured, abs=AS_PRINTED)


def test_the_processor_time_beside_the_elizaos_server_is_what_the_last_run_measured() -> None:
    measured = ratios("Beside the ElizaOS server", "@elizaos/server 1.7.2 on Node", 3)
    [printed] = re.findall(r"create ([\d.]+), get ([\d.]+), heartbeat ([\d.]+) \(slower", README)
    assert [float(figure) for figure in printed] == pytest.approx(measured, abs=AS_PRINTED)
    assert float(printed[2]) > 1


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
