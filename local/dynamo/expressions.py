"""DynamoDB's expressions, parsed and compiled to closures over (item, values).

Strict on purpose: what AWS refuses is refused here, and what the engine does not know is a NotImplementedError, so that
no test passes on something that DynamoDB would not do.
"""

import copy
import decimal
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from local.dynamo.refusals import Refused, validation
from local.dynamo.reserved_words import RESERVED_WORDS
from local.dynamo.values import NAMES, ORDERED, Item, Value, kind_of, number, number_value, size_of_value

Path = tuple[str | int, ...]
Get = Callable[[Item, Any], Value | None]
Test = Callable[[Item, Any], bool]
Compare = Callable[[Any, Any], bool]

_TOKEN: Final = re.compile(
    r"(?P<value>:[A-Za-z0-9_]+)|(?P<alias>#[A-Za-z0-9_]+)|(?P<index>\[[0-9]+\])|(?P<word>[A-Za-z][A-Za-z0-9_]*)"
    r"|(?P<mark><>|<=|>=|[=<>(),+.-])"
)
_LONGEST: Final = 4096
_MOST_CHOICES: Final = 100
COMPARISONS: Final[dict[str, Compare]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FUNCTIONS: Final = ("attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains")
_PRECISION: Final = decimal.Context(prec=60)


@dataclass(frozen=True)
class Operand:
    """One side of a comparison: a path, a placeholder or the size of a path."""

    text: str
    get: Get
    path: Path = ()
    placeholder: str = ""


@dataclass(frozen=True)
class KeyTest:
    """One condition on a key attribute; BETWEEN has two placeholders."""

    name: str
    operator: str
    placeholders: tuple[str, ...]


@dataclass(frozen=True)
class TypeCheck:
    """A placeholder whose value must be of one of these types, for the sake of an operator."""

    where: str
    operator: str
    placeholder: str
    kinds: tuple[str, ...]


@dataclass
class Uses:
    """What the expressions of one call mention; shared by all of them."""

    names: Mapping[str, str]
    used_names: set[str] = field(default_factory=set)
    used_values: set[str] = field(default_factory=set)
    checks: list[TypeCheck] = field(default_factory=list)
    bounds: list[tuple[str, str, str]] = field(default_factory=list)


class _Tokens:
    """The tokens of one expression, and where the parser stands in them."""

    def __init__(self, where: str, text: str, uses: Uses) -> None:
        self.where = where
        self.uses = uses
        if not text.strip():
            raise self.wrong("The expression can not be empty;")
        if len(text.encode()) > _LONGEST:
            raise self.wrong("Expression size has exceeded the maximum allowed size;")
        self._tokens = self._split(text)
        self._at = 0

    def wrong(self, message: str) -> Refused:
        return validation(f"Invalid {self.where}: {message}")

    def _split(self, text: str) -> list[tuple[str, str]]:
        tokens, at = [], 0
        while at < len(text):
            if text[at] in " \t\r\n":
                at += 1
                continue
            match = _TOKEN.match(text, at)
            if match is None:
                raise self.wrong(f'Syntax error; token: "{text[at]}", near: "{text[at : at + 10]}"')
            tokens.append((str(match.lastgroup), match.group()))
            at = match.end()
        return tokens

    def peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at][1] if at < len(self._tokens) else "<EOF>"

    def kind(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at][0] if at < len(self._tokens) else "end"

    def take(self) -> str:
        token = self.peek()
        self._at += 1
        return token

    def accept(self, mark: str) -> bool:
        if self.kind() == "mark" and self.peek() == mark:
            self._at += 1
            return True
        return False

    def expect(self, mark: str) -> None:
        if not self.accept(mark):
            self.refuse()

    def keyword(self, *words: str) -> str:
        """Take the next token if it is one of these words, whatever its case."""
        word = self.peek().upper()
        if self.kind() == "word" and word in words:
            self._at += 1
            return word
        return ""

    def end(self) -> None:
        if self.kind() != "end":
            self.refuse()

    def refuse(self) -> NoReturn:
        near = " ".join(text for _, text in self._tokens[max(0, self._at - 1) : self._at + 2])
        raise self.wrong(f'Syntax error; token: "{self.peek()}", near: "{near}"')

    def path(self) -> tuple[Path, str]:
        """A document path, and its text as AWS quotes it."""
        parts: list[str | int] = [self._name()]
        while True:
            if self.kind() == "index":
                parts.append(int(self.take()[1:-1]))
            elif self.accept("."):
                parts.append(self._name())
            else:
                return tuple(parts), "[" + ", ".join(map(str, parts)) + "]"

    def _name(self) -> str:
        kind, token = self.kind(), self.peek()
        if kind == "alias":
            self.take()
            self.uses.used_names.add(token)
            if token not in self.uses.names:
                raise self.wrong(
                    f"An expression attribute name used in the document path is not defined; attribute name: {token}"
                )
            return self.uses.names[token]
        if kind != "word":
            self.refuse()
        self.take()
        if token.upper() in RESERVED_WORDS:
            raise self.wrong(f"Attribute name is a reserved keyword; reserved keyword: {token}")
        return token

    def placeholder(self) -> str:
        if self.kind() != "value":
            self.refuse()
        name = self.take()
        self.uses.used_values.add(name)
        return name

    def must_be(self, operator: str, operand: Operand, kinds: tuple[str, ...]) -> None:
        """An operator that takes only some types refuses the others where it can see them: in placeholders."""
        if operand.placeholder:
            self.uses.checks.append(TypeCheck(self.where, operator, operand.placeholder, kinds))


def getter(path: Path) -> Get:
    """What reads a path of an item; None where there is nothing."""
    if len(path) == 1:
        name = str(path[0])
        return lambda item, _values: item.get(name)

    def get(item: Item, _values: Any) -> Value | None:
        value = item.get(str(path[0]))
        for step in path[1:]:
            if value is None:
                return None
            value = _inside(value, step)
        return value

    return get


def _inside(value: Value, step: str | int) -> Value | None:
    if isinstance(step, str):
        inner: Value | None = value.get("M", {}).get(step)
        return inner
    entries = value.get("L", [])
    return entries[step] if step < len(entries) else None


def _operand(tokens: _Tokens) -> Operand:
    if tokens.kind() == "value":
        name = tokens.placeholder()
        return Operand(name, lambda _item, values: values[name], placeholder=name)
    if tokens.peek() == "size" and tokens.peek(1) == "(":
        tokens.take()
        tokens.expect("(")
        inner = _operand(tokens)
        tokens.expect(")")
        if not inner.path:
            raise NotImplementedError("the engine knows size() of a path only")
        return Operand(f"size({inner.text})", _size_getter(inner.get))
    path, text = tokens.path()
    return Operand(text, getter(path), path=path)


def _size_getter(get: Get) -> Get:
    def size(item: Item, values: Any) -> Value | None:
        value = get(item, values)
        if value is None or kind_of(value) not in ("S", "B", "M", "L"):
            return None
        ((kind, content),) = value.items()
        return {"N": str(len(content) if kind in ("M", "L") else size_of_value(value))}

    return size


# --- conditions -------------------------------------------------------------------------------------------------------


def condition(where: str, text: str, uses: Uses) -> tuple[Test, set[str]]:
    """A condition's test, and the top-level attributes that it reads."""
    tokens = _Tokens(where, text, uses)
    parser = _Conditions(tokens)
    test = parser.any_of()
    tokens.end()
    return test, parser.attributes


class _Conditions:
    """Recursive descent over OR, AND, NOT, parentheses, comparisons and functions."""

    def __init__(self, tokens: _Tokens) -> None:
        self._tokens = tokens
        self._just_closed = False
        self.attributes: set[str] = set()

    def any_of(self) -> Test:
        tests = [self._all_of()]
        while self._tokens.keyword("OR"):
            tests.append(self._all_of())
            self._just_closed = False
        return any_test(tests)

    def _all_of(self) -> Test:
        tests = [self._not()]
        while self._tokens.keyword("AND"):
            tests.append(self._not())
            self._just_closed = False
        return all_test(tests)

    def _not(self) -> Test:
        if self._tokens.keyword("NOT"):
            test = self._not()
            self._just_closed = False
            return lambda item, values: not test(item, values)
        return self._one()

    def _one(self) -> Test:
        tokens = self._tokens
        if tokens.accept("("):
            self._just_closed = False
            test = self.any_of()
            tokens.expect(")")
            if self._just_closed:
                raise tokens.wrong("The expression has redundant parentheses;")
            self._just_closed = True
            return test
        if tokens.kind() == "word" and tokens.peek(1) == "(" and tokens.peek() != "size":
            test = self._function()
        else:
            test = self._comparison()
        self._just_closed = False
        return test

    def _read(self) -> Operand:
        operand = _operand(self._tokens)
        if operand.path:
            self.attributes.add(str(operand.path[0]))
        return operand

    def _function(self) -> Test:
        tokens = self._tokens
        name = tokens.take()
        if name not in _FUNCTIONS:
            raise tokens.wrong(f"Invalid function name; function: {name}")
        tokens.expect("(")
        path = self._read()
        if not path.path:
            raise tokens.wrong(f"Operator or function requires a document path; operator or function: {name}")
        if name in ("attribute_exists", "attribute_not_exists"):
            tokens.expect(")")
            return exists(path.get) if name == "attribute_exists" else missing(path.get)
        tokens.expect(",")
        argument = self._read()
        tokens.expect(")")
        return self._binary_function(name, path, argument)

    def _binary_function(self, name: str, path: Operand, argument: Operand) -> Test:
        if not argument.placeholder:
            raise NotImplementedError(f"the engine knows {name}(path, :value) only")
        if name == "attribute_type":
            self._tokens.must_be(name, argument, ("S",))
            return lambda item, values: (
                (found := path.get(item, values)) is not None and kind_of(found) == values[argument.placeholder]["S"]
            )
        if name == "begins_with":
            self._tokens.must_be(name, argument, ("S", "B"))
            return lambda item, values: _begins(path.get(item, values), values[argument.placeholder])
        return lambda item, values: _contains(path.get(item, values), values[argument.placeholder])

    def _comparison(self) -> Test:
        tokens = self._tokens
        left = self._read()
        mark = tokens.peek()
        if tokens.kind() == "mark" and mark in ("=", "<>", *COMPARISONS):
            tokens.take()
            right = self._read()
            self._distinct(mark, left, right)
            if mark in COMPARISONS:
                tokens.must_be(mark, left, ORDERED)
                tokens.must_be(mark, right, ORDERED)
            return comparison(mark, left.get, right.get)
        if tokens.keyword("BETWEEN"):
            low = self._read()
            if not tokens.keyword("AND"):
                tokens.refuse()
            high = self._read()
            self._distinct("BETWEEN", left, low, high)
            for operand in (left, low, high):
                tokens.must_be("BETWEEN", operand, ORDERED)
            if low.placeholder and high.placeholder:
                tokens.uses.bounds.append((tokens.where, low.placeholder, high.placeholder))
            return between(left.get, low.get, high.get)
        if not tokens.keyword("IN"):
            tokens.refuse()
        return self._in(left)

    def _distinct(self, mark: str, left: Operand, *others: Operand) -> None:
        if left.path and any(left.path == other.path for other in others):
            raise self._tokens.wrong(
                "The first operand must be distinct from the remaining operands for this operator or function; "
                f"operator: {mark}, first operand: {left.text}"
            )

    def _in(self, left: Operand) -> Test:
        tokens = self._tokens
        tokens.expect("(")
        choices = [self._read()]
        while tokens.accept(","):
            choices.append(self._read())
        tokens.expect(")")
        if len(choices) > _MOST_CHOICES:
            raise tokens.wrong("The IN operator takes at most 100 operands;")
        self._distinct("IN", left, *choices)
        return any_test([comparison("=", left.get, choice.get) for choice in choices])


def all_test(tests: Sequence[Test]) -> Test:
    """True where all of them are."""
    if len(tests) == 1:
        return tests[0]

    def test(item: Item, values: Any) -> bool:
        for part in tests:  # noqa: SIM110 - all() over a generator takes twice as long
            if not part(item, values):
                return False
        return True

    return test


def any_test(tests: Sequence[Test]) -> Test:
    """True where one of them is."""
    if len(tests) == 1:
        return tests[0]
    return lambda item, values: any(part(item, values) for part in tests)


def exists(get: Get) -> Test:
    """attribute_exists."""
    return lambda item, values: get(item, values) is not None


def missing(get: Get) -> Test:
    """attribute_not_exists."""
    return lambda item, values: get(item, values) is None


def comparison(mark: str, left: Get, right: Get) -> Test:
    """One of =, <>, <, <=, >, >=. What is missing, or of another type, is unequal to everything and before nothing."""
    if mark == "=":
        return lambda item, values: (found := left(item, values)) is not None and found == right(item, values)
    if mark == "<>":
        return lambda item, values: (found := left(item, values)) is None or found != right(item, values)
    compare = COMPARISONS[mark]
    return lambda item, values: ordered(compare, left(item, values), right(item, values))


def ordered(compare: Compare, left: Value | None, right: Value | None) -> bool:
    """Compare two values of one type that has an order; anything else is false."""
    if left is None or right is None:
        return False
    ((left_kind, left_content),) = left.items()
    ((right_kind, right_content),) = right.items()
    if left_kind != right_kind:
        return False
    if left_kind == "N":
        return compare(number(left_content), number(right_content))
    return left_kind in ORDERED and compare(left_content, right_content)


def between(value: Get, low: Get, high: Get) -> Test:
    """BETWEEN, both ends included."""
    return lambda item, values: (
        ordered(operator.ge, found := value(item, values), low(item, values))
        and ordered(operator.le, found, high(item, values))
    )


def _begins(value: Value | None, start: Value) -> bool:
    if value is None or kind_of(value) != kind_of(start) or kind_of(value) not in ("S", "B"):
        return False
    ((kind, content),) = value.items()
    begins: bool = content.startswith(start[kind])
    return begins


def _contains(value: Value | None, part: Value) -> bool:
    if value is None:
        return False
    ((kind, content),) = value.items()
    if kind == "L":
        return part in content
    return kind in ("S", "B") and kind_of(part) == kind and part[kind] in content


# --- keys and projections ---------------------------------------------------------------------------------------------


def key_condition(text: str, uses: Uses) -> list[KeyTest]:
    """The conditions on the key attributes of a query, one or two."""
    tokens = _Tokens("KeyConditionExpression", text, uses)
    tests = [_key_test(tokens)]
    if tokens.keyword("AND"):
        tests.append(_key_test(tokens))
    tokens.end()
    if len({test.name for test in tests}) < len(tests):
        raise tokens.wrong("KeyConditionExpressions must only contain one condition per key")
    return tests


def _key_test(tokens: _Tokens) -> KeyTest:
    if tokens.accept("("):
        test = _key_test(tokens)
        tokens.expect(")")
        return test
    if tokens.peek() == "begins_with" and tokens.peek(1) == "(":
        tokens.take()
        tokens.expect("(")
        name = _key_name(tokens)
        tokens.expect(",")
        start = tokens.placeholder()
        tokens.expect(")")
        tokens.must_be("begins_with", Operand(start, _nothing, placeholder=start), ("S", "B"))
        return KeyTest(name, "begins_with", (start,))
    name = _key_name(tokens)
    if tokens.keyword("BETWEEN"):
        low = tokens.placeholder()
        if not tokens.keyword("AND"):
            tokens.refuse()
        high = tokens.placeholder()
        tokens.uses.bounds.append((tokens.where, low, high))
        return KeyTest(name, "BETWEEN", (low, high))
    mark = tokens.take()
    if mark == "<>":
        raise tokens.wrong(f"Unsupported operator in KeyConditionExpression: {mark}")
    if mark not in ("=", *COMPARISONS):
        raise tokens.wrong(f'Syntax error; token: "{mark}", near: "{name} {mark}"')
    return KeyTest(name, mark, (tokens.placeholder(),))


def _key_name(tokens: _Tokens) -> str:
    if tokens.kind() == "value":
        raise NotImplementedError("the engine wants the attribute on the left of a key condition")
    path, _ = tokens.path()
    if len(path) > 1:
        raise tokens.wrong("KeyConditionExpressions cannot have conditions on nested attributes")
    return str(path[0])


def _nothing(_item: Item, _values: Any) -> None:
    return None


def projection(text: str, uses: Uses) -> list[str]:
    """The attributes that an answer shall have."""
    tokens = _Tokens("ProjectionExpression", text, uses)
    paths = [tokens.path()]
    while tokens.accept(","):
        paths.append(tokens.path())
    tokens.end()
    _no_overlap(tokens, paths)
    if any(len(path) > 1 for path, _ in paths):
        raise NotImplementedError("the engine projects whole attributes only")
    return [str(path[0]) for path, _ in paths]


def _no_overlap(tokens: _Tokens, paths: Sequence[tuple[Path, str]]) -> None:
    for at, (first, first_text) in enumerate(paths):
        for second, second_text in paths[at + 1 :]:
            shorter = min(len(first), len(second))
            if first[:shorter] == second[:shorter]:
                raise tokens.wrong(
                    "Two document paths overlap with each other; must remove or rewrite one of these paths; "
                    f"path one: {first_text}, path two: {second_text}"
                )


# --- updates ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Update:
    """A compiled update: `apply` gives the new item and leaves the old one as it is."""

    assigned: tuple[tuple[Path, Get], ...]
    removed: tuple[Path, ...]
    attributes: frozenset[str]

    def apply(self, old: Item, values: Any) -> Item:
        """The item after the update. Every value is computed from the item as it was before."""
        computed = [(path, get(old, values)) for path, get in self.assigned]
        new = old.copy()
        fresh: set[str] = set()
        for path in self.removed:
            _remove(new, path, fresh)
        for path, value in computed:
            if value is None:
                raise validation("The provided expression refers to an attribute that does not exist in the item")
            if len(path) == 1:
                new[str(path[0])] = value
            else:
                _assign(new, path, value, fresh)
        return new


def _parent(item: Item, path: Path, fresh: set[str]) -> Value:
    """The map or list that holds the last step of a path, in a copy that may be changed."""
    top = str(path[0])
    if top in item and top not in fresh:
        item[top] = copy.deepcopy(item[top])
        fresh.add(top)
    parent = getter(path[:-1])(item, None)
    if parent is None or kind_of(parent) != ("M" if isinstance(path[-1], str) else "L"):
        raise validation("The document path provided in the update expression is invalid for update")
    return parent


def _assign(item: Item, path: Path, value: Value, fresh: set[str]) -> None:
    parent, step = _parent(item, path, fresh), path[-1]
    if isinstance(step, str):
        parent["M"][step] = value
    elif step < len(parent["L"]):
        parent["L"][step] = value
    else:
        parent["L"].append(value)


def _remove(item: Item, path: Path, fresh: set[str]) -> None:
    if len(path) == 1:
        item.pop(str(path[0]), None)
    elif isinstance(path[-1], str):
        _parent(item, path, fresh)["M"].pop(path[-1], None)
    else:
        raise NotImplementedError("the engine does not remove entries of lists")


def update(text: str, uses: Uses) -> Update:
    """A compiled update expression."""
    tokens = _Tokens("UpdateExpression", text, uses)
    seen: set[str] = set()
    assigned: list[tuple[Path, str, Get]] = []
    removed: list[tuple[Path, str]] = []
    while tokens.kind() != "end":
        section = tokens.keyword("SET", "REMOVE", "ADD", "DELETE")
        if not section:
            tokens.refuse()
        if section in seen:
            raise tokens.wrong(f'The "{section}" section can only be used once in an update expression;')
        seen.add(section)
        while True:
            if section == "SET":
                assigned.append(_set(tokens))
            elif section == "ADD":
                assigned.append(_add(tokens))
            elif section == "REMOVE":
                removed.append(tokens.path())
            else:
                raise NotImplementedError("the engine has no sets, and so nothing to DELETE from them")
            if not tokens.accept(","):
                break
    _no_overlap(tokens, [(path, path_text) for path, path_text, _ in assigned] + removed)
    paths = [path for path, _, _ in assigned] + [path for path, _ in removed]
    return Update(
        tuple((path, get) for path, _, get in assigned),
        tuple(path for path, _ in removed),
        frozenset(str(path[0]) for path in paths),
    )


def _set(tokens: _Tokens) -> tuple[Path, str, Get]:
    path, text = tokens.path()
    tokens.expect("=")
    left = _set_operand(tokens)
    for mark, calculate in (("+", _PRECISION.add), ("-", _PRECISION.subtract)):
        if tokens.accept(mark):
            right = _set_operand(tokens)
            for operand in (left, right):
                tokens.must_be(mark, operand, ("N",))
            return path, text, _arithmetic(calculate, operator.add if mark == "+" else operator.sub, left, right)
    return path, text, left.get


def _set_operand(tokens: _Tokens) -> Operand:
    if tokens.kind() == "word" and tokens.peek(1) == "(":
        name = tokens.take()
        if name == "list_append":
            raise NotImplementedError("the engine has no list_append")
        if name != "if_not_exists":
            raise tokens.wrong(f"Invalid function name; function: {name}")
        tokens.expect("(")
        path, text = tokens.path()
        tokens.expect(",")
        other = _set_operand(tokens)
        tokens.expect(")")
        if other.path == path:
            raise tokens.wrong(
                "The first operand must be distinct from the remaining operands for this operator or function; "
                f"operator: if_not_exists, first operand: {text}"
            )
        return Operand(f"if_not_exists({text})", _if_not_exists(getter(path), other.get))
    if tokens.kind() == "value":
        return _operand(tokens)
    path, text = tokens.path()
    return Operand(text, getter(path), path=path)


def _if_not_exists(first: Get, other: Get) -> Get:
    def get(item: Item, values: Any) -> Value | None:
        value, fallback = first(item, values), other(item, values)
        return fallback if value is None or fallback is None else value  # both must be there to be looked at

    return get


def _arithmetic(
    exactly: Callable[[decimal.Decimal, decimal.Decimal], decimal.Decimal],
    quickly: Callable[[int, int], int],
    left: Operand,
    right: Operand,
) -> Get:
    def get(item: Item, values: Any) -> Value | None:
        first, second = left.get(item, values), right.get(item, values)
        if first is None or second is None:
            return None
        a, b = _number_operand(first), _number_operand(second)
        if isinstance(a, int) and isinstance(b, int):
            return number_value(quickly(a, b))
        return number_value(exactly(decimal.Decimal(a), decimal.Decimal(b)))

    return get


def _number_operand(value: Value) -> int | decimal.Decimal:
    if "N" not in value:
        raise validation("An operand in the update expression has an incorrect data type")
    return number(value["N"])


def _add(tokens: _Tokens) -> tuple[Path, str, Get]:
    path, text = tokens.path()
    amount = _operand(tokens)
    if not amount.placeholder:
        tokens.refuse()
    tokens.must_be("ADD", amount, ("N",))
    start = Operand(text, _if_not_exists(getter(path), lambda _item, _values: {"N": "0"}))
    return path, text, _arithmetic(_PRECISION.add, operator.add, start, amount)


def check_types(uses: Uses, values: Mapping[str, Value]) -> None:
    """Refuse values that an operator cannot take, as AWS does before it looks at the item."""
    for check in uses.checks:
        kind = kind_of(values[check.placeholder])
        if kind not in check.kinds:
            raise validation(
                f"Invalid {check.where}: Incorrect operand type for operator or function; "
                f"operator or function: {check.operator}, operand type: {NAMES[kind]}"
            )
    for where, low, high in uses.bounds:
        if kind_of(values[low]) != kind_of(values[high]):
            raise validation(
                f"Invalid {where}: The BETWEEN operator needs the same data type for lower and upper bounds;"
            )
        if not ordered(operator.le, values[low], values[high]):
            raise validation(
                f"Invalid {where}: The BETWEEN operator requires an upper bound that is not below the lower bound;"
            )
