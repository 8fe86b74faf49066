"""Metadata comes back as it was sent (docs/contract.md, Create a session)."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.world import AGENT, USER, Answer, World

LIMIT = 10_240


def create(world: World, metadata: str, **changes: Any) -> Answer:
    """Create with metadata written just like this."""
    return world.post_raw(f'{{"agentId":"{AGENT}","userId":"{USER}","metadata":{metadata}}}', **changes)


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def metadata_text(answer: Answer) -> str:
    """The metadata's own characters in the answer: the timeout settings follow it."""
    return answer.text.partition('"metadata":')[2].rpartition(',"timeoutConfig":')[0]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers() | st.integers(2**53, 2**70) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
METADATA = st.dictionaries(TEXT, VALUES, max_size=6)


@settings(max_examples=40)
@given(metadata=METADATA, escaped=st.booleans())
@example(metadata={"": {"": [[], {}, None, True, False]}}, escaped=False)
@example(metadata={"nul": "\0", "bell": "\x07", "quote": '"\\/', "line": "\u2028\r\n", "😀": "é"}, escaped=False)
@example(metadata={"z": 1, "a": 2, "m": {"y": 1, "b": 2}}, escaped=True)
@example(metadata={"n": [2**53 + 1, -(2**63) - 1, 0, -0.0, 1e308, 5e-324, 0.1, 1e16, 1e22]}, escaped=False)
@example(metadata={"__proto__": 1, "agentId": "x", '":{"': '"}'}, escaped=False)
def test_any_object_within_the_rules_comes_back_as_it_was_sent(metadata: dict[str, Any], escaped: bool) -> None:  # noqa: FBT001
    world = World()
    created = create(world, json.dumps(metadata, ensure_ascii=escaped))
    assert created.status == 201, created.text
    read = world.get(created.json["sessionId"])
    for answer in (created, read):
        assert metadata_text(answer) == compact(metadata), "every member in its order, numbers of their kind"


@settings(max_examples=10)
@given(digits=st.text("0123456789", min_size=1, max_size=999), first=st.sampled_from("123456789"), minus=st.booleans())
@example(digits="0" * 999, first="1", minus=False)
@example(digits="9" * 999, first="9", minus=True)
def test_integers_of_up_to_a_thousand_digits_come_back_exactly(digits: str, first: str, minus: bool) -> None:  # noqa: FBT001
    number = ("-" if minus else "") + first + digits
    world = World()
    answer = create(world, f'{{"n":{number}}}')
    assert answer.status == 201
    assert metadata_text(world.get(answer.json["sessionId"])) == f'{{"n":{number}}}'


@pytest.mark.parametrize("number", ["1" * 1001, "-" + "1" * 1001, "9" * 5000, "1e400", "-1e400", "1e99999", "1.5e309"])
@pytest.mark.parametrize("place", ['{{"n":{0}}}', '{{"a":[{{"b":[{0}]}}]}}'])
def test_a_number_that_cannot_be_kept_is_refused(world: World, number: str, place: str) -> None:
    answer = create(world, place.format(number))
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == ["metadata"]


# --- depth


def nested(depth: int, how: str) -> str:
    """An object of so many levels, the outermost counted."""
    if how == "objects":
        return '{"a":' * (depth - 1) + "{}" + "}" * (depth - 1)
    return '{"a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


@pytest.mark.parametrize("how", ["objects", "arrays"])
def test_a_hundred_levels_are_kept(world: World, how: str) -> None:
    sent = nested(100, how)
    assert metadata_text(world.get(create(world, sent).json["sessionId"])) == sent


@pytest.mark.parametrize("how", ["objects", "arrays"])
@pytest.mark.parametrize("depth", [101, 500])
def test_a_hundred_and_one_levels_are_refused(world: World, how: str, depth: int) -> None:
    answer = create(world, nested(depth, how))
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == ["metadata"]


# --- size


def sized(size: int, filling: str) -> str:
    """Metadata of so many bytes as compact JSON, of one kind of character."""
    room = size - len('{"a":""}')
    width = len(compact(filling).encode()) - 2
    return compact({"a": filling * (room // width) + "x" * (room % width)})


@pytest.mark.parametrize("filling", ["x", "é", "€", "😀", '"', "\n", "\0", "/", "\x7f", "\u2028"], ids=ascii)
def test_ten_kilobytes_pass_and_one_byte_more_does_not(world: World, filling: str) -> None:
    at_limit, beyond = sized(LIMIT, filling), sized(LIMIT + 1, filling)
    assert (len(at_limit.encode()), len(beyond.encode())) == (LIMIT, LIMIT + 1)
    answer = create(world, at_limit)
    assert answer.status == 201
    assert metadata_text(world.get(answer.json["sessionId"])) == at_limit
    refused = create(world, beyond)
    assert refused.code == "VALIDATION_ERROR"
    assert refused.fields == ["metadata"]
    assert "10240" in refused.fault("metadata")["message"]


@pytest.mark.parametrize(
    "spread",
    [
        lambda text: json.dumps(json.loads(text), indent=8),
        lambda text: json.dumps(json.loads(text), ensure_ascii=True),
        lambda text: " \n" * 100 + text + "\t" * 100,
    ],
    ids=["indented", "escaped", "padded"],
)
def test_the_size_is_that_of_compact_json_however_it_was_sent(world: World, spread: Callable[[str], str]) -> None:
    at_limit = sized(LIMIT, "é")
    assert create(world, spread(at_limit)).status == 201
    assert create(world, spread(sized(LIMIT + 1, "é"))).status == 400


# --- text


@pytest.mark.parametrize(
    "metadata",
    ['{"a":"\\ud800"}', '{"\\udfff":1}', '{"a":["\\ude00\\ud83d"]}', '{"a":{"b":"x\\ud83dy"}}', '{"a":"\\ud83d"}'],
)
def test_lone_surrogates_are_refused(world: World, metadata: str) -> None:
    answer = create(world, metadata)
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == ["metadata"]


# --- type


@pytest.mark.parametrize("metadata", ["[]", '"{}"', "1", "true", "false", "0", '""'])
def test_metadata_that_is_no_object_is_refused(world: World, metadata: str) -> None:
    answer = create(world, metadata)
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == ["metadata"]
