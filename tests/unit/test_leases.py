"""What holds of the time arithmetic for all sessions and all moments (docs/contract.md, Time)."""

import pytest
from agent_sessions.errors import SessionExpired, SessionNotFound
from agent_sessions.sessions.leases import check_alive, patch_of
from agent_sessions.sessions.model import Session, TimeoutConfig, minutes_to_ms
from hypothesis import given
from hypothesis import strategies as st

from tests.store_suite.examples import a_session
from tests.unit.world import MINUTE, START_MS

RETENTION = 1440 * MINUTE


@st.composite
def configs(draw: st.DrawFn) -> TimeoutConfig:
    """Settings that pass the rules."""
    timeout = draw(st.integers(5, 1440) | st.floats(5, 1440))
    return TimeoutConfig(
        timeout_minutes=timeout,
        auto_renew=draw(st.booleans()),
        max_duration_minutes=draw(st.floats(timeout, 2880) | st.just(timeout)),
        warning_threshold_minutes=draw(st.floats(1, timeout) | st.just(1)),
    )


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    """Sessions in any state that a service can bring about."""
    config = draw(configs())
    ends_at = START_MS + config.max_duration_ms
    renewed_at = draw(st.integers(START_MS, ends_at - 1))
    expires_at = min(renewed_at + config.timeout_ms, ends_at)
    return a_session(
        timeout=config,
        created_at_ms=START_MS,
        last_activity_ms=draw(st.integers(renewed_at, expires_at)),
        renewed_at_ms=renewed_at,
        expires_at_ms=expires_at,
        ends_at_ms=ends_at,
        renewal_count=draw(st.integers(0, 1_000)),
        lease=draw(st.integers(1, 1_000)),
        due_at_ms=draw(st.sampled_from([expires_at - config.warning_ms, expires_at])),
    )


@given(session=sessions(), after=st.integers(0, 10))
def test_a_session_lives_until_it_expires_and_is_remembered_for_the_retention(session: Session, after: int) -> None:
    end = session.expires_at_ms
    check_alive(session, end - 1 - after, RETENTION)
    for now_ms in (end + after, end + RETENTION - 1 - after):
        with pytest.raises(SessionExpired) as caught:
            check_alive(session, now_ms, RETENTION)
        assert caught.value.expires_at_ms == end
        assert (caught.value.reason == "max_duration") == (end == session.ends_at_ms)
    with pytest.raises(SessionNotFound):
        check_alive(session, end + RETENTION + after, RETENTION)


@given(session=sessions(), offset=st.integers(-2, 2))
def test_what_is_left_and_whether_it_is_little_agree_at_every_moment(session: Session, offset: int) -> None:
    for edge in (session.expires_at_ms, session.warning_at_ms, session.created_at_ms):
        now_ms = edge + offset
        left = session.time_remaining_ms(now_ms)
        assert left == max(0, session.expires_at_ms - now_ms)
        assert (left == 0) == session.is_expired(now_ms)
        assert session.is_near_expiration(now_ms) == (0 < left <= session.timeout.warning_ms)


@given(session=sessions(), timeout=configs())
def test_a_patch_counts_from_the_last_renewal_and_stops_at_the_end(session: Session, timeout: TimeoutConfig) -> None:
    patch = patch_of(session, timeout, session.last_activity_ms)
    assert patch.ends_at_ms == session.created_at_ms + timeout.max_duration_ms
    assert patch.expires_at_ms == min(session.renewed_at_ms + timeout.timeout_ms, patch.ends_at_ms)
    capped = patch.expires_at_ms == patch.ends_at_ms
    changes = (patch.expires_at_ms, capped) != (session.expires_at_ms, session.capped)
    assert patch.new_lease == changes


@given(minutes=st.floats(1, 2880) | st.integers(1, 2880))
def test_minutes_become_whole_milliseconds_and_the_nearest(minutes: float) -> None:
    milliseconds = minutes_to_ms(minutes)
    assert isinstance(milliseconds, int)
    assert abs(milliseconds - minutes * 60_000) <= 0.5
