"""The decision for one session that looks due: a table of cases, and what holds for every one."""

from collections import Counter
from typing import Final

import pytest
from agent_sessions.sessions.model import MS_PER_MINUTE, Session, TimeoutConfig
from agent_sessions.sweep.decision import EXPIRY_GRACE_MS, Action, decide
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store_suite.examples import first_lease

NOW: Final = 1_782_547_200_000
AHEAD: Final = 175_000
MINUTE: Final = MS_PER_MINUTE


def lease(expires_in_ms: int, *, warning_minutes: float = 5, due_in_ms: int, announced: bool = False) -> Session:
    """A lease that ends `expires_in_ms` from NOW and has its appointment `due_in_ms` from NOW."""
    timeout = TimeoutConfig(30, auto_renew=True, max_duration_minutes=720, warning_threshold_minutes=warning_minutes)
    expires_ms = NOW + expires_in_ms
    return first_lease(expires_ms, timeout=timeout, due_at_ms=NOW + due_in_ms, announced=announced)


@pytest.mark.parametrize(
    "session, action",
    [
        pytest.param(None, Action.GONE, id="deleted"),
        pytest.param(lease(-MINUTE, due_in_ms=-MINUTE, announced=True), Action.GONE, id="announced"),
        pytest.param(lease(MINUTE, due_in_ms=MINUTE, announced=True), Action.GONE, id="announced, by another's clock"),
        # The warning, by its distance from the look-ahead.
        pytest.param(lease(5 * MINUTE + AHEAD, due_in_ms=AHEAD), Action.WARN, id="warning at the look-ahead"),
        pytest.param(lease(5 * MINUTE + AHEAD + 1, due_in_ms=AHEAD + 1), Action.WAIT, id="warning a little beyond"),
        pytest.param(lease(5 * MINUTE, due_in_ms=0), Action.WARN, id="warning now"),
        pytest.param(lease(4 * MINUTE, due_in_ms=-MINUTE), Action.WARN, id="warning overdue"),
        pytest.param(lease(1, due_in_ms=1 - 5 * MINUTE), Action.WARN, id="warning in the last millisecond"),
        pytest.param(
            lease(25 * MINUTE, warning_minutes=30, due_in_ms=-5 * MINUTE), Action.WARN, id="threshold is the timeout"
        ),
        # Renewed since the appointment was made.
        pytest.param(lease(30 * MINUTE, due_in_ms=0), Action.REARM, id="renewed"),
        pytest.param(lease(30 * MINUTE, due_in_ms=AHEAD), Action.REARM, id="renewed, seen early"),
        pytest.param(lease(5 * MINUTE + AHEAD + 1, due_in_ms=0), Action.REARM, id="renewed, a little beyond"),
        pytest.param(lease(5 * MINUTE + AHEAD, due_in_ms=0), Action.WARN, id="renewed, and to be warned all the same"),
        # Warned.
        pytest.param(lease(2 * MINUTE, due_in_ms=2 * MINUTE), Action.WAIT, id="warned"),
        pytest.param(lease(1, due_in_ms=1), Action.WAIT, id="warned, almost over"),
        # Over.
        pytest.param(lease(0, due_in_ms=0), Action.WAIT, id="over, a renewal may be under way"),
        pytest.param(lease(-1, due_in_ms=-5 * MINUTE), Action.WAIT, id="over and never warned: too late to warn"),
        pytest.param(lease(1 - EXPIRY_GRACE_MS, due_in_ms=1 - EXPIRY_GRACE_MS), Action.WAIT, id="almost sure"),
        pytest.param(lease(-EXPIRY_GRACE_MS, due_in_ms=-EXPIRY_GRACE_MS), Action.EXPIRE, id="sure"),
        pytest.param(lease(-EXPIRY_GRACE_MS, due_in_ms=-5 * MINUTE), Action.EXPIRE, id="sure, never warned"),
        pytest.param(lease(-1_440 * MINUTE, due_in_ms=-1_440 * MINUTE), Action.EXPIRE, id="over since yesterday"),
        # Not due at all: the index was read before the last write reached it.
        pytest.param(lease(60 * MINUTE, due_in_ms=55 * MINUTE), Action.WAIT, id="the index lags behind"),
    ],
)
def test_the_decision(session: Session | None, action: Action) -> None:
    assert decide(session, NOW, AHEAD) is action


moments = st.integers(-10 * MINUTE, 40 * MINUTE)
leases = st.builds(
    lambda expires, threshold, due, announced: lease(
        expires, warning_minutes=threshold, due_in_ms=due, announced=announced
    ),
    moments,
    st.one_of(st.sampled_from([1, 5, 30]), st.floats(1, 30)),
    moments,
    st.booleans(),
)
look_aheads = st.integers(0, 180_000)


def after(action: Action, session: Session) -> tuple[Session, Action]:
    """The session as the action leaves it, and the action that it asks for then."""
    return {
        Action.WARN: (session._replace(due_at_ms=session.expires_at_ms), Action.WAIT),
        Action.REARM: (session._replace(due_at_ms=session.warning_at_ms), Action.WAIT),
        Action.EXPIRE: (session._replace(announced=True), Action.GONE),
        Action.WAIT: (session, Action.WAIT),
        Action.GONE: (session, Action.GONE),
    }[action]


def test_no_decision_is_early_or_wrong_or_asked_for_twice() -> None:
    met: Counter[Action] = Counter()

    @settings(max_examples=300)
    @given(leases, look_aheads)
    def check(session: Session, ahead: int) -> None:
        action = decide(session, NOW, ahead)
        met[action] += 1
        over = not session.announced and session.expires_at_ms + EXPIRY_GRACE_MS <= NOW
        assert (action is Action.EXPIRE) == over
        if action is Action.WARN:
            assert not session.announced
            assert not session.warned
            assert session.expires_at_ms > NOW
            assert session.warning_at_ms <= NOW + ahead
        if action is Action.REARM:
            assert session.due_at_ms <= NOW + ahead < session.warning_at_ms
        marked, then = after(action, session)
        assert decide(marked, NOW, ahead) is then

    check()
    assert met.keys() == {*Action}


@settings(max_examples=50)
@given(moments, st.floats(1, 30), st.integers(0, 30 * MINUTE), look_aheads, st.floats(0, 1, exclude_max=True))
def test_whatever_is_due_at_its_warning_is_warned_as_long_as_it_lives(
    expires_in_ms: int, threshold: float, early_ms: int, ahead: int, late: float
) -> None:
    """The appointment is at most the warning's time, so that a sweep at that time finds the session."""
    session = lease(expires_in_ms, warning_minutes=threshold, due_in_ms=0)
    session = session._replace(due_at_ms=session.warning_at_ms - early_ms)
    now_ms = session.warning_at_ms + int(late * (session.expires_at_ms - session.warning_at_ms))
    assert decide(session, now_ms, ahead) is Action.WARN
