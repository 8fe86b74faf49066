"""The estimate behind the tables of docs/operations.md: its sums, and what it takes from the service."""

import math
from datetime import datetime
from typing import Any

import pytest

from tests.unit.test_logs import bytes_logged_of_a_heartbeat
from tests.unit.test_upgrades import Service
from tools.cost import model, page
from tools.cost.prices import Price

LIVE = 1_000_000


def total(live: int, heartbeat: float = model.MINUTE) -> float:
    return sum(model.components(live, heartbeat).values())


def test_a_price_in_tiers_charges_each_part_its_own() -> None:
    price = Price("", 1, "", ((10, 3.0), (30, 2.0), (math.inf, 1.0)))
    assert [price.of(amount) for amount in (0, 5, 10, 20, 40)] == [0, 15, 30, 50, 80]


def test_sweeps_meet_a_session_as_often_as_is_estimated() -> None:
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
    assert met["warned"] == met["expired"] == len(session_ids)
    assert (met["rearmed"] / 4, met["waiting"] / 4) == pytest.approx((model.REARMS, model.WAITS), abs=0.3)


@pytest.mark.parametrize("live", page.SIZES)
def test_what_is_planned_for_bears_twice_the_load(live: int) -> None:
    of = model.load(live)
    assert 1 <= of.sweeps <= of.due_shards <= of.stacks * model.MOST_SHARDS
    assert of.due_shards * model.PARTITION_WRITES >= 2 * of.due_writes


def test_what_the_page_concludes_from_the_tables_is_so() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert f"some {100 * model.this_design(LIVE) / total(LIVE):.0f} % of it" in text
    assert f"save some {100 * (1 - total(LIVE, model.HINTED) / total(LIVE)):.0f} % of it" in text
    gauge_seconds = 2 * LIVE * model.ENTRY_BYTES * model.BYTE_SECONDS
    assert f"some {120 / gauge_seconds:.0f} M live sessions a stack" in text
    assert model.this_design(LIVE) * 5 < min(model.scan(LIVE), model.moved_index(LIVE))


def test_what_is_assumed_of_a_session_is_what_lies_in_the_table() -> None:
    service = Service()
    session = service.create(metadata={"note": "x" * 140}).json
    item = service.item(session["sessionId"])
    octets = sum(len(name) + _size(value) for name, value in item.items())
    assert octets == pytest.approx(model.ITEM_BYTES, rel=0.05)
    stored = int(item["purgeAt"]["N"]) - int(item["createdAt"]["N"]) / 1_000
    assert stored + 24 * model.HOUR == pytest.approx(model.STORED, abs=1)


def _size(value: dict[str, Any]) -> int:
    ((kind, content),) = value.items()
    return len(content) // 2 + 2 if kind == "N" else 1 if kind == "BOOL" else len(content)


def test_what_is_assumed_of_a_call_is_what_it_answers_and_logs() -> None:
    service = Service()
    session_id = service.new()["sessionId"]
    answer = service.heartbeat(session_id)
    assert len(answer.text) + 300 == pytest.approx(model.RESPONSE_BYTES, rel=0.1)
    assert bytes_logged_of_a_heartbeat(service) == pytest.approx(model.LOG_BYTES, rel=0.02)


def test_a_million_heartbeats_cost_little_and_those_that_follow_the_hint_a_twelfth() -> None:
    bill = sum(model.heartbeats(1e6).values())
    assert bill <= 2.30
    service = Service()
    session = service.new()
    hint = datetime.fromisoformat(session["renewAfter"]) - datetime.fromisoformat(session["createdAt"])
    assert hint.total_seconds() == model.HINTED
    assert (model.ACTIVE // model.MINUTE) / (model.ACTIVE // model.HINTED) == 12
