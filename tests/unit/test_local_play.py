"""Letting the local clock run faster than real time."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from local.play import Player

WAIT_SECONDS = 300
"""What takes longer counts as never: the machine may be busy."""


class Steps:
    """Moves of a clock, by milliseconds; a real second passes between two looks at the time."""

    def __init__(self, then: Callable[[], Any] = lambda: None) -> None:
        self.moved = 0
        self.seconds = 0.0
        self.twice = threading.Event()
        self._then = then

    def monotonic(self) -> float:
        self.seconds += 1
        return self.seconds

    def advance(self, by_ms: int) -> None:
        self._then()
        self.moved += by_ms
        if self.moved > by_ms:
            self.twice.set()


def test_a_second_moves_the_clock_by_so_many_and_real_time_adds_its_own() -> None:
    steps = Steps()
    player = Player(steps.advance, steps.monotonic)
    player.play(60)
    player.play(60)  # asked twice, it does not run twice
    assert steps.twice.wait(WAIT_SECONDS)
    player.stop()
    assert player.speed == 1
    assert steps.moved % 59_000 == 0
    moved = steps.moved
    player.stop()
    assert steps.moved == moved


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_move_that_fails_ends_the_play() -> None:
    failed = threading.Event()

    def fail() -> None:
        failed.set()
        raise RuntimeError

    player = Player(Steps(fail).advance, iter(range(1, 1000)).__next__)
    player.play(60)
    thread = player._thread
    assert failed.wait(WAIT_SECONDS)
    if thread is not None:
        thread.join()
    assert player.speed == 1
