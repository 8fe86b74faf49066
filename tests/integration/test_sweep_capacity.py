"""The work of a sweep follows what is due, not what there is."""

import pytest

from tests.integration.sweep_costs import DUE, TO_EXPIRE, TO_REARM, TO_WARN, Cost, measure, units

SMALL, LARGE = 2_000, 40_000  # `make bench` goes up to a million


@pytest.fixture(scope="module")
def costs() -> tuple[Cost, Cost]:
    return measure(SMALL), measure(LARGE)


def test_the_same_due_sessions_cost_the_same_in_a_table_twenty_times_as_large(costs: tuple[Cost, Cost]) -> None:
    small, large = costs
    for cost in costs:
        assert cost.summary["due"] == DUE
        done = (cost.summary["warned"], cost.summary["rearmed"], cost.summary["expired"])
        assert done == (TO_WARN, TO_REARM, TO_EXPIRE)
        assert (cost.summary["failed"], cost.summary["left"]) == (0, 0)
        assert cost.published == TO_WARN + TO_EXPIRE
    assert large.units == pytest.approx(small.units, rel=0.1)
    assert large.calls == pytest.approx(small.calls, rel=0.1)


def test_every_due_session_costs_one_read_and_its_marks(costs: tuple[Cost, Cost]) -> None:
    """A unit to read it and one for each mark, of which an expiry has two; the indexes' where entries move or go."""
    for cost in costs:
        reads = sum(call.table_units for call in cost.sweep.calls if call.operation == "BatchGetItem")
        assert reads == DUE
        assert cost.marks.table_units == TO_WARN + TO_REARM + 2 * TO_EXPIRE
        assert cost.marks.index_units == {
            "due": 2 * (TO_WARN + TO_REARM) + TO_EXPIRE,
            "byUser": 2 * TO_EXPIRE,
            "byTenant": 2 * TO_EXPIRE,
        }


def test_a_request_costs_the_same_in_a_table_twenty_times_as_large(costs: tuple[Cost, Cost]) -> None:
    small, large = ({name: units(bill) for name, bill in cost.requests.items()} for cost in costs)
    assert small == large
    assert (small["create"], small["get"], small["heartbeat"]) == (4, 1, 1)
