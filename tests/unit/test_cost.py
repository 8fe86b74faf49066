"""The arithmetic behind the tables of docs/operations.md: its sums, and what it takes from the service and from AWS."""

import math
from dataclasses import fields, replace
from typing import Any

import pytest
from agent_sessions import metrics

from tests.logs import everything_logged
from tests.template_reader import Deployment
from tests.unit.test_upgrades import Service
from tests.unit.world import MINUTE
from tools.cost import bill, page, plot, prices, workload
from tools.cost.prices import Price
from tools.cost.workload import USUAL, Meetings, Workload, load, meetings, plan


def test_a_price_in_tiers_charges_each_part_its_own() -> None:
    price = Price("", 1, "", ((10, 3.0), (30, 2.0), (math.inf, 1.0)))
    assert [price.of(amount) for amount in (0, 5, 10, 20, 40)] == [0, 15, 30, 50, 80]


def test_the_model_of_sweeps_is_what_they_do() -> None:
    service = Service()
    session_ids = []
    for _ in range(4):
        service.clock.advance(17_000)
        session_ids.append(service.new()["sessionId"])
    met = {"rearmed": 0, "warned": 0, "waiting": 0, "expired": 0}
    for minute in range(95):
        service.clock.advance(minutes=1)
        for session_id in session_ids if minute < 60 else ():
            assert service.heartbeat(session_id).status == 200
        summary = service.sweep()
        met = {name: count + summary[name] for name, count in met.items()}
    expected = meetings(USUAL)
    assert met["warned"] == met["expired"] == len(session_ids)
    assert Meetings(met["rearmed"] / 4, met["waiting"] / 4) == pytest.approx(expected, abs=0.3)


def test_a_session_that_never_beats_is_met_for_its_warning_and_its_end() -> None:
    assert meetings(replace(USUAL, active=0.0)).rearms == 0


@pytest.mark.parametrize("live", page.SIZES)
def test_a_bill_is_the_sum_of_its_parts_and_holds_the_design_that_is_compared(live: int) -> None:
    parts = bill.components(live)
    assert sum(parts.values()) == pytest.approx(bill.total(live))
    due = [cost for name, cost in parts.items() if name.startswith(("finding", "publishing"))]
    assert sum(due) == pytest.approx(bill.this_design(live))
    assert min(parts.values()) > 0


def test_a_plan_bears_its_load_within_what_the_service_allows() -> None:
    for live in plot.POINTS:
        of, sized = load(live), plan(live)
        assert 1 <= sized.fan_out <= sized.due_shards <= workload.MOST_SHARDS
        assert sized.stacks * sized.due_shards * workload.PARTITION_WRITES >= workload.PEAK * of.due_writes
        assert (sized.fan_out > 1) <= (sized.sweeper_megabytes == workload.WHOLE_PROCESSOR_MB)


def test_what_is_small_needs_nothing_raised_and_what_is_large_needs_much() -> None:
    few, many, most = (len(page.to_raise(live)) for live in page.SIZES)
    assert few == 0 < many < most


def test_rarer_heartbeats_cost_less() -> None:
    assert bill.total(10_000, replace(USUAL, heartbeat=300.0)) < bill.total(10_000) / 2


def test_what_the_page_makes_of_the_tables_is_so() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    live = 1_000_000
    assert f"some {100 * bill.this_design(live) / bill.total(live):.0f} % of it" in text
    saved = 1 - bill.total(live, replace(USUAL, heartbeat=300.0)) / bill.total(live)
    assert saved == pytest.approx(2 / 3, abs=0.02)
    assert bill.scheduler(live) == pytest.approx(bill.this_design(live), rel=0.15)
    longest = live * 2 * page.LONGEST_GAUGE_SECONDS / plan(live).gauge_seconds
    assert f"some {longest / live:.0f} M live sessions a stack" in text
    each = load(live).due_writes / load(live).created
    assert (f"{each:.0f}", "some ten index writes" in text) == ("10", True)


def test_the_model_of_the_template_is_what_it_has() -> None:
    deployment = Deployment()
    functions = deployment.of_type("AWS::Lambda::Function")
    for name in ("SessionApiFunction", "ExpirySweeperFunction"):
        assert int(functions[name]["MemorySize"]) == workload.MEMORY_GB * workload.KIB
        assert functions[name]["Architectures"] == ["arm64"]
    assert functions["ExpirySweeperFunction"]["Timeout"] == page.LONGEST_GAUGE_SECONDS * 2
    rules = {rule["ScheduleExpression"] for rule in deployment.of_type("AWS::Events::Rule").values()}
    assert rules == {
        f"rate({workload.SWEEP_INTERVAL / 60:g} minute)",
        f"rate({workload.GAUGE_INTERVAL / 60:g} minutes)",
    }
    (stage,) = deployment.of_type("AWS::ApiGatewayV2::Stage").values()
    assert int(stage["DefaultRouteSettings"]["ThrottlingRateLimit"]) == page.STAGE_RATE
    alarms: list[Any] = list(deployment.of_type("AWS::CloudWatch::Alarm").values())
    watched = sum(
        sum("MetricStat" in each for each in alarm["Metrics"]) if "Metrics" in alarm else 1 for alarm in alarms
    )
    assert watched == bill.ALARM_METRICS
    assert sum(name.isupper() for name in vars(metrics)) == bill.METRICS


def test_the_model_of_a_session_is_what_is_in_the_table() -> None:
    service = Service()
    session = service.create(metadata={"note": "x" * 140}).json
    octets = sum(len(name) + _size(value) for name, value in service.item(session["sessionId"]).items())
    assert octets == pytest.approx(USUAL.item_bytes, rel=0.05)
    assert octets < workload.KIB
    item = service.item(session["sessionId"])
    stored = int(item["purgeAt"]["N"]) - int(item["createdAt"]["N"]) / 1_000
    assert stored + USUAL.purge_lag == pytest.approx(USUAL.stored, abs=1)


def _size(value: dict[str, Any]) -> int:
    ((kind, content),) = value.items()
    return len(content) // 2 + 2 if kind == "N" else 1 if kind == "BOOL" else len(content)


def test_the_model_of_a_call_is_what_it_answers_and_logs() -> None:
    service = Service()
    session_id = service.new()["sessionId"]
    with everything_logged() as log:
        answer = service.heartbeat(session_id)
    assert len(answer.text) + 300 == pytest.approx(workload.RESPONSE_BYTES, rel=0.1)
    assert len(log.getvalue()) + 330 + 470 == pytest.approx(workload.LOG_BYTES, rel=0.1)


def test_every_assumption_is_about_something() -> None:
    for each in fields(Workload):
        doubled = replace(USUAL, **{each.name: getattr(USUAL, each.name) * 2})
        if each.name == "warning":
            assert meetings(doubled) != meetings(USUAL)
        elif each.name == "look_ahead":
            assert meetings(doubled).waits > meetings(USUAL).waits
        else:
            assert bill.total(1_000_000, doubled) != bill.total(1_000_000)


@pytest.mark.parametrize(
    "value, written",
    [(0.328, "0.328"), (1.0, "1"), (8, "8"), (999.9, "1,000"), (1769, "1,769"), (23_334, "23,300"), (1.17e6, "1.17 M")],
)
def test_numbers_are_written_with_three_digits(value: float, written: str) -> None:
    assert page.number(value) == written


def test_a_price_is_an_input_and_has_a_date() -> None:
    assert prices.PRICED_ON in page.block()
    assert all(price.what in page.block() for price in prices.PRICES)


def test_minutes_are_seconds_here_and_milliseconds_there() -> None:
    assert workload.MINUTE * 1_000 == MINUTE
