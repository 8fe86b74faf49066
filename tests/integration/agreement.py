"""What holds the DynamoDB in memory to DynamoDB Local: the same call is sent to both, and drafts of such calls."""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from botocore.exceptions import ClientError, ParamValidationError
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.engines.fake_dynamo import FakeDynamo

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

VALUES: tuple[dict[str, Any], ...] = (
    *({"N": text} for text in ("0", "1", "5", "10", "-1", "1.50", "1e1", "-0", "007")),
    *({"S": text} for text in ("", "a", "ab", "b", "5")),
    *({"BOOL": flag} for flag in (True, False)),
    {"NULL": True},
    {"B": b"a"},
    {"M": {"x": {"N": "5"}}},
    {"L": [{"N": "1.0"}]},
)
NUMBERS = [{"N": text} for text in ("-1", "1.50", "5", "1e1", "0", "-0", "007")]
STRINGS = [{"S": text} for text in ("", "a", "ab", "5")]
ORDERED = (*NUMBERS, *STRINGS, {"B": b"a"})
RANGE = [{"N": text} for text in ("-1", "3", "4", "7", "9")]
PATHS = ("a", "n", "m", "f", "b", "zz", "h", "r", "k", "mm", "mm.x", "l", "l[0]", "#alias")
TARGETS = ("a", "n", "m", "f", "b", "zz", "mm", "h", "r", "l[0]", "mm.x", "mm.y")
PLAIN_PATHS = ("a", "n", "m", "f", "b", "zz", "mm", "l")
SETTINGS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


class Both(NamedTuple):
    """One table in both: `fake` is the DynamoDB in memory, `real` is DynamoDB Local."""

    fake: FakeDynamo
    real: "DynamoDBClient"
    table: str


def normal(value: Any) -> Any:
    """Numbers by their value and batches in one order, so that only what matters is compared."""
    if isinstance(value, Mapping):
        if value.keys() == {"N"}:
            return {"N": str(Decimal(value["N"]).normalize() + 0)}
        return {name: normal(inner) for name, inner in value.items() if name != "ResponseMetadata"}
    return [normal(inner) for inner in value] if isinstance(value, list) else value


def by_content(item: Mapping[str, Any]) -> str:
    return repr(sorted(item.items()))


def outcome(client: Any, call: str, request: Mapping[str, Any]) -> Any:
    try:
        answer = getattr(client, call)(**request)
        if "ReturnConsumedCapacity" not in request:
            answer.pop("ConsumedCapacity", None)  # DynamoDB Local reports it for a deletion without being asked
        return normal(answer)
    except ParamValidationError:
        return "ParamValidationError"
    except ClientError as error:
        response: Any = error.response
        reasons = [(reason["Code"], normal(reason.get("Item"))) for reason in response.get("CancellationReasons", ())]
        return response["Error"]["Code"], type(error).__name__, normal(response.get("Item")), reasons


def agree(both: Both, call: str, **request: Any) -> Any:
    """What both answer to a call, which must be the same. A call of one table gets its name."""
    if not call.startswith(("batch", "transact")):
        request = {"TableName": both.table, **request}
    mine, theirs = outcome(both.fake, call, request), outcome(both.real, call, request)
    if mine != theirs:
        pytest.fail(f"{call} of {request}: the engine answers {mine}, DynamoDB Local {theirs}", pytrace=False)
    return theirs


class Draft:
    """An expression being written: its values and names come along with it. Now and then it is written wrongly."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self.values: dict[str, Any] = {}
        self.names: dict[str, str] = {}

    def pick(self, *choices: Any) -> Any:
        return self._draw(st.sampled_from(choices))

    def rarely(self) -> bool:
        return self._draw(st.integers(0, 24)) == 24

    def value(self, choices: Any = VALUES) -> str:
        name = f":v{len(self.values)}"
        self.values[name] = self.pick(*choices)
        return name

    def path(self, choices: tuple[str, ...] = PATHS) -> str:
        path: str = self.pick(*choices)
        if path == "#alias":
            self.names["#alias"] = "n"
        return path

    def number(self) -> str:
        """Something that is a number, or in some items."""
        if self.rarely():
            return self.operand()
        return self.path(("n", "m", "n", "r", "#alias")) if self.pick(True, False) else self.value(NUMBERS)

    def operand(self, choices: Any = VALUES) -> str:
        kind = self.pick(*["path"] * 6, *["value"] * 6, "size")
        if kind == "size":
            return f"size({self.path()})"
        return self.path() if kind == "path" else self.value(choices)

    def condition(self, depth: int = 2) -> str:
        shapes = ["equal", "order", "order", "exists", "between", "in", "begins", "contains", "type"]
        if depth:
            shapes += ["and", "or", "not", "parentheses"] * 2
        return str(getattr(self, f"_{self.pick(*shapes)}")(depth))

    def _equal(self, _depth: int) -> str:
        return f"{self.operand()} {self.pick('=', '<>')} {self.operand()}"

    def _order(self, _depth: int) -> str:
        choices = VALUES if self.rarely() else ORDERED
        return f"{self.operand(choices)} {self.pick('<', '<=', '>', '>=')} {self.operand(choices)}"

    def _exists(self, _depth: int) -> str:
        operand = self.operand() if self.rarely() else self.path()
        return f"{self.pick('attribute_exists', 'attribute_not_exists')}({operand})"

    def _between(self, _depth: int) -> str:
        if self.rarely():
            return f"{self.operand()} BETWEEN {self.operand()} AND {self.operand()}"
        return f"{self.number()} BETWEEN {self.value(NUMBERS[:2])} AND {self.value(NUMBERS[2:4])}"

    def _in(self, _depth: int) -> str:
        return f"{self.operand()} IN ({', '.join(self.operand() for _ in range(self.pick(1, 2, 3)))})"

    def _begins(self, _depth: int) -> str:
        return f"begins_with({self.path()}, {self.value(VALUES if self.rarely() else STRINGS)})"

    def _contains(self, _depth: int) -> str:
        return f"contains({self.path(PLAIN_PATHS)}, {self.value((*STRINGS, *NUMBERS))})"

    def _type(self, _depth: int) -> str:
        kind = {"N": "1"} if self.rarely() else {"S": self.pick("N", "S", "M")}
        return f"attribute_type({self.path()}, {self.value((kind,))})"

    def _and(self, depth: int) -> str:
        return f"{self.condition(depth - 1)} {self.pick('AND', 'and')} {self.condition(depth - 1)}"

    def _or(self, depth: int) -> str:
        return f"{self.condition(depth - 1)} OR {self.condition(depth - 1)}"

    def _not(self, depth: int) -> str:
        return f"NOT {self.condition(depth - 1)}"

    def _parentheses(self, depth: int) -> str:
        return f"({self.condition(depth - 1)})"

    def update(self) -> str:
        sections = self._draw(st.lists(st.sampled_from(("SET", "REMOVE", "ADD")), min_size=1, max_size=2, unique=True))
        if self.rarely():
            sections.append("SET")
        targets = self._draw(st.lists(st.sampled_from(TARGETS), min_size=4, max_size=4, unique=not self.rarely()))
        if "n" not in targets and self.pick(True, False):
            targets[-1] = self.path(("#alias",))
        parts = [f"{section} {self._part(section, targets.pop())}" for section in sections]
        if self.pick(True, False):
            parts[-1] += f", {self._part(sections[-1], targets.pop())}"
        return " ".join(parts)

    def _part(self, section: str, target: str) -> str:
        if section == "REMOVE":
            return target if target != "l[0]" else "f"
        if section == "ADD":
            return f"{target if self.rarely() else self.pick('m', 'zz', 'r')} {self.value(NUMBERS)}"
        if target in ("h", "r"):
            return f"{target} = {self.value(NUMBERS)}"
        shape = self.pick(
            *["{0}"] * 3, "{1} + {2}", "{1} - {2}", "if_not_exists({p}, {0})", "if_not_exists({p}, {1}) + {2}"
        )
        plain = self.operand_of_set() if "{0}" in shape else ""
        first, second = (self.number() if mark in shape else "" for mark in ("{1}", "{2}"))
        return f"{target} = {shape.format(plain, first, second, p=self.path() if '{p}' in shape else '')}"

    def operand_of_set(self) -> str:
        return self.path(("a", "n", "h", "#alias")) if self.pick(True, False) else self.value()

    def with_values(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request with what its expressions need, or, now and then, something too much or too little."""
        if self.rarely():
            self.values[":unused"] = {"N": "1"}
        if self.rarely():
            self.names["#unused"] = "a"
        if self.values and self.rarely():
            self.values.popitem()
        if self.values:
            request["ExpressionAttributeValues"] = self.values
        if self.names:
            request["ExpressionAttributeNames"] = self.names
        return request
