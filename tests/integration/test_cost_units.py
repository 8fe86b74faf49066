"""The units that tools/cost counts with are those that DynamoDB Local reports for what a session's life writes.

DynamoDB Local does not report what PartiQL statements consume, so each of the sweep's marks is made by an `UpdateItem`.
"""

from pathlib import Path

import pytest

from tests.integration.deployed import Deployed
from tests.integration.metering import Bill, Meter
from tools.cost import plot, workload

MARKS = {
    "re-armed": ("SET dueAt = expiresAt - warningMs", workload.REARM_UNITS),
    "warned": ("SET dueAt = expiresAt", workload.WARN_UNITS),
    "unlisted": ("REMOVE listedAt", workload.UNLIST_UNITS),
    "announced": ("REMOVE dueShard", workload.ANNOUNCE_UNITS),
}


def units(bill: Bill) -> float:
    return bill.table_units + sum(bill.index_units.values())


def test_a_creation_costs_what_the_model_counts(deployed: Deployed, meter: Meter) -> None:
    with meter.running() as bill:
        deployed.new()
    assert units(bill) == workload.CREATE_UNITS
    assert bill.index_units["due"] == workload.DUE_UNITS_OF_CREATE


@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_costs_what_the_model_counts(deployed: Deployed, meter: Meter, mark: str) -> None:
    session_id = deployed.new()["sessionId"]
    deployed.clock.advance(minutes=10)
    deployed.heartbeat(session_id)
    if mark == "announced":
        deployed.update(session_id, "REMOVE listedAt")
    update, counted = MARKS[mark]
    with meter.running() as bill:
        deployed.update(session_id, update)
    assert units(bill) == counted


def test_the_plot_is_drawn_with_the_name_of_what_it_shows_and_without_a_date(tmp_path: Path) -> None:
    drawn = tmp_path / "plot.svg"
    plot.draw(drawn)
    text = drawn.read_text(encoding="utf-8")
    assert plot.digest() in text
    assert "<dc:date>" not in text
