"""The worst that a schedule can do: runs that fire early or late in their minute and whose calls take long."""

import random
from collections.abc import Sequence

from agent_sessions.sessions.model import MS_PER_MINUTE, Session
from hypothesis import given, settings, target
from hypothesis import strategies as st

from tests.simulation.promises import THREE_MINUTES_MS, Judge
from tests.simulation.stage import START_MS, Stage
from tests.simulation.witness import Run
from tests.unit.test_sweep_timing import LAG_MS, STEPS, Stall, put

LAST_OF_MINUTE = 59_999


def fire(stage: Stage, minute: int, offset_ms: int, step: str = "query", stall_ms: int = 0) -> Run:
    return stage.fire(START_MS + minute * MS_PER_MINUTE + offset_ms, Stall(step, stall_ms))


def at_of(stage: Stage, session: Session, kind: str = "expiring") -> int:
    """When the session's one event of that kind was published."""
    ids = [f"{session.session_id}:{session.created_at_ms}:1:{kind}"]
    [published] = [one for one in stage.sns.published if ids[0] in one.message]
    return published.at_ms


MINUTES = 6
OFFSETS = st.one_of(st.sampled_from([0, 1, 2_500, 30_000, 59_998, LAST_OF_MINUTE]), st.integers(0, LAST_OF_MINUTE))
STALLS = st.one_of(st.sampled_from([0, 4_500]), st.integers(0, 4_500))
RUNS = st.lists(st.tuples(OFFSETS, st.sampled_from(STEPS[1:]), STALLS), min_size=MINUTES, max_size=MINUTES)


@settings(max_examples=60)
@given(RUNS, st.integers(0, 2 * MS_PER_MINUTE), st.integers(0, LAG_MS), st.integers(1, 4))
def test_no_schedule_makes_a_warning_late_or_early(
    runs: Sequence[tuple[int, str, int]], after_ms: int, lag_ms: int, warning_minutes: int
) -> None:
    world = Stage(random.Random(1), lag_ms)
    sessions = [
        put(
            world,
            warning_at_ms=START_MS + 4 * MS_PER_MINUTE + after_ms + 3_001 * number,
            number=number,
            warning_minutes=warning_minutes,
        )
        for number in range(16)
    ]
    for minute, (offset_ms, step, stall_ms) in enumerate(runs):
        fire(world, minute, offset_ms, step, stall_ms)
    for minute in range(MINUTES, 15):
        fire(world, minute, LAST_OF_MINUTE)
    world.timeline.run_until(START_MS + 17 * MS_PER_MINUTE)
    spares = [session.warning_at_ms - at_of(world, session) for session in sessions]
    target(-float(min(spares)), label="how late the latest warning is")
    assert min(spares) >= 0
    assert max(spares) <= THREE_MINUTES_MS
    assert Judge(world.witness, LAG_MS).judge().faults == []
    announced = [at_of(world, session, "expired") - session.expires_at_ms for session in sessions]
    assert min(announced) >= 5_000
    assert max(announced) <= THREE_MINUTES_MS
