"""The expressions of one call, compiled once for each text and checked against the names and values that came along."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from local.dynamo import expressions
from local.dynamo.expressions import KeyTest, Uses
from local.dynamo.refusals import validation
from local.dynamo.values import Item, kept

_EXPRESSIONS: Final = (
    "ConditionExpression",
    "UpdateExpression",
    "KeyConditionExpression",
    "FilterExpression",
    "ProjectionExpression",
)
NAMES_AND_VALUES: Final = ("ExpressionAttributeNames", "ExpressionAttributeValues")


@dataclass(frozen=True)
class Plan:
    """The expressions of one kind of call, compiled, and what they use."""

    condition: expressions.Test | None
    update: expressions.Update | None
    key_tests: Sequence[KeyTest]
    filter: expressions.Test | None
    filter_attributes: frozenset[str]
    projection: Sequence[str] | None
    uses: Uses
    values: frozenset[str]


_NO_PLAN: Final = Plan(None, None, (), None, frozenset(), None, Uses({}), frozenset())


@functools.lru_cache(maxsize=4096)
def _compiled(texts: tuple[str | None, ...], names: tuple[tuple[str, str], ...]) -> Plan:
    condition, update, key_condition, filter_text, projection = texts
    for name, _ in names:
        if not name.startswith("#"):
            raise validation(f'ExpressionAttributeNames contains invalid key: Syntax error; key: "{name}"')
    uses = Uses(dict(names))
    compiled_filter = (
        (None, set[str]()) if filter_text is None else expressions.condition("FilterExpression", filter_text, uses)
    )
    plan = Plan(
        None if condition is None else expressions.condition("ConditionExpression", condition, uses)[0],
        None if update is None else expressions.update(update, uses),
        () if key_condition is None else expressions.key_condition(key_condition, uses),
        compiled_filter[0],
        frozenset(compiled_filter[1]),
        None if projection is None else expressions.projection(projection, uses),
        uses,
        frozenset(uses.used_values),
    )
    unused = uses.names.keys() - uses.used_names
    if unused:
        raise validation(
            f"Value provided in ExpressionAttributeNames unused in expressions: keys: {{{', '.join(sorted(unused))}}}"
        )
    return plan


def plan_of(request: Mapping[str, Any]) -> tuple[Plan, Item]:
    """The call's compiled expressions and its values, checked against one another."""
    texts = tuple(request.get(name) for name in _EXPRESSIONS)
    names, values = request.get("ExpressionAttributeNames"), request.get("ExpressionAttributeValues")
    if texts == (None,) * len(_EXPRESSIONS):
        for parameter, given_ones in zip(NAMES_AND_VALUES, (names, values), strict=True):
            if given_ones is not None:
                raise validation(f"{parameter} can only be specified when using expressions")
        return _NO_PLAN, {}
    for parameter, given_ones in zip(NAMES_AND_VALUES, (names, values), strict=True):
        if given_ones is not None and not given_ones:
            raise validation(f"{parameter} must not be empty")
    plan = _compiled(texts, tuple(names.items()) if names else ())
    kept_values = {name: kept(value) for name, value in values.items()} if values else {}
    if kept_values.keys() != plan.values:
        _mismatch(plan, kept_values)
    if plan.uses.checks or plan.uses.bounds:
        expressions.check_types(plan.uses, kept_values)
    return plan, kept_values


def _mismatch(plan: Plan, values: Item) -> None:
    undefined = plan.values - values.keys()
    if undefined:
        raise validation(
            "An expression attribute value used in expression is not defined; "
            f"attribute value: {', '.join(sorted(undefined))}"
        )
    unused = ", ".join(sorted(values.keys() - plan.values))
    raise validation(f"Value provided in ExpressionAttributeValues unused in expressions: keys: {{{unused}}}")
