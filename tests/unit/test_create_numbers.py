"""Every number in range is accepted, every other value refused: the timeout settings as properties."""

import json
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.world import AGENT, INSIDES, USER, Answer, World

BOUNDS = {"timeoutMinutes": (5, 1440), "maxDurationMinutes": (30, 2880), "warningThresholdMinutes": (1, 30)}
"""What each setting may be where the others are omitted (docs/contract.md, Create a session)."""
FEW = settings(max_examples=40)
NAMES = st.sampled_from(list(BOUNDS))


def in_range(name: str) -> st.SearchStrategy[float]:
    low, high = BOUNDS[name]
    return st.integers(low, high) | st.floats(low, high)


def out_of_range(name: str) -> st.SearchStrategy[float]:
    low, high = BOUNDS[name]
    return (
        st.integers(max_value=low - 1)
        | st.integers(min_value=high + 1)
        | st.floats(max_value=low, exclude_max=True, allow_infinity=False)
        | st.floats(min_value=high, exclude_min=True, allow_infinity=False)
    )


def create(world: World, settings: str) -> Answer:
    """Create with the timeout settings written just like this."""
    return world.post_raw(f'{{"agentId":"{AGENT}","userId":"{USER}","timeoutConfig":{settings}}}')


@FEW
@given(case=NAMES.flatmap(lambda name: st.tuples(st.just(name), in_range(name))))
@example(case=("timeoutMinutes", 5.0))
@example(case=("timeoutMinutes", math.nextafter(1440, 0)))
@example(case=("warningThresholdMinutes", math.nextafter(1, 2)))
def test_every_number_in_range_is_accepted_and_echoed(case: tuple[str, float]) -> None:
    name, value = case
    world = World()
    answer = create(world, json.dumps({name: value}))
    assert answer.status == 201
    assert answer.json["timeoutConfig"][name] == value
    read = world.get(answer.json["sessionId"]).json
    assert read["timeoutConfig"] == answer.json["timeoutConfig"]


@FEW
@given(case=NAMES.flatmap(lambda name: st.tuples(st.just(name), out_of_range(name))))
@example(case=("timeoutMinutes", math.nextafter(5, 0)))
@example(case=("timeoutMinutes", math.nextafter(1440, 9999)))
@example(case=("maxDurationMinutes", 2880.0000001))
@example(case=("timeoutMinutes", -0.0))
@example(case=("timeoutMinutes", 10**400))
def test_every_number_out_of_range_is_refused_by_name(case: tuple[str, float]) -> None:
    name, value = case
    answer = create(World(), json.dumps({name: value}))
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == [f"timeoutConfig.{name}"]


NO_NUMBERS = st.recursive(
    st.none() | st.booleans() | st.text(max_size=20) | in_range("timeoutMinutes").map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
).filter(lambda value: not INSIDES.search(json.dumps(value)))


@FEW
@given(name=NAMES, value=NO_NUMBERS)
@example(name="timeoutMinutes", value="30")
@example(name="timeoutMinutes", value=[30])
@example(name="warningThresholdMinutes", value=True)
@example(name="maxDurationMinutes", value={"value": 60})
@example(name="timeoutMinutes", value="{message}{0}%s")
def test_whatever_is_no_number_is_refused_by_name(name: str, value: Any) -> None:
    answer = create(World(), json.dumps({name: value}))
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == [f"timeoutConfig.{name}"]


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "+30", "030", "30.", ".5", "0x1e", "1_000"])
def test_what_json_does_not_call_a_number_is_malformed(world: World, text: str) -> None:
    answer = create(world, f'{{"timeoutMinutes":{text}}}')
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == ["body"]
