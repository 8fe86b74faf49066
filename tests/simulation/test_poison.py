"""Nothing that lies in the table, and no session whose calls fail, costs another session its warning or its expiry."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
from agent_sessions.events.cloud_events import Event, EventKind, session_event
from agent_sessions.sessions.model import Session
from agent_sessions.sweep.calls import PAGE
from agent_sessions.sweep.claim import ATTEMPTS
from agent_sessions.telemetry import metrics

from tests.engines.faults import Hook
from tests.unit.poison import BAD_CALLS, BAD_ITEMS, REFUSED_WHOLE, Change
from tests.unit.sweep_world import SweepWorld, expiries_of, warnings_of
from tests.unit.test_schedule import logged, published_metrics
from tests.unit.world import MINUTE, TABLE, USER

CALLS_OF_ONE = 3 * ATTEMPTS + 2 * 13
"""Calls that one bad session may cost a run: its own tries at each step, and the parts of two batches it was in."""


class Order(Hook):
    """In which order a run asks for sessions, and makes events and marks of them."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def before(self, call: str, request: Mapping[str, Any]) -> None:
        if call == "batch_get_item":
            self.read += [key["sessionId"]["S"] for key in request["RequestItems"][TABLE]["Keys"]]


def spoil(world: SweepWorld, session: Session, change: Change) -> None:
    """Put what `change` makes of a session's item in its place."""
    world.dynamo.put_item(TableName=TABLE, Item=change(world.item(session.session_id)))


def among(world: SweepWorld, healthy: int, bad: int, position: int) -> tuple[list[Session], list[Session]]:
    """Sessions whose warnings are due in a minute's time, the bad ones side by side behind `position` healthy ones."""
    sessions = [world.put(expires_in_ms=9 * MINUTE + 10 * number, user=USER) for number in range(healthy + bad)]
    spoiled = sessions[position : position + bad]
    return [session for session in sessions if session not in spoiled], spoiled


def listed(world: SweepWorld, **query: str) -> list[str]:
    """Every session on the pages of the list."""
    found: list[str] = []
    page = world.page(limit="7", **query).json
    while True:
        found += [session["sessionId"] for session in page["sessions"]]
        if not page.get("nextCursor"):
            return found
        page = world.page(limit="7", cursor=page["nextCursor"], **query).json


def check_punctual(world: SweepWorld, healthy: Iterable[Session]) -> None:
    """Each healthy session was warned and announced once, and in time."""
    at_ms: dict[str, int] = {}
    told: Counter[str] = Counter()
    for published, event in zip(world.published, world.events, strict=True):
        told[event["id"]] += 1
        at_ms[event["id"]] = published.at_ms
    for session in healthy:
        [warning], [expiry] = warnings_of([session]), expiries_of([session])
        assert (told[warning], told[expiry]) == (1, 1)
        assert at_ms[warning] <= session.warning_at_ms
        assert session.expires_at_ms + 5_000 <= at_ms[expiry] <= session.expires_at_ms + 3 * MINUTE


def sweep_minutes(world: SweepWorld, minutes: int, kinds: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Sweep each minute. Only where calls of these `kinds` are refused as a whole may a run fail, by that refusal."""
    summaries = []
    refusals: list[Any] = []
    for _ in range(minutes):
        try:
            summaries += world.sweep_minutes(1)
        except ExceptionGroup as failed:
            refusals += failed.exceptions
    assert not refusals or not REFUSED_WHOLE.isdisjoint(kinds)
    assert {refusal.response["Error"]["Code"] for refusal in refusals} <= {"ValidationException"}
    return summaries


def names(caplog: pytest.LogCaptureFixture) -> set[str]:
    """The sessions that the log names as passed over."""
    found: set[str] = set()
    for line in logged(caplog):
        for fault in line.get("passedOver", {}).values() if line["message"] == "passed over" else ():
            found |= fault["sessions"].keys()
    return found


@pytest.mark.parametrize("position", [0, 11, 24])
@pytest.mark.parametrize("kind", BAD_ITEMS)
def test_a_bad_item_among_healthy_sessions_is_passed_over_and_named(
    kind: str, position: int, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    world = SweepWorld(DUE_SHARDS="1")
    world.shards_of_new_sessions = 1
    healthy, [bad] = among(world, 24, 1, position)
    spoil(world, bad, BAD_ITEMS[kind])
    assert sorted(listed(world, userId=USER)) == sorted({*listed(world)})
    assert {*listed(world)} - {bad.session_id} == {session.session_id for session in healthy}
    [*_, last] = world.sweep_minutes(4)
    assert (last["passedOver"], last["failed"], last["left"], last["oldestLagSeconds"]) == (1, 0, 0, 0)
    assert names(caplog) == {bad.session_id}
    assert published_metrics(capsys)[-1][metrics.SWEEP_PASSED_OVER] == 1
    record = world.dynamo.peek(TABLE, "sweep") or {}
    assert record["passedOver0"] == {"N": "1"}
    world.sweep_minutes(8)
    check_punctual(world, healthy)


@pytest.mark.parametrize("position", [0, 11, 24])
@pytest.mark.parametrize("kind", BAD_CALLS)
def test_calls_that_fail_for_ever_for_one_session_cost_no_other_its_events(
    kind: str, position: int, caplog: pytest.LogCaptureFixture
) -> None:
    world = SweepWorld(DUE_SHARDS="1")
    world.shards_of_new_sessions = 1
    healthy, [bad] = among(world, 24, 1, position)
    world.hook(BAD_CALLS[kind]({bad.session_id}))
    summaries = sweep_minutes(world, 4, [kind])
    assert max(summary["passedOver"] for summary in summaries) == 1
    assert names(caplog) == {bad.session_id}
    sweep_minutes(world, 8, [kind])
    check_punctual(world, healthy)


def mixed(world: SweepWorld, sessions: Sequence[Session], item_kinds: Sequence[str], call_kinds: Sequence[str]) -> None:
    """Spoil the first sessions by one kind of item each, and the next ones by one kind of call each."""
    rest = iter(sessions)
    for kind in item_kinds:
        spoil(world, next(rest), BAD_ITEMS[kind])
    for kind in call_kinds:
        world.hook(BAD_CALLS[kind]({next(rest).session_id}))


def check_ten_and_ten(world: SweepWorld, first: int, healthy_sessions: int, caplog: pytest.LogCaptureFixture) -> None:
    """Ten kinds of bad items from the `first` on, and ten kinds of bad calls, at once among healthy sessions."""
    kinds = [*BAD_ITEMS, *BAD_ITEMS][first : first + 10]
    calls = [*BAD_CALLS, *BAD_CALLS][first % len(BAD_CALLS) :][:10]
    healthy, bad = among(world, healthy_sessions, 20, (first * 7) % healthy_sessions)
    mixed(world, bad, kinds, calls)
    summaries = sweep_minutes(world, 4, calls)
    assert max(summary["passedOver"] for summary in summaries) == 20
    assert names(caplog) == {session.session_id for session in bad}
    sweep_minutes(world, 8, calls)
    check_punctual(world, healthy)


@pytest.mark.parametrize("first", range(0, len(BAD_ITEMS), 10))
def test_ten_bad_items_and_ten_bad_calls_at_once_cost_nobody_else_anything(
    first: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Side by side, they fill the front of a page, its middle or its end."""
    world = SweepWorld(DUE_SHARDS="1")
    world.shards_of_new_sessions = 1
    check_ten_and_ten(world, first, PAGE, caplog)


def live_two_hours(world: SweepWorld, *, poisoned: bool) -> tuple[list[Session], list[Session], Counter[str]]:
    """Three thousand sessions that end within two hours, a sweep a minute, and the calls that it took."""
    sessions = [world.put(expires_in_ms=9 * MINUTE + 2_200 * number) for number in range(3_000)]
    bad = sessions[::150] if poisoned else []
    if poisoned:
        mixed(world, bad, [*BAD_ITEMS][::5][:10], [*BAD_CALLS][:10])
    sweep_minutes(world, 122, BAD_CALLS)
    return [session for session in sessions if session not in bad], bad, world.dynamo.calls + world.sns.calls


def test_three_thousand_healthy_sessions_are_punctual_among_poison_for_two_hours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = SweepWorld(DUE_SHARDS="4", SWEEP_THREADS="2")
    world.shards_of_new_sessions = 4
    healthy, bad, calls = live_two_hours(world, poisoned=True)
    check_punctual(world, healthy)
    assert names(caplog) == {session.session_id for session in bad}
    clean = SweepWorld(DUE_SHARDS="4", SWEEP_THREADS="2")
    clean.shards_of_new_sessions = 4
    _, _, calls_without = live_two_hours(clean, poisoned=False)
    assert calls.total() - calls_without.total() <= 122 * len(bad) * CALLS_OF_ONE


def test_everything_in_all_shards_is_tried_before_anything_is_tried_twice() -> None:
    world = SweepWorld(DUE_SHARDS="4", SWEEP_THREADS="2")
    world.shards_of_new_sessions = 4
    sessions = [world.put(expires_in_ms=5 * MINUTE + number) for number in range(900)]
    order = world.dynamo.add_hook(Order())
    world.hook(*(build({sessions[30 * place].session_id}) for place, build in enumerate(BAD_CALLS.values())))
    world.sweep()
    first: dict[str, int] = {}
    repeats = [place for place, session_id in enumerate(order.read) if first.setdefault(session_id, place) != place]
    assert len(first) == len(sessions)
    assert repeats
    assert min(repeats) > max(first.values())


def test_more_bad_items_than_a_page_holds_do_not_starve_what_is_behind_them() -> None:
    world = SweepWorld(DUE_SHARDS="1")
    world.shards_of_new_sessions = 1
    healthy, bad = among(world, 20, 2 * PAGE, 0)
    kinds = [*BAD_ITEMS.values()]
    for number, session in enumerate(bad[:PAGE]):
        spoil(world, session, kinds[number % len(kinds)])
    world.hook(BAD_CALLS["its mark stays busy"]({session.session_id for session in bad[PAGE:]}))
    sweep_minutes(world, 14)
    check_punctual(world, healthy)


@pytest.mark.parametrize("kind", BAD_CALLS)
def test_forty_bad_sessions_side_by_side_do_not_starve_what_is_behind_them(kind: str) -> None:
    world = SweepWorld(DUE_SHARDS="1")
    world.shards_of_new_sessions = 1
    healthy, bad = among(world, 90, 40, 20)
    world.hook(BAD_CALLS[kind]({session.session_id for session in bad}))
    sweep_minutes(world, 14, [kind])
    check_punctual(world, healthy)


def test_a_session_that_no_event_can_be_made_of_costs_no_other_its_events(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = SweepWorld(DUE_SHARDS="1")
    world.shards_of_new_sessions = 1
    healthy, [bad] = among(world, 24, 1, 11)

    def make(kind: EventKind, session: Session, now_ms: int, source: str) -> Event:
        if session.session_id == bad.session_id:
            raise OverflowError("date value out of range")
        return session_event(kind, session, now_ms, source)

    monkeypatch.setattr("agent_sessions.sweep.shard.session_event", make)
    [*_, last] = world.sweep_minutes(4)
    assert (last["passedOver"], last["failed"], last["left"], last["oldestLagSeconds"]) == (1, 0, 0, 0)
    assert names(caplog) == {bad.session_id}
    world.sweep_minutes(8)
    check_punctual(world, healthy)
