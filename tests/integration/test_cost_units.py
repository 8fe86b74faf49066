"""The units that tools/cost counts with are those that DynamoDB Local reports for what a session's life writes.

DynamoDB Local does not report what PartiQL statements consume, so each of the sweep's marks is made by an `UpdateItem`.
"""

import pytest

from tests.integration.deployed import Deployed
from tests.integration.metering import Bill, Meter
from tests.unit.world import CLOSE
from tools.cost import model

MARKS = {
    "re-armed": ("SET dueAt = expiresAt - warningMs", model.REARM_UNITS),
    "warned": ("SET dueAt = expiresAt", model.WARN_UNITS),
    "unlisted": (CLOSE, model.UNLIST_UNITS),
    "announced": ("REMOVE dueShard", model.ANNOUNCE_UNITS),
}


def units(bill: Bill) -> float:
    return bill.table_units + sum(bill.index_units.values())


def test_a_creation_costs_what_is_estimated(deployed: Deployed, meter: Meter) -> None:
    deployed.new()  # since then the process remembers that the agent has no policy
    with meter.running() as bill:
        deployed.new()
    assert units(bill) == model.CREATE_UNITS
    assert bill.index_units["due"] == model.DUE_UNITS_OF_CREATE


@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_costs_what_is_estimated(deployed: Deployed, meter: Meter, mark: str) -> None:
    session_id = deployed.new()["sessionId"]
    deployed.clock.advance(minutes=10)
    deployed.heartbeat(session_id)
    if mark == "announced":
        deployed.close(session_id)
    update, estimated = MARKS[mark]
    with meter.running() as bill:
        deployed.update(session_id, update, **({"zero": {"N": "0"}} if update == CLOSE else {}))
    assert units(bill) == estimated
