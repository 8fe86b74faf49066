"""The clock of the local stack."""

from hypothesis import given
from hypothesis import strategies as st

from local.clock import LATEST_MS, MovableClock


class RealTime:
    """Real time as a test wants it; it may even go back, as a corrected clock does."""

    def __init__(self, now_ms: int = 1_000_000) -> None:
        self.now = now_ms
        self.slept: list[float] = []

    def clock(self, offset_ms: int = 0) -> MovableClock:
        return MovableClock(lambda: self.now, self.slept.append, offset_ms=offset_ms)


def test_it_is_moved_while_it_is_held_and_goes_on_from_there() -> None:
    real = RealTime()
    clock = real.clock()
    with clock.held():
        clock.move_to(2_000_000)
        real.now += 5_000
        assert clock.now_ms() == 2_000_000
    real.now += 100
    assert clock.now_ms() == 2_000_100


def test_it_ends_with_the_year_9999() -> None:
    clock = RealTime().clock()
    with clock.held():
        clock.move_to(LATEST_MS + 1)
        assert clock.now_ms() == LATEST_MS


def test_to_sleep_takes_real_time_unless_it_is_held() -> None:
    real = RealTime()
    clock = real.clock()
    clock.sleep(2.5)
    assert real.slept == [2.5]
    with clock.held():
        clock.sleep(2.5)
        assert clock.now_ms() == 1_002_500
    assert real.slept == [2.5]


@given(st.lists(st.tuples(st.sampled_from(["pass", "move", "hold", "sleep", "free"]), st.integers(-10_000, 10_000))))
def test_it_never_goes_back(steps: list[tuple[str, int]]) -> None:
    real = RealTime()
    clock = real.clock()
    seen = [clock.now_ms()]
    hold = None
    for step, value in steps:
        match step:
            case "pass":
                real.now += value
            case "sleep":
                clock.sleep(abs(value) / 1000)
            case "hold" if hold is None:
                hold = clock.held()
                hold.__enter__()
            case "move" if hold is not None:
                clock.move_to(clock.now_ms() + value)
            case "free" if hold is not None:
                hold.__exit__(None, None, None)
                hold = None
            case _:
                pass
        seen.append(clock.now_ms())
    assert seen == sorted(seen)
