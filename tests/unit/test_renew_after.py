"""`renewAfter`: a client that beats once soon after it is never warned, and needs few beats for that."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from agent_sessions.sessions.leases import WARNED_EARLY_MS, renew_after_ms
from agent_sessions.sessions.model import Session
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.sweep_world import LOOK_AHEAD_MS, SweepWorld
from tests.unit.test_leases import sessions
from tests.unit.world import MINUTE, START_MS

BEATS = 6


def milliseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


# --- the arithmetic


@given(session=sessions())
def test_it_lies_half_way_between_the_renewal_and_the_earliest_warning_and_never_before_the_renewal(
    session: Session,
) -> None:
    moment = renew_after_ms(session)
    if session.timeout.auto_renew and session.expires_at_ms < session.ends_at_ms:
        warned_from_ms = session.warning_at_ms - WARNED_EARLY_MS
        half_way = (session.renewed_at_ms + warned_from_ms) / 2
        assert moment is not None
        assert abs(moment - max(half_way, session.renewed_at_ms)) < 1
    else:
        assert moment is None


def test_no_sweep_looks_further_ahead_than_the_room_that_is_left_for_it() -> None:
    assert LOOK_AHEAD_MS <= WARNED_EARLY_MS


# --- with the deployed functions: a client that beats once after each renewAfter, and a sweep somewhere in each minute


def sweep_times(draw_second: Any) -> Iterator[int]:
    """One moment in each minute, wherever the scheduler puts it."""
    minute = START_MS
    while True:
        yield minute + draw_second() * 1000
        minute += MINUTE


def beats_until_warned(world: SweepWorld, times: Iterator[int], delay: float, **timeouts: Any) -> int:
    """Beat after each `renewAfter`, later by `delay` of the room up to the warning; return the beats before a warning.

    Ends after `BEATS` beats, or where a beat can renew nothing any more.
    """
    session = world.new(**timeouts)
    next_sweep = next(times)
    for beat in range(BEATS):
        if session["renewAfter"] is None:
            return BEATS
        renew_after = milliseconds(session["renewAfter"])
        warned_from = milliseconds(session["expiresAt"]) - WARNED_EARLY_MS
        warned_from -= round(session["timeoutConfig"]["warningThresholdMinutes"] * MINUTE)
        beat_at = renew_after + int((warned_from - renew_after) * delay)
        while next_sweep <= beat_at:
            world.clock.at_ms = next_sweep
            world.sweep()
            next_sweep = next(times)
        if world.events:
            return beat
        world.clock.at_ms = beat_at
        session = world.heartbeat(session["sessionId"]).json
    return BEATS


@given(
    data=st.data(),
    timeout=st.integers(8, 60),
    share=st.floats(0, 1),
    cap=st.sampled_from([1.5, 4, 20]),
    delay=st.floats(0, 0.99),
)
@settings(max_examples=30)
def test_a_client_that_beats_once_soon_after_each_is_never_warned_while_it_can_renew(
    data: st.DataObject, timeout: int, share: float, cap: float, delay: float
) -> None:
    threshold = 1 + (timeout - 5) * share  # the three minutes leave at least one
    times = sweep_times(lambda: data.draw(st.integers(0, 59)))
    world = SweepWorld()
    beats = beats_until_warned(
        world,
        times,
        delay,
        timeoutMinutes=timeout,
        warningThresholdMinutes=threshold,
        maxDurationMinutes=timeout * cap,
    )
    assert beats == BEATS
    assert world.events == []


@pytest.mark.parametrize("delay", [1.2, 2])
def test_a_client_that_beats_later_than_that_is_warned(delay: float) -> None:
    """What the property above would see."""
    world = SweepWorld()
    times = sweep_times(lambda: 30)
    assert beats_until_warned(world, times, delay, timeoutMinutes=30, warningThresholdMinutes=5) < BEATS
    assert world.events


def test_a_client_of_the_default_settings_beats_about_every_eleven_minutes() -> None:
    world = SweepWorld()
    session = world.new()
    assert (milliseconds(session["renewAfter"]) - milliseconds(session["createdAt"])) / MINUTE == 11
